package inbound

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"jurymast/internal/proxy/wire"
)

// Front is the listeners of a proxy with their connections.
type Front struct {
	o         Options
	listeners []*listener
	book      book
	stats     stats
	h2        *http.Server
	h2Queue   *queue

	closing  atomic.Bool
	stop     chan struct{}
	stopOnce sync.Once
	accepts  sync.WaitGroup // accept loops
	http2    sync.WaitGroup // the accept loop of HTTP/2
	conns    sync.WaitGroup // connections

	acceptComplaint, pauseComplaint, shareComplaint, headerComplaint seldom
}

// Listen opens all listeners or none; nothing is accepted before Start.
func Listen(o Options) (*Front, error) {
	if err := o.complete(); err != nil {
		return nil, err
	}
	f := &Front{o: o, stop: make(chan struct{})}
	var errs []error
	for _, addr := range o.Plain {
		errs = append(errs, f.open(addr, false))
	}
	for _, addr := range o.Secure {
		errs = append(errs, f.open(addr, true))
	}
	if err := errors.Join(errs...); err != nil {
		for _, l := range f.listeners {
			l.close()
		}
		return nil, err
	}
	if o.HTTP2 != nil && len(o.Secure) > 0 {
		f.h2Queue = newQueue()
		f.h2 = f.server()
	}
	return f, nil
}

func (l *listener) close() {
	for _, s := range l.sockets {
		_ = s.Close() // nobody has used it
	}
}

// Start begins to accept. It is called once.
func (f *Front) Start() {
	if f.h2 != nil {
		f.http2.Go(func() { _ = f.h2.Serve(f.h2Queue) }) // it says that it was closed
	}
	for _, l := range f.listeners {
		for i := range f.o.Loops {
			socket := l.sockets[i%len(l.sockets)]
			f.accepts.Go(func() { l.loop(socket) })
		}
	}
}

// Addrs are the addresses really listened on, in the order of Options.
func (f *Front) Addrs() (plain, secure []net.Addr) {
	for _, l := range f.listeners {
		if l.secure {
			secure = append(secure, l.sockets[0].Addr())
		} else {
			plain = append(plain, l.sockets[0].Addr())
		}
	}
	return plain, secure
}

// Closing says that Shutdown or Close has been called.
func (f *Front) Closing() bool { return f.closing.Load() }

// Connections is how many client connections live now.
func (f *Front) Connections() int { return f.book.size() }

func (f *Front) stopped() bool {
	select {
	case <-f.stop:
		return true
	default:
		return false
	}
}

// sleep ends early when the front stops.
func (f *Front) sleep(d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-f.stop:
	}
}

// charge counts a connection among those of its client; false: the client has as many as it may.
func (f *Front) charge(c *Conn) bool {
	addr := c.Peer.Addr()
	if within(f.o.TrustedProxies, addr) {
		return true
	}
	who := shareOf(addr)
	if !f.book.take(who, f.o.PerClient) {
		c.at.refused[refusedShare].Add(1)
		if f.shareComplaint.due(time.Now()) {
			f.o.Logger.Warn("a client is refused because it has all the connections one client may have", "listener", c.Listener, "client", addr.String(), "connections", f.o.PerClient,
				"remedy", "raise node.proxy.limits.per_client, or name a balancer or NAT of yours in node.proxy.trusted_proxies")
		}
		return false
	}
	c.asks = who
	return true
}

// run is the goroutine of one connection.
func (f *Front) run(c *Conn, announces bool) {
	defer f.contain(c)
	var rest []byte
	if announces {
		c.state.Store(uint32(Announcing))
		var ok bool
		if rest, ok = f.announced(c); !ok {
			f.end(c)
			return
		}
	}
	if c.at.secure {
		f.secure(c, rest)
		return
	}
	c.Conn = wire.Plain(c.tcp)
	c.Unread(rest)
	f.serve(c)
}

// serve carries HTTP/1.x until the connection is over.
func (f *Front) serve(c *Conn) {
	if f.o.Watch != nil {
		f.o.Watch.Add(c.Conn)
	}
	c.state.Store(uint32(Fresh))
	f.o.Serve(c)
	f.end(c)
}

// contain keeps a fault of ours to the connection it happened on.
func (f *Front) contain(c *Conn) {
	if fault := recover(); fault != nil {
		f.stats.panics.Add(1)
		f.o.Logger.Error("a connection hit a fault of the proxy itself", "listener", c.Listener, "fault", fault, "stack", string(debug.Stack()))
		c.cut()
		f.end(c)
	}
}

// end closes a connection and forgets it. A second call does nothing.
func (f *Front) end(c *Conn) {
	if State(c.state.Swap(uint32(gone))) == gone {
		return
	}
	if c.Conn != nil {
		_ = c.Close() // the client sees it or is gone
	} else {
		_ = c.tcp.Close()
	}
	f.book.remove(c)
	if c.asks.IsValid() {
		f.book.putBack(c.asks)
	}
	c.at.leave()
	f.conns.Done()
}

// Shutdown stops accepting, closes idle connections and lets busy ones finish until ctx ends; then it cuts them and
// says so. It may be called more than once, and beside Close.
func (f *Front) Shutdown(ctx context.Context) error {
	f.quit()
	f.accepts.Wait()
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for n := 0; f.sweep(time.Now()) > 0; n++ {
		if n%16 == 0 {
			f.goAway()
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			n := f.book.size()
			if err := f.Close(); err != nil || n > 0 {
				return errors.Join(fmt.Errorf("proxy: %d client connections were cut at the end of the drain: %w", n, context.Cause(ctx)), err)
			}
			return nil
		}
	}
	return f.Close()
}

// goAway sends GOAWAY to everybody who speaks HTTP/2 and has not got it. It must be called again: net/http forgets a
// connection that begins at that moment.
func (f *Front) goAway() {
	if f.h2 == nil {
		return
	}
	over, cancel := context.WithCancel(context.Background())
	cancel()
	_ = f.h2.Shutdown(over) // we wait ourselves
}

// quit stops accepting. Clients the kernel has accepted for us already are taken; whoever comes after that is refused
// by the kernel.
func (f *Front) quit() {
	f.stopOnce.Do(func() {
		f.closing.Store(true)
		end := time.Now().Add(lastAccepts)
		for _, l := range f.listeners {
			for _, s := range l.sockets {
				_ = s.SetDeadline(end)
			}
		}
		close(f.stop)
	})
}

// sweep asks those who wait to go, and says how many connections are left.
func (f *Front) sweep(now time.Time) (left int) {
	f.book.each(func(c *Conn) {
		left++
		switch s := c.State(); {
		case s == Idle:
			c.ask(Idle)
		case s == Fresh && now.Sub(c.Since) >= freshGrace:
			c.ask(Fresh)
		}
	})
	return left
}

// Close cuts everything that is left and waits for it to end. It may be called more than once.
func (f *Front) Close() error {
	f.quit()
	for _, l := range f.listeners {
		l.close() // also when it was never started
	}
	f.accepts.Wait()
	f.book.each(func(c *Conn) { c.cut() })
	if f.h2 != nil {
		_ = f.h2.Close() // after the cut: it says goodbye on each connection, which may take a while
	}
	over := make(chan struct{})
	go func() {
		f.conns.Wait()
		f.http2.Wait()
		close(over)
	}()
	late := time.NewTimer(afterCut)
	defer late.Stop()
	select {
	case <-over:
		return nil
	case <-late.C:
		return fmt.Errorf("proxy: %d client connections do not end although they were cut", f.book.size())
	}
}
