//go:build linux

package app_test

import (
	"context"
	"encoding/hex"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"

	"jurymast/internal/api"
	"jurymast/internal/cluster/roll"
	"jurymast/internal/cluster/seal"
	"jurymast/internal/store/etcd"
)

// keepVar makes a node drop the previous cookie secret sooner than after 65 minutes, and change it by order alone.
const keepVar = "JURYMAST_APP_TEST_COOKIE_KEEP"

// cookieRules are the times of a node of these tests.
func cookieRules() roll.Rules {
	if keep, err := time.ParseDuration(os.Getenv(keepVar)); err == nil {
		return roll.Rules{Keep: keep}
	}
	return roll.Rules{}
}

const clientCookie = "0123456789abcdef"

// askWith asks with a server cookie, "" for none, and returns the rcode and the server cookie of the answer. A node that
// demands cookies answers BADCOOKIE unless it accepts the one that came.
func askWith(server, cookie string) (rcode int, next string, err error) {
	q := new(dns.Msg).SetQuestion(host+".", dns.TypeA)
	q.SetEdns0(1232, false)
	q.IsEdns0().Option = append(q.IsEdns0().Option, &dns.EDNS0_COOKIE{Code: dns.EDNS0COOKIE, Cookie: clientCookie + cookie})
	c := dns.Client{Timeout: 500 * time.Millisecond}
	resp, _, err := c.Exchange(q, server)
	if err != nil {
		return 0, "", err
	}
	if opt := resp.IsEdns0(); opt != nil {
		for _, o := range opt.Option {
			if k, ok := o.(*dns.EDNS0_COOKIE); ok {
				next = strings.TrimPrefix(k.Cookie, clientCookie)
			}
		}
	}
	return resp.Rcode, next, nil
}

// accepted reports that the node takes the cookie for good; a node that does not answer says nothing against it.
func accepted(server, cookie string) bool {
	rcode, _, err := askWith(server, cookie)
	return err != nil || rcode != dns.RcodeBadCookie
}

// taster asks two nodes without a pause: what one has issued, now or up to a second ago, the other must accept.
type taster struct {
	t       *testing.T
	servers []string
	end     chan struct{}
	wg      sync.WaitGroup

	asked, carried atomic.Int64
	refused        atomic.Pointer[string]
}

func taste(t *testing.T, servers ...string) *taster {
	w := &taster{t: t, servers: servers, end: make(chan struct{})}
	for range 2 {
		w.wg.Go(w.run)
	}
	t.Cleanup(w.stop)
	return w
}

func (w *taster) run() {
	type kept struct {
		cookie string
		at     time.Time
	}
	var bag []kept
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-w.end:
			return
		case <-tick.C:
		}
		if rcode, cookie, err := askWith(w.servers[rand.IntN(len(w.servers))], ""); err == nil {
			w.asked.Add(1)
			if rcode != dns.RcodeBadCookie || cookie == "" {
				text := fmt.Sprintf("without a cookie: %s, cookie %q", dns.RcodeToString[rcode], cookie)
				w.refused.CompareAndSwap(nil, &text)
			}
			bag = append(bag, kept{cookie, time.Now()})
		}
		for len(bag) > 0 && time.Since(bag[0].at) > time.Second {
			bag = bag[1:]
		}
		if len(bag) == 0 {
			continue
		}
		one := bag[rand.IntN(len(bag))]
		to := w.servers[rand.IntN(len(w.servers))]
		switch rcode, _, err := askWith(to, one.cookie); {
		case err != nil:
		case rcode != dns.RcodeBadCookie:
			w.carried.Add(1) // what else is answered, as before a first probe, is no matter of cookies
		default:
			text := fmt.Sprintf("%s refuses a cookie of %v ago ", to, time.Since(one.at))
			w.refused.CompareAndSwap(nil, &text)
		}
	}
}

