package sim_test

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"jurymast/internal/health"
	"jurymast/internal/profile"
)

// forest is the second, deliberately dumb brain: it keeps what it was told, and computes every status from the leaves
// anew each time. It knows neither votes nor views nor how one profile tells another.
type forest struct {
	docs    []*profile.Profile
	results map[string]string // by leaf and check, since the last reset: g good, b bad
	signals map[string]health.Signal
	orders  []health.Override
	off     map[string]bool          // not looked at when last considered
	last    map[string]health.Status // verdict when last considered: what a pause freezes
	ready   func(profile string) bool
}

func leaf(p *profile.Profile, e *profile.Endpoint) string { return p.Name + "/" + e.Name }

// seen takes a result, unless the endpoint is not looked at.
func (f *forest) seen(p *profile.Profile, e *profile.Endpoint, check string, ok bool, now time.Time) {
	at := leaf(p, e)
	switch {
	case f.off[at]:
		return
	case ok:
		f.results[at+"/"+check] += "g"
	default:
		f.results[at+"/"+check] += "b"
	}
	f.last[at] = f.verdict(p, e, now)
}

// forget drops what is known of a profile.
func (f *forest) forget(p *profile.Profile) {
	for i := range p.Endpoints {
		delete(f.off, leaf(p, &p.Endpoints[i]))
		f.reset(leaf(p, &p.Endpoints[i]))
	}
}

// reset drops what was seen of an endpoint.
func (f *forest) reset(at string) {
	delete(f.last, at)
	for check := range f.results {
		if strings.HasPrefix(check, at+"/") {
			delete(f.results, check)
		}
	}
}

// consider brings what is remembered up to now: resets, and the verdicts that a pause would freeze.
func (f *forest) consider(now time.Time) {
	for _, p := range f.docs {
		for i := range p.Endpoints {
			e := &p.Endpoints[i]
			at := leaf(p, e)
			off := f.disabled(p, now) || !e.Enabled || e.AlwaysServe || e.Stopped || f.ordered(p, e, health.Disable, now) && !f.keptProbing(p, e, now)
			if f.off[at] && !off {
				f.reset(at)
			}
			f.off[at] = off
		}
	}
	next := map[string]health.Status{}
	for _, p := range f.docs {
		for i := range p.Endpoints {
			next[leaf(p, &p.Endpoints[i])] = f.verdict(p, &p.Endpoints[i], now)
		}
	}
	f.last = next
}

func (f *forest) naming(p *profile.Profile, e *profile.Endpoint, now time.Time) (found []health.Override) {
	for _, o := range f.orders {
		if o.Profile == p.Name && o.Endpoint == e.Name && (o.Until.IsZero() || now.Before(o.Until)) {
			found = append(found, o)
		}
	}
	return found
}

func (f *forest) ordered(p *profile.Profile, e *profile.Endpoint, act health.Act, now time.Time) bool {
	return slices.ContainsFunc(f.naming(p, e, now), func(o health.Override) bool { return o.Act == act })
}

func (f *forest) keptProbing(p *profile.Profile, e *profile.Endpoint, now time.Time) bool {
	return !slices.ContainsFunc(f.naming(p, e, now), func(o health.Override) bool { return o.Act == health.Disable && !o.KeepProbing })
}

func (f *forest) disabled(p *profile.Profile, now time.Time) bool {
	return !p.Enabled || f.ordered(p, &profile.Endpoint{}, health.DisableProfile, now)
}

// opinion of one check: the whole row of results from the beginning.
func opinion(results string, m *profile.Monitor) health.Opinion {
	o := health.Checking
	for i := range results {
		row := results[:i+1]
		switch bad, good := len(row)-len(strings.TrimRight(row, "b")), len(row)-len(strings.TrimRight(row, "g")); {
		case bad > m.ToleratedFailures:
			o = health.Down
		case o == health.Checking && good > 0, o == health.Down && good >= m.RecoverySuccesses:
			o = health.Up
		}
	}
	return o
}

// enoughOf words "at least need of these are up" as a status.
func enoughOf(up, open, need int) health.Status {
	switch {
	case up >= need:
		return health.Online
	case up+open >= need:
		return health.CheckingEndpoint
	}
	return health.Degraded
}

