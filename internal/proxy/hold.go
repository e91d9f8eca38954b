package proxy

import (
	"container/list"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// The release ramp and the pauses of the trial, proxy.md 7 and 6.2 (ours).
const (
	rampFirst  = 100                    // requests released at once
	rampEvery  = 100 * time.Millisecond // then twice as many each
	trialFirst = 10 * time.Millisecond  // pause after the first failed connect, doubling
	trialMax   = time.Second            // or timeouts.connect, when that is less
)

// queue holds the requests of one profile that may not be sent yet.
//
//	allowed, nobody waits, connects work   -> pass
//	not allowed                            -> wait for a newer snapshot
//	allowed, connect failed, same decision -> one at a time tries again after a pause; the rest waits
//	allowed again                          -> first in, first out, ramped
//
// It is woken by snapshots and by its own timers, never by polling. allowed is asked with mu held and must not block.
type queue struct {
	allowed func() *choice

	busy    atomic.Bool // somebody waits or the gate is closed; false is the hot path
	mu      sync.Mutex
	waiting *list.List // of *ticket, in order of first arrival
	perAddr map[netip.Addr]int
	seq     uint64
	gate    *gate
	step    int // size of the current ramp step, 0 when no release is going on
	left    int // of the current step
	ramp    *time.Timer
}

// gate is closed when connecting to the active endpoint failed under a decision that still stands.
type gate struct {
	endpoint string
	epoch    uint64
	pause    time.Duration
	next     time.Time
	trial    *ticket // the one that tries now
	timer    *time.Timer
}

// ticket is one exchange's place. It keeps it when a released request fails again.
type ticket struct {
	seq      uint64 // 0: never waited
	addr     netip.Addr
	deadline time.Time // of all waiting together
	pass     bool      // just released: do not queue again before the next attempt
	open     chan struct{}
	elem     *list.Element
}

type holdResult string

const (
	holdReleased holdResult = "released"
	holdTimeout  holdResult = "timeout"
	holdFull     holdResult = "full"
	holdGone     holdResult = "client-gone"
)

func newQueue(allowed func() *choice) *queue {
	return &queue{allowed: allowed, waiting: list.New(), perAddr: map[netip.Addr]int{}}
}

// mustWait reports that a request for c may not be sent now although c allows it.
func (q *queue) mustWait(c *choice, t *ticket) bool {
	if t.pass {
		t.pass = false
		return false
	}
	if !q.busy.Load() {
		return false
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.gate != nil && q.gate.trial == t {
		return false // it goes on finding out
	}
	return q.waiting.Len() > 0 || (q.gate != nil && q.gate.holds(c))
}

func (g *gate) holds(c *choice) bool { return g.endpoint == c.endpoint && g.epoch == c.epoch }

// wait blocks until the request may be sent, its time is up, or the client is gone.
func (q *queue) wait(gone <-chan struct{}, t *ticket, maxRequests int, now time.Time) holdResult {
	if !t.deadline.After(now) {
		return holdTimeout
	}
	if !q.enter(t, maxRequests) {
		return holdFull
	}
	q.pump()
	limit := time.NewTimer(t.deadline.Sub(now))
	defer limit.Stop()
	select {
	case <-t.open:
		return holdReleased
	case <-gone:
		return q.leave(t, holdGone)
	case <-limit.C:
		return q.leave(t, holdTimeout)
	}
}

func (q *queue) enter(t *ticket, maxRequests int) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	share := max(1, maxRequests/4)
	others := len(q.perAddr) > 1 || (len(q.perAddr) == 1 && q.perAddr[t.addr] == 0)
	if q.waiting.Len() >= maxRequests || (others && q.perAddr[t.addr] >= share) {
		return false
	}
	if q.gate != nil && q.gate.trial == t {
		q.gate.trial = nil
	}
	if t.seq == 0 {
		q.seq++
		t.seq = q.seq
	}
	t.open = make(chan struct{})
	at := q.waiting.Back()
	for at != nil && at.Value.(*ticket).seq > t.seq { //nolint:errcheck // only tickets are in the list
		at = at.Prev()
	}
	if at == nil {
		t.elem = q.waiting.PushFront(t)
	} else {
		t.elem = q.waiting.InsertAfter(t, at)
	}
	q.perAddr[t.addr]++
	q.busy.Store(true)
	return true
}

// leave gives a place up, unless it was released at the same moment: then the request goes, unless its client left.
func (q *queue) leave(t *ticket, why holdResult) holdResult {
	q.mu.Lock()
	released := t.elem == nil
	if !released {
		q.remove(t)
	}
	q.mu.Unlock()
	if released && why == holdTimeout {
		return holdReleased
	}
	q.settled(t)
	return why
}

func (q *queue) remove(t *ticket) {
	q.waiting.Remove(t.elem)
	t.elem = nil
	if q.perAddr[t.addr]--; q.perAddr[t.addr] <= 0 {
		delete(q.perAddr, t.addr)
	}
	q.rest()
}

// rest notes whether the hot path may pass without looking.
func (q *queue) rest() { q.busy.Store(q.waiting.Len() > 0 || q.gate != nil) }

// pump releases whom it may. It is called when something changed: a snapshot, an arrival, a timer, an attempt's end.
func (q *queue) pump() {
	q.mu.Lock()
	defer q.mu.Unlock()
	c := q.allowed()
	if q.gate != nil && !q.gate.holds(c) {
		q.openGate()
	}
	switch {
	case c.gone:
		q.releaseAll()
	case !c.ok:
		q.step = 0
	case q.gate != nil:
		q.tryOne()
	default:
		q.release()
	}
	q.rest()
}

func (q *queue) openGate() {
	if q.gate.timer != nil {
		q.gate.timer.Stop()
	}
	q.gate = nil
}

// tryOne lets the first in line find out whether the endpoint answers again.
func (q *queue) tryOne() {
	g := q.gate
	first := q.waiting.Front()
	if g.trial != nil || first == nil {
		return
	}
	if pause := time.Until(g.next); pause > 0 {
		if g.timer == nil {
			g.timer = time.AfterFunc(pause, q.pump)
		} else {
			g.timer.Reset(pause)
		}
		return
	}
	g.trial = first.Value.(*ticket) //nolint:errcheck // only tickets are in the list
	q.let(g.trial)
}

func (q *queue) release() {
	if q.waiting.Len() == 0 {
		return
	}
	if q.step == 0 {
		q.step, q.left = rampFirst, rampFirst
		q.armRamp()
	}
	for q.left > 0 && q.waiting.Len() > 0 {
		q.let(q.waiting.Front().Value.(*ticket)) //nolint:errcheck // only tickets are in the list
		q.left--
	}
}

// releaseAll lets everybody learn that waiting is in vain.
func (q *queue) releaseAll() {
	for e := q.waiting.Front(); e != nil; e = q.waiting.Front() {
		q.let(e.Value.(*ticket)) //nolint:errcheck // only tickets are in the list
	}
}

func (q *queue) let(t *ticket) {
	q.remove(t)
	t.pass = true
	close(t.open)
}

func (q *queue) armRamp() {
	if q.ramp == nil {
		q.ramp = time.AfterFunc(rampEvery, q.nextStep)
	} else {
		q.ramp.Reset(rampEvery)
	}
}

func (q *queue) nextStep() {
	q.mu.Lock()
	if q.step > 0 {
		if q.waiting.Len() == 0 {
			q.step = 0
		} else {
			q.step *= 2
			q.left = q.step
			q.armRamp()
		}
	}
	q.mu.Unlock()
	q.pump()
}

// failed closes the gate: connecting to c's endpoint did not work. limit bounds the pause between trials.
func (q *queue) failed(c *choice, t *ticket, limit time.Duration, now time.Time) {
	q.mu.Lock()
	g := q.gate
	switch {
	case g == nil || !g.holds(c):
		if g != nil {
			q.openGate()
		}
		q.gate = &gate{endpoint: c.endpoint, epoch: c.epoch, pause: trialFirst, next: now.Add(trialFirst)}
	case g.trial == t:
		g.trial = nil
		g.pause = min(g.pause*2, limit, trialMax)
		g.next = now.Add(g.pause)
	}
	q.rest()
	q.mu.Unlock()
	q.pump()
}

// connected opens the gate: the endpoint takes connections.
func (q *queue) connected(c *choice) {
	if !q.busy.Load() {
		return
	}
	q.mu.Lock()
	open := q.gate != nil && q.gate.holds(c)
	if open {
		q.openGate()
		q.rest()
	}
	q.mu.Unlock()
	if open {
		q.pump()
	}
}

// settled must be called when an exchange ends in any way: a trial without a result lets the next one try.
func (q *queue) settled(t *ticket) {
	if !q.busy.Load() {
		return
	}
	q.mu.Lock()
	open := q.gate != nil && q.gate.trial == t
	if open {
		q.gate.trial = nil
	}
	q.mu.Unlock()
	if open {
		q.pump()
	}
}

// depth is the number of requests waiting.
func (q *queue) depth() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.waiting.Len()
}

// stop ends the timers. Nobody may be waiting any more.
func (q *queue) stop() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.gate != nil {
		q.openGate()
	}
	if q.ramp != nil {
		q.ramp.Stop()
	}
	q.step = 0
}