// stop ends the asking; it may be called again.
func (w *taster) stop() {
	select {
	case <-w.end:
		return
	default:
	}
	close(w.end)
	w.wg.Wait()
	if text := w.refused.Load(); text != nil {
		w.t.Error(*text)
	}
	if w.carried.Load() < 50 {
		w.t.Errorf("only %d of %d cookies were carried from one node to another", w.carried.Load(), w.asked.Load())
	}
}

func (s *site) cookies() (c api.CookieStatus) {
	s.get("/api/v1/dns/cookies", &c)
	return c
}

func (s *site) sealing() (c api.SealStatus) {
	s.get("/api/v1/seal", &c)
	return c
}

func (s *site) awaitStage(within time.Duration, stage roll.Stage, current string) {
	s.t.Helper()
	eventually(s.t, within, fmt.Sprintf("%s is %s with %s", s.name, stage, current), func() bool {
		c := s.cookies()
		return c.Stage == string(stage) && (current == "" || c.Current == current)
	})
}

func (s *site) post(path string) (int, string) {
	return s.call(http.MethodPost, path, `{"note":"by a test"}`)
}

func (s *site) rollCookies() {
	s.t.Helper()
	if code, body := s.post("/api/v1/dns/cookies/roll"); code != http.StatusOK {
		s.t.Fatalf("roll: %d %s", code, body)
	}
}

// demanding is a node that answers over UDP only who has a cookie.
func (s *site) demanding(keep string) *site {
	s.cookieText = "cookies: {require: always}"
	s.env = append(s.env, keepVar+"="+keep)
	return s
}

// pair is two demanding nodes on one etcd, the leader first.
func pair(t *testing.T, keep string) (leader, other *site, address string) {
	t.Helper()
	address = startEtcd(t)
	a := newSite(t).demanding(keep)
	a.head = storeText("http://" + address)
	a.up()
	b := a.beside("n2").demanding(keep)
	b.write(b.text())
	b.startNode()
	b.awaitReady(20 * time.Second)
	for _, s := range []*site{a, b} {
		eventually(t, 10*time.Second, s.name+" shares the secret", func() bool { c := s.cookies(); return c.Source == "store" && len(c.Nodes) == 2 })
	}
	if b.nodeStatus().Leads {
		return b, a, address
	}
	return a, b, address
}

// TestCookieRollOnTwoNodes: what one node issues the other accepts, before, during and after a change, asked without a
// pause, and nothing that a node shows or writes holds a secret.
func TestCookieRollOnTwoNodes(t *testing.T) {
	t.Parallel()
	leader, other, address := pair(t, "3s")
	first := leader.cookies()
	if first.Current == "" || first.Current != other.cookies().Current {
		t.Fatalf("%+v and %+v", first, other.cookies())
	}
	secrets := secretsIn(t, address)
	w := taste(t, leader.dns, other.dns)
	time.Sleep(500 * time.Millisecond)
	other.rollCookies()
	if code, body := leader.post("/api/v1/dns/cookies/roll"); code != http.StatusConflict || !strings.Contains(body, "under way") {
		t.Errorf("a second change meanwhile: %d %s", code, body)
	}
	leader.awaitStage(5*time.Second, roll.Retiring, "")
	secrets = append(secrets, secretsIn(t, address)...)
	for _, s := range []*site{leader, other} {
		s.awaitStage(10*time.Second, roll.Steady, "")
		if c := s.cookies(); c.Current == first.Current || c.Previous != "" || c.Step != first.Step+4 {
			t.Errorf("%s after the change: %+v", s.name, c)
		}
	}
	time.Sleep(500 * time.Millisecond)
	w.stop()
	t.Logf("%d cookies were issued, %d carried to a node", w.asked.Load(), w.carried.Load())
	secrets = append(secrets, secretsIn(t, address)...)
	for _, s := range []*site{leader, other} {
		showsNone(t, s, secrets)
	}
	var stages []string
	for _, e := range leader.journal() {
		if e.Kind == "secret" {
			stages = append(stages, strings.TrimPrefix(e.To, "dns cookies "))
		}
	}
	if got := strings.Join(stages, " "); got != "steady publishing switching retiring steady" {
		t.Errorf("journal: %s", got)
	}
}

