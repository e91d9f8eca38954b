package app

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"jurymast/internal/api"
	"jurymast/internal/cluster"
	"jurymast/internal/cluster/roll"
	"jurymast/internal/cluster/seal"
	"jurymast/internal/nameserver/cookie"
	"jurymast/internal/profile"
)

// cookies joins the secrets behind DNS cookies to the nameserver's jar. Where they come from, best first:
//
//	files of node.nameserver.cookies          shared with other products, read at the start and with every reload
//	the store, sealed                         shared by all nodes, see cluster/roll
//	a copy of that in the data, still sealed  from an earlier life, until the store is there
//	this life's own                           nobody else accepts what it makes
type cookies struct {
	files bool
	copy  string // path of the sealed copy
	own   cookie.Secret
	began time.Time

	mu     sync.Mutex
	shared bool // the jar holds what the store says
	tags   [3]string
}

// openCookies fills the jar before the first question can come.
func (a *App) openCookies(n *profile.Node) error {
	c := &a.cookies
	c.own, c.began, c.copy = cookie.NewSecret(), time.Now(), a.data.path("cookies.sealed")
	a.jar = cookie.NewJar(cookie.Secrets{Issue: c.own})
	files := &n.Nameserver.Cookies
	if c.files = files.Current.File != ""; c.files {
		secrets, tags, err := readCookieFiles(files)
		if err != nil {
			return err
		}
		a.useCookieFiles(secrets, tags)
		return nil
	}
	if s, ok := c.earlier(a.seal.keys()); ok {
		a.fillJar(s)
	}
	return nil
}

func (a *App) useCookieFiles(s cookie.Secrets, tags [3]string) {
	a.cookies.mu.Lock()
	a.cookies.tags = tags
	a.cookies.mu.Unlock()
	a.jar.Store(s)
}

// readCookieFiles is current, next and previous as the jar wants them, with their tags.
func readCookieFiles(f *profile.Cookies) (s cookie.Secrets, tags [3]string, err error) {
	for i, one := range []struct{ key, file string }{{"current", f.Current.File}, {"next", f.Next.File}, {"previous", f.Previous.File}} {
		if one.file == "" {
			continue
		}
		secret, err := ReadCookieFile(one.file)
		if err != nil {
			return s, tags, fmt.Errorf("node.nameserver.cookies.%s.file: %w", one.key, err)
		}
		tags[i] = roll.NewSecret(secret).Tag()
		if i == 0 {
			s.Issue = secret
		} else {
			s.Verify = append(s.Verify, secret)
		}
	}
	return s, tags, nil
}

// ReadCookieFile reads 32 hex digits, as other products write them. Errors never repeat what is in the file.
func ReadCookieFile(path string) (cookie.Secret, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return cookie.Secret{}, err
	}
	info, err := os.Stat(path)
	if err != nil {
		return cookie.Secret{}, err
	}
	if mode := info.Mode().Perm(); mode&0o007 != 0 {
		return cookie.Secret{}, fmt.Errorf("%s has mode %04o, so everybody on this machine may use it; allowed: 0600, or 0640 with a group of its own; do: chmod o= %[1]s", path, mode)
	}
	raw, err := hex.DecodeString(strings.TrimSpace(string(text)))
	if err != nil || len(raw) != len(cookie.Secret{}) {
		return cookie.Secret{}, fmt.Errorf("%s is not a cookie secret: 32 hex digits and nothing else are expected; make one with: openssl rand -hex 16", path)
	}
	return cookie.Secret(raw), nil
}

// reloadSecretFiles reads the files with seal keys and cookie secrets anew, and returns what takes them into use. Whether
// there are such files at all changes with a restart.
func (a *App) reloadSecretFiles(f *profile.File) (use func(), err error) {
	ring, err := a.seal.look()
	if err != nil {
		return nil, err
	}
	files := &f.Node.Nameserver.Cookies
	if !a.cookies.files || files.Current.File == "" {
		return func() { a.useKeys(ring) }, nil
	}
	secrets, tags, err := readCookieFiles(files)
	if err != nil {
		return nil, err
	}
	return func() {
		a.useKeys(ring)
		a.useCookieFiles(secrets, tags)
	}, nil
}

