package xfr

import "time"

// MinBetween is the shortest time between two serials of a zone that health makes.
const MinBetween = 5 * time.Second

// RenewBetween is the shortest time between two moments that signatures are made as of: renewals that are due within are
// told to secondaries at once. Signatures are due with 8 days left, so a secondary never has one that is older by more.
const RenewBetween = time.Hour

// epochAhead is how far the clock of another node may be ahead before its moment is not believed.
const epochAhead = 5 * time.Minute

// Newer reports that serial a is after b [RFC 1982 3.2]. Two that are exactly 2^31 apart have no order: false both ways.
func Newer(a, b uint32) bool { return a != b && a-b < 1<<31 }

// State is what all nodes agree on about the serial of one zone. It is stored, and only the leader writes it.
type State struct {
	Serial uint32    `json:"serial"`
	Digest string    `json:"digest"` // of the content that has the serial
	At     time.Time `json:"at"`     // when the leader said so

	// Epoch is the moment as of which the content is signed, in seconds since 1970 by the clock of signatures; 0: it is not
	// signed. The same keys make the same signatures of the same moment, so they are the same on all nodes.
	Epoch int64 `json:"epoch,omitempty"`
}

// Content is one content of a zone that has no serial yet.
type Content struct {
	Base   uint32 // the SOA's serial as documents say
	Digest string // of everything in the zone but the live serial and the signatures
	Now    int64  // of a signed zone: the clock of signatures, in seconds since 1970; else 0
	Renew  int64  // when the first signature under the present serial is due for renewal; 0: not known
}

// epoch is the moment as of which a new serial is signed. It moves on once an hour, so that few signatures are told again.
func (c *Content) epoch(was *State) int64 {
	if c.Now == 0 {
		return 0
	}
	if was == nil || c.Now-was.Epoch >= int64(RenewBetween/time.Second) || was.Epoch-c.Now > int64(epochAhead/time.Second) {
		return c.Now
	}
	return was.Epoch
}

// due reports that signatures are to be renewed under a serial of their own.
func (c *Content) due(was *State) bool {
	return c.Now != 0 && c.epoch(was) != was.Epoch && (c.Renew != 0 && c.Now >= c.Renew || was.Epoch > c.Now || was.Epoch == 0)
}

// Next is the state that a content leads to, and when that may be written: now, or at the given time when the last one is
// too young. changed is false when the content has its serial already.
//
//	first content of a zone    the base
//	signatures are due         serial + 1, at most once an hour
//	base after the serial      the base: somebody wrote a new serial, or the generation has grown beyond
//	otherwise                  serial + 1, never 0
//
// No input makes a serial go back: neither a restart or a new leader, who begin with the stored state, nor documents.
func Next(was *State, c Content, now time.Time) (next State, at time.Time, changed bool) {
	next = State{Serial: c.Base, Digest: c.Digest, At: now, Epoch: c.epoch(was)}
	if was == nil {
		return next, now, true
	}
	if was.Digest == c.Digest && !c.due(was) {
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
