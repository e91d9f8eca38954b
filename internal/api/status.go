package api

import (
	"slices"
	"strings"
	"time"

	"jurymast/internal/health"
	"jurymast/internal/profile"
	"jurymast/internal/snapshot"
	"jurymast/internal/steer"
)

// StatusOf words a view for operators. It is pure: the same view gives the same status.
func StatusOf(v *health.View) ProfileStatus {
	answer := steer.Decide(v, steer.Client{}, nil, nil)
	s := ProfileStatus{
		Name: v.Profile.Name, Hostnames: slices.Clone(v.Profile.Hostnames), Routing: string(v.Profile.Routing),
		MonitorStatus: v.ProfileStatus(), Serving: string(servingOf(v, answer.Serving)), Stale: v.Stale, TTL: answer.TTL.String(), Halt: v.Halt.String(), Awaits: slices.Clone(v.Awaits),
		Decision: decisionOf(&v.Decision), Held: overrideOf(v.Held), Endpoints: make([]EndpointStatus, len(v.Endpoints)),
	}
	if s.Hostnames == nil {
		s.Hostnames = []string{}
	}
	for i := range v.Endpoints {
		s.Endpoints[i] = endpointOf(v.Profile, &v.Endpoints[i])
	}
	return s
}

func endpointOf(p *profile.Profile, e *health.EndpointView) EndpointStatus {
	s := EndpointStatus{
		Name: e.Config.Name, Target: targetText(e.Config.Target), Origin: e.Config.Origin, Priority: e.Config.Priority,
		MonitorStatus: e.Status.String(), Real: realState(e.Verdict.Status), Since: e.Verdict.Since, Reason: e.Verdict.Reason,
		Override: overrideOf(e.Layer.Shown), Votes: slices.Clone(e.Votes),
		TTL: max(p.TTLFloor, min(p.TTL, e.Horizon)).Truncate(time.Second).String(),
	}
	if s.Votes == nil {
		s.Votes = []health.Ballot{}
	}
	s.Paused, s.Held = e.Layer.Paused, e.Verdict.Held
	s.Probing = e.Layer.Disabled && e.Layer.Probing
	if full := 1000 * max(0, e.Config.Weight); int(e.Weight) < full {
		s.Weight = float64(e.Weight) / 1000
	}
	if unwatched(e) {
		s.Real, s.Reason = "", "not probed"
	}
	s.Nested, s.Signal = nestedOf(e), signalOf(e.Signal)
	s.matched(e.Config)
	return s
}

// unwatched: nobody looks at the endpoint, by its document.
func unwatched(e *health.EndpointView) bool {
	return !e.Nested() && (e.Config.AlwaysServe || e.Config.Monitor.Assume != profile.AssumeNothing)
}

// nestedOf counts as the status of a nested endpoint does.
func nestedOf(e *health.EndpointView) *NestedStatus {
	if !e.Nested() {
		return nil
	}
	n := &NestedStatus{Profile: e.Config.Target.Profile, Needed: max(e.Config.MinChild, e.Config.MinChildIPv4+e.Config.MinChildIPv6)}
	if e.Child == nil {
		return n
	}
	n.Status, n.Size = e.Child.ProfileStatus(), len(e.Child.Endpoints)
	for i := range e.Child.Endpoints {
		below := &e.Child.Endpoints[i]
		if !below.Layer.Drained && (below.Status == health.Online || below.Status == health.Unmonitored) {
			n.Online++
		}
	}
	return n
}

func signalOf(s *health.Signal) *SignalStatus {
	if s == nil {
		return nil
	}
	return &SignalStatus{State: s.State.String(), Reason: s.Reason, By: s.By, At: s.At, Until: s.Until}
}

// targetText is what DNS answers for an endpoint: a name, addresses, or profile:NAME.
func targetText(t profile.Target) string {
	switch {
	case t.Host != "":
		return t.Host
	case t.Profile != "":
		return "profile:" + t.Profile
	}
	return strings.Join(t.Addrs, ", ")
}

// realState is the verdict in one word, below all orders.
func realState(s health.Status) string {
	switch s {
	case health.Online:
		return health.Up.String()
	case health.Degraded:
		return health.Down.String()
	case health.CheckingEndpoint, health.Disabled, health.Inactive, health.Stopped, health.Unmonitored:
	}
	return health.Checking.String()
}

func decisionOf(d *health.Decision) *DecisionStatus {
	if d.Epoch == 0 {
		return nil
	}
	s := &DecisionStatus{
		Active: d.Active, Epoch: d.Epoch, Since: d.Since, Reason: d.Reason, Previous: d.Previous, Evidence: d.Evidence,
		By: d.By, Phase: string(d.Phase), Keeps: d.Keeps, Pending: d.Pending,
	}
	if !d.PendingSince.IsZero() {
		s.PendingSince = &d.PendingSince
	}
	return s
}

func overrideOf(o *health.Override) *OverrideStatus {
	if o == nil {
		return nil
	}
	s := &OverrideStatus{ID: o.ID, Act: o.Act.String(), By: o.By, Note: o.Note, At: o.At, KeepProbing: o.KeepProbing, Gate: o.Gate}
	if !o.Until.IsZero() {
		until := o.Until
		s.Until = &until
	}
	return s
}

func briefOf(v *health.View) *ProfileBrief {
	return &ProfileBrief{
		MonitorStatus: v.ProfileStatus(), Serving: string(servingOf(v, steer.Decide(v, steer.Client{}, nil, nil).Serving)),
		Active: v.Decision.Active, Epoch: v.Decision.Epoch, Stale: v.Stale,
	}
}

// viewAt is the view of a profile by number. A profile that has none yet is shown as one that knows nothing.
func viewAt(s *snapshot.Snapshot, i int) *health.View {
	if i < 0 {
		return nil
	}
	if part := s.Part(i); part != nil {
		return part.View
	}
	p := s.Documents().Profiles[i]
	v := &health.View{Profile: p, Disabled: !p.Enabled, Endpoints: make([]health.EndpointView, len(p.Endpoints))}
	for j := range p.Endpoints {
		e := &v.Endpoints[j]
		e.Config = &p.Endpoints[j]
		e.Verdict.Reason = "not looked at yet"
		health.Resolve(p, e, v.Disabled, time.Time{})
	}
	return v
}

// statuses are all profiles in name order.
func statuses(s *snapshot.Snapshot) []ProfileStatus {
	out := make([]ProfileStatus, len(s.Documents().Profiles))
	for i := range out {
		out[i] = StatusOf(viewAt(s, i))
	}
	slices.SortFunc(out, func(a, b ProfileStatus) int { return strings.Compare(a.Name, b.Name) })
	return out
}