// secretsIn opens what the store holds, as only who has the key can.
func secretsIn(t *testing.T, address string) (out []string) {
	t.Helper()
	ring, err := seal.Read(sharedKey())
	must(t, err)
	text, err := os.ReadFile(sharedKey())
	must(t, err)
	for line := range strings.Lines(string(text)) {
		if !strings.HasPrefix(line, "#") {
			out = append(out, strings.TrimSpace(line))
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	st, err := etcd.Open(ctx, etcd.Options{Endpoints: []string{"http://" + address}, Logger: slog.New(slog.DiscardHandler)})
	must(t, err)
	defer func() { _ = st.Close() }()
	kv, ok, err := st.Get(ctx, "/jurymast/v1/sealed/dns-cookies")
	must(t, err)
	if !ok {
		t.Fatal("there is no sealed record")
	}
	var box seal.Box
	must(t, unmarshal(kv.Value, &box))
	plain, err := ring.Open("dns-cookies", box)
	must(t, err)
	state, err := roll.Decode(plain)
	must(t, err)
	for _, s := range state.Verify() {
		raw := s.Bytes()
		out = append(out, hex.EncodeToString(raw[:]), string(raw[:]), strings.Trim(fmt.Sprint(raw), "[]"))
	}
	return out
}

// showsNone looks for secrets wherever a node tells or writes anything.
func showsNone(t *testing.T, s *site, secrets []string) {
	t.Helper()
	texts := map[string]string{"the log": s.node.out.String()}
	for _, path := range []string{
		"/api/v1/dns/cookies", "/api/v1/seal", "/api/v1/journal?limit=10000", "/api/v1/audit?limit=10000", "/api/v1/node", "/api/v1/nodes",
		"/api/v1/status", "/metrics", "/status", "/api/openapi.json",
	} {
		code, body := s.call(http.MethodGet, path, "")
		if code != http.StatusOK || body == "" {
			t.Errorf("GET %s: %d", path, code)
		}
		texts[path] = body
	}
	for _, want := range []string{`jurymast_dns_cookie_stage{stage="`, "jurymast_dns_cookie_waiting_nodes ", "jurymast_secret_trouble 0"} {
		if !strings.Contains(texts["/metrics"], want) {
			t.Errorf("metrics lack %s", want)
		}
	}
	must(t, filepath.WalkDir(s.data, func(path string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return nil
		}
		text, err := os.ReadFile(path)
		texts[path] = string(text)
		return err
	}))
	if len(secrets) < 4 || texts[filepath.Join(s.data, "cookies.sealed")] == "" {
		t.Fatalf("%d secrets, files %d: nothing can be found", len(secrets), len(texts))
	}
	for where, text := range texts {
		for _, secret := range secrets {
			if strings.Contains(strings.ToLower(text), strings.ToLower(secret)) {
				t.Errorf("%s holds a secret", where)
			}
		}
	}
}

// TestCookieRollOutlivesLeaders: the leader is killed while the next secret waits for an acknowledgement, and again while
// the previous one runs out; the other goes on, and whoever comes back accepts from its first answer on what others issue.
func TestCookieRollOutlivesLeaders(t *testing.T) {
	t.Parallel()
	leader, other, _ := pair(t, "8s")
	first := leader.cookies()
	w := taste(t, leader.dns, other.dns)

	other.node.signal(syscall.SIGSTOP)
	leader.rollCookies()
	leader.awaitStage(2*time.Second, roll.Publishing, first.Current)
	eventually(t, 2*time.Second, "the other alone is waited for", func() bool { return waited(leader.cookies()) == other.name })
	leader.node.kill()
	other.node.signal(syscall.SIGCONT)
	leader, other = other, leader
	leader.awaitStage(15*time.Second, roll.Retiring, "")
	second := leader.cookies()
	if second.Previous != first.Current || second.Current == first.Current {
		t.Fatalf("after the first leader: %+v, before: %+v", second, first)
	}
	other.comesBack(t, leader)

	killed := leader.node
	killed.kill()
	leader, other = other, leader
	leader.awaitStage(30*time.Second, roll.Steady, second.Current)
	other.comesBack(t, leader)
	other.awaitStage(5*time.Second, roll.Steady, second.Current)
	eventually(t, 5*time.Second, "all have acknowledged", func() bool { c := other.cookies(); return waited(c) == "" && len(c.Nodes) == 2 && c.Previous == "" })
	time.Sleep(300 * time.Millisecond)
	w.stop()
}

func waited(c api.CookieStatus) (names string) {
	for _, n := range c.Nodes {
		if !n.Acknowledged {
			names += n.Name
		}
	}
	return names
}

// comesBack starts a node again and demands that its very first answer knows the cookies of the other one.
func (s *site) comesBack(t *testing.T, other *site) {
	t.Helper()
	_, cookie, err := askWith(other.dns, "")
	must(t, err)
	s.startNode()
	answered := false
	eventually(t, 20*time.Second, s.name+" answers", func() bool {
		rcode, _, err := askWith(s.dns, cookie)
		if err == nil && rcode == dns.RcodeBadCookie {
			t.Fatalf("%s has come back and refuses a cookie of the other node", s.name)
		}
		answered = answered || err == nil
		return answered && s.ready()
	})
	eventually(t, 10*time.Second, s.name+" shares the secret", func() bool { return s.cookies().Source == "store" })
}

// TestCookieFiles: secrets from files are shared with whoever has the same files, and are changed by a reload; a bad file
// changes nothing.
func TestCookieFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := func(name, text string) {
		must(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	one, two := strings.Repeat("a1", 16), strings.Repeat("b2", 16)
	file("current", one+"\n")
	file("next", two)
	nodes := []*site{newSite(t), newSite(t)}
	for i, s := range nodes {
		s.name = fmt.Sprintf("n%d", i+1)
		s.cookieText = fmt.Sprintf("cookies: {require: always, current: {file: %q}, next: {file: %q}}", filepath.Join(dir, "current"), filepath.Join(dir, "next"))
	}
	a, b := nodes[0], nodes[1]
	b.eu20, b.us21 = a.eu20, a.us21
	a.up()
	b.write(b.text())
	b.startNode()
	b.awaitReady(20 * time.Second)
	_, cookie, err := askWith(a.dns, "")
	must(t, err)
	if cookie == "" || !accepted(b.dns, cookie) {
		t.Fatal("two nodes with the same files do not accept each other's cookies")
	}
	c := a.cookies()
	if c.Source != "files" || c.Current == "" || c.Next == "" || c.Current == c.Next {
		t.Errorf("status: %+v", c)
	}
	if code, body := a.post("/api/v1/dns/cookies/roll"); code != http.StatusConflict || !strings.Contains(body, "node.nameserver.cookies") {
		t.Errorf("roll: %d %s", code, body)
	}

	file("current", "no secret "+two)
	a.hangup()
	eventually(t, 5*time.Second, "the bad file is refused", func() bool { return strings.Contains(a.nodeStatus().Config.Error, "32 hex digits") })
	if a.cookies().Current != c.Current || a.node.said(two) {
		t.Error("a bad file has changed something, or is repeated in the log")
	}
	file("current", two)
	file("next", one)
	a.hangup() // a issues the second secret, b verifies it since its start
	eventually(t, 5*time.Second, "the files are in force", func() bool { return a.cookies().Current == c.Next })
	_, cookie, err = askWith(a.dns, "")
	must(t, err)
	if !accepted(b.dns, cookie) {
		t.Error("the next secret is not verified")
	}
	showsNoneOf(t, a, one, two)
}

func showsNoneOf(t *testing.T, s *site, secrets ...string) {
	t.Helper()
	for _, path := range []string{"/api/v1/dns/cookies", "/api/v1/node", "/api/v1/journal", "/metrics"} {
		_, body := s.call(http.MethodGet, path, "")
		for _, secret := range secrets {
			if strings.Contains(body, secret) || s.node.said(secret) {
				t.Errorf("%s or the log shows a secret", path)
			}
		}
	}
}
