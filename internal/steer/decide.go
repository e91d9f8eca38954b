package steer

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"jurymast/internal/health"
	"jurymast/internal/profile"
)

// Client is what is known of who asks: the client's subnet from ECS when present, else the source address.
// Priority does not look at it.
type Client struct {
	Addr netip.Addr
	ECS  netip.Prefix
}

// Dice returns uniformly distributed random bits; methods that draw call it once per question. Priority never does.
type Dice func() uint64

// Serving says in one word what is really answered, beside the monitor status.
type Serving string

// The words of Serving.
const (
	ServingPreferred Serving = "preferred"
	ServingFallback  Serving = "fallback"  // a lower priority answers
	ServingAllDown   Serving = "all-down"  // an answer without a usable endpoint
	ServingNone      Serving = "none"      // nothing to answer: NODATA
	ServingNotReady  Serving = "not-ready" // first verdicts are missing: SERVFAIL, 503
)

// Answer is where a question goes.
type Answer struct {
	Order   []int         // endpoint indexes of the profile, best first; only the first is answered by priority
	TTL     time.Duration // whole seconds
	Serving Serving
	Agreed  bool // Order[0] is the decision's active endpoint: the proxy may send to it
	Stale   bool
}

// Decide answers one question about a profile. trail may be nil; with one, every step is written into it.
func Decide(v *health.View, _ Client, _ Dice, trail *Trail) Answer {
	trail.add("profile", "", v.Profile.Name, fmt.Sprintf("routing %s, %d endpoints", v.Profile.Routing, len(v.Endpoints)))
	var a Answer
	switch {
	case v.Disabled:
		trail.add("profile", "disabled profile answers nothing", "", "NODATA")
		a = Answer{Serving: ServingNone, TTL: clampTTL(v, health.Unlimited)}
	case !v.Ready:
		trail.add("profile", "a missing verdict could change the answer", "", "not ready")
		a = Answer{Serving: ServingNotReady}
	default:
		a = priority(v, trail)
	}
	a.Stale = v.Stale
	if v.Stale {
		a.TTL = min(a.TTL, v.Profile.TTLFloor)
		trail.add("ttl", "stale view", "", "floor "+a.TTL.String())
	}
	return a
}

// ranked lists the endpoints by priority number, then by position.
func ranked(v *health.View) []int {
	order := make([]int, len(v.Endpoints))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return v.Endpoints[a].Config.Priority - v.Endpoints[b].Config.Priority })
	return order
}

// candidates keeps of order those of the best tier, and names that tier. When nobody is better than TierDown it
// returns the eligible ones with TierDown.
func candidates(v *health.View, order []int) ([]int, health.Tier) {
	best := health.TierExcluded
	for _, i := range order {
		best = min(best, v.Endpoints[i].Tier)
	}
	if best == health.TierExcluded {
		return nil, best
	}
	return slices.DeleteFunc(slices.Clone(order), func(i int) bool { return v.Endpoints[i].Tier != best }), best
}

func priority(v *health.View, trail *Trail) Answer {
	order := ranked(v)
	cand, tier := candidates(v, order)
	trail.candidates(v, order, tier)
	if len(cand) == 0 {
		trail.add("choice", "no endpoint may be answered", "", "NODATA")
		return Answer{Serving: ServingNone, TTL: clampTTL(v, health.Unlimited)}
	}
	_, active := v.Profile.Endpoint(v.Decision.Active)
	if tier == health.TierDown {
		return allDown(v, cand, active, trail)
	}
	chosen, agreed := cand[0], false
	switch {
	case active >= 0 && slices.Contains(cand, active):
		chosen, agreed = active, true
		trail.add("choice", "the decision's active endpoint is a candidate", fmt.Sprintf("epoch %d, %s", v.Decision.Epoch, v.Decision.Reason), v.Decision.Active)
	case active >= 0:
		trail.add("choice", "the active endpoint is no candidate: lowest number until the leader decides", v.Decision.Active, name(v, chosen))
	default:
		trail.add("choice", "no decision yet: lowest number", "", name(v, chosen))
	}
	a := Answer{Order: lead(cand, chosen), Agreed: agreed, Serving: ServingPreferred}
	if order[0] != chosen {
		a.Serving = ServingFallback
	}
	a.TTL = clampTTL(v, changeIn(v, order, chosen, trail))
	trail.add("ttl", fmt.Sprintf("max(%v, min(%v, horizons)), whole seconds", v.Profile.TTLFloor, v.Profile.TTL), "", a.TTL.String())
	return a
}

// allDown answers although nobody is usable: an answer that may be wrong beats none.
func allDown(v *health.View, cand []int, active int, trail *Trail) Answer {
	chosen := cand[0]
	keep := v.Profile.Failback.Mode != profile.FailbackAuto || v.Profile.Fencing == profile.Strict
	if keep && active >= 0 && slices.Contains(cand, active) {
		chosen = active
	}
	trail.add("choice", "all down: every eligible endpoint counts as Online, no decision is written", "", name(v, chosen))
	trail.add("ttl", "all down", "", "floor "+v.Profile.TTLFloor.String())
	return Answer{Order: lead(cand, chosen), TTL: clampTTL(v, 0), Serving: ServingAllDown, Agreed: chosen == active}
}

// changeIn is the soonest time the answer can change by itself: the chosen one falls, or a better one comes back.
func changeIn(v *health.View, order []int, chosen int, trail *Trail) time.Duration {
	soonest := v.Endpoints[chosen].Horizon
	trail.horizon(name(v, chosen), "its verdict can flip", soonest)
	for _, i := range order {
		if i == chosen {
			break
		}
		r := v.Endpoints[i].Recovery
		trail.horizon(name(v, i), "a better endpoint can return", r)
		soonest = min(soonest, r)
	}
	return soonest
}

// clampTTL is max(floor, min(ttl, horizon)) in whole seconds, rounded down; a ttl of 0 stays 0.
func clampTTL(v *health.View, horizon time.Duration) time.Duration {
	return max(v.Profile.TTLFloor, min(v.Profile.TTL, horizon)).Truncate(time.Second)
}

// lead puts first in front and keeps the rest in order.
func lead(order []int, first int) []int {
	out := make([]int, 0, len(order))
	out = append(out, first)
	for _, i := range order {
		if i != first {
			out = append(out, i)
		}
	}
	return out
}

func name(v *health.View, i int) string { return v.Endpoints[i].Config.Name }
