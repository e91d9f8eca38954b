package probe

import (
	"testing"
	"time"
)

// 400 good probes of 200 ms each are always in flight: a fresh one must start all the same.
func TestFreshChecksAreNotStarvedByGoodOnes(t *testing.T) {
	s := slots{max: DefaultMaxInFlight, burst: 2 * burstPerCore}
	now := time.Now()
	for i := range 400 {
		s.take(&flight{start: now.Add(time.Duration(i) * 500 * time.Microsecond)})
	}
	now = now.Add(200 * time.Millisecond)
	s.wait(&check{lane: laneFresh})
	for range 20000 { // ten seconds at 2000 good starts per second
		s.age(now)
		s.release(s.started[0])
		s.wait(&check{lane: laneGood})
		for c := s.next(); c != nil; c = s.next() {
			if c.lane == laneFresh {
				return
			}
			s.take(&flight{start: now})
		}
		now = now.Add(500 * time.Microsecond)
	}
	t.Fatalf("fresh check never started in 10 s; total %d busy %d of max %d, burst %d", s.total, s.busy, s.max, s.burst)
}
