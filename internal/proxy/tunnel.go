package proxy

import (
	"errors"
	"slices"
	"sync"
	"time"

	"jurymast/internal/proxy/body"
	"jurymast/internal/proxy/tunnels"
)

// The end of tunnels at a switch.
const (
	cutSpread = 5 * time.Second // over which they are cut
	goodbye   = 2 * time.Second // for the frame under way and the client's own end
)

// tunnel is a connection after 101, until both ends have closed or a switch cuts it.
type tunnel struct {
	*tunnels.Tunnel
	dest destination

	mu    sync.Mutex
	timer *time.Timer // of the cut
	cut   bool        // by a switch
	over  bool
}

// tunnel relays the 101 and then the bytes.
func (x *exchange) tunnel(a *attempt, why Reason) {
	resp, l := &x.lap.resp, x.lap
	bytes := (*l.back)[:a.used]
	offer := resp.Upgrades.Of(bytes)
	h, ok := x.sink.(*h1)
	if !ok || !x.upgrade || !equalWord(offer, "websocket") {
		_ = a.conn.Close() // it speaks something else now
		x.svc.charge(a.c, KindJunk)
		x.answer(ReasonJunk, "the origin switched to a protocol the client has not asked for")
		return
	}
	x.headPassed, x.tunnelled, x.line.Upgrade = true, true, "websocket"
	out := reply{at: a.firstByte, status: resp.Status, line: statusLine(resp, bytes), head: resp, bytes: bytes, hop: offer, extra: x.debugHeaders(nil, why)}
	err := h.begin(&out)
	if err == nil {
		err = h.flush()
	}
	if err != nil {
		_ = a.conn.Close()
		x.line.Reason = string(ReasonClientLeft)
		return
	}
	a.conn.Unread(slices.Clone((*l.back)[a.used:a.got]))
	h.Unread(slices.Clone((*l.in)[len(x.head):h.taken]))
	x.head = slices.Clone(x.head) // for the access log
	h.in, h.out = body.Reader{}, body.Writer{}
	l.strip() // thousands of tunnels cost little
	t := &tunnel{dest: a.c.dest, Tunnel: tunnels.New(h.Conn.Conn, a.conn.Conn, tunnels.Options{Idle: x.settings.Timeouts.Tunnel, WebSocket: true, Patience: goodbye})}
	h.Tunnelling()
	x.svc.addTunnel(t)
	counts := x.route.figures(x.p)
	counts.Tunnel(1)
	in, sent, ended := t.Run()
	counts.Tunnel(-1)
	x.svc.removeTunnel(t)
	_ = a.conn.Close() // the pool learns that it is gone
	x.line.TunnelIn, x.line.BytesOut = in, sent
	if errors.Is(ended, tunnels.ErrFault) {
		x.p.figures.Panic()
		x.p.o.Logger.Error("a tunnel hit a fault of the proxy itself", "fault", ended)
		x.line.Reason = string(ReasonInternal)
	}
	if errors.Is(ended, tunnels.ErrCut) || t.cut && errors.Is(ended, tunnels.ErrClosed) {
		x.line.Reason = string(ReasonTunnelCut)
		counts.Cut()
	}
}

// end ends the tunnel because its endpoint is no longer the active one, with a goodbye: after some time, or at once, so
// that not a byte more gets there.
func (t *tunnel) end(after time.Duration, atOnce bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.over {
		return
	}
	if t.cut = true; atOnce {
		t.CutNow()
	} else if t.timer == nil {
		t.timer = time.AfterFunc(after, t.Cut)
	}
}

func (s *service) addTunnel(t *tunnel) {
	s.mu.Lock()
	s.tunnels[t] = struct{}{}
	s.mu.Unlock()
	if s.p.closing.Load() {
		t.Close()
	}
	if o := s.current(); o.cuts(t.dest) { // switched between the send and now
		t.end(0, o.strict)
	}
}

func (s *service) removeTunnel(t *tunnel) {
	s.mu.Lock()
	delete(s.tunnels, t)
	s.mu.Unlock()
	t.mu.Lock()
	t.over = true
	if t.timer != nil {
		t.timer.Stop()
	}
	t.mu.Unlock()
}