// fillJar takes a state of the shared secrets into use. What this life made of its own stays good as long as it can be.
func (a *App) fillJar(s roll.State) {
	secrets := cookie.Secrets{Issue: s.Issue().Bytes()}
	for _, v := range s.Verify()[1:] {
		secrets.Verify = append(secrets.Verify, v.Bytes())
	}
	if time.Since(a.cookies.began) < roll.Keep {
		secrets.Verify = append(secrets.Verify, a.cookies.own)
	}
	a.jar.Store(secrets)
}

// keepCookies uses and tends what all nodes share, until ctx ends.
func (a *App) keepCookies(ctx context.Context) {
	a.cluster.KeepCookies(ctx, cluster.CookieOptions{
		Rules: a.o.Cookies, Files: a.cookies.files,
		Use: func(s roll.State, box seal.Box) {
			a.fillJar(s)
			a.cookies.mu.Lock()
			a.cookies.shared = true
			a.cookies.mu.Unlock()
			if text, err := json.Marshal(box); err == nil {
				if err := writeFile(a.cookies.copy, text); err != nil {
					a.log.Warn("the sealed copy of the cookie secrets is not written; after a restart the store must come first", "error", err)
				}
			}
		},
	})
}

// earlier is what an earlier life used last, so that a restarted node knows the cookies of all from its first answer on.
// It is as old as it is: the store corrects it within moments.
func (c *cookies) earlier(keys seal.Ring) (roll.State, bool) {
	text, err := os.ReadFile(c.copy)
	if err != nil {
		return roll.State{}, false
	}
	var box seal.Box
	if json.Unmarshal(text, &box) != nil {
		return roll.State{}, false
	}
	plain, err := keys.Open(cluster.SealedCookies, box)
	if err != nil {
		return roll.State{}, false
	}
	s, err := roll.Decode(plain)
	return s, err == nil
}

// Cookies tells how the secret behind DNS cookies stands; it names tags only.
func (d *secretDesk) Cookies() api.CookieStatus {
	st := d.cluster.CookieStatus()
	c := &d.cookies
	c.mu.Lock()
	shared, tags := c.shared, c.tags
	c.mu.Unlock()
	out := api.CookieStatus{Source: "own", Ordered: st.Asked, Nodes: make([]api.CookieNode, 0, len(st.Nodes)), Trouble: st.Trouble}
	switch {
	case !d.file.Node.Nameserver.Cookies.Enabled:
		out.Source = "off"
	case c.files:
		out.Source, out.Current, out.Next, out.Previous = "files", tags[0], tags[1], tags[2]
	case shared:
		out.Source = "store"
	}
	if s := st.State; s != nil {
		out.Stage, out.Step, out.Since, out.Issued, out.Due = string(s.Stage), s.Step, moment(s.Since), moment(s.Rolled), moment(s.Due(d.o.Cookies))
		if !c.files {
			out.Current, out.Next, out.Previous = s.Current.Tag(), s.Next.Tag(), s.Previous.Tag()
		}
	}
	for _, n := range st.Nodes {
		one := api.CookieNode{Name: n.Name, Source: "store"}
		if n.Mark == "" || !n.Takes() {
			one.Source = n.Mark
		}
		one.Acknowledged = st.State != nil && n.Mark == st.State.Mark()
		out.Nodes = append(out.Nodes, one)
	}
	return out
}

// RollCookies orders a change and waits a moment for its begin, so that who ordered it sees it.
func (d *secretDesk) RollCookies(ctx context.Context, by, note string) error {
	if d.cookies.files {
		return translateSecret(fmt.Errorf("%w: this node has its secrets from node.nameserver.cookies; change those files in the same order on all servers (next, then current and previous) and reload", cluster.ErrRefused))
	}
	before := d.cluster.CookieStatus()
	if err := d.cluster.RollCookies(ctx, by, note); err != nil {
		return translateSecret(err)
	}
	for range 100 {
		now := d.cluster.CookieStatus()
		if now.State != nil && before.State != nil && now.State.Step > before.State.Step {
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(20 * time.Millisecond):
		}
	}
	return nil // it is ordered, and status says that the leader has not begun
}
