package lab

import (
	"context"
	"log/slog"
	"net"
	"sync"
	"time"
)

// gate is a listener that can be shut and opened again on the same address. While it is shut the port is really
// closed: the kernel refuses connections. Accept waits through that, so one server runs on it for ever.
type gate struct {
	log *slog.Logger

	mu      sync.Mutex
	inner   net.Listener // nil while shut
	addr    string
	changed chan struct{} // closed when inner changes or the gate closes
	want    bool          // open or being opened
	closed  bool
	wg      sync.WaitGroup
}

// relisten is how long between two tries to take the port back, should somebody else hold it.
const relisten = 20 * time.Millisecond

func openGate(ctx context.Context, addr string, log *slog.Logger) (*gate, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	return &gate{log: log, inner: l, addr: l.Addr().String(), changed: make(chan struct{}), want: true}, nil
}

// Accept implements net.Listener.
func (g *gate) Accept() (net.Conn, error) {
	for {
		g.mu.Lock()
		inner, changed, closed := g.inner, g.changed, g.closed
		g.mu.Unlock()
		if closed {
			return nil, net.ErrClosed
		}
		if inner == nil {
			<-changed
			continue
		}
		c, err := inner.Accept()
		if err == nil {
			return c, nil
		}
		g.mu.Lock()
		replaced := g.inner != inner || g.closed
		g.mu.Unlock()
		if !replaced {
			return nil, err
		}
	}
}

// Addr implements net.Listener; it is the same before, while and after the gate is shut.
func (g *gate) Addr() net.Addr { return gateAddr(g.addr) }

type gateAddr string

func (gateAddr) Network() string  { return "tcp" }
func (a gateAddr) String() string { return string(a) }

// shut closes the port; connections already taken live on.
func (g *gate) shut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.want = false
	if g.inner != nil {
		_ = g.inner.Close() // a listener that cannot be closed is closed already
		g.swap(nil)
	}
}

// open takes the port back: at once, or as soon as whoever holds it lets go.
func (g *gate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.want || g.closed {
		return
	}
	g.want = true
	err := g.tryOpen()
	if err == nil {
		return
	}
	g.log.Warn("lab tenant cannot take its port back yet, trying on", "addr", g.addr, "err", err)
	g.wg.Go(func() {
		tick := time.NewTicker(relisten)
		defer tick.Stop()
		for range tick.C {
			g.mu.Lock()
			done := !g.want || g.closed || g.inner != nil || g.tryOpen() == nil
			g.mu.Unlock()
			if done {
				return
			}
		}
	})
}

// tryOpen wants mu held.
func (g *gate) tryOpen() error {
	var lc net.ListenConfig
	l, err := lc.Listen(context.Background(), "tcp", g.addr)
	if err != nil {
		return err
	}
	g.swap(l)
	return nil
}

// swap wants mu held.
func (g *gate) swap(l net.Listener) {
	g.inner = l
	close(g.changed)
	g.changed = make(chan struct{})
}

// Close implements net.Listener; it is final.
func (g *gate) Close() error {
	g.mu.Lock()
	if g.closed {
		g.mu.Unlock()
		return nil
	}
	g.closed = true
	var err error
	if g.inner != nil {
		err = g.inner.Close()
	}
	g.swap(nil)
	g.mu.Unlock()
	g.wg.Wait()
	return err
}
