package health

import (
	"encoding"
	"fmt"
	"time"

	"jurymast/internal/profile"
)

// Opinion is what one node thinks of one endpoint.
type Opinion uint8

// The opinions. Checking is the zero value: nothing is known yet.
const (
	Checking Opinion = iota
	Up
	Down
)

var opinionNames = []string{"checking", "up", "down"}

func (o Opinion) String() string { return nameOf(opinionNames, int(o)) }

// MarshalText and UnmarshalText keep the word, not the number, in the store and the API.
func (o Opinion) MarshalText() ([]byte, error) { return []byte(o.String()), nil }

// UnmarshalText accepts checking, up, down.
func (o *Opinion) UnmarshalText(b []byte) error { return parseName(opinionNames, b, (*uint8)(o)) }

// Observation is the result of one probe at one vantage point.
type Observation struct {
	At      time.Time // when the probe ended
	OK      bool
	Reason  string        // one line: what was seen, e.g. "status 200" or "connect: connection refused"
	Addr    string        // address probed, without port; "" when none was reached
	Latency time.Duration // start of resolution to the end of the probe
}

// Rule is when observations become an opinion.
type Rule struct {
	Tolerated int // failures in a row that are still tolerated; down on Tolerated+1
	Recovery  int // successes in a row from down to up, at least 1
}

// RuleOf takes the rule out of a monitor.
func RuleOf(m *profile.Monitor) Rule {
	return Rule{Tolerated: m.ToleratedFailures, Recovery: max(1, m.RecoverySuccesses)}
}

// Vote is a node's current opinion of one endpoint, as it is published.
type Vote struct {
	Opinion   Opinion   `json:"vote"`
	Since     time.Time `json:"since"`
	Reason    string    `json:"reason"`
	Suspect   bool      `json:"suspect,omitempty"` // at least one result counts towards a flip
	Failures  int       `json:"failures"`          // in a row
	Successes int       `json:"successes"`         // in a row
}

// Tracker is the state machine of one endpoint at one node.
//
//	checking -- first success --------------------> up
//	checking -- tolerated+1 failures in a row ----> down
//	up       -- tolerated+1 failures in a row ----> down
//	down     -- recovery successes in a row ------> up
//	any      -- Reset (new target, re-enabled) ---> checking
//
// Any success resets the failure count and the other way round. Its zero value is checking.
type Tracker struct{ Vote }

// Step takes one observation. It reports whether the vote has to be published again: the opinion or Suspect changed.
func (t *Tracker) Step(r Rule, o Observation) (publish bool) {
	before := t.Vote
	if o.OK {
		t.Successes, t.Failures = t.Successes+1, 0
	} else {
		t.Failures, t.Successes = t.Failures+1, 0
	}
	t.Reason = o.Reason
	switch next := t.next(r); {
	case next != t.Opinion:
		t.Opinion, t.Since, t.Suspect = next, o.At, false
	default:
		t.Suspect = (t.Opinion == Up && t.Failures > 0) || (t.Opinion == Down && t.Successes > 0)
	}
	return t.Opinion != before.Opinion || t.Suspect != before.Suspect
}

func (t *Tracker) next(r Rule) Opinion {
	switch {
	case t.Failures > r.Tolerated:
		return Down
	case t.Opinion == Checking && t.Successes > 0:
		return Up
	case t.Opinion == Down && t.Successes >= r.Recovery:
		return Up
	}
	return t.Opinion
}

// Reset forgets everything: the endpoint is checked from the beginning.
func (t *Tracker) Reset(now time.Time, reason string) {
	t.Vote = Vote{Since: now, Reason: reason}
}

// Recount keeps the opinion and starts counting anew: a monitor setting changed.
func (t *Tracker) Recount() { t.Failures, t.Successes, t.Suspect = 0, 0, false }

var (
	_ encoding.TextMarshaler   = Opinion(0)
	_ encoding.TextUnmarshaler = (*Opinion)(nil)
)

func nameOf(names []string, i int) string {
	if i < len(names) {
		return names[i]
	}
	return fmt.Sprintf("invalid(%d)", i)
}

func parseName(names []string, b []byte, into *uint8) error {
	for i, n := range names {
		if n == string(b) {
			*into = uint8(i)
			return nil
		}
	}
	return fmt.Errorf("unknown word %q; allowed: %v", b, names)
}
