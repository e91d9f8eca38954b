package proxy

import (
	"context"
	"errors"
	"io"
	"runtime"
	"sync/atomic"
	"time"

	"jurymast/internal/proxy/http1"
	"jurymast/internal/proxy/origins"
	"jurymast/internal/proxy/wire"
)

// The phases of an attempt. The step from connecting to sending and the calling off exclude each other, so a request
// that is called off in its connect phase has certainly not been sent.
const (
	phaseConnecting int32 = iota
	phaseSending
	phaseCalledOff
)

// errCalledOff is what the connection of an attempt says that somebody has called off; the attempt knows why.
var errCalledOff = errors.New("the attempt was called off")

// errRefusedToSend says that the last look at the decision forbade to write.
var errRefusedToSend = errors.New("the decision changed before the request was sent")

// Why an attempt is called off by somebody else than its own goroutine.
const (
	calledNot    int32 = iota
	calledMoved        // the decision moved to another endpoint
	calledGone         // the client has gone
	calledUpload       // the client's body failed
)

// attempt is one try to send the request to one endpoint.
//
//	connect: pooled, or dialled -> last look at the decision -> send -> 1xx ... -> head of the answer
//	    \-> no connection            \-> refused                 \-> lost      \-> junk, or none in time
//
// Everything runs on the exchange's goroutine. Others may look at it and call it off while it is in the list of those
// that wait (service.enter to service.leave).
type attempt struct {
	x    *exchange
	c    *choice
	link *link

	under *outlook // that c was chosen under

	phase  atomic.Int32
	called atomic.Int32
	conn   *origins.Conn      // set under the lock of the list, as dial
	dial   context.CancelFunc // ends the dialing that goes on

	next, prev *attempt // in the list of those that wait
	list       *waiters

	start, limit time.Time
	connected    time.Time
	firstByte    time.Time // zero: none
	base         int64     // what conn had written before this request
	looked       time.Time // by the lookout, at the client
	pooled       bool
	relayed      bool // a 1xx went to the client
	torn         bool // the origin has not got all of an inline body
	got          int  // bytes in the buffer
	used         int  // of them, the head of the answer
}

// outcome is what an attempt without a response means.
type outcome int

const (
	outcomeGone       outcome = iota // the client went away
	outcomeClientBody                // the client's body failed
	outcomeMoved                     // called off, nothing sent or harmless to repeat
	outcomeTimeout                   // no first byte in time
	outcomeConnect                   // no connection
	outcomeUnsent                    // a connection, but not a byte accepted
	outcomeLost                      // lost after request bytes, no response byte
	outcomeJunk                      // response bytes that are no answer
)

var outcomeNames = [...]string{"client-gone", "client-body", "moved", "timeout", "connect", "unsent", "lost", "junk"}

func (o outcome) String() string { return outcomeNames[o] }

// failure is a failed attempt.
type failure struct {
	outcome outcome
	kind    Kind // for the endpoint's account
	err     error
}

// facts are what classify judges by.
type facts struct {
	called     int32
	connected  bool
	firstByte  bool
	wrote      int64 // bytes the kernel took
	clientBody error
}

// classify reads the rows of proxy.md 6.2 from what happened.
func classify(k facts, err error) failure {
	var dial *origins.DialError
	f := failure{err: err}
	switch {
	case k.called == calledGone:
		f.outcome = outcomeGone
	case k.called == calledMoved, errors.Is(err, errRefusedToSend):
		f.outcome = outcomeMoved
	case k.called == calledUpload:
		f.outcome, f.err = outcomeClientBody, k.clientBody
		if clientCut(k.clientBody) {
			f.outcome = outcomeGone
		}
	case errors.As(err, &dial):
		f.outcome, f.kind = outcomeConnect, dialKind(dial)
	case errors.Is(err, wire.ErrTimeout) && !k.firstByte:
		f.outcome, f.kind = outcomeTimeout, KindTimeout
	case k.firstByte:
		f.outcome, f.kind = outcomeJunk, KindJunk
	case !k.connected:
		f.outcome, f.kind = outcomeConnect, KindUnreachable
	case k.wrote == 0:
		f.outcome, f.kind = outcomeUnsent, KindReset
	default:
		f.outcome, f.kind = outcomeLost, KindReset
	}
	return f
}

