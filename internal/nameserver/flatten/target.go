package flatten

import (
	"net/netip"
	"sync/atomic"
	"time"

	"jurymast/internal/nameserver/zone"
)

// Known says what is known of one family of a target.
type Known uint8

// What may be known.
const (
	Unknown   Known = iota // nobody has told yet, or it was too long ago: SERVFAIL
	None                   // there are none: NODATA
	Addresses              // Family.Set
)

// staleTTL is what a stale set is sent with at most, in seconds [RFC 8767 5].
const staleTTL = 30

// Family is what is known of a target's addresses of one family. It is immutable.
type Family struct {
	Known   Known
	Set     *zone.RRset // sorted, without duplicates; nil unless Known is Addresses
	Until   time.Time   // end of the TTL the resolver gave
	Dead    time.Time   // from then on nothing is known
	Failing bool        // the last look brought nothing new
}

// At is what is known at a moment, and for how many seconds that may be kept. The TTL is never 0: a set whose TTL
// is over while it is being looked up again has 1, a stale one at most 30.
func (f *Family) At(now time.Time) (known Known, ttl uint32, stale bool) {
	if f.Known == Unknown || !now.Before(f.Dead) {
		return Unknown, 1, false
	}
	left := f.Until.Sub(now)
	switch {
	case left >= time.Second:
		return f.Known, uint32(left / time.Second), false //nolint:gosec // at most an hour
	case left <= 0 && f.Failing:
		return f.Known, staleTTL, true
	}
	return f.Known, 1, false
}

// Answer is all that is known of a target. It is immutable.
type Answer struct {
	V4, V6   Family
	Tried    bool           // a look has ended, well or badly
	Network  bool           // the last failure was silence, not a bad answer
	Failures int            // looks in a row that brought nothing new for a family
	Trouble  string         // of the last look, "" when it was fine
	Resolver netip.AddrPort // who told what is known
	Learned  time.Time      // when
	Next     time.Time      // next look
}

// Target is one host name whose addresses are kept. Load never blocks; everything else belongs to its Book.
type Target struct {
	name   string
	answer atomic.Pointer[Answer]

	// Of the Book.
	state   state
	owners  []string // host names that are answered with this target
	keep    time.Time
	due     time.Time
	index   int // in the queue; -1: not in it
	running bool
}

var nothing = &Answer{}

func newTarget(name string) *Target {
	t := &Target{name: name, index: -1}
	t.answer.Store(nothing)
	return t
}

// Name is the target's, in lower case and without a trailing dot.
func (t *Target) Name() string { return t.name }

// Load is what is known now, never nil.
func (t *Target) Load() *Answer { return t.answer.Load() }
