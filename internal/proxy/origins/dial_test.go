package origins

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// book is a resolver whose answers a test writes.
type book struct {
	mu    sync.Mutex
	addrs []netip.Addr
	err   error
	block chan struct{} // not nil: an answer waits until it is closed
	asked atomic.Int32
}

func (b *book) set(err error, addrs ...string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.err, b.addrs = err, nil
	for _, a := range addrs {
		b.addrs = append(b.addrs, netip.MustParseAddr(a))
	}
}

func (b *book) LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error) {
	b.asked.Add(1)
	b.mu.Lock()
	block := b.block
	b.mu.Unlock()
	if block != nil {
		select {
		case <-block:
		case <-ctx.Done():
			return nil, &net.DNSError{Err: ctx.Err().Error(), Name: host, IsTimeout: true}
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if network != "ip" || host != "origin.example." {
		return nil, errors.New("unexpected question " + network + " " + host)
	}
	return slices.Clone(b.addrs), b.err
}

func wantPhase(t *testing.T, err error, want Phase) {
	t.Helper()
	var failed *DialError
	if !errors.As(err, &failed) || failed.Phase != want {
		t.Errorf("%v (%#v), want the phase %s", err, err, want)
	}
}

func TestDialSaysWhatFailed(t *testing.T) {
	closed := newOrigin(t)
	closed.ln.Close()
	nothing := &book{err: &net.DNSError{Err: "no such host", Name: "origin.example", IsNotFound: true}}
	slow := &book{block: make(chan struct{})}
	cases := []struct {
		name  string
		o     Options
		key   Key
		phase Phase
		says  string
	}{
		{"refused", Options{}, Key{Addr: closed.Addr}, Refused, "connection refused"},
		{"nobody answers", Options{}, Key{Addr: blackhole(t, "127.0.0.1")}, Timeout, "dial tcp 127.0.0.1:"},
		{"no such name", Options{Resolver: nothing}, Key{Addr: "origin.example:80"}, Unreachable, "no such host"},
		{"the resolver is slow", Options{Resolver: slow}, Key{Addr: "origin.example:80"}, Timeout, "waiting for the address of origin.example"},
		{"a name without addresses", Options{Resolver: &book{}}, Key{Addr: "origin.example:80"}, Unreachable, "no address"},
		{"no port", Options{}, Key{Addr: "127.0.0.1"}, Unreachable, "is no host:port"},
		{"a port that is none", Options{}, Key{Addr: "origin.example:http"}, Unreachable, "1 to 65535"},
	}
	for _, tt := range cases {
		t.Run(tt.name, func(t *testing.T) {
			s := newPools(t, tt.o)
			p := s.For(tt.key)
			_, err := p.Dial(t.Context(), 200*time.Millisecond)
			wantPhase(t, err, tt.phase)
			if err == nil || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("%v, want %q in it", err, tt.says)
			}
			if f := figures(t, s); f.Dials[string(tt.phase)] != 1 || f.Busy != 0 {
				t.Errorf("%+v", f)
			}
		})
	}
}

// The end of the context ends a dial at once, in each phase, and is no failure of the origin.
func TestDialEndsWithItsContext(t *testing.T) {
	gone := errors.New("the client left")
	silent := newOrigin(t) // accepts, says nothing: a handshake waits
	slow := &book{block: make(chan struct{})}
	hole := blackhole(t, "127.0.0.1")
	two := &book{}
	two.set(nil, "127.0.0.1", "127.0.0.1")
	_, port, err := net.SplitHostPort(hole)
	if err != nil {
		t.Fatal(err)
	}
	cases := []struct {
		name string
		o    Options
		key  Key
	}{
		{"connecting", Options{}, Key{Addr: hole}},
		{"one of two addresses", Options{Resolver: two}, Key{Addr: "origin.example:" + port}},
		{"looking up", Options{Resolver: slow}, Key{Addr: "origin.example:80"}},
		{"handshake", Options{}, Key{Addr: silent.Addr, Secure: true, ServerName: "a.example"}},
	}
	for _, tt := range cases {
		t.Run(tt.name, func(t *testing.T) {
			s := newPools(t, tt.o)
			p := s.For(tt.key)
			ctx, cancel := context.WithCancelCause(t.Context())
			time.AfterFunc(50*time.Millisecond, func() { cancel(gone) })
			begin := time.Now()
			_, err := p.Dial(ctx, time.Minute)
			var failed *DialError
			if !errors.Is(err, gone) || errors.As(err, &failed) {
				t.Errorf("%v, want the cause and no DialError", err)
			}
			if took := time.Since(begin); took > 3*time.Second {
				t.Errorf("gave up after %s", took)
			}
			if f := figures(t, s); f.Dials["given_up"] != 1 || f.Busy != 0 {
				t.Errorf("%+v", f)
			}
		})
	}
}

// One look-up serves all dials, a connect does not wait for the next ones, and a failing resolver hurts nobody.
func TestNamesAreLookedUpInTheBackground(t *testing.T) {
	o := newOrigin(t)
	b := &book{}
	b.set(nil, "::ffff:127.0.0.1")
	s := newPools(t, Options{Resolver: b})
	p := s.For(Key{Addr: net.JoinHostPort("origin.example", portOf(o))})
	c := dial(t, p)
	if c.Remote().String() != o.Addr {
		t.Errorf("connected to %s, want %s", c.Remote(), o.Addr)
	}
	b.mu.Lock()
	b.block = make(chan struct{})
	b.mu.Unlock()
	n := p.name
	asking := n.ask()
	for range 10 {
		discard(dial(t, p))
	}
	b.set(errors.New("SERVFAIL"))
	close(b.block)
	<-asking
	discard(dial(t, p))
	if got := b.asked.Load(); got != 2 {
		t.Errorf("%d look-ups, want 2", got)
	}
	p.Put(c)
	if p.Take(Any) != c {
		t.Error("a failed look-up cost us a connection")
	}
}

// A name is looked up each half minute while it is wanted, sooner after a failure, and not at all when it is not.
func TestNamesAreLookedUpAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &book{}
		b.set(nil, "192.0.2.1")
		s := newPools(t, Options{Resolver: b})
		s.For(Key{Addr: "origin.example:80"})
		s.For(Key{Addr: "origin.example:81"})
		time.Sleep(10*time.Minute + time.Second)
		if n := b.asked.Load(); n < 18 || n > 23 {
			t.Errorf("%d look-ups in 10 minutes, want about 20", n)
		}
		b.set(errors.New("SERVFAIL"))
		time.Sleep(time.Minute)
		before := b.asked.Load()
		time.Sleep(time.Minute)
		if n := b.asked.Load() - before; n < 10 || n > 14 {
			t.Errorf("%d look-ups in a minute of failures, want about 12", n)
		}
		s.Keep(func(Key) bool { return false })
		before = b.asked.Load()
		time.Sleep(time.Hour)
		if n := b.asked.Load() - before; n != 0 {
			t.Errorf("%d look-ups of a name nobody wants", n)
		}
	})
}

