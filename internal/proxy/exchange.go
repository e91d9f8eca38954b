package proxy

import (
	"net/http"
	"net/netip"
	"slices"
	"time"

	"jurymast/internal/profile"
	"jurymast/internal/proxy/accesslog"
	"jurymast/internal/proxy/figures"
	"jurymast/internal/proxy/http1"
	"jurymast/internal/snapshot"
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
	p      *Proxy
	lap    *lap
	door   *door
	source source
	sink   sink
	head   []byte // of the request, as it came; nil: there is none that could be relied on

	snap         *snapshot.Snapshot // that route, svc and the outlook below were read from
	seen         *outlook
	route        *route
	svc          *service
	settings     *profile.Proxy
	client       netip.Addr // right-most hop that is not trusted
	clientSource string     // where client was read: "peer" or "x-forwarded-for"
	upgrade      bool       // the client asks for a websocket
	safe         bool       // the method is idempotent and in retry.methods

	ticket     ticket
	turn       turn
	watch      *watch        // of the client while we wait; nil: not begun
	spent      time.Duration // in attempts, until their first byte
	repeats    int           // attempts that count against retry.attempts
	unsent     int
	pauses     int
	fresh      bool   // the next attempt takes a connection of its own
	freshDone  string // endpoint whose fresh connection was used
	moved      bool
	first      string // endpoint of the first attempt
	replaced   bool
	sent       *choice // of the last attempt
	headPassed bool    // the client has the head of an answer, or a part of it
	broken     brokenness
	tunnelled  bool
	counted    bool       // in svc.live
	rule       http1.Rule // that the client's message breaks
	line       accesslog.Record
	counts     *figures.Endpoint // of the last attempt; nil: none
	wait       figures.Wait
}

func (x *exchange) req() *http1.Request { return &x.lap.req }

func (x *exchange) up() *upload { return &x.lap.up }

const maxUnsent = 3 // attempts of which nothing was accepted, before it counts as no connection

func (x *exchange) run() {
	if !x.match() {
		return
	}
	x.svc.live.Add(1)
	x.counted = true
	x.svc.budget.exchange(x.line.Time)
	if !x.prepare() {
		return
	}
	for {
		o := x.outlook()
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
		f := x.attempt(c)
		if f == nil {
			x.relay(c)
			return
		}
		if !x.again(c, f) {
			return
		}
	}
}

// mayResend: processing it twice is harmless, and we still have all of it.
func (x *exchange) mayResend() bool { return x.safe && !x.upgrade && x.up().replayable() }

func idempotent(method []byte) bool {
	switch string(method) {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodPut, http.MethodDelete:
		return true
	}
	return false
}

// hold waits until the request may be sent; false: it was answered or nobody is there.
func (x *exchange) hold() bool {
	return x.waitBy(func(now time.Time) holdResult {
		return x.svc.queue.wait(x.gone(), &x.ticket, x.settings.Hold.MaxRequests, now)
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
			case <-x.gone():
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
		x.ticket.addr = x.client
	}
	counts := x.route.figures(x.p)
	counts.Wait(&x.wait, now)
	result := wait(now)
	counts.Waited(&x.wait, string(result))
	x.line.Held += time.Since(now)
	switch result {
	case holdReleased:
		return true
	case holdGone:
		x.leave()
	case holdFull:
		x.answer(ReasonHoldFull, "too many requests are waiting for an endpoint already")
	case holdTimeout:
		switch o := x.outlook(); {
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
		x.leave()
	case outcomeClientBody:
		x.badBody(f.err)
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
	if f.outcome != outcomeLost && !x.up().complete() {
		x.answer(ReasonLost, "the connection to the origin was lost while a long request body was on its way")
		return false
	}
	counts := x.route.figures(x.p)
	switch f.outcome {
	case outcomeMoved:
		x.moved = true
		counts.Retry(retrySwitch)
		counts.Moved()
		return true
	case outcomeUnsent:
		x.unsent++
		if x.unsent > maxUnsent {
			x.unsent = 0
			return x.waitForEndpoint(c, ReasonConnect)
		}
		x.fresh, x.replaced = true, true
		counts.Retry(retryConnect)
		return true
	case outcomeConnect:
		counts.Retry(retryConnect)
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
	x.route.figures(x.p).Retry(retryLost)
	if x.freshDone != c.endpoint {
		x.freshDone, x.fresh = c.endpoint, true
		return true
	}
	return x.waitForEndpoint(c, ReasonConnect)
}

// leave notes that nobody is there any more to be answered.
func (x *exchange) leave() {
	x.line.Reason, x.line.Status = string(ReasonClientGone), statusGone
	x.broken = brokenEnd
}

// served names the way a request came through.
func (x *exchange) served(c *choice) Reason {
	switch {
	case x.moved || (c.endpoint != x.first && x.turn.under == nil):
		return ReasonFailedOver
	case c.endpoint != x.first:
		return ReasonAnother
	case x.line.Held > 0:
		return ReasonHeld
	case x.replaced:
		return ReasonReplaced
	}
	return ReasonOK
}

// match finds the profile; false: it was answered.
func (x *exchange) match() bool {
	x.whoAsks()
	switch m := x.req().Method.Of(x.head); string(m) {
	case http.MethodConnect, http.MethodTrace:
		x.answer(ReasonMethod, string(m)+" is not carried")
		return false
	}
	x.snap = x.p.o.Hub.Load()
	t, _ := x.snap.Config(x.p.slot).(*table) // nil before the first documents
	x.route = t.matchHost(x.req().Host.Of(x.head))
	if x.route == nil {
		x.answer(ReasonNoProfile, "no profile has this host name")
		return false
	}
	if x.door.sni != "" && t.match(hostName(x.door.sni)) != x.route {
		x.answer(ReasonMisdirected, "the TLS server name and the Host field belong to different profiles")
		return false
	}
	x.line.Profile = x.route.profile.Name
	if x.route.profile.Proxy == nil {
		x.answer(ReasonNoProfile, "this profile is DNS only: it has no proxy section")
		return false
	}
	x.svc, x.settings = x.p.serviceOf(x.route), x.route.profile.Proxy
	return true
}

// prepare reads what the attempts need; false: it was answered.
func (x *exchange) prepare() bool {
	req := x.req()
	method := req.Method.Of(x.head)
	x.safe = idempotent(method) && slices.ContainsFunc(x.settings.Retry.Methods, func(m string) bool { return m == string(method) })
	x.upgrade = x.wantsWebsocket()
	if err := x.up().begin(x); err != nil {
		x.badBody(err)
		return false
	}
	return true
}

// outlook is where requests may go now. It is looked up anew only when there is a newer snapshot.
func (x *exchange) outlook() *outlook {
	if x.seen != nil && x.p.o.Hub.Load() == x.snap {
		return x.seen
	}
	x.snap = x.p.o.Hub.Load()
	x.seen = x.svc.currentIn(x.snap)
	return x.seen
}
