package secondary

import (
	"bytes"
	"context"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"jurymast/internal/nameserver/tsig"
	"jurymast/internal/profile"
)

// rig is a book at work on one zone.
type rig struct {
	t    *testing.T
	book *Book
	doc  *profile.Zone
	stop func()

	mu     sync.Mutex
	events []EventKind
}

func document(change func(*profile.Secondary), primaries ...*primary) *profile.Zone {
	s := &profile.Secondary{ZONEMD: profile.ZONEMDAuto, MinRefresh: time.Second, MaxRefresh: time.Hour}
	for _, p := range primaries {
		s.From = append(s.From, profile.Primary{Address: p.addr.String()})
	}
	if change != nil {
		change(s)
	}
	return &profile.Zone{Name: testZone, Secondary: s, Order: profile.OrderRotate}
}

func newRig(t *testing.T, dir string, doc *profile.Zone) *rig {
	t.Helper()
	r := &rig{t: t, doc: doc}
	var err error
	r.book, err = New(Options{
		Dir: dir, Client: NewClient(quickLimits), Keys: func(string) *tsig.Key { return testKey(t) },
		Tell: func(e Event) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.events = append(r.events, e.Kind)
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { r.book.Run(ctx); close(done) }()
	r.stop = sync.OnceFunc(func() { cancel(); <-done })
	t.Cleanup(r.stop)
	for { // Run has begun
		r.book.mu.Lock()
		ready := r.book.ctx != nil
		r.book.mu.Unlock()
		if ready {
			break
		}
		<-time.After(time.Millisecond)
	}
	return r
}

func (r *rig) use() *Entry {
	set := r.book.Prepare([]*profile.Zone{r.doc})
	r.book.Use(set, []*profile.Zone{r.doc})
	return set[testZone]
}

// until waits for something about the entry.
func (r *rig) until(what string, e *Entry, is func(s *Status) bool) Status {
	r.t.Helper()
	end := time.Now().Add(10 * time.Second)
	for {
		s := e.Status(time.Now())
		if is(&s) {
			return s
		}
		if time.Now().After(end) {
			r.t.Fatalf("%s has not come: %+v", what, s)
		}
		<-time.After(2 * time.Millisecond)
	}
}

func (r *rig) serial(e *Entry, serial uint32) Status {
	r.t.Helper()
	return r.until("the serial", e, func(s *Status) bool { return s.Serial == serial && s.Phase == Current })
}

func (r *rig) told(kind EventKind) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Contains(r.events, kind)
}

func TestLife(t *testing.T) {
	t.Parallel()
	p, dir := newPrimary(t, 1), t.TempDir()
	r := newRig(t, dir, document(nil, p))
	e := r.use()
	if s := r.serial(e, 1); s.How != Whole || s.Primary != p.addr.String() || s.Records != 4 {
		t.Errorf("%+v", s)
	}
	if e.Load().Content == nil || !r.told(EventTransferred) {
		t.Error("nothing is answered, or nobody was told")
	}
	select {
	case <-r.book.Changed():
	default:
		t.Error("no change was told")
	}

	// A NOTIFY from elsewhere changes nothing; from the primary it does, at once.
	p.set(2)
	for _, c := range []struct {
		zone, from string
		want       Verdict
	}{{"example.com", "127.0.0.1", NotHere}, {testZone, "192.0.2.99", Refused}, {testZone, "::ffff:127.0.0.1", Accepted}} {
		if v := r.book.Notify(c.zone, netip.MustParseAddr(c.from), ""); v != c.want {
			t.Errorf("NOTIFY of %s from %s is %v", c.zone, c.from, v)
		}
	}
	if s := r.serial(e, 2); s.How != Differences {
		t.Errorf("%+v", s)
	}

	// On demand, also back to what is older.
	p.set(1)
	if !r.book.Refresh(t.Context(), testZone, false) || e.Status(time.Now()).Serial != 2 || !strings.Contains(e.Status(time.Now()).Trouble, "older") {
		t.Errorf("%+v", e.Status(time.Now()))
	}
	if r.book.Refresh(t.Context(), testZone, true); e.Status(time.Now()).Serial != 1 {
		t.Errorf("%+v", e.Status(time.Now()))
	}
	if r.book.Refresh(t.Context(), "example.com", true) {
		t.Error("another zone was refreshed")
	}

	// After a restart it is there before anybody is asked.
	r.stop()
	p.forget()
	again := newRig(t, dir, r.doc)
	if e := again.use(); e.Load().Content == nil || e.Load().Content.Serial != 1 || address(e.Load().Content) != "[[192 0 2 1]]" {
		t.Error("not there after a restart")
	}
	if asked := p.questions(); len(asked) > 0 {
		t.Errorf("a zone confirmed just now was asked for: %v", asked)
	}

	// What is no secondary zone any more is forgotten, on disk too.
	again.book.Use(Set{}, nil)
	if files, err := os.ReadDir(dir); err != nil || len(files) > 0 {
		t.Errorf("left behind: %v, %v", files, err)
	}
}

func TestDamagedCopy(t *testing.T) {
	t.Parallel()
	p, dir := newPrimary(t, 1), t.TempDir()
	r := newRig(t, dir, document(nil, p))
	r.serial(r.use(), 1)
	r.stop()
	file := filepath.Join(dir, fileOf(testZone))
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	cuts := [][]byte{nil, whole[:10], whole[:len(whole)-1], append(bytes.Clone(whole), 0)}
	for at := 0; at < len(whole); at += 7 {
		bad := bytes.Clone(whole)
		bad[at] ^= 0x40
		cuts = append(cuts, bad)
	}
	for i, bad := range cuts {
		if err := os.WriteFile(file, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		if c, _, _, err := load(dir, testZone); err == nil {
			t.Fatalf("damage %d is taken: serial %d", i, c.Serial)
		}
	}
	again := newRig(t, dir, r.doc)
	e := again.use()
	if e.Load().Content == nil {
		again.serial(e, 1) // it was fetched anew
	}
}

func TestExpiry(t *testing.T) {
	t.Parallel()
	p := newPrimary(t, 1)
	p.mu.Lock()
	p.expire = 1 // and at least refresh and retry: two seconds
	p.mu.Unlock()
	r := newRig(t, t.TempDir(), document(func(s *profile.Secondary) { s.MaxRefresh = time.Second }, p))
	e := r.use()
	r.serial(e, 1)
	p.mu.Lock()
	p.script, p.mute = nil, true
	p.key = testKey(t) // who does not sign is refused
	p.mu.Unlock()
	r.until("the end", e, func(s *Status) bool { return s.Phase == Expired })
	for e.Load().Phase != Expired {
		<-time.After(time.Millisecond)
	}
	if a := e.Load(); a.Content != nil {
		t.Error("an expired zone is answered")
	}
	p.mu.Lock()
	p.mute, p.key = false, nil
	p.mu.Unlock()
	r.book.Notify(testZone, netip.MustParseAddr("127.0.0.1"), "")
	r.serial(e, 1)
	for e.Load().Content == nil {
		<-time.After(time.Millisecond)
	}
	if !r.told(EventFailing) || !r.told(EventExpired) || !r.told(EventRecovered) {
		t.Errorf("told %v", r.events)
	}
}

// TestSeveralPrimaries: one that fails costs nothing but the time until the next one is asked, and comes last afterwards.
func TestSeveralPrimaries(t *testing.T) {
	t.Parallel()
	bad, good := newPrimary(t, 9), newPrimary(t, 1)
	bad.mu.Lock()
	bad.key = testKey(t)
	bad.mu.Unlock()
	r := newRig(t, t.TempDir(), document(nil, bad, good))
	e := r.use()
	if s := r.serial(e, 1); s.Primary != good.addr.String() || !strings.Contains(s.Trouble, bad.addr.String()) {
		t.Errorf("%+v", s)
	}
	bad.forget()
	r.book.Refresh(t.Context(), testZone, false)
	if asked := bad.questions(); len(asked) > 0 {
		t.Errorf("the one that had failed was asked first: %v", asked)
	}
	doc := document(nil, bad, good)
	first := order(doc.Secondary, netip.AddrPort{}, map[netip.AddrPort]time.Time{}, time.Now())
	if first[0].addr != bad.addr {
		t.Error("not in the order of the configuration")
	}
}

func TestKeyOfNotify(t *testing.T) {
	t.Parallel()
	p := newPrimary(t, 1)
	p.mu.Lock()
	p.key = testKey(t)
	p.mu.Unlock()
	r := newRig(t, t.TempDir(), document(func(s *profile.Secondary) { s.From[0].Key = "xfr.example" }, p))
	r.serial(r.use(), 1)
	from := netip.MustParseAddr("127.0.0.1")
	for key, want := range map[string]Verdict{"": Refused, "other": Refused, "xfr.example": Accepted} {
		if v := r.book.Notify(testZone, from, key); v != want {
			t.Errorf("signed with %q: %v", key, v)
		}
	}
}

func TestDiskFull(t *testing.T) {
	t.Parallel()
	p, dir := newPrimary(t, 1), filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(dir, nil, 0o600); err != nil { // no folder can be made here
		t.Fatal(err)
	}
	r := newRig(t, dir, document(nil, p))
	r.serial(r.use(), 1)
}

func TestFileNames(t *testing.T) {
	t.Parallel()
	seen := map[string]string{}
	for _, name := range []string{"example.org", "Example.org", ".", "..", "a/b.example", `a\.b.example`, "%2e", strings.Repeat("a.", 120) + "b", strings.Repeat("a.", 120) + "c"} {
		file := fileOf(name)
		if filepath.Base(file) != file || strings.HasPrefix(file, ".") || len(file) > 255 {
			t.Errorf("%q is in %q", name, file)
		}
		if other, twice := seen[file]; twice && !strings.EqualFold(other, name) {
			t.Errorf("%q and %q share %q", name, other, file)
		}
		seen[file] = name
	}
}
