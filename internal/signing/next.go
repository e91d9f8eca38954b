package signing

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// UnknownDSTTL is waited for when no DS was ever seen: no large parent has a longer one.
const UnknownDSTTL = 24 * time.Hour

// Wanted is what the configuration says of the zone.
type Wanted struct {
	Signed      bool
	Roles       []Role // csk, or ksk and zsk
	Algorithm   Algorithm
	Propagation time.Duration // until every name server of the zone has a change
	ZSKLifetime time.Duration // 0: only by order
	KSKLifetime time.Duration // of a ksk or csk; 0: only by order
}

// Facts are what the leader sees when it looks.
type Facts struct {
	Wanted Wanted
	Live   []Node
	Known  bool          // the zone is loaded, so the next two are right
	TTL    time.Duration // the longest of the zone
	KeyTTL time.Duration // of its DNSKEY set
	Parent *Parent       // what was heard there last; nil: nothing yet
	Random [2][32]byte   // fresh, for keys

	off guard // tests: what is not looked at
}

// guard is one of the conditions that keep a roll from breaking the chain of trust.
type guard string

// Step is what Next did. Wait says what comes next and what it needs.
type Step struct {
	Changed bool   // write the set
	Why     string // "": nothing that a journal tells
	Wait    Wait
}

// Wait is what a stage waits for, for people.
type Wait struct {
	For   string    // "": for nothing
	Until time.Time // zero: not a matter of time
}

// Next takes the next step of a zone's keys, if one is due; at most one. A set that comes back Zero after a change is to
// be removed: the zone is not signed any more.
func Next(s Set, f *Facts, now time.Time) (Set, Step) {
	if s.Zero() {
		if !f.Wanted.Signed {
			return s, Step{}
		}
		return begin(s.Zone, f, now), Step{Changed: true, Why: "signing is switched on: the first keys"}
	}
	m := machine{s: s.Clone(), f: f, now: now}
	before := m.s.Mark()
	m.look()
	step := m.advance()
	if !m.s.Zero() && m.s.Mark() != before {
		m.s.Step++
		m.s.Acked = time.Time{}
	}
	step.Changed = m.changed || step.Why != ""
	return m.s, step
}

// begin makes the first keys.
func begin(zone string, f *Facts, now time.Time) Set {
	s := Set{Zone: zone, Step: 1, Stage: StageBegin, Since: now, CDS: CDSAuto}
	s.bring(f, f.Wanted.Roles, f.Wanted.Algorithm, Active, now)
	for i := range s.Keys {
		s.Keys[i].New = false
	}
	return s
}

// bring adds new keys.
func (s *Set) bring(f *Facts, roles []Role, a Algorithm, state State, now time.Time) {
	for n, role := range roles {
		k := freshKey(a, role, f.Random[n%len(f.Random)], s.tags())
		k.State, k.Since, k.Born, k.New = state, now, now, true
		s.Keys = append(s.Keys, k)
	}
}

type machine struct {
	s       Set
	f       *Facts
	now     time.Time
	changed bool
}

// look takes in what was seen; no node does anything else because of it.
func (m *machine) look() {
	s := &m.s
	for _, t := range []*time.Time{&s.Since, &s.Acked, &s.Signed, &s.DSSeen, &s.Leaving, &s.Gone, &s.DS.At} {
		if t.After(m.now) { // a clock was wrong or set back; counted from now the wait is too long, never too short
			*t, m.changed = m.now, true
		}
	}
	if m.f.Known {
		m.changed = s.Long.see(m.f.TTL, m.now) || m.changed
		m.changed = s.KeyTTL.see(m.f.KeyTTL, m.now) || m.changed
	}
	m.changed = s.hear(m.f.Parent, m.now) || m.changed
}

// dsTTL is how long caches may hold what the parent said before.
func (m *machine) dsTTL() time.Duration {
	if m.s.DSTTL.TTL == 0 {
		return UnknownDSTTL
	}
	return m.s.DSTTL.TTL
}

