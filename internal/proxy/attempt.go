package proxy

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// Why we end an attempt ourselves.
var (
	errMoved       = errors.New("the decision moved to another endpoint")
	errNoFirstByte = errors.New("no first byte within timeouts.response")
)

// The phases of an attempt. The step from connecting to sending and the calling off exclude each other, so a request
// that is called off in its connect phase has certainly not been sent.
const (
	phaseConnecting int32 = iota
	phaseSending
	phaseCalledOff
)

// attempt is one try to send the request to one endpoint.
type attempt struct {
	trip
	x      *exchange
	c      *choice
	pace   *pace
	phase  atomic.Int32
	cancel context.CancelCauseFunc
	limit  time.Time // for the first byte
	clock  sync.Mutex
	timer  *time.Timer // nil when the head is there

	relay   sync.Mutex // guards passing 1xx on against the end of the attempt
	ended   bool
	relayed bool // a 1xx went to the client
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

// classify reads the rows of proxy.md 6.2 from what happened.
func classify(t *trip, err, cause error, clientGone bool, clientBody error) failure {
	var dial *dialError
	f := failure{err: err}
	switch {
	case clientGone:
		f.outcome = outcomeGone
	case errors.Is(cause, errMoved), errors.Is(err, errRefusedToSend):
		f.outcome = outcomeMoved
	case errors.Is(cause, errNoFirstByte):
		f.outcome, f.kind = outcomeTimeout, KindTimeout
	case clientBody != nil:
		f.outcome, f.err = outcomeClientBody, clientBody
		if errors.Is(clientBody, io.ErrUnexpectedEOF) {
			f.outcome = outcomeGone
		}
	case errors.As(err, &dial):
		f.outcome, f.kind = outcomeConnect, dial.kind
	case t.firstByte.Load() != 0:
		f.outcome, f.kind = outcomeJunk, KindJunk
	case t.conn.Load() == nil:
		f.outcome, f.kind = outcomeConnect, KindUnreachable
	case t.wrote() == 0:
		f.outcome, f.kind = outcomeUnsent, KindReset
	default:
		f.outcome, f.kind = outcomeLost, KindReset
	}
	return f
}

// attempt sends the request to c's endpoint and waits for the response head.
func (x *exchange) attempt(c *choice) (*http.Response, *failure) {
	a := &attempt{x: x, c: c, pace: x.svc.pace(c.endpoint)}
	ctx, cancel := context.WithCancelCause(x.r.Context())
	a.cancel = cancel
	a.start = time.Now()
	a.limit = a.start.Add(x.settings.Timeouts.Response - x.spent)
	a.dialTimeout = x.settings.Timeouts.Connect
	a.resend, a.fresh = x.mayResend(), x.fresh
	a.admit, a.informational = a.mayWrite, a.passOn
	if _, fenced := x.svc.current().fenced[c.dest]; fenced {
		a.gate = a.pass
	}
	x.fresh, x.cancel, x.sent = false, cancel, c
	x.attempts++
	a.pace.started(a.start)
	x.svc.enter(a)
	a.startClock()
	resp, err := x.p.sender.send(ctx, x.poolKey(c), x.outgoing(c), &a.trip)
	a.stopClock()
	x.svc.leave(a)
	a.end()
	if cause := context.Cause(ctx); err == nil && cause != nil { // called off at the instant the head arrived
		resp.Body.Close()
		err = cause
	}
	x.spent += time.Since(a.start)
	x.note(a, err)
	if err == nil {
		x.svc.queue.connected(c)
		a.pace.answered(time.Duration(a.firstByte.Load()-a.start.UnixNano()), time.Now())
		return resp, nil
	}
	f := classify(&a.trip, err, context.Cause(ctx), x.r.Context().Err() != nil, x.body.failed())
	if f.outcome == outcomeMoved && a.wrote() > 0 && !x.mayResend() { // the body outgrew its buffer meanwhile
		f.outcome, f.kind = outcomeLost, KindReset
	}
	if a.relayed && f.outcome == outcomeLost {
		f.outcome, f.kind = outcomeJunk, KindReset // the client has seen a part of the answer: no second one
	}
	cancel(err)
	x.svc.metric(c.endpoint, f.outcome.String())
	return nil, &f
}

// mayWrite is the last look at the decision, on every connection right before the first byte.
func (a *attempt) mayWrite() bool {
	if !a.phase.CompareAndSwap(phaseConnecting, phaseSending) && a.phase.Load() != phaseSending {
		return false
	}
	if !a.reused.Load() {
		a.x.svc.queue.connected(a.c)
	}
	o := a.x.svc.current()
	return o.all.ok && o.fates[a.c.dest] == fateOpen
}

// passOn relays a 1xx to the client, unless the attempt is over.
func (a *attempt) passOn(code int, h http.Header) error {
	a.relay.Lock()
	defer a.relay.Unlock()
	if a.ended {
		return errMoved
	}
	a.relayed = true
	a.x.informational(code, h)
	return nil
}

func (a *attempt) end() {
	a.relay.Lock()
	a.ended = true
	a.relay.Unlock()
}

func (a *attempt) startClock() {
	a.clock.Lock()
	defer a.clock.Unlock()
	a.timer = time.AfterFunc(min(stallAfter, max(0, time.Until(a.limit))), a.tick)
}

func (a *attempt) stopClock() {
	a.clock.Lock()
	defer a.clock.Unlock()
	a.timer.Stop()
	a.timer = nil
}

// tick runs while the first byte is missing: is the time up, does the endpoint hang?
func (a *attempt) tick() {
	a.clock.Lock()
	defer a.clock.Unlock()
	if a.timer == nil {
		return
	}
	now := time.Now()
	if !now.Before(a.limit) {
		a.cancel(errNoFirstByte)
		return
	}
	next := a.limit.Sub(now)
	if a.phase.Load() == phaseSending {
		if a.x.svc.stall(a, now) {
			a.x.svc.charge(a.c, KindStall)
			next = min(next, stallAlone)
		} else {
			next = min(next, max(stallAfter/3, a.pace.threshold()-now.Sub(a.start)))
		}
	} else {
		next = min(next, stallAfter)
	}
	a.timer.Reset(next)
}
