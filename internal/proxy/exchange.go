package proxy

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"jurymast/internal/profile"
)

// exchange is one client request with its attempts and its response.
//
//	choice ok, queue passes -> attempt -> response           -> relay
//	                                   -> not sent           -> again, any method
//	                                   -> no connection      -> signal, hold or another endpoint, again, any method
//	                                   -> lost, resendable   -> signal, fresh connection once, then hold, again
//	                                   -> lost, others       -> 502 UN
//	otherwise               -> hold    -> released           -> again
//	                                   -> full, time is up   -> 503
type exchange struct {
	p        *Proxy
	w        http.ResponseWriter
	rc       *http.ResponseController
	r        *http.Request
	route    *route
	svc      *service
	settings *profile.Proxy
	body     *replay
	from     forwarded
	upgrade  bool
	safe     bool // the method is idempotent and in retry.methods

	ticket     ticket
	turn       turn
	held       time.Duration
	spent      time.Duration // in attempts, until their first byte
	attempts   int
	repeats    int // attempts that count against retry.attempts
	unsent     int
	pauses     int
	fresh      bool   // the next attempt takes a connection of its own
	freshDone  string // endpoint whose fresh connection was used
	moved      bool
	first      string // endpoint of the first attempt
	replaced   bool
	sent       *choice // of the last attempt
	cancel     context.CancelCauseFunc
	headPassed bool
	line       line
}

const maxUnsent = 3 // attempts of which nothing was accepted, before it counts as no connection

func (x *exchange) run() {
	if !x.match() {
		return
	}
	x.svc.live.Add(1)
	defer x.svc.live.Add(-1)
	defer x.svc.queue.settled(&x.ticket)
	x.svc.budget.exchange(x.line.Time)
	if !x.prepare() {
		return
	}
	for {
		o := x.svc.current()
		if o.all.gone {
			x.answer(o.all.reason, o.all.why)
			return
		}
		x.settings = o.settings
		if !o.all.ok || x.svc.queue.mustWait(&o.all, &x.ticket) {
			if !x.hold() {
				return
			}
			continue
		}
		c := x.next(o)
		if !c.ok {
			if !x.sitOut(o) {
				return
			}
			continue
		}
		if !x.live(o, c.dest) {
			if !x.lapsed(o) {
				return
			}
			continue
		}
		if x.first == "" {
			x.first = c.endpoint
		}
		resp, f := x.attempt(c)
		if f == nil {
			x.relay(resp, c)
			return
		}
		if !x.again(c, f) {
			return
		}
	}
}

// mayResend: processing it twice is harmless, and we still have all of it.
func (x *exchange) mayResend() bool { return x.safe && !x.upgrade && x.body.replayable() }

func idempotent(method string) bool {
	return slices.Contains([]string{http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodPut, http.MethodDelete}, method)
}

// hold waits until the request may be sent; false: it was answered or nobody is there.
func (x *exchange) hold() bool {
	return x.waitBy(func(now time.Time) holdResult {
		return x.svc.queue.wait(x.r.Context(), &x.ticket, x.settings.Hold.MaxRequests, now)
	})
}

// pause waits alone for another decision or for some time: a handshake that fails for this request's host name says
// nothing about the others, so they must not wait behind it.
func (x *exchange) pause(c *choice) bool {
	x.pauses++
	return x.waitAlone(min(trialMax, trialFirst<<min(x.pauses-1, 10)), func(o *outlook) bool {
		return o.plan != nil || o.all.dest != c.dest || o.all.epoch != c.epoch
	})
}

// waitAlone waits outside the queue until another view has come that is reason enough to go on, or for limit.
func (x *exchange) waitAlone(limit time.Duration, changed func(*outlook) bool) bool {
	return x.waitBy(func(now time.Time) holdResult {
		until := x.ticket.deadline
		if left := until.Sub(now); left <= 0 {
			return holdTimeout
		} else if left < limit {
			limit = left
		}
		defer x.svc.pausing.Add(-1)
		if x.svc.pausing.Add(1) > int64(x.settings.Hold.MaxRequests) {
			return holdFull
		}
		timer := time.NewTimer(limit)
		defer timer.Stop()
		for {
			replaced := x.p.o.Hub.Load().Replaced()
			if changed(x.svc.current()) {
				return holdReleased
			}
			select {
			case <-replaced:
			case <-timer.C:
				if !time.Now().Before(until) {
					return holdTimeout
				}
				return holdReleased
			case <-x.r.Context().Done():
				return holdGone
			}
		}
	})
}

