package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"jurymast/internal/api"
	"jurymast/internal/cluster"
	"jurymast/internal/cluster/seal"
	"jurymast/internal/profile"
)

// sealer keeps this node's file of seal keys. A node alone makes the file and changes it itself; with several nodes it is
// the operator's, because a key must never travel the way of what it protects.
type sealer struct {
	path string // "": no file, nothing is sealed
	solo bool
	lost string // why no key was made; "": nothing was missed

	mu   sync.Mutex // held while the file is read or written
	ring seal.Ring
}

// openSeal reads the key file, or makes it on a node alone.
func (a *App) openSeal(n *profile.Node) error {
	a.seal = &sealer{path: n.Store.Seal.File, solo: a.solo}
	if a.seal.path == "" {
		return nil
	}
	if inside(a.data.dir, a.seal.path) {
		return fmt.Errorf("node.store.seal.file: %s lies inside the data directory %s, so a copy of the data would open everything; put it elsewhere", a.seal.path, a.data.dir)
	}
	if !a.solo {
		ring, err := a.seal.look()
		a.seal.ring = ring
		return err
	}
	if _, err := os.Lstat(a.seal.path); errors.Is(err, fs.ErrNotExist) {
		if copies := a.sealedCopies(); len(copies) > 0 {
			a.seal.lost = fmt.Sprintf("the seal key is lost: %s is not there, and what it has sealed is (%s); no other key is made: bring the file back and send SIGHUP; if there is no copy of it, make one with %s, restart, and give up what jurymast seal shows with: jurymast seal forget RECORD",
				a.seal.path, strings.Join(copies, ", "), fmt.Sprintf(seal.Make, a.seal.path))
			a.log.Error("THE SEAL KEY IS LOST; signed zones are not answered", "error", a.seal.lost)
			return nil
		}
	}
	ring, made, err := seal.ReadOrCreate(a.seal.path)
	if made {
		a.log.Info("made a seal key; keep a copy in a safe place, apart from copies of the data", "file", a.seal.path, "key", ring.IDs()[0])
	}
	a.seal.ring = ring
	return err
}

// sealedCopies are the files in the data that only a key of before can open.
func (a *App) sealedCopies() []string {
	var out []string
	for _, pattern := range []string{"cookies.sealed", filepath.Join("zone-keys", "*"+copySuffix)} {
		found, _ := filepath.Glob(a.data.path(pattern)) // the pattern is a good one
		out = append(out, found...)
	}
	return out
}

// missed says that the seal key is lost, "" once there is one again.
func (s *sealer) missed() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lost == "" || !s.ring.Empty() {
		return ""
	}
	return s.lost
}

// inside reports that file is below dir, links aside.
func inside(dir, file string) bool {
	d, err1 := filepath.Abs(dir)
	f, err2 := filepath.Abs(file)
	rel, err3 := filepath.Rel(d, f)
	return err1 == nil && err2 == nil && err3 == nil && filepath.IsLocal(rel)
}

// look reads the file as it is now; nothing changes.
func (s *sealer) look() (seal.Ring, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.path == "" {
		return seal.Ring{}, nil
	}
	return seal.Read(s.path)
}

// useKeys takes other keys into use.
func (a *App) useKeys(ring seal.Ring) {
	a.seal.mu.Lock()
	a.seal.ring = ring
	a.seal.mu.Unlock()
	a.cluster.UseKeys(ring)
}

func (s *sealer) keys() seal.Ring {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ring
}

// write replaces the file.
func (s *sealer) write(ring seal.Ring) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := seal.Write(s.path, ring); err != nil {
		return fmt.Errorf("the seal key file cannot be written: %w", err)
	}
	return nil
}

