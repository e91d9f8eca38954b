package flatten

import (
	"maps"
	"slices"
	"time"
)

// State says in one word how a target stands.
type State string

// The words of State.
const (
	Fresh   State = "fresh"   // some address is known and within its TTL, or is just being renewed
	Stale   State = "stale"   // some address is known, its TTL is over and lookups fail
	Empty   State = "none"    // the target has no address
	Missing State = "unknown" // nobody has told, or it was too long ago: questions get SERVFAIL
)

// State of what is known at a moment.
func (a *Answer) State(now time.Time) State {
	out, known := Missing, false
	for _, f := range []*Family{&a.V4, &a.V6} {
		switch k, _, stale := f.At(now); {
		case k == Addresses && stale:
			return Stale
		case k == Addresses:
			out, known = Fresh, true
		case k == None && !known:
			out = Empty
		}
	}
	return out
}

// Status is one target for people.
type Status struct {
	Target    string    `json:"target"`
	State     State     `json:"state"`               // fresh, stale, none or unknown
	Addresses []string  `json:"addresses,omitempty"` // that are answered
	TTL       uint32    `json:"ttl"`                 // seconds left; 1 while the set is being renewed
	Resolver  string    `json:"resolver,omitempty"`  // that told
	Learned   time.Time `json:"learned,omitzero"`
	Next      time.Time `json:"next,omitzero"`      // next lookup
	Forgotten time.Time `json:"forgotten,omitzero"` // when the addresses are given up unless a lookup succeeds
	Failures  int       `json:"failures,omitempty"` // lookups in a row that brought nothing
	Trouble   string    `json:"trouble,omitempty"`  // of the last lookup
}

// Status of the target at a moment.
func (t *Target) Status(now time.Time) Status {
	a := t.Load()
	s := Status{Target: t.name, State: a.State(now), Learned: a.Learned, Next: a.Next, Failures: a.Failures, Trouble: a.Trouble}
	if a.Resolver.IsValid() {
		s.Resolver = a.Resolver.String()
	}
	for _, f := range []*Family{&a.V4, &a.V6} {
		known, ttl, _ := f.At(now)
		if known == Unknown {
			continue
		}
		if len(s.Addresses) == 0 || ttl < s.TTL {
			s.TTL = ttl
		}
		s.Addresses = append(s.Addresses, addresses(f.Set)...)
		s.Forgotten = later(s.Forgotten, f.Dead)
	}
	return s
}

// Status of all targets of a set, in order.
func (s Set) Status(now time.Time) []Status {
	out := make([]Status, 0, len(s))
	for _, name := range slices.Sorted(maps.Keys(s)) {
		out = append(out, s[name].Status(now))
	}
	return out
}
