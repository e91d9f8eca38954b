package steer

import (
	"fmt"
	"time"

	"jurymast/internal/health"
)

// ttl is how long an answer of this profile may be kept, when it can change in soon at the earliest:
//
//	compat: azure    the profile's ttl, always
//	all down, stale  at most ttl_floor
//	else             max(ttl_floor, min(ttl, soon)), whole seconds
func (n *node) ttl(q *question, serving Serving, soon time.Duration) time.Duration {
	p := n.view.Profile
	if p.Azure() {
		if q.trail != nil {
			q.trail.add("ttl", "compat: azure: the profile's ttl", "", p.TTL.String())
		}
		return p.TTL
	}
	var ttl time.Duration
	if serving == ServingAllDown {
		ttl = clampTTL(n.view, 0)
		if q.trail != nil {
			q.trail.add("ttl", "all down", "", "floor "+ttl.String())
		}
	} else {
		ttl = clampTTL(n.view, soon)
		if q.trail != nil {
			q.trail.add("ttl", fmt.Sprintf("max(%v, min(%v, horizons)), whole seconds", p.TTLFloor, p.TTL), "", ttl.String())
		}
	}
	if n.view.Stale {
		ttl = min(ttl, p.TTLFloor)
		if q.trail != nil {
			q.trail.add("ttl", "stale view", "", "floor "+ttl.String())
		}
	}
	return ttl
}

// clampTTL is max(floor, min(ttl, horizon)) in whole seconds, rounded down; a ttl of 0 stays 0.
func clampTTL(v *health.View, horizon time.Duration) time.Duration {
	return max(v.Profile.TTLFloor, min(v.Profile.TTL, horizon)).Truncate(time.Second)
}

// ordersEnd is when the first order that keeps an endpoint out ends.
func (n *node) ordersEnd() time.Duration {
	soon := health.Unlimited
	if n.view.Disabled && n.view.Reopens > 0 {
		return n.view.Reopens
	}
	for i := range n.view.Endpoints {
		if e := &n.view.Endpoints[i]; !e.Layer.Ends.IsZero() {
			soon = min(soon, e.Recovery)
		}
	}
	return soon
}