// rotateSeal seals everything with another key: the other one in the file. A node alone makes one. At every instant the
// file holds each key that any record is sealed with, so a crash loses nothing:
//
//	file: old --> file: old, new --> store: seal with new --> records, one by one --> file: new
func (a *App) rotateSeal(ctx context.Context, by, note string) error {
	next, err := a.nextSeal()
	if err != nil {
		return err
	}
	if err := a.cluster.RotateSeal(ctx, next, by, note); err != nil {
		return err
	}
	for { // the leader seals anew; who gives up waiting is told so
		if done, err := a.cluster.Resealed(ctx, next); err == nil && done {
			return a.dropSeal(next)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: key %s seals from now on, and not every record is sealed with it yet; the leader goes on, look with jurymast seal", cluster.ErrRefused, next)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// nextSeal is the id of the key to rotate to, which this node has from now on.
func (a *App) nextSeal() (string, error) {
	if a.seal.path == "" {
		return "", fmt.Errorf("%w: this node has no seal key; write node.store.seal: {file: ...} and restart it", cluster.ErrRefused)
	}
	ring, err := a.seal.look()
	if err != nil {
		return "", fmt.Errorf("%w: %w", cluster.ErrRefused, err)
	}
	st := a.cluster.SealStatus()
	now := st.Key
	if first, ok := ring.First(); ok && now == "" {
		now = first.ID()
	}
	var others []string
	for _, id := range ring.IDs() {
		if id != now && id != st.Previous { // nobody wants to go back to the key that was given up last
			others = append(others, id)
		}
	}
	switch {
	case len(others) > 1:
		return "", fmt.Errorf("%w: %s holds several keys that could be the next: %s; leave only the one to rotate to", cluster.ErrRefused, a.seal.path, strings.Join(others, ", "))
	case len(others) == 0 && !a.solo:
		return "", fmt.Errorf("%w: there is no key to rotate to; make one with openssl rand -hex 32, add it as one more line to the file of node.store.seal on every node, send each SIGHUP, then rotate again", cluster.ErrRefused)
	case len(others) == 0:
		k := seal.NewKey()
		ring, others = ring.With(k), []string{k.ID()}
		if err := a.seal.write(ring); err != nil {
			return "", fmt.Errorf("%w: %w; nothing was changed: give this user the right to write its directory, or add a key to it by hand: openssl rand -hex 32 >> %s", cluster.ErrRefused, err, a.seal.path)
		}
	}
	a.useKeys(ring)
	return others[0], nil
}

// dropSeal takes the old key out of the file of a node alone, once no record needs it. With several nodes that is the
// operator's, too.
func (a *App) dropSeal(keep string) error {
	if !a.solo {
		return nil
	}
	ring := a.seal.keys().Only(keep)
	if err := a.seal.write(ring); err != nil {
		a.log.Warn("everything is sealed with the new key; the old one stays in the file", "error", err)
		return nil
	}
	a.useKeys(ring)
	return nil
}

// finishSeal ends a change of the key that a crash cut off: the old key is in the file still, and nothing needs it.
func (a *App) finishSeal(ctx context.Context) {
	for a.solo && len(a.seal.keys().IDs()) > 1 {
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Second):
		}
		st, ring := a.cluster.SealStatus(), a.seal.keys()
		_, have := ring.Find(st.Key)
		if _, old := ring.Find(st.Previous); !have || !old {
			continue
		}
		if done, err := a.cluster.Resealed(ctx, st.Key); err == nil && done {
			_ = a.dropSeal(st.Key) // logged
			return
		}
	}
}

// secretDesk is the API's way to shared secrets.
type secretDesk App

// Seal implements api.Secrets, as do the methods below.
func (d *secretDesk) Seal() api.SealStatus {
	st := d.cluster.SealStatus()
	out := api.SealStatus{
		File: d.seal.path, Keys: d.seal.keys().IDs(), Key: st.Key, Previous: st.Previous, Since: moment(st.Since), By: st.By,
		Records: make([]api.SealedRecord, 0, len(st.Records)), Nodes: make([]api.SealNode, 0, len(st.Nodes)), Trouble: d.cluster.SecretTrouble(),
	}
	for _, r := range st.Records {
		out.Records = append(out.Records, api.SealedRecord(r))
	}
	for i := range st.Nodes {
		keys := st.Nodes[i].Seals
		if keys == nil {
			keys = []string{}
		}
		out.Nodes = append(out.Nodes, api.SealNode{Name: st.Nodes[i].Name, Keys: keys})
	}
	return out
}

func moment(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// RotateSeal seals everything with another key.
func (d *secretDesk) RotateSeal(ctx context.Context, by, note string) error {
	return translateSecret((*App)(d).rotateSeal(ctx, by, note))
}

// ForgetSealed gives up a record.
func (d *secretDesk) ForgetSealed(ctx context.Context, name, by, note string) error {
	return translateSecret(d.cluster.ForgetSealed(ctx, name, by, note))
}

func translateSecret(err error) error {
	switch {
	case errors.Is(err, cluster.ErrRefused):
		return &api.RefusedError{Code: api.CodeRefused, Reason: strings.TrimPrefix(err.Error(), cluster.ErrRefused.Error()+": ")}
	case errors.Is(err, cluster.ErrNoRecord):
		return fmt.Errorf("%w: there is no such sealed record; jurymast seal lists them", api.ErrNotFound)
	}
	return translate(err)
}

var _ api.Secrets = (*secretDesk)(nil)
