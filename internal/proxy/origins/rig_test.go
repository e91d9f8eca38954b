package origins

import (
	"net"
	"runtime"
	"sync"
	"testing"
	"time"

	"jurymast/internal/proxy/wire"
)

// origin accepts connections and keeps them open.
type origin struct {
	t     testing.TB
	ln    net.Listener
	Addr  string
	mu    sync.Mutex
	conns []net.Conn
	more  chan struct{}
}

func newOrigin(t testing.TB) *origin {
	t.Helper()
	return serveOrigin(t, "127.0.0.1:0")
}

func serveOrigin(t testing.TB, addr string) *origin {
	t.Helper()
	ln, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	o := &origin{t: t, ln: ln, Addr: ln.Addr().String(), more: make(chan struct{}, 1<<16)}
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			o.mu.Lock()
			o.conns = append(o.conns, c)
			o.mu.Unlock()
			o.more <- struct{}{}
		}
	}()
	t.Cleanup(func() {
		ln.Close()
		o.mu.Lock()
		defer o.mu.Unlock()
		for _, c := range o.conns {
			discard(c)
		}
	})
	return o
}

// accepted is the newest connection, once there have been n more.
func (o *origin) accepted(n int) net.Conn {
	for range n {
		<-o.more
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.conns[len(o.conns)-1]
}

func newPools(t testing.TB, o Options) *Pools {
	t.Helper()
	s := New(o)
	t.Cleanup(s.Close)
	return s
}

func dial(t testing.TB, p *Pool) *Conn {
	t.Helper()
	c, err := p.Dial(t.Context(), 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// figures of the only address.
func figures(t testing.TB, s *Pools) Figures {
	t.Helper()
	all := s.Figures()
	if len(all) != 1 {
		t.Fatalf("figures of %d addresses, want 1", len(all))
	}
	return all[0]
}

// pipe is a lent connection of p that goes to nowhere, for bubbles: sockets do not rest there.
func pipe(t testing.TB, p *Pool) *Conn {
	t.Helper()
	near, far := net.Pipe()
	t.Cleanup(func() { far.Close() })
	c := p.adopt(wire.Wrap(near), p.addr.Addr(), p.gen.Load())
	t.Cleanup(func() { discard(c) })
	return c
}

// end closes the peer's side and waits until the kernel has told ours, as it does in a moment.
func end(t testing.TB, c *Conn, peer net.Conn) {
	t.Helper()
	peer.Close()
	settled(t, func() bool { return c.Left() })
}

// settled waits for what the kernel does in a moment.
func settled(t testing.TB, done func() bool) {
	t.Helper()
	for limit := time.Now().Add(10 * time.Second); !done(); {
		if time.Now().After(limit) {
			t.Fatal("the kernel did not do it in 10 s")
		}
		runtime.Gosched()
	}
}
