package origins

import "time"

// sweepEvery is how late an idle connection may be closed.
const sweepEvery = time.Second

// wakeSweep starts the sweeper unless it runs: Put calls it when something is idle.
//
//	resting --Put--> sweeping --a sweep that finds nothing idle--> resting
func (s *Pools) wakeSweep() {
	if !s.sweeping.Load() && s.sweeping.CompareAndSwap(false, true) {
		time.AfterFunc(sweepEvery, s.sweep)
	}
}

// sweep comes again as long as something is idle.
func (s *Pools) sweep() {
	s.swept.Add(1)
	if s.sweepAll() > 0 {
		time.AfterFunc(sweepEvery, s.sweep)
		return
	}
	s.sweeping.Store(false)
	for _, p := range *s.byKey.Load() { // a Put that still saw us sweeping
		if p.idle() > 0 {
			s.wakeSweep()
			return
		}
	}
}

// sweepAll closes the idle connections that have had their time, and counts the others.
func (s *Pools) sweepAll() (idle int) {
	now := s.now()
	for _, p := range *s.byKey.Load() {
		for i := range p.shards {
			unfit, stale := p.shards[i].sweep(p, now)
			p.tally.stale.Add(uint64(len(stale)))
			for _, c := range unfit {
				discard(c)
			}
			for _, c := range stale {
				discard(c)
			}
		}
		idle += p.idle()
	}
	return idle
}
