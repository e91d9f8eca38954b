package secondary

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"

	"jurymast/internal/profile"
)

// unreal is a primary without sockets, for a bubble: questions reach it over pipes.
type unreal struct {
	*primary
	gone   bool // nobody listens
	silent bool // it takes questions and never answers
	stuck  bool // it answers questions for the SOA, and begins no transfer
}

func newUnreal(serial uint32) *unreal {
	return &unreal{primary: &primary{serial: serial, expire: 300, text: func(uint32) string { return "@ 60 NS ns1\nwww 60 A 192.0.2.1\n" }}}
}

func (u *unreal) dial(context.Context, string, string) (net.Conn, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.gone {
		return nil, errors.New("connection refused")
	}
	ours, theirs := net.Pipe()
	if u.silent || u.stuck {
		go u.hang(theirs)
		return ours, nil
	}
	go u.stream(theirs)
	return ours, nil
}

// hang takes questions, and answers those for the SOA at most.
func (u *unreal) hang(c net.Conn) {
	defer c.Close()
	for {
		pkt, err := receive(c, "tcp")
		if err != nil {
			return
		}
		u.mu.Lock()
		q := new(dns.Msg)
		if u.stuck && q.Unpack(pkt) == nil && q.Question[0].Qtype == dns.TypeSOA {
			soa, _ := u.zone(u.serial)
			_ = send(c, "tcp", u.message(q, soa))
		}
		u.mu.Unlock()
	}
}

func (u *unreal) set(change func()) {
	u.mu.Lock()
	defer u.mu.Unlock()
	change()
}

// newBubble is a book at work inside a bubble, that ends with stop.
func newBubble(t *testing.T, dir string, u *unreal) (b *Book, stop func()) {
	t.Helper()
	c := NewClient(Limits{})
	c.dial = func(ctx context.Context, _, address string) (net.Conn, error) { return u.dial(ctx, "tcp", address) }
	c.networks = []string{"tcp"}
	b, err := New(Options{Dir: dir, Client: c})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { b.Run(ctx) })
	synctest.Wait()
	return b, func() { cancel(); running.Wait() }
}

func use(b *Book, doc *profile.Zone) *Entry {
	set := b.Prepare([]*profile.Zone{doc})
	b.Use(set, []*profile.Zone{doc})
	return set[doc.Name]
}

func remote() *profile.Zone {
	return &profile.Zone{Name: testZone, Secondary: &profile.Secondary{
		From: []profile.Primary{{Address: "192.0.2.1"}}, ZONEMD: profile.ZONEMDAuto, MinRefresh: time.Second, MaxRefresh: time.Hour,
	}}
}

// A zone lives exactly as long as its SOA says after the last word of its primary, whatever the primary does meanwhile.
func TestExpiryToTheSecond(t *testing.T) {
	t.Parallel()
	for name, fail := range map[string]func(u *unreal){
		"nobody listens": func(u *unreal) { u.gone = true },
		"nobody answers": func(u *unreal) { u.silent = true },
		"it is refused": func(u *unreal) {
			u.soa = func(q *dns.Msg) *dns.Msg { return new(dns.Msg).SetRcode(q, dns.RcodeRefused) }
		},
		"it promises more": func(u *unreal) { u.stuck, u.serial = true, 2 },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				u := newUnreal(1)
				b, stop := newBubble(t, t.TempDir(), u)
				b.opt.Client.limits.Quiet = time.Hour // so that one transfer may outlast the zone
				e := use(b, remote())
				synctest.Wait()
				if e.Load().Content == nil {
					t.Fatalf("not fetched: %+v", e.Status(time.Now()))
				}
				u.set(func() { fail(u) })
				time.Sleep(299 * time.Second)
				synctest.Wait()
				if e.Load().Content == nil {
					t.Fatal("it is given up too early")
				}
				time.Sleep(2 * time.Second)
				synctest.Wait()
				if a := e.Load(); a.Content != nil || a.Phase != Expired {
					t.Errorf("it is answered after its end: %+v, %+v", a, e.Status(time.Now()))
				}
				u.set(func() { u.gone, u.silent, u.stuck, u.soa = false, false, false, nil })
				time.Sleep(2 * time.Hour) // more than the transfer that never ends may take
				synctest.Wait()
				if e.Load().Content == nil {
					t.Errorf("it does not come back: %+v", e.Status(time.Now()))
				}
				stop()
			})
		})
	}
}

// A copy on disk is worth what it was when the node went down, not more.
func TestExpiryGoesOnWhileDown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		u, dir := newUnreal(1), t.TempDir()
		b, stop := newBubble(t, dir, u)
		use(b, remote())
		synctest.Wait()
		stop()
		u.set(func() { u.gone = true })
		for _, c := range []struct {
			down time.Duration
			want Phase
		}{{200 * time.Second, Current}, {99 * time.Second, Current}, {2 * time.Second, Expired}} {
			time.Sleep(c.down)
			b, stop := newBubble(t, dir, u)
			if got := use(b, remote()).Load().Phase; got != c.want {
				t.Errorf("%v more without a primary, after a restart: %s, want %s", c.down, got, c.want)
			}
			stop()
		}
	})
}

// TestUsedBeforeRun: documents may come into force before Run has got to work. Their zones are fetched all the same.
func TestUsedBeforeRun(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		u := newUnreal(1)
		c := NewClient(Limits{})
		c.dial, c.networks = u.dial, []string{"tcp"}
		b, err := New(Options{Dir: t.TempDir(), Client: c})
		if err != nil {
			t.Fatal(err)
		}
		kept, dropped := remote(), remote()
		dropped.Name = "dropped.example"
		set := b.Prepare([]*profile.Zone{kept, dropped})
		b.Use(set, []*profile.Zone{kept, dropped})
		delete(set, dropped.Name)
		b.Use(set, []*profile.Zone{kept})
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { b.Run(ctx) })
		time.Sleep(30 * time.Second)
		if s := set[testZone].Status(time.Now()); s.Phase != Current {
			t.Errorf("%+v", s)
		}
		if b.Refresh(ctx, dropped.Name, false) {
			t.Error("a zone that is not used any more is kept")
		}
		cancel()
		running.Wait()
		if strings.Join(u.questions(), " ") != "tcp SOA tcp AXFR" {
			t.Errorf("asked %v", u.questions())
		}
	})
}

// TestUsedAgain: documents with a zone may be prepared before those without it come into force, and come into force after
// them. The zone is looked after then as before.
func TestUsedAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		u := newUnreal(1)
		b, stop := newBubble(t, t.TempDir(), u)
		doc := remote()
		e := use(b, doc)
		synctest.Wait()
		prepared := b.Prepare([]*profile.Zone{doc})
		b.Use(Set{}, nil)
		b.Use(prepared, []*profile.Zone{doc})
		u.set(func() { u.serial = 2 })
		time.Sleep(2 * time.Minute)
		if s := e.Status(time.Now()); prepared[testZone] != e || s.Serial != 2 {
			t.Errorf("not looked after: %+v", s)
		}
		stop()
		if _, _, _, err := load(b.opt.Dir, testZone); err != nil {
			t.Errorf("not on disk: %v", err)
		}
	})
}
