package proxy

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const cutSpread = 5 * time.Second // over which tunnels are cut at a switch

// tunnel is a connection after 101: bytes both ways, until both ends have closed or a switch cuts it.
type tunnel struct {
	dest   destination
	silent time.Duration // timeouts.tunnel
	client net.Conn
	origin io.ReadWriteCloser

	mu    sync.Mutex
	timer *time.Timer // of the cut
	cut   atomic.Bool
	last  atomic.Int64 // unix nanoseconds of the last byte
	idle  *time.Timer
}

// tunnel relays the 101 and then the bytes.
func (x *exchange) tunnel(resp *http.Response, c *choice) {
	origin, ok := resp.Body.(io.ReadWriteCloser)
	if !ok || !x.upgrade || !strings.EqualFold(resp.Header.Get("Upgrade"), "websocket") {
		x.answer(ReasonJunk, "the origin switched to a protocol the client has not asked for")
		return
	}
	x.debugHeaders(resp.Header, x.line.Reason)
	client, buffered, err := x.rc.Hijack()
	if err != nil {
		x.answer(ReasonInternal, "this connection cannot be upgraded")
		return
	}
	x.headPassed, x.line.Upgrade = true, "websocket"
	t := &tunnel{dest: c.dest, silent: x.settings.Timeouts.Tunnel, client: client, origin: origin}
	x.svc.addTunnel(t)
	defer x.svc.removeTunnel(t)
	if err := writeSwitch(buffered.Writer, resp); err != nil {
		t.close()
		x.line.Reason = ReasonClientLeft
		return
	}
	in, out := t.run(buffered.Reader)
	x.line.TunnelIn, x.line.BytesOut = in, out
	if t.cut.Load() {
		x.line.Reason = ReasonTunnelCut
	}
}

func writeSwitch(w *bufio.Writer, resp *http.Response) error {
	h := resp.Header.Clone()
	stripHopByHop(h)
	h.Set("Connection", "Upgrade")
	h.Set("Upgrade", resp.Header.Get("Upgrade"))
	_, _ = w.WriteString("HTTP/1.1 " + resp.Status + "\r\n") // a bufio.Writer keeps its first error
	_ = h.Write(w)
	_, _ = w.WriteString("\r\n")
	return w.Flush() //nolint:wrapcheck // the caller only asks whether it failed
}

// run moves bytes both ways with half-close and returns how many.
func (t *tunnel) run(fromClient io.Reader) (in, out int64) {
	t.last.Store(time.Now().UnixNano())
	t.mu.Lock()
	t.idle = time.AfterFunc(t.silent, t.whenIdle)
	t.mu.Unlock()
	done := make(chan struct{})
	go func() {
		defer close(done)
		in = t.pipe(t.origin, fromClient)
		halfClose(t.origin)
	}()
	out = t.pipe(t.client, t.origin)
	halfClose(t.client)
	<-done
	t.close()
	return in, out
}

// pipe copies until the source ends. When the destination fails, the source is of no use either.
func (t *tunnel) pipe(dst io.Writer, src io.Reader) (n int64) {
	p := buffers.Get().(*[]byte) //nolint:errcheck // only buffers are in the pool
	defer buffers.Put(p)
	for {
		r, err := src.Read(*p)
		if r > 0 {
			t.last.Store(time.Now().UnixNano())
			if _, werr := dst.Write((*p)[:r]); werr != nil {
				t.close()
				return n
			}
			n += int64(r)
		}
		if err != nil {
			if err != io.EOF {
				t.close()
			}
			return n
		}
	}
}

func halfClose(c any) {
	if h, ok := c.(interface{ CloseWrite() error }); ok && h.CloseWrite() == nil {
		return
	}
	if cl, ok := c.(io.Closer); ok {
		_ = cl.Close() // no half-close: the other side learns of the end all the same
	}
}

func (t *tunnel) whenIdle() {
	quiet := time.Since(time.Unix(0, t.last.Load()))
	if quiet >= t.silent {
		t.close()
		return
	}
	t.mu.Lock()
	t.idle.Reset(t.silent - quiet)
	t.mu.Unlock()
}

// cutAfter ends the tunnel because its endpoint is no longer the active one.
func (t *tunnel) cutAfter(d time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.timer == nil {
		t.timer = time.AfterFunc(d, func() { t.cut.Store(true); t.close() })
	}
}

func (t *tunnel) close() {
	t.mu.Lock()
	if t.timer != nil {
		t.timer.Stop()
	}
	if t.idle != nil {
		t.idle.Stop()
	}
	t.mu.Unlock()
	_ = t.client.Close() // closing twice is fine
	_ = t.origin.Close()
}

func (s *service) addTunnel(t *tunnel) {
	s.mu.Lock()
	s.tunnels[t] = struct{}{}
	s.mu.Unlock()
	s.p.metrics.tunnels.WithLabelValues(s.name).Inc()
	if s.p.closing.Load() {
		t.close()
	}
	if o := s.current(); o.cuts(t.dest) { // switched between the send and now
		t.cutAfter(0)
	}
}

func (s *service) removeTunnel(t *tunnel) {
	s.mu.Lock()
	delete(s.tunnels, t)
	s.mu.Unlock()
	s.p.metrics.tunnels.WithLabelValues(s.name).Dec()
}
