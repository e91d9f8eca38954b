package signing

import (
	"fmt"
	"slices"
	"time"
)

// The guards that tests switch off one at a time, to see that the simulation notices.
const (
	offAck     guard = "acknowledgement"
	offKeyTTL  guard = "DNSKEY TTL"
	offLongest guard = "longest TTL"
	offDS      guard = "DS seen"
	offDSTTL   guard = "DS TTL"
)

// roll goes to the next stage of a roll when its conditions hold. All live nodes have acknowledged the stage.
func (m *machine) roll() Step {
	s, w := &m.s, &m.f.Wanted
	changesDS := s.changesDS()
	keys, zone := s.Acked.Add(s.KeyTTL.TTL+w.Propagation), s.Signed.Add(s.Long.TTL+w.Propagation)
	switch s.Stage {
	case StageAhead:
		if m.early(zone, offLongest) {
			return waitFor("caches to have records with the new signatures", zone)
		}
		return m.enter(StagePublish, Active, Active)
	case StagePublish:
		if s.Kind == KindEmergency && !changesDS {
			if until := latest(keys, zone); m.early(keys, offKeyTTL) || m.early(zone, offLongest) {
				return waitFor("caches to have the new key and its signatures", until)
			}
			return m.finish()
		}
		if m.early(keys, offKeyTTL) {
			return waitFor("caches to have the new key", keys)
		}
		if s.Kind == KindPlain {
			return m.enter(StageChange, Active, Retired)
		}
		return m.enter(StageChange, Active, Active)
	case StageChange:
		return m.change(changesDS)
	case StageRetire:
		return m.retire(changesDS, zone)
	case StageWithdraw:
		if m.early(keys, offKeyTTL) {
			return waitFor("caches to forget the old key", keys)
		}
		return m.finish()
	case StageBegin, StageSteady:
	}
	return Step{}
}

func (m *machine) early(until time.Time, g guard) bool { return m.now.Before(until) && m.f.off != g }

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// change ends when the parent has the DS of the new key alone.
func (m *machine) change(changesDS bool) Step {
	s := &m.s
	if changesDS && !s.DSSeen.IsZero() { // an operator said so
		if why := m.contradictedSince(s.DSSeen); why != "" {
			return m.backToWaiting(&s.DSSeen, why)
		}
	}
	if changesDS && s.DSSeen.IsZero() {
		if why := m.dsMissing(); why != "" && m.f.off != offDS {
			return waitFor(why, time.Time{})
		}
		s.DSSeen = m.now
	}
	step := m.enter(StageRetire, Active, "")
	if changesDS {
		step.Why = "the parent has the new DS alone" + m.word() + ": the old one runs out in caches"
	}
	return step
}

// dsMissing says what the parent's servers lack, "" when they have what is wanted.
func (m *machine) dsMissing() string {
	s := &m.s
	switch {
	case s.DS.At.IsZero() && s.DS.Silent.IsZero():
		return "the first look at the parent's servers"
	case !s.DS.All:
		return "all servers of the parent to show the same DS" + s.DS.because()
	}
	for _, i := range s.wanted() {
		k := &s.Keys[i]
		if !slices.ContainsFunc(s.DS.DS, func(d DS) bool { return k.named(s.Zone, d) }) {
			return fmt.Sprintf("the DS of key %d at the parent; print it with: jurymast zone ds %s", k.Tag, s.Zone)
		}
	}
	for _, i := range s.oldKeys() {
		k := &s.Keys[i]
		if k.Role.Trusted() && slices.ContainsFunc(s.DS.DS, func(d DS) bool { return k.named(s.Zone, d) }) {
			return fmt.Sprintf("the parent to remove the DS of key %d", k.Tag)
		}
	}
	return ""
}

// retire ends when no cache needs the old key.
func (m *machine) retire(changesDS bool, zone time.Time) Step {
	s := &m.s
	if changesDS {
		if why := m.contradictedSince(s.DSSeen); why != "" {
			s.Stage, s.Since = StageChange, m.now
			return m.backToWaiting(&s.DSSeen, why)
		}
	}
	if changesDS {
		if until := s.DSSeen.Add(m.dsTTL()); m.early(until, offDSTTL) {
			return waitFor("caches to forget the old DS", until)
		}
		if p := m.f.Parent; s.DSWord && (p == nil || !p.Asked.After(s.DSSeen)) { // the last chance of a server that answers
			return waitFor("another look at the parent's servers", time.Time{})
		}
	}
	if m.signsZone() && m.early(zone, offLongest) {
		return waitFor("caches to forget the old signatures", zone)
	}
	if s.Kind == KindAlgorithm {
		return m.enter(StageWithdraw, "", Withdrawn)
	}
	return m.finish()
}

func (m *machine) signsZone() bool {
	return slices.ContainsFunc(m.s.newKeys(), func(i int) bool { return m.s.Keys[i].Role.SignsZone() })
}

// enter begins a stage: new and old keys get these states, "" leaves them as they are.
func (m *machine) enter(stage Stage, isNew, old State) Step {
	s := &m.s
	for _, g := range []struct {
		keys []int
		to   State
	}{{s.newKeys(), isNew}, {s.oldKeys(), old}} {
		for _, i := range g.keys {
			if k := &s.Keys[i]; g.to != "" && k.State != g.to {
				k.State, k.Since = g.to, m.now
			}
		}
	}
	from := s.Stage
	s.Stage, s.Since = stage, m.now
	return Step{Why: fmt.Sprintf("%s has ended: %s", from, stageTexts[stage])}
}

// stageTexts say what a stage is about, for journals.
var stageTexts = map[Stage]string{
	StageBegin:    "everything is signed for the first time",
	StageSteady:   "the old keys are gone",
	StageAhead:    "the new keys sign everything, and are not shown yet",
	StagePublish:  "the new keys are shown",
	StageChange:   "the new keys take over",
	StageRetire:   "the old keys are shown until no cache needs them",
	StageWithdraw: "the old keys are not shown any more, and sign on",
}

// Text says what a stage is about.
func (s Stage) Text() string { return stageTexts[s] }

// finish takes the old keys away.
func (m *machine) finish() Step {
	s := &m.s
	old := s.oldKeys()
	var kept []Key
	for i := range s.Keys {
		if !slices.Contains(old, i) {
			k := s.Keys[i]
			if k.State != Active {
				k.State, k.Since = Active, m.now
			}
			k.New = false
			kept = append(kept, k)
		}
	}
	s.Keys, s.Kind, s.Stage, s.Since = kept, KindNone, StageSteady, m.now
	s.Why, s.Signed, s.DSSeen, s.DSWord = "", time.Time{}, time.Time{}, false
	return Step{Why: "the roll is done: the old keys are gone"}
}
