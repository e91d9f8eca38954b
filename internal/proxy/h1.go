package proxy

import (
	"errors"
	"io"
	"net/http"
	"runtime/debug"
	"time"

	"jurymast/internal/proxy/body"
	"jurymast/internal/proxy/http1"
	"jurymast/internal/proxy/inbound"
	"jurymast/internal/proxy/wire"
)

// h1 is a client's HTTP/1 connection. One goroutine does everything on it:
//
//	idle -> head -> exchange -> what is left of the body -> idle, or the next head, or the end
//	         \-> refused, and the end
type h1 struct {
	*inbound.Conn
	p      *Proxy
	lap    *lap // nil while idle
	door   door
	in     body.Reader // of the request's body
	out    body.Writer // of the answer's
	minor  int
	closes bool         // after this exchange
	served int          // requests
	stamp  time.Time    // about now: when something was last waited for
	pace   inbound.Pace // of the request's body
	taking inbound.Pace // of the answer
	began  time.Time    // of the head
	halted bool         // somebody was stopped who read the body
	taken  int          // bytes in the lap's buffer

	headTime, idleTime time.Duration // as the last profile has them
}

// The ends of a client that does not take its answer, proxy.md 11.
const (
	lingerBytes = 64 << 10 // read of a body for the sake of the connection
	lingerMost  = 16 << 20 // read of anything for the sake of the answer
	lingerTime  = 2 * time.Second
)

// serveHTTP1 carries the requests of one connection, one after the other.
func (p *Proxy) serveHTTP1(c *inbound.Conn) {
	h := &h1{Conn: c, p: p, headTime: headTimeout, idleTime: idleTimeout, stamp: time.Now()}
	h.door = p.doorOf(c)
	defer h.door.shut()
	for h.wait() {
		if !h.busy() {
			return
		}
	}
}

// wait holds nothing until the next request begins. The first one has headTime for it.
func (h *h1) wait() bool {
	limit := h.idleTime
	if h.served == 0 {
		limit = h.headTime
	}
	h.Until(h.stamp.Add(limit))
	return h.Next() == nil
}

// busy carries requests until nothing of a next one is there; false: the connection is over.
func (h *h1) busy() (goesOn bool) {
	h.lap = takeLap()
	defer func() {
		h.in, h.out = body.Reader{}, body.Writer{} // they would keep the lap's memory alive while we are idle
		h.lap.give()
		h.lap = nil
	}()
	for {
		n, ok := h.head()
		if !ok || !h.one(n) {
			return false
		}
		if h.taken == 0 {
			return true
		}
	}
}

// head reads the head of a request; false: there is none, and whoever sent something else was told so.
func (h *h1) head() (n int, ok bool) {
	l := h.lap
	l.req.Reset(h.p.limits)
	h.began = time.Now()
	h.stamp = h.began
	h.Until(h.began.Add(h.headTime))
	for reads := 0; ; reads++ {
		if h.taken > 0 {
			n, fault := l.req.Parse((*l.in)[:h.taken])
			if fault != nil {
				h.refuse(fault)
				return 0, false
			}
			if n > 0 {
				if reads > 1 { // most heads come in one piece
					h.stamp = time.Now()
				}
				return n, true
			}
			if h.taken == len(*l.in) {
				h.grow()
			}
		}
		got, err := h.Read((*l.in)[h.taken:])
		h.taken += got
		if got == 0 && err != nil {
			h.headless(err)
			return 0, false
		}
	}
}

// grow makes room for a long head.
func (h *h1) grow() {
	l := h.lap
	larger := wire.Get(max(bufferLarge, 2*len(*l.in)))
	copy(*larger, (*l.in)[:h.taken])
	l.trade(&l.in, larger)
}

// headless ends a connection whose head never was complete.
func (h *h1) headless(err error) {
	if h.taken == 0 {
		return
	}
	x := h.open(nil)
	if errors.Is(err, wire.ErrTimeout) {
		x.answer(ReasonTooSlow, "the request head was not complete in time")
		x.finish()
		h.linger()
		return
	}
	x.leave()
	x.finish()
}

// refuse answers what is no request.
func (h *h1) refuse(fault *http1.Fault) {
	h.minor, h.closes = 1, true
	x := h.open(nil)
	x.refuse(fault)
	x.finish()
	h.linger()
}

// open makes the lap's exchange ready. head is nil when there is none that could be relied on.
func (h *h1) open(head []byte) *exchange {
	l := h.lap
	l.up.release()
	l.up = upload{}
	x := &l.x
	*x = exchange{p: h.p, lap: l, door: &h.door, head: head, source: h, sink: h}
	x.line.Time, x.line.Head = h.stamp, h.stamp.Sub(h.began)
	h.door.shard.Begin()
	h.out.Reset(h.Conn.Conn, l.reply[:0])
	h.pace, h.taking = h.p.paces[0], h.p.paces[1]
	h.served++
	h.door.served++
	return x
}