// frozen: paused, and there is a verdict to hold on to.
func (f *forest) frozen(p *profile.Profile, e *profile.Endpoint, now time.Time) bool {
	return f.ordered(p, e, health.Pause, now) && f.last[leaf(p, e)] != health.CheckingEndpoint
}

func (f *forest) nested(e *profile.Endpoint, now time.Time) health.Status {
	child := f.docs[slices.IndexFunc(f.docs, func(q *profile.Profile) bool { return q.Name == e.Target.Profile })]
	return nestedFrom(e, f.facts(child, now))
}

func (f *forest) verdict(p *profile.Profile, e *profile.Endpoint, now time.Time) health.Status {
	m, at := &e.Monitor, leaf(p, e)
	if f.frozen(p, e, now) {
		return f.last[at]
	}
	switch {
	case e.Target.Profile != "":
		if s := f.nested(e, now); s != health.Stopped {
			return s
		}
		return health.Degraded
	case m.Assume != profile.AssumeNothing:
		return enoughOf(1, 0, map[profile.Assume]int{profile.AssumeUp: 1, profile.AssumeDown: 2}[m.Assume])
	case m.Calculated != nil:
		var up, open int
		for _, of := range m.Calculated.Of {
			if s := f.statusOf(p, of, now); s == health.Online || s == health.Unmonitored {
				up++
			} else if s == health.CheckingEndpoint {
				open++
			}
		}
		return enoughOf(up, open, m.Calculated.AtLeast)
	case m.External != nil:
		s, known := f.signals[at]
		switch {
		case known && (now.Before(s.Until) || m.External.OnSilence == profile.SilenceLast):
			return enoughOf(1, 0, int(s.State)) // up needs one, down two
		case m.External.OnSilence == profile.SilenceLast:
			return health.CheckingEndpoint
		}
		return enoughOf(1, 0, map[profile.OnSilence]int{profile.SilenceUp: 1, profile.SilenceDown: 2}[m.External.OnSilence])
	}
	checks := m.Checks
	if len(checks) == 0 {
		checks = []profile.Check{{Monitor: *m}}
	}
	var up, open int
	for i := range checks {
		switch opinion(f.results[at+"/"+checks[i].Name], &checks[i].Monitor) {
		case health.Up:
			up++
		case health.Checking:
			open++
		case health.Down:
		}
	}
	fresh := enoughOf(up, open, map[profile.CombineRule]int{"": len(checks), profile.CombineAll: len(checks), profile.CombineAny: 1, profile.CombineAtLeast: m.Combine.N}[m.Combine.Rule])
	if fresh == health.CheckingEndpoint {
		return f.last[at] // a verdict stays until there is another one
	}
	return fresh
}

// statusOf finds ENDPOINT or PROFILE/ENDPOINT, as seen from p.
func (f *forest) statusOf(p *profile.Profile, of string, now time.Time) health.Status {
	owner, name, far := strings.Cut(of, "/")
	if !far {
		owner, name = p.Name, of
	}
	for _, q := range f.docs {
		if e, _ := q.Endpoint(name); e != nil && q.Name == owner {
			return f.status(q, e, now)
		}
	}
	panic("no endpoint " + of)
}

func (f *forest) status(p *profile.Profile, e *profile.Endpoint, now time.Time) health.Status {
	var force *health.Override
	for _, o := range f.naming(p, e, now) {
		if (o.Act == health.ForceUp || o.Act == health.ForceDown) && (force == nil || o.At.After(force.At) || o.At.Equal(force.At) && o.ID > force.ID) {
			force = &o
		}
	}
	switch {
	case !e.Enabled || f.ordered(p, e, health.Disable, now):
		return health.Disabled
	case f.disabled(p, now):
		return health.Inactive
	case force != nil && force.Act == health.ForceDown:
		return health.Degraded
	case force != nil:
		return health.Online
	case e.Target.Profile != "":
		if s := f.nested(e, now); s == health.Stopped || !f.frozen(p, e, now) {
			return s
		}
		return f.last[leaf(p, e)]
	case e.AlwaysServe || e.Monitor.Assume == profile.AssumeUp:
		return health.Unmonitored
	case e.Stopped:
		return health.Stopped
	}
	return f.verdict(p, e, now)
}

