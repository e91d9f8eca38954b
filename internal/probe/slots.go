package probe

import "time"

// lane is how a check has behaved so far; it decides who waits when slots are scarce.
type lane uint8

// The lanes in the order in which they are served.
const (
	laneGood  lane = iota // the last probe succeeded
	laneFresh             // no probe has ended yet
	laneBad               // the last probe failed
	lanes
)

// young is how long a probe counts as busy. One that still waits for its peer after that costs memory and a socket,
// but hardly any work.
const young = 250 * time.Millisecond

// flight is one probe under way.
type flight struct {
	start time.Time
	busy  bool
	fresh bool
}

// slots bounds the probes in flight and keeps hung targets from delaying healthy ones.
//
//	total <= max        of these an eighth only for checks that succeeded last
//	busy  <= max/2      probes younger than 250 ms, likewise
//	busy  <= burst      for checks that have never been run: after a start all want to at once, and whoever decides,
//	                    writes and answers meanwhile needs the processors too
//
// A thousand hung targets therefore leave the busy slots after 250 ms each, and can never fill the last eighth.
type slots struct {
	max, total, busy int
	young            int       // busy ones that are fresh
	burst            int       // 0: no bound of its own
	started          []*flight // busy ones in the order of their start
	waiting          [lanes][]*check
}

// free reports whether one more probe of that lane may start.
func (s *slots) free(l lane) bool {
	total, busy := s.max, max(1, s.max/2)
	if l != laneGood {
		total, busy = total-s.max/8, max(1, busy-s.max/16)
	}
	if l == laneFresh && s.burst > 0 && s.young >= s.burst {
		return false
	}
	return s.total < total && s.busy < busy
}

func (s *slots) take(f *flight) {
	s.total++
	s.busy++
	f.busy = true
	if f.fresh {
		s.young++
	}
	s.started = append(s.started, f)
}

func (s *slots) release(f *flight) {
	s.total--
	s.calm(f)
}

func (s *slots) calm(f *flight) {
	if f.busy {
		f.busy = false
		s.busy--
		if f.fresh {
			s.young--
		}
	}
}

// age takes the probes that are no longer young out of the busy count.
func (s *slots) age(now time.Time) {
	n := 0
	for n < len(s.started) && (!s.started[n].busy || now.Sub(s.started[n].start) >= young) {
		s.calm(s.started[n])
		s.started[n] = nil
		n++
	}
	s.started = s.started[n:]
	if len(s.started) == 0 {
		s.started = nil
	}
}

func (s *slots) wait(c *check) {
	c.waiting = true
	s.waiting[c.lane] = append(s.waiting[c.lane], c)
}

// next takes the first waiting check that may start.
func (s *slots) next() *check {
	for l := range lanes {
		for len(s.waiting[l]) > 0 && s.free(l) {
			c := s.waiting[l][0]
			s.waiting[l][0] = nil
			s.waiting[l] = s.waiting[l][1:]
			c.waiting = false
			if !c.gone {
				return c
			}
		}
	}
	return nil
}

// wake is when a slot may become free without a probe ending; ok is false when nobody waits.
func (s *slots) wake() (at time.Time, ok bool) {
	if len(s.started) == 0 || len(s.waiting[laneGood])+len(s.waiting[laneFresh])+len(s.waiting[laneBad]) == 0 {
		return time.Time{}, false
	}
	return s.started[0].start.Add(young), true
}