// When a name gets other addresses, connections to the old ones are not used again.
func TestConnectionsFollowTheName(t *testing.T) {
	o := newOrigin(t)
	b := &book{}
	b.set(nil, "127.0.0.1")
	s := newPools(t, Options{Resolver: b})
	p := s.For(Key{Addr: net.JoinHostPort("origin.example", portOf(o))})
	idle, lent := dial(t, p), dial(t, p)
	p.Put(idle)
	b.set(nil, "127.0.0.1", "127.0.0.2")
	<-p.name.ask()
	if p.Take(Any) != idle {
		t.Fatal("the address is still there, the connection is not")
	}
	p.Put(idle)
	b.set(nil, "127.0.0.2")
	<-p.name.ask()
	p.Put(lent)
	if p.idle() != 1 {
		t.Errorf("%d idle, want the one that was", p.idle())
	}
	s.sweepAll()
	if f := figures(t, s); f.Idle+f.Busy != 0 {
		t.Errorf("%+v, want nothing", f)
	}
}

// A name that could not be found is not asked for again by each request of a busy second.
func TestFailedNamesAreQuiet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &book{}
		b.set(errors.New("SERVFAIL"))
		s := newPools(t, Options{Resolver: b})
		p := s.For(Key{Addr: "origin.example:80"})
		for range 100 {
			_, err := p.Dial(t.Context(), time.Second)
			wantPhase(t, err, Unreachable)
		}
		if n := b.asked.Load(); n != 1 {
			t.Errorf("%d look-ups, want 1", n)
		}
		time.Sleep(2 * time.Second)
		if _, err := p.Dial(t.Context(), time.Second); err == nil || b.asked.Load() != 2 {
			t.Errorf("%v after %d look-ups, want a second one", err, b.asked.Load())
		}
	})
}

// The addresses of a name are tried in order; one that is dead costs the first dial a moment, and the next ones nothing.
func TestSeveralAddresses(t *testing.T) {
	good := serveOrigin(t, "127.0.0.3:0")
	port := portOf(good)
	hole := blackholeAt(t, "127.0.0.2:"+port)
	b := &book{}
	b.set(nil, "127.0.0.4", hole, "127.0.0.3") // 127.0.0.4 refuses
	s := newPools(t, Options{Resolver: b})
	p := s.For(Key{Addr: net.JoinHostPort("origin.example", port)})
	begin := time.Now()
	c := dial(t, p)
	if c.Remote().Addr().String() != "127.0.0.3" {
		t.Errorf("connected to %s", c.Remote())
	}
	if took := time.Since(begin); took < stagger/2 {
		t.Errorf("took %s: the one that does not answer had no time", took)
	}
	order, err := p.name.addresses(t.Context())
	if err != nil || order[0].String() != "127.0.0.3" {
		t.Errorf("%v, %v: the one that works should be first now", order, err)
	}
}

func TestNoneOfSeveralAddresses(t *testing.T) {
	closed := newOrigin(t)
	closed.ln.Close()
	port := portOf(closed)
	b := &book{}
	b.set(nil, "127.0.0.1", "127.0.0.2", "127.0.0.3")
	s := newPools(t, Options{Resolver: b})
	p := s.For(Key{Addr: net.JoinHostPort("origin.example", port)})
	_, err := p.Dial(t.Context(), 10*time.Second)
	wantPhase(t, err, Refused)
	b.set(nil, "127.0.0.1", blackholeAt(t, "127.0.0.2:"+port))
	<-p.name.ask()
	begin := time.Now()
	_, err = p.Dial(t.Context(), 300*time.Millisecond)
	wantPhase(t, err, Timeout)
	if took := time.Since(begin); took > 3*time.Second {
		t.Errorf("took %s of 300 ms", took)
	}
}

func TestLocalhostWithTheSystemsResolver(t *testing.T) {
	o := newOrigin(t)
	s := newPools(t, Options{})
	p := s.For(Key{Addr: net.JoinHostPort("localhost", portOf(o))})
	c := dial(t, p)
	if !c.Remote().Addr().IsLoopback() {
		t.Errorf("connected to %s", c.Remote())
	}
}

func portOf(o *origin) string {
	_, port, err := net.SplitHostPort(o.Addr)
	if err != nil {
		o.t.Fatal(err)
	}
	return port
}
