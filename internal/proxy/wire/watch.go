package wire

import (
	"math"
	"sync"
	"sync/atomic"
	"time"
)

const (
	shards      = 32 // power of two
	defaultTick = 100 * time.Millisecond
)

// rest is how long a connection may not be looked at while its deadline is farther away.
const rest = int64(time.Second)

// Watch wakes connections whose time (Until) is over, at most one tick late. It has no goroutine between ticks and no
// ticks while it has no connections.
//
// A tick reads one number per connection, side by side in memory, and looks at those connections whose deadline may be
// near: each once per second, or when its deadline comes. Until tells the Watch only of a deadline that is earlier
// than its next look, which is never with deadlines of more than a second.
type Watch struct {
	tick   time.Duration
	next   atomic.Uint32 // shard of the next connection
	shards [shards]shard

	mu      sync.Mutex
	timer   *time.Timer
	ticking bool
	closed  bool
}

type shard struct {
	w     *Watch
	mu    sync.Mutex
	conns []*Conn
	due   []int64 // when to look at conns[i] again, as clock counts
}

// NewWatch makes a Watch; 0 is a tick of 100 ms.
func NewWatch(tick time.Duration) *Watch {
	if tick <= 0 {
		tick = defaultTick
	}
	w := &Watch{tick: tick}
	for i := range w.shards {
		w.shards[i].w = w
	}
	return w
}

// Add takes c under watch until it closes. The owner calls it, once. After Close of the Watch it does nothing, and
// the connection minds its own deadlines.
func (w *Watch) Add(c *Conn) {
	w.mu.Lock()
	if w.closed {
		w.mu.Unlock()
		return
	}
	s := &w.shards[w.next.Add(1)%shards]
	s.mu.Lock()
	c.slot = len(s.conns)
	s.conns = append(s.conns, c)
	s.due = append(s.due, math.MinInt64)
	c.look.Store(math.MinInt64)
	c.watch.Store(s)
	s.mu.Unlock()
	w.start()
	w.mu.Unlock()
	c.mu.Lock()
	if !c.armed.Load() && c.deadline.Load() != 0 { // from now on a matter of the Watch
		c.disarm()
	}
	c.mu.Unlock()
	if c.closed.Load() {
		c.leave()
	}
}

// leave takes the connection out of its Watch.
func (c *Conn) leave() {
	s := c.watch.Load()
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.watch.Load() == nil { // somebody was faster
		return
	}
	c.watch.Store(nil)
	last := len(s.conns) - 1
	s.conns[c.slot] = s.conns[last]
	s.conns[c.slot].slot = c.slot
	s.conns[last] = nil
	s.conns = s.conns[:last]
	s.due[c.slot] = s.due[last]
	s.due = s.due[:last]
	if last == 0 {
		s.conns, s.due = nil, nil
	}
}

// start begins to tick. Under mu.
func (w *Watch) start() {
	if w.ticking {
		return
	}
	w.ticking = true
	if w.timer == nil {
		w.timer = time.AfterFunc(w.tick, w.look)
		return
	}
	w.timer.Reset(w.tick)
}

// look wakes everybody who is over time and arranges the next look.
func (w *Watch) look() {
	n := w.sweep(clock())
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ticking = false
	if w.closed || (n == 0 && w.Len() == 0) {
		return
	}
	w.start()
}

// sweep wakes everybody who is over time now and says how many it looked at.
func (w *Watch) sweep(now int64) (n int) {
	for i := range w.shards {
		s := &w.shards[i]
		s.mu.Lock()
		n += len(s.conns)
		for i, due := range s.due {
			if now >= due {
				s.due[i] = s.conns[i].visit(now)
			}
		}
		s.mu.Unlock()
	}
	return n
}

// visit wakes the connection if its time is over and says when to look again.
//
// The time of the next look is stored before the deadline is read, and Until stores the deadline before it reads the
// time of the next look: one of both sees that the deadline is earlier.
func (c *Conn) visit(now int64) int64 {
	c.late(now)
	next := now + rest
	c.look.Store(next)
	if d := c.deadline.Load(); d != 0 && d < next {
		next = d
		c.look.Store(next)
	}
	return next
}

// hurry has the connection looked at when its deadline comes.
func (c *Conn) hurry(s *shard, d int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.watch.Load() == s && d < s.due[c.slot] {
		s.due[c.slot] = d
		c.look.Store(d)
	}
}

// Len is the number of connections under watch.
func (w *Watch) Len() (n int) {
	for i := range w.shards {
		s := &w.shards[i]
		s.mu.Lock()
		n += len(s.conns)
		s.mu.Unlock()
	}
	return n
}

// Close stops watching. Connections still in it are woken no more: close them first.
func (w *Watch) Close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	if w.timer != nil {
		w.timer.Stop()
	}
}