// waitBy accounts for one wait and answers when it was in vain.
func (x *exchange) waitBy(wait func(now time.Time) holdResult) bool {
	now := time.Now()
	if x.ticket.deadline.IsZero() {
		x.ticket.deadline = now.Add(x.settings.Hold.MaxWait)
		x.ticket.addr = x.from.client
	}
	held := x.p.metrics.held.WithLabelValues(x.svc.name)
	held.Inc()
	result := wait(now)
	held.Dec()
	x.held += time.Since(now)
	x.p.metrics.holds.WithLabelValues(x.svc.name, string(result)).Inc()
	switch result {
	case holdReleased:
		return true
	case holdGone:
		x.gone()
	case holdFull:
		x.answer(ReasonHoldFull, "too many requests are waiting for an endpoint already")
	case holdTimeout:
		switch o := x.svc.current(); {
		case !o.all.ok:
			x.answer(o.all.reason, o.all.why)
		case o.plan == nil && !x.live(o, o.all.dest):
			x.answer(ReasonUnconfirmed, "this node's lease has run out, so another endpoint may be active by now")
		case o.plan == nil:
			x.answer(ReasonUnreachable, "the active endpoint cannot be reached from here, and no other was agreed on in time")
		default:
			if c := x.next(o); !c.ok {
				x.answer(c.reason, c.why)
				return false
			}
			x.answer(ReasonUnreachable, "none of the endpoints this request may go to can be reached from here")
		}
	}
	return false
}

// again decides after a failed attempt; false: it was answered or nobody is there.
func (x *exchange) again(c *choice, f *failure) bool {
	if f.kind != "" {
		x.svc.charge(c, f.kind)
	}
	switch f.outcome {
	case outcomeGone:
		x.gone()
	case outcomeClientBody:
		x.answer(ReasonMalformed, "the request body could not be read: "+f.err.Error())
	case outcomeTimeout:
		x.answer(ReasonTimeout, "the origin gave no answer in time")
	case outcomeJunk:
		x.answer(ReasonJunk, "the origin's answer is not valid")
	case outcomeMoved, outcomeUnsent, outcomeConnect, outcomeLost:
		return x.sendAgain(c, f)
	}
	return false
}

// sendAgain decides about attempts of which the origin has certainly seen nothing, or which may be repeated.
func (x *exchange) sendAgain(c *choice, f *failure) bool {
	if f.outcome != outcomeLost && !x.body.complete() {
		x.answer(ReasonLost, "the connection to the origin was lost while a long request body was on its way")
		return false
	}
	switch f.outcome {
	case outcomeMoved:
		x.moved = true
		return true
	case outcomeUnsent:
		x.unsent++
		if x.unsent > maxUnsent {
			x.unsent = 0
			return x.waitForEndpoint(c, ReasonConnect)
		}
		x.fresh, x.replaced = true, true
		return true
	case outcomeConnect:
		if f.kind == KindTLS {
			return x.waitForEndpoint(c, ReasonOriginTLS)
		}
		return x.waitForEndpoint(c, ReasonConnect)
	case outcomeLost:
		return x.afterLoss(c)
	case outcomeGone, outcomeClientBody, outcomeTimeout, outcomeJunk:
	}
	return false
}

// waitForEndpoint sends the request into hold, for a new decision or for the same endpoint to answer again. Where there
// is no decision to wait for, it goes to another endpoint.
func (x *exchange) waitForEndpoint(c *choice, why Reason) bool {
	if x.turn.under != nil {
		return x.elsewhere(c, why)
	}
	if x.settings.Retry.Attempts == 0 || x.settings.Hold.MaxWait <= 0 {
		x.answer(why, "the origin cannot be reached, and this profile neither retries nor holds")
		return false
	}
	if why == ReasonOriginTLS {
		x.svc.queue.settled(&x.ticket)
		return x.pause(c)
	}
	limit := max(x.settings.Timeouts.Connect, trialFirst)
	x.svc.queue.failed(c, &x.ticket, limit, time.Now())
	return true
}

