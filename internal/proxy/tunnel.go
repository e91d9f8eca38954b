package proxy

import (
	"sync"
	"sync/atomic"
	"time"

	"jurymast/internal/proxy/origins"
	"jurymast/internal/proxy/wire"
)

const cutSpread = 5 * time.Second // over which tunnels are cut at a switch

// tunnel is a connection after 101: bytes both ways, until both ends have closed or a switch cuts it.
type tunnel struct {
	dest   destination
	silent time.Duration // timeouts.tunnel
	client *wire.Conn
	origin *origins.Conn

	mu    sync.Mutex
	timer *time.Timer // of the cut
	cut   atomic.Bool
	last  atomic.Int64 // unix nanoseconds of the last byte
	idle  *time.Timer
}

// tunnel relays the 101 and then the bytes.
func (x *exchange) tunnel(a *attempt, why Reason) {
	resp, l := &x.lap.resp, x.lap
	bytes := (*l.back)[:a.used]
	offer := resp.Upgrades.Of(bytes)
	h, ok := x.sink.(*h1)
	if !ok || !x.upgrade || !equalWord(offer, "websocket") {
		a.conn.Close()
		x.svc.charge(a.c, KindJunk)
		x.answer(ReasonJunk, "the origin switched to a protocol the client has not asked for")
		return
	}
	x.headPassed, x.tunnelled, x.line.Upgrade = true, true, "websocket"
	t := &tunnel{dest: a.c.dest, silent: x.settings.Timeouts.Tunnel, client: h.Conn.Conn, origin: a.conn}
	h.Tunnelling()
	x.svc.addTunnel(t)
	counts := x.route.figures(x.p)
	counts.Tunnel(1)
	defer counts.Tunnel(-1)
	defer x.svc.removeTunnel(t)
	out := reply{status: resp.Status, line: statusLine(resp, bytes), head: resp, bytes: bytes, hop: offer, extra: x.debugHeaders(nil, why)}
	err := h.begin(&out)
	if err == nil {
		err = h.out.Write((*l.back)[a.used:a.got])
	}
	if err == nil {
		err = h.flush()
	}
	if err != nil {
		t.close()
		x.line.Reason = string(ReasonClientLeft)
		return
	}
	h.Until(time.Time{})
	a.conn.Until(time.Time{})
	h.Unread((*l.in)[len(x.head):h.taken])
	in, sent := t.run()
	x.line.TunnelIn, x.line.BytesOut = in, sent+int64(a.got-a.used)
	if t.cut.Load() {
		x.line.Reason = string(ReasonTunnelCut)
		x.route.figures(x.p).Cut()
	}
}

// run moves bytes both ways with half-close and returns how many.
func (t *tunnel) run() (in, out int64) {
	t.last.Store(time.Now().UnixNano())
	t.mu.Lock()
	t.idle = time.AfterFunc(t.silent, t.whenIdle)
	t.mu.Unlock()
	done := make(chan struct{})
	go func() {
		defer close(done)
		in = t.pipe(t.origin.Conn, t.client)
	}()
	out = t.pipe(t.client, t.origin.Conn)
	<-done
	t.close()
	return in, out
}

// pipe moves bytes until the source ends. When one side fails, the other is of no use either.
func (t *tunnel) pipe(dst, src *wire.Conn) int64 {
	n, err := wire.SpliceRenew(dst, src, -1, func() { t.last.Store(time.Now().UnixNano()) })
	if err != nil {
		t.close()
	} else if dst.CloseWrite() != nil {
		_ = dst.Close() // no half-close: the other side learns of the end all the same
	}
	return n
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
}
