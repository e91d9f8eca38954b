// Package alarm decides from a few numbers a minute whether the questions a name server gets are odd enough to tell an
// operator, and when they are not any more. It looks at nothing itself and never answers, limits or refuses anybody.
//
//	gauges, now --> Machine.Step --> changes: raised, cleared
//
//	             at the mark                          below 3/4 of the mark
//	.-------.  (told: raised)  .--------.  ----------------------------->  .--------.
//	| quiet | ---------------> | raised |                                  | raised |
//	'-------'                  |  loud  |  <-----------------------------  |  calm  |
//	    ^                      '--------'        at 3/4 of it or above      '--------'
//	    |                                                                      |
//	    '------------------------- calm for Calm (told: cleared) --------------'
//
// An alarm is raised at once, because the numbers are those of a whole minute; numbers that swing around a mark raise one.
// A gauge that cannot be read, because too few questions came, is calm.
package alarm

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// Kind is what is odd.
type Kind string

// The kinds of alarms.
const (
	UnknownTypes Kind = "unknown-types" // percent of the questions are for types without a name
	NXDomain     Kind = "nxdomain"      // percent are for names that are not there
	Network      Kind = "network"       // percent come from one network
	Malformed    Kind = "malformed"     // percent cannot be read
	Refused      Kind = "refused"       // a second are for zones that are not ours
	Signatures   Kind = "signatures"    // seconds are left of the signature that expires first
)

// Kinds are all of them, in the order they are shown.
var Kinds = []Kind{UnknownTypes, NXDomain, Network, Malformed, Refused, Signatures}

// Gauge is one number and the mark that makes it an alarm.
type Gauge struct {
	Kind     Kind
	Value    float64
	Mark     float64 // 0: never an alarm
	Falls    bool    // low numbers are bad
	Unread   bool    // there is no number now
	Text     string  // what the number says, for people
	Evidence string  // who and what stands out
}

// Change is an alarm that was raised or cleared.
type Change struct {
	Kind     Kind
	Raised   bool
	Text     string        // what the number says now
	Evidence string        // at the time it was raised: what stood out
	Lasted   time.Duration // of one that is cleared
}

// back is the part of a mark below which an alarm may be cleared: numbers that swing around a mark raise one alarm.
const back = 0.75

// Machine keeps which alarms are raised. The zero value has none; Calm is needed.
type Machine struct {
	Calm time.Duration

	raised map[Kind]*alarm
}

type alarm struct {
	since, calm time.Time // calm: since when it is; zero: it is not
	text        string
	evidence    string
}

// Step looks at new numbers.
func (m *Machine) Step(now time.Time, gauges []Gauge) (out []Change) {
	for i := range gauges {
		g := &gauges[i]
		a := m.raised[g.Kind]
		switch {
		case a == nil && g.over():
			if m.raised == nil {
				m.raised = map[Kind]*alarm{}
			}
			m.raised[g.Kind] = &alarm{since: now, text: g.Text, evidence: g.Evidence}
			out = append(out, Change{Kind: g.Kind, Raised: true, Text: g.Text, Evidence: g.Evidence})
		case a == nil:
		case !g.calm():
			a.calm = time.Time{}
			if g.over() {
				a.text, a.evidence = g.Text, g.Evidence
			}
		case a.calm.IsZero():
			a.calm = now
		case now.Sub(a.calm) >= m.Calm:
			delete(m.raised, g.Kind)
			out = append(out, Change{Kind: g.Kind, Text: g.Text, Evidence: a.evidence, Lasted: now.Sub(a.since)})
		}
	}
	return out
}

func (g *Gauge) over() bool {
	if g.Unread || g.Mark <= 0 {
		return false
	}
	if g.Falls {
		return g.Value <= g.Mark
	}
	return g.Value >= g.Mark
}

func (g *Gauge) calm() bool {
	switch {
	case g.Unread || g.Mark <= 0:
		return true
	case g.Falls:
		return g.Value > g.Mark/back
	}
	return g.Value < g.Mark*back
}

// Raised are the alarms there are, as sentences, in the order of Kinds.
func (m *Machine) Raised() (out []string) {
	for _, k := range m.kinds() {
		a := m.raised[k]
		text := fmt.Sprintf("odd questions (%s): %s", k, a.text)
		if a.evidence != "" {
			text += "; " + a.evidence
		}
		out = append(out, text)
	}
	return out
}

// Is reports that an alarm of a kind is raised.
func (m *Machine) Is(k Kind) bool { return m.raised[k] != nil }

func (m *Machine) kinds() (list []Kind) {
	for k := range m.raised {
		list = append(list, k)
	}
	slices.SortFunc(list, func(a, b Kind) int { return cmp.Compare(slices.Index(Kinds, a), slices.Index(Kinds, b)) })
	return list
}