// afterLoss is row d: a fresh connection to the same endpoint once, then as after a failed connect.
func (x *exchange) afterLoss(c *choice) bool {
	switch {
	case !x.mayResend():
		x.answer(ReasonLost, "the connection to the origin was lost; the request may have been processed and is not sent again")
		return false
	case x.repeats >= x.settings.Retry.Attempts:
		x.answer(ReasonLost, "the connection to the origin was lost again")
		return false
	case !x.svc.budget.allow(time.Now(), int(x.settings.Retry.Budget)):
		x.answer(ReasonBudget, "too many requests are being sent again already")
		return false
	}
	x.repeats++
	x.replaced = true
	if x.freshDone != c.endpoint {
		x.freshDone, x.fresh = c.endpoint, true
		return true
	}
	return x.waitForEndpoint(c, ReasonConnect)
}

func (x *exchange) gone() {
	x.line.Reason, x.line.Status = ReasonClientGone, statusGone
}

// served names the way a request came through.
func (x *exchange) served(c *choice) Reason {
	switch {
	case x.moved || (c.endpoint != x.first && x.turn.under == nil):
		return ReasonFailedOver
	case c.endpoint != x.first:
		return ReasonAnother
	case x.held > 0:
		return ReasonHeld
	case x.replaced:
		return ReasonReplaced
	}
	return ReasonOK
}

// match finds the profile; false: it was answered.
func (x *exchange) match() bool {
	if x.r.Method == http.MethodConnect || x.r.Method == http.MethodTrace {
		x.answer(ReasonMethod, x.r.Method+" is not carried")
		return false
	}
	t, _ := x.p.o.Hub.Load().Config(x.p.slot).(*table) // nil before the first documents
	name := hostName(x.r.Host)
	x.route = t.match(name)
	if x.route == nil {
		x.answer(ReasonNoProfile, "no profile has this host name")
		return false
	}
	if x.r.TLS != nil && x.r.TLS.ServerName != "" && t.match(hostName(x.r.TLS.ServerName)) != x.route {
		x.answer(ReasonMisdirected, "the TLS server name and the Host field belong to different profiles")
		return false
	}
	x.line.Profile = x.route.profile.Name
	if x.route.profile.Proxy == nil {
		x.answer(ReasonNoProfile, "this profile is DNS only: it has no proxy section")
		return false
	}
	x.svc, x.settings = x.p.service(x.route.profile.Name), x.route.profile.Proxy
	return true
}

// prepare reads what the attempts need; false: it was answered.
func (x *exchange) prepare() bool {
	if err := checkRequest(x.r); err != nil {
		x.answer(ReasonMalformed, err.Error())
		return false
	}
	x.safe = idempotent(x.r.Method) && slices.Contains(x.settings.Retry.Methods, x.r.Method)
	x.upgrade = wantsWebsocket(x.r)
	if x.r.Body != nil && x.r.Body != http.NoBody {
		x.body = &replay{src: x.r.Body, max: int64(x.settings.Retry.BodyBuffer), lost: x.r.ContentLength > int64(x.settings.Retry.BodyBuffer)}
		// An origin may answer before it has the whole body.
		if err := x.rc.EnableFullDuplex(); err != nil && !errors.Is(err, http.ErrNotSupported) {
			x.answer(ReasonInternal, "the connection cannot be read and written at the same time")
			return false
		}
	}
	return true
}

// poolKey is the connection pool for c: with TLS the name the client asked for is SNI and is verified.
func (x *exchange) poolKey(c *choice) poolKey {
	k := poolKey{secure: c.dest.secure, addr: c.dest.addr}
	if k.secure {
		k.serverName = hostName(x.r.Host)
	}
	return k
}
