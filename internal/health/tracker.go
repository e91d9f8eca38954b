package health

import (
	"encoding"
	"fmt"
	"math/bits"
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
	Tolerated int            // failures in a row that are still tolerated; down on Tolerated+1
	Recovery  int            // successes in a row from down to up, at least 1
	Window    profile.Window // size 0: results in a row count; else Tolerated and Recovery are what follows from it
	Measure   bool           // keep the time probes take, for those who choose by it
}

// RuleOf takes the rule out of a monitor. With a window, size-need failures are tolerated among the last size results
// and need successes make up again, at worst all of them in a row.
func RuleOf(m *profile.Monitor) Rule {
	if w := m.Window; w.Size > 0 {
		return Rule{Tolerated: w.Size - w.Need, Recovery: max(1, w.Need), Window: w}
	}
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
	RTT       int       `json:"rtt,omitempty"`     // milliseconds a probe takes, in coarse steps; 0: not measured
}

// Tracker is the state machine of one endpoint at one node.
//
//	checking -- first success --------------------> up
//	checking -- tolerated+1 failures in a row ----> down
//	up       -- tolerated+1 failures in a row ----> down
//	down     -- recovery successes in a row ------> up
//	any      -- Reset (new target, re-enabled) ---> checking
//
// Any success resets the failure count and the other way round. With a window the arrows to down and from down to up
// read "more than size-need failures" and "need successes" among the last size results. Its zero value is checking.
type Tracker struct {
	Vote
	history uint64  // of a window: bit 0 is the newest result, 1 a success
	results int     // how many bits of history are results, at most 64
	mean    float64 // milliseconds a success takes, smoothed
}

// Step takes one observation. It reports whether the vote has to be published again: the opinion or Suspect changed.
func (t *Tracker) Step(r Rule, o Observation) (publish bool) {
	before := t.Vote
	if o.OK {
		t.Successes, t.Failures = t.Successes+1, 0
	} else {
		t.Failures, t.Successes = t.Failures+1, 0
	}
	t.history = t.history<<1 | bit(o.OK)
	t.results = min(t.results+1, 64)
	if o.OK && r.Measure {
		t.measure(o.Latency)
	}
	t.Reason = o.Reason
	if next := t.next(r); next != t.Opinion {
		t.Opinion, t.Since = next, o.At
	}
	t.Suspect = t.suspect(r)
	if t.Opinion == Down && o.OK {
		t.Reason = "not up yet: " + o.Reason
	}
	return t.Opinion != before.Opinion || t.Suspect != before.Suspect || t.RTT != before.RTT
}

func bit(ok bool) uint64 {
	if ok {
		return 1
	}
	return 0
}

// rttStep is how far the smoothed time must leave the published one before that changes: votes are written on change
// only, and every node should choose by the same figure.
const rttStep = 1.3

// measure smooths the time a probe takes, and moves the published figure when it is clearly another one.
func (t *Tracker) measure(d time.Duration) {
	ms := max(0.5, float64(d)/float64(time.Millisecond))
	if t.mean == 0 {
		t.mean = ms
	}
	t.mean += (ms - t.mean) / 8
	if was := float64(t.RTT); t.RTT == 0 || t.mean > was*rttStep+1 || t.mean < was/rttStep-1 {
		t.RTT = max(1, int(t.mean+0.5))
	}
}

func (t *Tracker) next(r Rule) Opinion {
	if r.Window.Size > 0 {
		return t.nextInWindow(r.Window)
	}
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

// suspect: a result counts towards a flip. In a window that can be one from before the last flip, and the flip comes
// the sooner for it.
func (t *Tracker) suspect(r Rule) bool {
	failures, successes := t.Failures, t.Successes
	if r.Window.Size > 0 {
		failures, successes = t.within(r.Window.Size)
	}
	return t.Opinion == Up && failures > 0 || t.Opinion == Down && successes > 0
}

// within counts the last size results. Those that are not there yet count for neither side.
func (t *Tracker) within(size int) (failures, successes int) {
	n := min(t.results, size)
	successes = bits.OnesCount64(t.history & (1<<n - 1))
	return n - successes, successes
}

// nextInWindow is the k-of-n rule.
func (t *Tracker) nextInWindow(w profile.Window) Opinion {
	failures, successes := t.within(w.Size)
	switch {
	case failures > w.Size-w.Need:
		return Down
	case t.Opinion == Checking && successes > 0, t.Opinion == Down && successes >= w.Need:
		return Up
	}
	return t.Opinion
}

// Reset forgets everything: the endpoint is checked from the beginning.
func (t *Tracker) Reset(now time.Time, reason string) {
	*t = Tracker{Vote: Vote{Since: now, Reason: reason}}
}

// Recount keeps the opinion and starts counting anew: a monitor setting changed.
func (t *Tracker) Recount() {
	t.Failures, t.Successes, t.Suspect, t.results = 0, 0, false, 0
}

// Named is one check of an endpoint that has several.
type Named struct {
	Name string
	*Tracker
}

// Merge makes one vote of several checks: up while enough of them are, checking while those without an opinion could
// make up for it, else down. It reports whether the vote has to be published again.
func Merge(rule profile.Combine, prev Vote, checks []Named, now time.Time) (next Vote, publish bool) {
	need := rule.Needed(len(checks))
	var up, open int
	next = Vote{Since: prev.Since, Failures: 0, Successes: 0}
	down := ""
	for i, c := range checks {
		switch c.Opinion {
		case Up:
			up++
		case Checking:
			open++
		case Down:
			if down == "" {
				down = c.Name + ": " + c.Reason
			}
		}
		next.Suspect = next.Suspect || c.Suspect
		next.Failures = max(next.Failures, c.Failures)
		if i == 0 || c.Successes < next.Successes {
			next.Successes = c.Successes
		}
		next.RTT = max(next.RTT, c.RTT)
	}
	switch {
	case up >= need:
		next.Opinion = Up
	case up+open < need:
		next.Opinion = Down
	}
	next.Reason = fmt.Sprintf("%d of %d checks are up, %d needed", up, len(checks), need)
	if down != "" {
		next.Reason += "; " + down
	}
	if next.Opinion != prev.Opinion {
		next.Since = now
	}
	return next, next.Opinion != prev.Opinion || next.Suspect != prev.Suspect || next.RTT != prev.RTT
}

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
