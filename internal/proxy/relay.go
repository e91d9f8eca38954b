package proxy

import (
	"errors"
	"io"
	"net/http"
	"strconv"
	"time"

	"jurymast/internal/proxy/body"
	"jurymast/internal/proxy/figures"
	"jurymast/internal/proxy/http1"
	"jurymast/internal/proxy/wire"
)

// brokenness is how a connection with a client ends that did not get all of an answer.
type brokenness uint8

const (
	brokenNot   brokenness = iota
	brokenEnd              // the end comes before what was announced: the client sees that
	brokenReset            // nothing was announced: only a reset tells the client
)

// Waiting for more of an answer is cut into slices, so that the client's going away is noticed.
const (
	sliceFirst = 250 * time.Millisecond
	sliceMost  = time.Second
)

// relay passes the origin's answer on.
func (x *exchange) relay(c *choice) {
	a, resp := &x.lap.a, &x.lap.resp
	x.p.lookout.forget(x.watch) // writing tells whether the client is there
	x.watch = nil
	x.line.OriginStatus, x.line.Status = resp.Status, resp.Status
	why := x.served(c)
	x.line.Reason = string(why)
	if resp.Status >= 500 && resp.Status <= 599 && resp.Status != http.StatusNotImplemented && resp.Status != http.StatusHTTPVersionNotSupported {
		x.svc.charge(c, KindStatus)
	}
	x.countAttempt(c, figures.AttemptOK)
	if resp.Status == http.StatusSwitchingProtocols {
		x.tunnel(a, why)
		return
	}
	bytes := (*x.lap.back)[:a.used]
	out := &x.lap.out
	*out = reply{
		at: a.firstByte, status: resp.Status, line: statusLine(resp, bytes), head: resp, bytes: bytes, extra: x.debugHeaders(nil, why),
		body: resp.Body, closes: !x.up().over.Load(),
	}
	in := &x.lap.answered
	in.Reset(a.conn, *x.lap.back, a.used, a.got, resp.Body, resp.Length)
	x.headPassed = true
	fromOrigin := false
	err := x.sink.begin(out)
	if err == nil {
		fromOrigin, err = x.copy(in, a)
	}
	x.line.BytesOut = in.Total()
	switch {
	case err == nil:
		x.recycle(a)
		return
	case !fromOrigin:
		x.line.Reason, x.broken = string(ReasonClientLeft), brokenEnd
	default:
		x.line.Reason, x.broken = string(ReasonBroken), brokenEnd
		if resp.Body == http1.BodyClose || resp.Body == http1.BodyChunked && x.req().Minor == 0 {
			x.broken = brokenReset
		}
		x.svc.charge(c, KindBroken)
		_ = x.sink.flush() // a client that saw no byte at all would take the closed connection for a stale one
	}
	_ = a.conn.Close() // it is of no use any more
}

// copy moves the body as it comes. fromOrigin tells whose fault an error is.
func (x *exchange) copy(in *body.Reader, a *attempt) (fromOrigin bool, err error) {
	slice := sliceFirst
	for {
		piece, err := in.Ready()
		switch {
		case err != nil:
			return true, err //nolint:wrapcheck // the caller only asks whether it failed
		case len(piece) > 0:
			if err := x.sink.write(piece); err != nil {
				return false, err //nolint:wrapcheck // as above
			}
			slice = sliceFirst
			continue
		case in.Over():
			return false, x.sink.end(in.Tail()) //nolint:wrapcheck // as above
		}
		if err := x.sink.flush(); err != nil {
			return false, err //nolint:wrapcheck // as above
		}
		fromOrigin, err := x.more(in, a, slice)
		if errors.Is(err, wire.ErrTimeout) && fromOrigin {
			if x.sink.left() || x.up().failed() != nil {
				return false, errClientLeft
			}
			slice, err = min(2*slice, sliceMost), nil
		}
		if err != nil {
			return fromOrigin, err
		}
	}
}

// longBody is from where on bodies of known length are moved inside the kernel.
const longBody = 128 << 10

// more waits for bytes of the answer, for slice at most. A long body goes straight from one socket to the other.
func (x *exchange) more(in *body.Reader, a *attempt, slice time.Duration) (fromOrigin bool, err error) {
	h, ok := x.sink.(*h1)
	if ok {
		h.stamp = time.Now()
	}
	if !ok || in.Left() < longBody || !h.IsPlain() || !a.conn.IsPlain() {
		x.widen(in)
		a.conn.Until(time.Now().Add(slice))
		return true, in.Fill() //nolint:wrapcheck // the caller knows the connection
	}
	renew := func() {
		now := time.Now()
		a.conn.Until(now.Add(slice))
		h.Until(now.Add(h.taking.Pause))
	}
	renew()
	n, err := wire.SpliceRenew(h.Conn.Conn, a.conn.Conn, in.Left(), renew)
	in.Passed(n)
	var side *wire.SideError
	return errors.As(err, &side) && side.Side == wire.Source, err //nolint:wrapcheck // as above
}

// widen takes a larger buffer for what is more than a few kilobytes.
func (x *exchange) widen(in *body.Reader) {
	l := x.lap
	in.Free()
	if len(*l.back) >= bufferLarge || in.Total() < bufferUsual/2 {
		return
	}
	larger := wire.Get(bufferLarge)
	in.Use(*larger)
	l.trade(&l.back, larger)
}

var errClientLeft = errors.New("the client left during the answer")

// recycle gives the connection back, if nothing about it is in doubt: all was sent, all was read, and not a byte more.
func (x *exchange) recycle(a *attempt) {
	in := &x.lap.answered
	resp := &x.lap.resp
	if resp.Closes || !in.Over() || len(in.Rest()) > 0 || !x.up().over.Load() || a.torn || a.called.Load() != calledNot || !x.up().settle() {
		_ = a.conn.Close() // it is of no use any more
		return
	}
	a.conn.Until(time.Time{})
	if resp.KeepFor >= 0 {
		a.conn.KeepFor = time.Duration(resp.KeepFor-1) * time.Second
		if a.conn.KeepFor == 0 { // which would be "not said"
			a.conn.KeepFor = -1
		}
	}
	if resp.Bound { // it is this client's from now on, proxy.md 9.2
		a.conn.Private()
	}
	if a.conn.IsPrivate() {
		a.conn.Rest()
		x.door.keep(a.conn)
		return
	}
	conn := a.conn
	a.conn = nil // it is somebody else's from now on
	conn.Pool().Put(conn)
}

// debugHeaders tells the client what was decided, when the profile wants that.
func (x *exchange) debugHeaders(b []byte, why Reason) []byte {
	if x.settings == nil || !x.settings.DebugHeaders {
		return b
	}
	add := func(name, value string) {
		b = append(append(append(append(b, name...), ": "...), value...), "\r\n"...)
	}
	add("Jurymast-Reason", string(why))
	if x.sent != nil {
		add("Jurymast-Endpoint", x.sent.endpoint)
		add("Jurymast-Epoch", strconv.FormatUint(x.sent.epoch, 10))
		if x.sent.keeps != "" {
			add("Jurymast-Keeps", x.sent.keeps)
		}
	}
	return b
}

// clientCut reports errors of a body that mean that its client has gone.
func clientCut(err error) bool {
	var fault *http1.Fault
	return !errors.As(err, &fault) && !errors.Is(err, wire.ErrTimeout) && !errors.Is(err, errTooLong) && !errors.Is(err, errFault) || errors.Is(err, io.ErrUnexpectedEOF)
}

// errTooLong says that a body is longer than the profile's limits.body.
var errTooLong = errors.New("the request body is longer than limits.body")