// facts is all a parent may know of its child.
type facts struct {
	disabled, ready, serve bool
	share                  float64
	ends                   []fact
}

type fact struct {
	status  health.Status
	drained bool
	weight  int
	v4, v6  bool
}

func (f *forest) facts(p *profile.Profile, now time.Time) facts {
	out := facts{disabled: f.disabled(p, now), ready: f.ready(p.Name), serve: p.Checking == profile.CheckingServe, share: p.GroupThreshold}
	for i := range p.Endpoints {
		e := &p.Endpoints[i]
		one := fact{status: f.status(p, e, now), drained: f.ordered(p, e, health.Drain, now), weight: max(1, e.Weight)}
		one.v4, one.v6 = f.families(e)
		out.ends = append(out.ends, one)
	}
	return out
}

func (f *forest) families(e *profile.Endpoint) (v4, v6 bool) {
	for _, a := range e.Target.Addrs {
		v4, v6 = v4 || !strings.Contains(a, ":"), v6 || strings.Contains(a, ":")
	}
	for _, p := range f.docs {
		for i := range p.Endpoints {
			if p.Name == e.Target.Profile {
				below4, below6 := f.families(&p.Endpoints[i])
				v4, v6 = v4 || below4, v6 || below6
			}
		}
	}
	return v4, v6
}

// nestedFrom is the status of a nested endpoint, from the table of the nested method.
func nestedFrom(e *profile.Endpoint, c facts) health.Status {
	answerable := slices.ContainsFunc(c.ends, func(end fact) bool {
		return !end.drained && !slices.Contains([]health.Status{health.Disabled, health.Inactive, health.Stopped}, end.status)
	})
	if c.disabled || !answerable {
		return health.Stopped
	}
	var online, open, online4, open4, online6, open6, usable, all int
	count := func(yes bool, n *int) {
		if yes {
			*n++
		}
	}
	for _, end := range c.ends {
		up, checking := end.status == health.Online || end.status == health.Unmonitored, end.status == health.CheckingEndpoint
		if end.drained {
			continue
		}
		count(up, &online)
		count(checking, &open)
		count(up && end.v4, &online4)
		count(checking && end.v4, &open4)
		count(up && end.v6, &online6)
		count(checking && end.v6, &open6)
		if up || checking || end.status == health.Degraded {
			all += end.weight
		}
		if up || checking && c.serve {
			usable += end.weight
		}
	}
	tests := []health.Status{
		enoughOf(online, open, max(e.MinChild, e.MinChildIPv4+e.MinChildIPv6)), enoughOf(online4, open4, e.MinChildIPv4), enoughOf(online6, open6, e.MinChildIPv6),
	}
	switch {
	case slices.Contains(tests, health.Degraded):
		return health.Degraded
	case slices.Contains(tests, health.CheckingEndpoint):
		return health.CheckingEndpoint
	case c.share > 0 && (all == 0 || float64(usable) < c.share*float64(all)):
		return health.Degraded
	case !c.ready:
		return health.CheckingEndpoint
	}
	return health.Online
}

func profileWord(c facts) string {
	has := func(s ...health.Status) bool {
		return slices.ContainsFunc(c.ends, func(e fact) bool { return slices.Contains(s, e.status) })
	}
	switch {
	case c.disabled:
		return "Disabled"
	case has(health.Degraded):
		return "Degraded"
	case has(health.Online, health.Unmonitored):
		return "Online"
	case has(health.CheckingEndpoint):
		return "CheckingEndpoints"
	}
	return "Inactive"
}

// differs compares a snapshot with what follows from the leaves; "" when it agrees.
func (f *forest) differs(view func(string) *health.View, now time.Time) string {
	for _, p := range f.docs {
		v := view(p.Name)
		for i := range p.Endpoints {
			e := &p.Endpoints[i]
			if got, want := v.Endpoints[i].Status, f.status(p, e, now); got != want {
				return fmt.Sprintf("%s/%s is %v, computed from the leaves %v", p.Name, e.Name, got, want)
			}
		}
		if got, want := v.ProfileStatus(), profileWord(f.facts(p, now)); got != want {
			return fmt.Sprintf("%s is %s, computed from the leaves %s", p.Name, got, want)
		}
	}
	return ""
}