// advance takes the step that is due.
func (m *machine) advance() Step {
	s := &m.s
	switch {
	case m.f.Wanted.Signed && !s.Leaving.IsZero():
		s.Leaving, s.Gone, s.DSWord = time.Time{}, time.Time{}, false
		return Step{Why: "signing is switched on again"}
	case !m.f.Wanted.Signed && s.Leaving.IsZero():
		s.Leaving, s.DSWord = m.now, false // a word about a roll says nothing about this
		return Step{Why: "signing is switched off; the zone is signed until its DS is gone from the parent"}
	case !s.Leaving.IsZero():
		return m.leave()
	}
	if waits := s.Waiting(m.f.Live); len(waits) > 0 && m.f.off != offAck {
		return waitFor(strings.Join(waits, ", ")+" to acknowledge", time.Time{})
	}
	if len(m.f.Live) == 0 && m.f.off != offAck || !m.f.Known {
		return waitFor("the zone to be served", time.Time{})
	}
	if s.Acked.IsZero() {
		s.Acked, m.changed = m.now, true
	}
	if s.Signed.IsZero() && s.newSigns() {
		s.Signed, m.changed = m.now, true
	}
	switch s.Stage {
	case StageBegin:
		return m.begun()
	case StageSteady:
		return m.lifetimes()
	case StageAhead, StagePublish, StageChange, StageRetire, StageWithdraw:
		return m.roll()
	}
	return waitFor("a version that knows the stage "+string(s.Stage), time.Time{})
}

func waitFor(what string, until time.Time) Step { return Step{Wait: Wait{For: what, Until: until}} }

// newSigns: by the view in force every answer carries signatures of the new keys.
func (s *Set) newSigns() bool {
	return s.Kind != KindNone && !slices.ContainsFunc(s.newKeys(), func(i int) bool {
		k := &s.Keys[i]
		return k.Role.SignsZone() && k.State != Ahead && k.State != Active
	})
}

// leave ends signing once no cache knows a DS of the zone. An operator's word stands for servers that are silent, and
// falls when one of them answers otherwise.
func (m *machine) leave() Step {
	s := &m.s
	p := m.f.Parent
	none := p != nil && p.All && len(p.DS) == 0 && p.Asked.After(s.Leaving) || m.f.off == offDS
	if !s.Gone.IsZero() {
		if why := m.contradictedSince(s.Gone); why != "" {
			return m.backToWaiting(&s.Gone, why)
		}
	}
	switch {
	case !none && !s.DSWord:
		return waitFor("the parent to remove the DS"+s.DS.because(), time.Time{})
	case s.Gone.IsZero():
		s.Gone = m.now
		return Step{Why: "the parent has no DS any more"}
	}
	ttl := s.DSTTL.TTL // nobody ever saw one: there is nothing to wait for
	if s.DSWord {
		ttl = m.dsTTL()
	}
	until := s.Gone.Add(ttl)
	switch {
	case m.now.Before(until) && m.f.off != offDSTTL:
		return waitFor("caches to forget the DS", until)
	case s.DSWord && (p == nil || !p.Asked.After(s.Gone)): // the last chance of a server that answers
		return waitFor("another look at the parent's servers", time.Time{})
	}
	why := "no cache has a DS any more" + m.word()
	m.s = Set{Zone: s.Zone}
	return Step{Why: why + ": the zone is not signed, its keys are removed"}
}

// backToWaiting takes back that the parent has the DS it should have.
func (m *machine) backToWaiting(seen *time.Time, why string) Step {
	*seen = time.Time{}
	if m.s.DSWord {
		m.s.DSWord = false
		why += "; an operator's word does not count any more"
	}
	return Step{Why: why + ": the parent is waited for again"}
}

func (m *machine) word() string {
	if m.s.DSWord {
		return ", an operator says"
	}
	return ""
}

func (p *Parent) because() string {
	if p.Trouble != "" {
		return " (" + p.Trouble + ")"
	}
	return ""
}

// begun waits until every cache has signed records, so that a DS harms nobody.
func (m *machine) begun() Step {
	until := m.s.DSReady(m.f.Wanted)
	if m.now.Before(until) && m.f.off != offLongest {
		return waitFor("caches to forget unsigned records; then give the DS to the parent", until)
	}
	m.s.Stage, m.s.Since = StageSteady, m.now
	return Step{Why: "everything that caches hold is signed: the DS may be given to the parent"}
}

// lifetimes begins a roll when a key is old enough.
func (m *machine) lifetimes() Step {
	w, soonest := &m.f.Wanted, Wait{}
	for i := range m.s.Keys {
		k := &m.s.Keys[i]
		life := w.KSKLifetime
		if k.Role == ZSK {
			life = w.ZSKLifetime
		}
		if life <= 0 {
			continue
		}
		due := k.Since.Add(life)
		if !m.now.Before(due) {
			if err := m.s.startRoll(Roll{Role: k.Role}, m.f, m.now); err != nil {
				return waitFor(err.Error(), time.Time{})
			}
			m.s.Why = fmt.Sprintf("%s %d is %v old", k.Role, k.Tag, life)
			return Step{Why: m.s.Why + ": roll begun"}
		}
		if soonest.Until.IsZero() || due.Before(soonest.Until) {
			soonest = Wait{For: fmt.Sprintf("the lifetime of %s %d", k.Role, k.Tag), Until: due}
		}
	}
	return Step{Wait: soonest}
}
