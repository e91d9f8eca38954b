package api

import (
	"fmt"
	"slices"

	"jurymast/internal/health"
	"jurymast/internal/profile"
	"jurymast/internal/steer"
)

// servingOf is what clients get, over all of them. Where the client decides, the answer to nobody in particular would say
// little about the others; there it is how the endpoints stand.
func servingOf(v *health.View, toNobody steer.Serving) steer.Serving {
	switch v.Profile.Routing {
	case profile.Geographic, profile.Performance, profile.Subnet:
	case profile.Priority, profile.Weighted, profile.Multivalue:
		return toNobody
	}
	if v.Disabled || !v.Ready || toNobody == steer.ServingHalted {
		return toNobody
	}
	best, eligible, candidates := health.TierExcluded, 0, 0
	for i := range v.Endpoints {
		t := v.Endpoints[i].Tier
		if t < best {
			best, candidates = t, 0
		}
		if t < health.TierExcluded {
			eligible++
		}
		if t == best {
			candidates++
		}
	}
	switch {
	case best == health.TierExcluded:
		return steer.ServingNone
	case best == health.TierDown:
		return steer.ServingAllDown
	case candidates < eligible:
		return steer.ServingPartial
	}
	return steer.ServingPreferred
}

// matched fills in what the routing method looks at.
func (s *EndpointStatus) matched(c *profile.Endpoint) {
	s.ConfigWeight, s.Geo, s.Subnets = c.Weight, slices.Clone(c.Geo), slices.Clone(c.Subnets)
	s.Location = locationText(c.Location)
}

func locationText(l profile.Location) string {
	if l.Region == "" && l.Lat != nil && l.Lon != nil {
		return fmt.Sprintf("%g, %g", *l.Lat, *l.Lon)
	}
	return l.Region
}