// dialKind is what to tell the engine about a failed dial.
func dialKind(e *origins.DialError) Kind {
	switch e.Phase {
	case origins.Refused:
		return KindRefused
	case origins.Timeout:
		return KindConnectTimeout
	case origins.Handshake:
		return KindTLS
	case origins.Unreachable:
	}
	return KindUnreachable
}

// attempt sends the request to c's endpoint and waits for the head of the answer, which is then in the lap.
func (x *exchange) attempt(c *choice) *failure {
	a := &x.lap.a
	*a = attempt{x: x, c: c, link: x.link(c), under: x.seen}
	if a.start = x.line.Time; x.line.Attempts > 0 || x.line.Held > 0 {
		a.start = time.Now()
	}
	a.limit = a.start.Add(x.settings.Timeouts.Response - x.spent)
	x.sent = c
	x.line.Attempts++
	a.link.pace.started(a.start)
	err := a.run()
	x.svc.leave(a)
	x.fresh = false
	if called := a.called.Load(); err == nil && called != calledNot { // called off at the instant the head arrived
		err = errCalledOff
	}
	if err == nil {
		x.spent += a.firstByte.Sub(a.start)
		x.note(a, nil)
		x.svc.queue.connected(c)
		a.link.pace.answered(a.firstByte.Sub(a.start), a.firstByte)
		return nil
	}
	return a.failed(err)
}

// failed ends the attempt and says what it means.
func (a *attempt) failed(err error) *failure {
	x := a.x
	wrote := a.wrote()
	if a.conn != nil {
		_ = a.conn.Close() // it is of no use any more
	}
	x.up().detach()
	x.spent += time.Since(a.start)
	x.note(a, err)
	answered := !a.firstByte.IsZero() && (a.got > 0 || !a.relayed) // a 1xx alone is no answer that broke off
	f := classify(facts{a.called.Load(), a.conn != nil, answered, wrote, x.up().failed()}, err)
	if f.outcome == outcomeMoved && wrote > 0 && !x.mayResend() { // the body outgrew its buffer meanwhile
		f.outcome, f.kind = outcomeLost, KindReset
	}
	if a.relayed && f.outcome == outcomeLost && x.mayResend() {
		f.outcome, f.kind = outcomeJunk, KindReset // the client has seen a part of the answer: no second one
	}
	x.countAttempt(a.c, f.outcome.String())
	return &f
}

// wrote is the number of request bytes the kernel took on the last connection.
func (a *attempt) wrote() int64 {
	if a.conn == nil {
		return 0
	}
	return a.conn.Written() - a.base
}

// run goes on until there is a head or it failed. A pooled connection that turns out to be dead is replaced by a new one,
// once, and not under a request that may have been processed.
func (a *attempt) run() error {
	for {
		if err := a.connect(); err != nil {
			return err
		}
		err := a.send()
		if err == nil || a.wrote() > 0 && errors.Is(err, errWrite) {
			if got := a.receive(); got == nil || err == nil {
				a.torn = err != nil // it answered a part of the request
				err = got
			}
		}
		if err == nil || !a.replaceable() {
			return err
		}
		_ = a.conn.Close() // it is of no use any more
		a.x.up().detach()
		a.x.fresh, a.x.replaced = true, true
		a.x.route.figures(a.x.p).Retry(retryStale)
	}
}

// replaceable: the connection had been used before, nothing came back, and sending anew can do no harm.
func (a *attempt) replaceable() bool {
	if !a.pooled || !a.firstByte.IsZero() || a.called.Load() != calledNot || !time.Now().Before(a.limit) {
		return false
	}
	return a.wrote() == 0 && a.x.up().complete() || a.x.mayResend()
}

// connect takes a connection from the pool or makes one.
func (a *attempt) connect() error {
	pool := a.x.pool(a.c, a.link)
	trust := origins.Unsafe
	if a.x.mayResend() {
		trust = origins.Any
	}
	if own := a.x.door.own(pool, trust); own != nil {
		a.pooled = true
		a.bind(own)
		return nil
	}
	if !a.x.fresh {
		if conn := pool.Take(trust); conn != nil {
			a.pooled = true
			a.bind(conn)
			return nil
		}
	}
	a.pooled = false
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	a.dialling(cancel)
	conn, err := pool.DialFor(ctx, min(a.x.settings.Timeouts.Connect, time.Until(a.limit)), a.x.introduced(pool))
	if err != nil {
		a.dialling(nil)
		return err //nolint:wrapcheck // classify reads it
	}
	a.bind(conn)
	return nil
}

