package proxy

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"jurymast/internal/geo"
	"jurymast/internal/steer"
)

// Locator knows where clients are. Its methods must be safe to call at any time, and must not block.
type Locator interface {
	Place(a netip.Addr) geo.Place
	Row(a netip.Addr) *geo.Row
}

// turn is one request's own order of endpoints, where the routing method chooses per request. It lasts as long as the
// view it was made under; what has been tried in vain is remembered beyond that.
type turn struct {
	under   *outlook // nil: the choice is the same for everybody
	order   []int    // leaves that may get the request, best first
	none    choice   // why order is empty
	tried   []string // endpoints
	further int      // tries at another endpoint
	buf     [8]int
}

// next is where this request goes now.
func (x *exchange) next(o *outlook) *choice {
	t := &x.turn
	if o.plan == nil {
		t.under = nil
		return &o.all
	}
	if t.under != o {
		t.under = o
		t.order, t.none = x.p.order(o, x.client, t.buf[:0])
	}
	if len(t.order) == 0 {
		return &t.none
	}
	for _, leaf := range t.order {
		if c := &o.leaves[leaf]; !slices.Contains(t.tried, c.endpoint) {
			return c
		}
	}
	t.tried = t.tried[:0]
	return &o.leaves[t.order[0]]
}

// order asks the routing method for this client: the leaves that may get its request, best first, or why there is none.
func (p *Proxy) order(o *outlook, client netip.Addr, buf []int) ([]int, choice) {
	c := steer.Client{Addr: client, Bits: client.BitLen()}
	needs := o.plan.Needs()
	if p.o.Locator != nil && client.IsValid() {
		if needs&steer.NeedPlace != 0 {
			c.Place = p.o.Locator.Place(client)
		}
		if needs&steer.NeedRow != 0 {
			c.Row = p.o.Locator.Row(client)
		}
	}
	pick := o.plan.Pick(&c, rand.Uint64, nil)
	none := choice{profile: o.all.profile, epoch: o.all.epoch}
	if none.why, none.reason = nowhere(&pick); none.why != "" {
		if pick.Serving == steer.ServingNone {
			none.why = "no endpoint that may be used is meant for this client"
		}
		return nil, none
	}
	order := o.plan.Order(&c, pick, buf)
	if len(order) > 0 {
		none = o.leaves[order[0]]
	} else {
		none.why, none.reason = "no endpoint is meant for this client", ReasonNoEndpoint
	}
	return slices.DeleteFunc(order, func(leaf int) bool { return !o.leaves[leaf].ok }), none
}

// sitOut waits for another view: under this one there is no endpoint for this request.
func (x *exchange) sitOut(o *outlook) bool {
	x.svc.queue.settled(&x.ticket)
	return x.waitAlone(time.Hour, func(now *outlook) bool { return now != o })
}

// elsewhere goes on with the next endpoint in the request's order, retry.attempts times; then the request pauses, for
// longer each time, or until the view changes.
func (x *exchange) elsewhere(c *choice, why Reason) bool {
	t := &x.turn
	t.tried = append(t.tried, c.endpoint)
	left := slices.ContainsFunc(t.order, func(leaf int) bool { return !slices.Contains(t.tried, t.under.leaves[leaf].endpoint) })
	if left && t.further < x.settings.Retry.Attempts {
		t.further++
		return true
	}
	if x.settings.Retry.Attempts == 0 || x.settings.Hold.MaxWait <= 0 {
		x.answer(why, "no endpoint this request may go to can be reached, and this profile does not hold")
		return false
	}
	x.svc.queue.settled(&x.ticket)
	x.pauses++
	under := t.under
	return x.waitAlone(min(trialMax, trialFirst<<min(x.pauses-1, 10)), func(now *outlook) bool { return now != under })
}
