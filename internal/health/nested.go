package health

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"jurymast/internal/profile"
)

// census counts the endpoints of a child profile, of one family or of all.
type census struct{ online, checking, size int }

// nestedStatus is the status of an endpoint that stands for another profile:
//
//	child unknown                           -> CheckingEndpoint
//	child Disabled or Inactive, or nothing
//	in it may be answered (drained)         -> Stopped
//	enough endpoints Online                 -> Online; CheckingEndpoint while the child is not ready
//	enough Online or CheckingEndpoint       -> CheckingEndpoint
//	else                                    -> Degraded
//
// Enough is tested three times: over all endpoints, those with IPv4 and those with IPv6 addresses; the worst of the three
// counts. With group_threshold the usable share of the child's weight counts too.
func nestedStatus(e *EndpointView) Status {
	c := e.Child
	if c == nil {
		return CheckingEndpoint
	}
	if c.Disabled || !slices.ContainsFunc(c.Endpoints, func(e EndpointView) bool { return e.Tier != TierExcluded }) {
		return Stopped
	}
	worst := Online
	for _, t := range thresholds(e.Config) {
		worst = worse(worst, enough(take(c, t.family), t.need))
	}
	if g := c.Profile.GroupThreshold; g > 0 && worst == Online && usableShare(c) < g {
		worst = Degraded
	}
	if worst == Online && !c.Ready {
		worst = CheckingEndpoint
	}
	return worst
}

// family selects endpoints by the addresses they lead to.
type family uint8

const (
	anyFamily family = iota
	ipv4
	ipv6
)

type threshold struct {
	family family
	need   int
}

// thresholds are the three tests. The total is at least what the families need together.
func thresholds(cfg *profile.Endpoint) [3]threshold {
	return [3]threshold{
		{anyFamily, max(cfg.MinChild, cfg.MinChildIPv4+cfg.MinChildIPv6)},
		{ipv4, cfg.MinChildIPv4},
		{ipv6, cfg.MinChildIPv6},
	}
}

func take(c *View, f family) (n census) {
	for i := range c.Endpoints {
		e := &c.Endpoints[i]
		if !leadsTo(e, f) {
			continue
		}
		n.size++
		switch {
		case e.Layer.Drained:
		case e.Status == Online || e.Status == Unmonitored:
			n.online++
		case e.Status == CheckingEndpoint:
			n.checking++
		}
	}
	return n
}

// leadsTo reports that an endpoint has an address of the family, itself or in a profile below it.
func leadsTo(e *EndpointView, f family) bool {
	if f == anyFamily {
		return true
	}
	if e.Child != nil {
		return slices.ContainsFunc(e.Child.Endpoints, func(below EndpointView) bool { return leadsTo(&below, f) })
	}
	return slices.ContainsFunc(e.Config.Target.Addrs, func(text string) bool {
		a, err := netip.ParseAddr(text)
		return err == nil && a.Unmap().Is4() == (f == ipv4)
	})
}

func enough(n census, need int) Status {
	switch {
	case n.online >= need:
		return Online
	case n.online+n.checking >= need:
		return CheckingEndpoint
	}
	return Degraded
}

// worse orders Online < CheckingEndpoint < Degraded.
func worse(a, b Status) Status {
	if a == Degraded || b == Degraded {
		return Degraded
	}
	if a == CheckingEndpoint || b == CheckingEndpoint {
		return CheckingEndpoint
	}
	return Online
}

// usableShare is the weight of the usable endpoints by that of all that are not excluded, 0..1.
func usableShare(v *View) float64 {
	var usable, all int
	for i := range v.Endpoints {
		e := &v.Endpoints[i]
		if e.Tier == TierExcluded {
			continue
		}
		w := max(1, e.Config.Weight)
		all += w
		if e.Tier == TierUsable {
			usable += w
		}
	}
	if all == 0 {
		return 0
	}
	return float64(usable) / float64(all)
}

// nestedHorizons says how soon a nested endpoint's standing can flip. It falls when so many of the child's endpoints
// have fallen that fewer than needed are left: with k to fall, at the k-th smallest horizon. It recovers likewise.
func nestedHorizons(e *EndpointView) (horizon, recovery time.Duration) {
	horizon = Unlimited
	c := e.Child
	if c == nil {
		return time.Second, time.Second
	}
	if c.Profile.GroupThreshold > 0 {
		horizon = soonest(c)
		return horizon, horizon
	}
	recovery = 0
	for _, t := range thresholds(e.Config) {
		fall, back := timesOf(c, t.family)
		if spare := len(fall) - t.need; t.need > 0 && spare >= 0 && spare < len(fall) {
			horizon = min(horizon, fall[spare])
		}
		switch missing := t.need - len(fall); {
		case missing <= 0:
		case missing > len(back):
			recovery = Unlimited
		default:
			recovery = max(recovery, back[missing-1])
		}
	}
	return horizon, recovery
}

// timesOf are, in ascending order, when the Online endpoints of a family can fall and the others come back.
func timesOf(c *View, f family) (fall, back []time.Duration) {
	for i := range c.Endpoints {
		e := &c.Endpoints[i]
		switch {
		case !leadsTo(e, f):
		case !e.Layer.Drained && (e.Status == Online || e.Status == Unmonitored):
			fall = append(fall, e.Horizon)
		default:
			back = append(back, e.Recovery)
		}
	}
	slices.Sort(fall)
	slices.Sort(back)
	return fall, back
}

// soonest is when any endpoint of the view can change.
func soonest(v *View) time.Duration {
	out := Unlimited
	for i := range v.Endpoints {
		out = min(out, v.Endpoints[i].Horizon)
		if v.Endpoints[i].Tier != TierUsable {
			out = min(out, v.Endpoints[i].Recovery)
		}
	}
	return out
}

// tally says how far the child is from what is asked of it: of the first test it fails, or of the total.
func tally(e *EndpointView) string {
	words := [...]string{anyFamily: "endpoints", ipv4: "endpoints with IPv4", ipv6: "endpoints with IPv6"}
	tests := thresholds(e.Config)
	shown := tests[0]
	for _, t := range tests {
		if enough(take(e.Child, t.family), t.need) != Online {
			shown = t
			break
		}
	}
	n := take(e.Child, shown.family)
	text := fmt.Sprintf("%d of %d %s Online, %d needed", n.online, n.size, words[shown.family], shown.need)
	switch g := e.Child.Profile.GroupThreshold; {
	case !e.Child.Ready:
		text += ", first verdicts are missing"
	case g > 0 && usableShare(e.Child) < g:
		text += fmt.Sprintf(", %.0f%% of the weight usable, %.0f%% needed", 100*usableShare(e.Child), 100*g)
	}
	return text
}

// NestedVerdict tells what a nested endpoint's status rests on, in the words of a verdict.
func NestedVerdict(e *EndpointView, prev Verdict, now time.Time) Verdict {
	next := Verdict{Status: nestedStatus(e)}
	if next.Status == Stopped {
		next.Status = Degraded // of the three a verdict knows; the status shown says Stopped
	}
	if c := e.Child; c == nil {
		next.Reason = "profile " + e.Config.Target.Profile + " is not known yet"
	} else {
		next.Stale = c.Stale
		next.Reason = fmt.Sprintf("profile %s is %s: %s", c.Profile.Name, c.ProfileStatus(), tally(e))
	}
	return next.since(prev, now)
}