// dialling lets others end the dialing that begins; nil: it is over.
func (a *attempt) dialling(cancel context.CancelFunc) {
	if a.list == nil {
		a.x.svc.enter(a)
	}
	a.list.mu.Lock()
	a.dial = cancel
	called := a.called.Load() != calledNot
	a.list.mu.Unlock()
	if called && cancel != nil {
		cancel()
	}
}

// bind makes conn the attempt's connection.
func (a *attempt) bind(conn *origins.Conn) {
	a.base = conn.Written()
	conn.Until(a.limit)
	if a.list == nil {
		a.conn = conn
		a.x.svc.enter(a)
	} else {
		a.list.mu.Lock()
		a.conn, a.dial = conn, nil
		called := a.called.Load() != calledNot
		a.list.mu.Unlock()
		if called {
			conn.Wake(errCalledOff)
		}
	}
	if a.connected = a.start; !a.pooled {
		a.connected = time.Now()
	}
}

// callOff ends the attempt from outside. The lock of the list is held, or the attempt cannot be in it any more.
func (a *attempt) callOff(why int32) {
	if !a.called.CompareAndSwap(calledNot, why) {
		return
	}
	if a.dial != nil {
		a.dial()
	}
	if a.conn != nil {
		a.conn.Wake(errCalledOff)
	}
}

// mayWrite is the last look at the decision, on every connection right before the first byte.
func (a *attempt) mayWrite() bool {
	if !a.phase.CompareAndSwap(phaseConnecting, phaseSending) && a.phase.Load() != phaseSending {
		return false
	}
	if !a.pooled {
		a.x.svc.queue.connected(a.c)
	}
	o := a.x.outlook()
	return o == a.under || o.all.ok && o.fates[a.c.dest] == fateOpen
}

// errWrite marks errors of writing: the origin may have answered all the same.
var errWrite = errors.New("writing the request")

// send writes head and body, or the head and lets the body follow.
func (a *attempt) send() error {
	x := a.x
	if !a.mayWrite() {
		return errRefusedToSend
	}
	l := x.lap
	l.toward = x.outgoing(l.toward[:0])
	if _, fenced := x.seen.fenced[a.c.dest]; fenced {
		release, ok := a.pass()
		if !ok {
			return errRefusedToSend
		}
		defer release()
		a.conn.Until(time.Now().Add(firstWrite))
		defer a.conn.Until(a.limit)
	}
	return x.up().send(a)
}

// receive reads up to the head of the answer; 1xx go to the client.
func (a *attempt) receive() error {
	x, l := a.x, a.x.lap
	toHEAD := string(x.req().Method.Of(x.head)) == "HEAD"
	a.got = 0
	informational := 0
	l.resp.Reset(http1.Limits{})
	for {
		if a.got == len(*l.back) {
			larger := wire.Get(4 * len(*l.back))
			copy(*larger, *l.back)
			l.trade(&l.back, larger)
		}
		if a.got == 0 {
			runtime.Gosched() // the origin cannot have answered yet: asking too early costs a system call
		}
		n, err := a.conn.Read((*l.back)[a.got:])
		if n == 0 {
			if err == nil || errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return err //nolint:wrapcheck // classify reads it
		}
		if a.got += n; a.firstByte.IsZero() {
			a.firstByte = time.Now()
		}
		for {
			used, fault := l.resp.Parse((*l.back)[:a.got], toHEAD)
			switch {
			case fault != nil:
				return fault
			case used == 0:
			case l.resp.Status >= 200 || l.resp.Status == 101:
				a.used = used
				return nil
			default:
				if informational++; informational > maxInformation {
					return errStorm
				}
				a.inform(used)
				a.got = copy(*l.back, (*l.back)[used:a.got])
				l.resp.Reset(http1.Limits{})
				continue
			}
			break
		}
	}
}

const maxInformation = 16

// errStorm ends an answer of endless 1xx.
var errStorm = errors.New("more than 16 informational responses")

// inform passes a 1xx on. A client that has gone is noticed by the lookout.
func (a *attempt) inform(used int) {
	r := &a.x.lap.resp
	b := (*a.x.lap.back)[:used]
	a.relayed = true
	_ = a.x.sink.begin(&reply{at: time.Now(), status: r.Status, line: statusLine(r, b), head: r, bytes: b})
}

// statusLine is the status line behind the version: the reason stays as it came.
func statusLine(r *http1.Response, b []byte) []byte {
	return b[r.Line.From+uint32(len("HTTP/1.1")) : r.Line.To]
}
