package xfr

import "time"

// MinBetween is the shortest time between two serials of a zone that health makes.
const MinBetween = 5 * time.Second

// Newer reports that serial a is after b [RFC 1982 3.2]. Two that are exactly 2^31 apart have no order: false both ways.
func Newer(a, b uint32) bool { return a != b && a-b < 1<<31 }

// State is what all nodes agree on about the serial of one zone. It is stored, and only the leader writes it.
type State struct {
	Serial uint32    `json:"serial"`
	Digest string    `json:"digest"` // of the content that has the serial
	At     time.Time `json:"at"`     // when the leader said so
}

// Content is one content of a zone that has no serial yet.
type Content struct {
	Base   uint32 // the SOA's serial as documents say
	Digest string // of everything in the zone but the live serial
}

// Next is the state that a content leads to, and when that may be written: now, or at the given time when the last one is
// too young. changed is false when the content has its serial already.
//
//	first content of a zone    the base
//	base after the serial      the base: somebody wrote a new serial, or the generation has grown beyond
//	otherwise                  serial + 1, never 0
//
// No input makes a serial go back: neither a restart or a new leader, who begin with the stored state, nor documents.
func Next(was *State, c Content, now time.Time) (next State, at time.Time, changed bool) {
	next = State{Serial: c.Base, Digest: c.Digest, At: now}
	if was == nil {
		return next, now, true
	}
	if was.Digest == c.Digest {
		return *was, now, false
	}
	if !Newer(c.Base, was.Serial) {
		if next.Serial = was.Serial + 1; next.Serial == 0 {
			next.Serial = 1 // some secondaries take 0 for unset
		}
	}
	at = was.At.Add(MinBetween)
	if at.Before(now) || at.Sub(now) > MinBetween { // a clock that was ahead must not hold us up
		at = now
	}
	return next, at, true
}
