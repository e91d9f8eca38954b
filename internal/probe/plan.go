package probe

import (
	"container/heap"
	"crypto/sha256"
	"encoding/binary"
	"math/rand/v2"
	"time"
)

// jitterShare is how far, as a share of the interval, a check's phase is moved by dice: +-2 %. It is drawn once per
// schedule, not per probe: the distance of two starts is exactly the interval, or the detection bracket
// [N*I + t, (N+1)*I + T] would not hold.
const jitterShare = 0.02

// phaseOf is where in each interval a check's probes start, 0 <= phase < interval: a hash, so that checks spread evenly
// and keep their place over restarts, and a little dice, so that two nodes never stay in step.
func phaseOf(node, profile, endpoint string, interval time.Duration, seed uint64) time.Duration {
	sum := sha256.Sum256([]byte(node + "\x00" + profile + "\x00" + endpoint))
	hash := binary.BigEndian.Uint64(sum[:8])
	dice := rand.New(rand.NewPCG(seed, hash)) //nolint:gosec // spreads load, guards nothing
	jitter := time.Duration((dice.Float64()*2 - 1) * jitterShare * float64(interval))
	phase := time.Duration(hash % uint64(interval)) //nolint:gosec // below interval, which is positive
	return (phase + jitter + interval) % interval
}

// nextOn returns the first time after now on the grid of one phase.
func nextOn(now time.Time, interval, phase time.Duration) time.Time {
	since := time.Duration((now.UnixNano() - int64(phase)) % int64(interval))
	if since < 0 {
		since += interval
	}
	return now.Add(interval - since)
}

// agenda is a heap of checks by due time.
type agenda []*check

func (a agenda) Len() int { return len(a) }

// Less puts checks that are due at the same time, as after a start, in the order of the documents: what belongs together is
// known together.
func (a agenda) Less(i, j int) bool {
	if a[i].due.Equal(a[j].due) {
		return a[i].born < a[j].born
	}
	return a[i].due.Before(a[j].due)
}

func (a agenda) Swap(i, j int) {
	a[i], a[j] = a[j], a[i]
	a[i].slot, a[j].slot = i, j
}

// Push and Pop belong to container/heap.
func (a *agenda) Push(x any) {
	c, _ := x.(*check)
	c.slot = len(*a)
	*a = append(*a, c)
}

// Pop takes the last element.
func (a *agenda) Pop() any {
	old := *a
	c := old[len(old)-1]
	old[len(old)-1] = nil
	*a = old[:len(old)-1]
	c.slot = notPlanned
	return c
}

const notPlanned = -1

// plan sets when a check is due next.
func (a *agenda) plan(c *check, due time.Time) {
	c.due = due
	if c.slot == notPlanned {
		heap.Push(a, c)
		return
	}
	heap.Fix(a, c.slot)
}

// drop takes a check off the agenda.
func (a *agenda) drop(c *check) {
	if c.slot != notPlanned {
		heap.Remove(a, c.slot)
	}
}

// advance plans the start after one that happens now: on the grid, or at the pace the engine asked for. Starts that
// were missed are not made up for. Only the first point of the grid is read off the wall clock: a clock that is set
// moves no probe.
func (c *check) advance(now time.Time) time.Time {
	switch {
	case c.grid.IsZero():
		c.grid = nextOn(now, c.interval, c.phase)
	case !c.grid.After(now):
		c.grid = now.Add(c.interval - now.Sub(c.grid)%c.interval)
	}
	if every := c.every(); every < c.interval {
		return now.Add(every)
	}
	return c.grid
}

// every is the distance of starts in force: the interval, or a shorter pace.
func (c *check) every() time.Duration {
	if c.pace > 0 {
		return min(c.pace, c.interval)
	}
	return c.interval
}
