package origins

import (
	"cmp"
	"slices"
	"sync/atomic"
)

// How a dial ended, beside the phases of a DialError.
const (
	dialOK = "ok"
	gaveUp = "given_up" // by the caller: the client left, or the decision changed
)

// results are the label values of dials, in the order of tally.dials.
var results = [...]string{dialOK, string(Refused), string(Timeout), string(Unreachable), string(Handshake), gaveUp}

// tally counts for all pools of one address. Only dials and closes write it, never Take and Put of a live connection.
type tally struct {
	open, private atomic.Int64
	stale         atomic.Uint64
	dials         [len(results)]atomic.Uint64
}

// tallyOf is the tally of addr. The caller holds Pools.mu.
func (s *Pools) tallyOf(addr string) *tally {
	t := s.tallies[addr]
	if t == nil {
		t = &tally{}
		s.tallies[addr] = t
	}
	return t
}

func (t *tally) dialed(result string) {
	t.dials[slices.Index(results[:], result)].Add(1)
}

// Figures are what is to be known about the connections to one address, by all its Keys. The counters begin when the
// address is first used, and end when Keep forgets it.
type Figures struct {
	Addr    string
	Idle    int
	Busy    int               // open and not idle, private ones included
	Private int               // belong to one client each
	Stale   uint64            // pooled ones found ended, or with bytes nobody asked for, before they were used
	Dials   map[string]uint64 // by result: ok, refused, timeout, unreachable, tls, given_up
}

// Figures of all addresses, sorted by address.
func (s *Pools) Figures() []Figures {
	idle := map[string]int{}
	for k, p := range *s.byKey.Load() {
		idle[k.Addr] += p.idle()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]Figures, 0, len(s.tallies))
	for addr, t := range s.tallies {
		f := Figures{
			Addr: addr, Idle: idle[addr], Private: int(t.private.Load()), Stale: t.stale.Load(),
			Dials: make(map[string]uint64, len(results)),
		}
		f.Busy = max(0, int(t.open.Load())-f.Idle)
		for i, result := range results {
			f.Dials[result] = t.dials[i].Load()
		}
		out = append(out, f)
	}
	slices.SortFunc(out, func(a, b Figures) int { return cmp.Compare(a.Addr, b.Addr) })
	return out
}