// one carries the request whose head is the first n bytes; false: the connection is over.
func (h *h1) one(n int) bool {
	l := h.lap
	req := &l.req
	buf := *l.in
	h.minor = req.Minor
	h.closes = req.Closes || h.served+1 >= h.door.most || h.Closing()
	h.in.Reset(h.Conn.Conn, buf, n, h.taken, req.Body, req.Length)
	x := h.open(buf[:n])
	h.carry(x)
	if s := x.settings; s != nil {
		h.headTime, h.idleTime = s.Timeouts.Header, s.Timeouts.Idle
	}
	l.reply = h.out.Room()[:0]
	switch {
	case x.broken == brokenReset:
		_ = h.Reset() // it is over either way
		return false
	case x.broken == brokenEnd, x.tunnelled:
		return false
	case h.closes && req.Closes && h.in.Over() && len(h.in.Rest()) == 0 && h.Alive():
		return false // as the client wished, and nothing of it is on the way that would become a reset
	case h.closes, !h.rest():
		h.linger()
		return false
	}
	if rest := h.in.Rest(); len(rest) > len(*l.in) { // of a large buffer: the client sends ahead
		l.trade(&l.in, wire.Get(len(rest)))
	}
	h.taken = copy(*l.in, h.in.Rest())
	return true
}

// carry runs the exchange, and contains a fault of ours to it.
func (h *h1) carry(x *exchange) {
	defer func() {
		if fault := recover(); fault != nil {
			h.closes = true
			x.fault(fault, debug.Stack())
		}
		if h.halted {
			h.halted, h.closes = false, true
			h.Clear()
		}
	}()
	x.run()
	x.finish()
}

// rest reads what is left of the request's body, so that the connection can be used again; false: it is too much, or
// comes too late.
func (h *h1) rest() bool {
	if h.in.Over() {
		return true
	}
	h.Until(time.Now().Add(lingerTime))
	start := h.in.Total()
	for {
		_, err := h.in.Next()
		if errors.Is(err, io.EOF) {
			return true
		}
		if err != nil || h.in.Total()-start > lingerBytes {
			return false
		}
	}
}

// linger ends our direction and reads on a little: a client that is still sending would otherwise lose the answer to the
// reset that its bytes bring about.
func (h *h1) linger() {
	if h.CloseWrite() != nil {
		return
	}
	h.Until(time.Now().Add(lingerTime))
	buf := *h.lap.in
	for n := 0; n < lingerMost; {
		got, err := h.Read(buf)
		if err != nil {
			return
		}
		n += got
	}
}

func (h *h1) next() ([]byte, error) {
	if h.lap.inLarge == nil && h.in.Total() >= bufferUsual/2 { // a long body; the head stays where it is
		h.lap.inLarge = wire.Get(bufferLarge)
		h.in.Use(*h.lap.inLarge)
	}
	h.Until(h.pace.Wait(time.Now()))
	piece, err := h.in.Next()
	h.pace.Moved(len(piece), time.Now())
	return piece, err //nolint:wrapcheck // upload reads it
}

func (h *h1) ready() ([]byte, bool, error) {
	piece, err := h.in.Ready()
	return piece, h.in.Over(), err
}

func (h *h1) tail() []byte { return h.in.Tail() }

// errHalted is what a body gets that nobody wants any more.
var errHalted = errors.New("nobody wants the rest of this body")

func (h *h1) halt() {
	h.halted = true
	h.Wake(errHalted)
}

func (h *h1) left() bool { return h.Left() }

func (h *h1) begin(a *reply) error {
	h.stamp = a.at
	if a.status < http.StatusOK && a.status != http.StatusSwitchingProtocols {
		if h.minor == 0 {
			return nil // HTTP/1.0 knows none
		}
		h.out.Reset(h.Conn.Conn, a.render(h.out.Room(), h.minor, false))
		return h.flush()
	}
	if a.body == http1.BodyClose || a.body == http1.BodyChunked && h.minor == 0 {
		a.closes = true
	}
	a.closes = a.closes || h.closes || h.Closing()
	h.closes = a.closes
	h.out.Reset(h.Conn.Conn, a.render(h.out.Room(), h.minor, h.minor == 0))
	if a.body == http1.BodyChunked && h.minor == 1 {
		h.out.Chunked()
	}
	return nil
}

// longAnswer is from where on a client is held to a rate: what is less stands in the kernel's buffers.
const longAnswer = 64 << 10

func (h *h1) write(p []byte) error {
	if h.out.Total() < longAnswer {
		h.Until(h.stamp.Add(h.taking.Pause))
		return h.out.Write(p) //nolint:wrapcheck // the caller only asks whether it failed
	}
	h.Until(h.taking.Wait(time.Now()))
	err := h.out.Write(p)
	h.taking.Moved(len(p), time.Now())
	return err //nolint:wrapcheck // as above
}

func (h *h1) flush() error {
	h.Until(h.stamp.Add(h.taking.Pause))
	return h.out.Flush() //nolint:wrapcheck // as above
}

func (h *h1) end(tail []byte) error {
	h.Until(h.stamp.Add(h.taking.Pause))
	return h.out.End(tail) //nolint:wrapcheck // as above
}
