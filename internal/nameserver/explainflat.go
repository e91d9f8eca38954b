package nameserver

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"jurymast/internal/nameserver/flatten"
	"jurymast/internal/steer"
)

// Flattened is one name on the way from a chosen target to the addresses that are answered in its stead.
type Flattened struct {
	Target  string          `json:"target"`
	Zone    string          `json:"zone,omitempty"`    // of ours that has it
	Profile string          `json:"profile,omitempty"` // of ours that answers it
	Lookup  *flatten.Status `json:"lookup,omitempty"`  // what resolvers told, when it is not ours
}

// flattened adds how a target's name became addresses.
func (e *Explanation) flattened(r *response) {
	now := time.Now()
	for i := range r.stops {
		s := &r.stops[i]
		one := Flattened{Target: s.host}
		step := steer.Step{Step: "flatten", Rule: "a CNAME may not stand here: the target's addresses are answered", Input: s.host}
		switch {
		case s.route.abroad != "":
			if s.route.target == nil {
				step.Result = "nobody looks " + s.route.abroad + " up"
				break
			}
			st := s.route.target.Status(now)
			one.Lookup, step.Result = &st, lookupText(&st, now)
		case s.profile != nil:
			one.Zone, one.Profile = s.route.zone.Name, s.profile.view.Profile.Name
			step.Result = "profile " + one.Profile
			if s.leaf >= 0 {
				step.Result += ", endpoint " + s.profile.leaves[s.leaf].endpoint
			}
		default:
			one.Zone = s.route.zone.Name
			step.Result = "records of zone " + one.Zone
			if s.route.node == nil {
				step.Result = "zone " + one.Zone + " has no such name"
			}
		}
		if slices.ContainsFunc(e.Flattened, func(f Flattened) bool { return f.Target == one.Target }) {
			continue // ANY looks for two types
		}
		e.Flattened, e.Trail = append(e.Flattened, one), append(e.Trail, step)
	}
}

// lookupText is a looked-up target in one line.
func lookupText(s *flatten.Status, now time.Time) string {
	out := []string{string(s.State)}
	if len(s.Addresses) > 0 {
		out[0] += ": " + strings.Join(s.Addresses, " ")
	}
	if !s.Learned.IsZero() {
		out = append(out, fmt.Sprintf("told by %s %s ago", s.Resolver, now.Sub(s.Learned).Round(time.Second)))
	}
	if !s.Next.IsZero() {
		out = append(out, fmt.Sprintf("next lookup in %s", max(0, s.Next.Sub(now)).Round(time.Second)))
	}
	if s.Trouble != "" {
		out = append(out, s.Trouble)
	}
	return strings.Join(out, ", ")
}
