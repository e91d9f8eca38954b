package engine

import (
	"slices"
	"time"

	"jurymast/internal/health"
	"jurymast/internal/profile"
)

// track is this node's own look at one endpoint: one check or several, and the vote that follows from them. It has no
// look at all at what is not probed from here: nested, calculated and assumed endpoints, external checks, and those
// whose vantage points are elsewhere.
type track struct {
	health.Vote
	looks   []*look
	paused  bool
	confirm backoff
}

// look is one check as this node runs it.
type look struct {
	name string // "" when the endpoint has one check only
	health.Tracker
	rule    health.Rule
	monitor *profile.Monitor
	seen    bool          // observed at least once in this life
	pace    time.Duration // as last told; 0: not told yet
}

// newTrack begins from nothing.
func newTrack(now time.Time) *track {
	t := &track{}
	t.Vote = health.Vote{Since: now, Reason: "not probed yet"}
	return t
}

// equip gives the track the checks of a new document. Checks that were there before keep what they know.
func (t *track) equip(p *profile.Profile, e *profile.Endpoint, location string, now time.Time) {
	old := t.looks
	t.looks = nil
	if !probedFrom(e, location) {
		t.Vote = health.Vote{Since: now, Reason: "not probed from here"}
		return
	}
	add := func(name string, m *profile.Monitor) {
		l := &look{name: name}
		l.Reset(now, "not probed yet")
		if i := slices.IndexFunc(old, func(o *look) bool { return o.name == name }); i >= 0 {
			l = old[i]
		}
		l.monitor, l.rule, l.pace = m, health.RuleOf(m), 0
		l.rule.Measure = p.Routing == profile.Performance
		t.looks = append(t.looks, l)
	}
	if len(e.Monitor.Checks) == 0 {
		add("", &e.Monitor)
	}
	for i := range e.Monitor.Checks {
		add(e.Monitor.Checks[i].Name, &e.Monitor.Checks[i].Monitor)
	}
}

// probedFrom reports that a node at that location runs probes for the endpoint.
func probedFrom(e *profile.Endpoint, location string) bool {
	return e.Target.Profile == "" && e.Monitor.Probed() && from(e, location)
}

// from reports that votes of a node at that location count for the endpoint.
func from(e *profile.Endpoint, location string) bool {
	return len(e.Monitor.Vantage) == 0 || slices.Contains(e.Monitor.Vantage, location)
}

func (t *track) look(check string) *look {
	for _, l := range t.looks {
		if l.name == check {
			return l
		}
	}
	return nil
}

// step counts one result. It reports whether the vote has to be published again.
func (t *track) step(l *look, combine profile.Combine, o health.Observation) bool {
	l.seen = true
	publish := l.Step(l.rule, o)
	if len(t.looks) == 1 && l.name == "" {
		t.Vote = l.Vote
		return publish
	}
	named := make([]health.Named, len(t.looks))
	for i, l := range t.looks {
		named[i] = health.Named{Name: l.name, Tracker: &l.Tracker}
	}
	t.Vote, publish = health.Merge(combine, t.Vote, named, o.At)
	return publish
}

// reset forgets everything: the endpoint is checked from the beginning.
func (t *track) reset(now time.Time, reason string) {
	t.Vote = health.Vote{Since: now, Reason: reason}
	for _, l := range t.looks {
		l.Reset(now, reason)
		l.seen = false
	}
}

// recount keeps the opinions and counts anew.
func (t *track) recount() {
	t.Failures, t.Successes, t.Suspect = 0, 0, false
	for _, l := range t.looks {
		l.Recount()
	}
}

// runs is how many failures in a row take the endpoint down: as many as the check that tolerates most.
func (t *track) runs() int {
	n := 0
	for _, l := range t.looks {
		n = max(n, l.rule.Tolerated+1)
	}
	return n
}

// looked: every check has been run at least once in this life.
func (t *track) looked() bool {
	return !slices.ContainsFunc(t.looks, func(l *look) bool { return !l.seen })
}

// wants is how often a check should run now: about every second until its first verdict, faster while a result counts
// towards a flip, else as configured; 0 not at all.
func (t *track) wants(l *look) time.Duration {
	m := l.monitor
	fast := m.Interval
	if m.IntervalFast > 0 {
		fast = min(fast, m.IntervalFast)
	}
	switch {
	case t.paused:
		return 0
	case l.Opinion == health.Checking:
		return min(fast, firstRound)
	case l.Suspect:
		return fast
	}
	return m.Interval
}

func (t *track) clone() *track {
	c := *t
	c.looks = make([]*look, len(t.looks))
	for i, l := range t.looks {
		cp := *l
		c.looks[i] = &cp
	}
	return &c
}
