package wire

import (
	"sync"
	"sync/atomic"
	"time"
)

const (
	shards      = 32 // power of two
	defaultTick = 100 * time.Millisecond
)

// Watch wakes connections whose time (Until) is over, looking at all of them once per tick. It has no goroutine
// between ticks and no ticks while it has no connections. For 100,000 connections a look takes about a millisecond.
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
	if last == 0 {
		s.conns = nil
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
		for _, c := range s.conns {
			c.late(now)
		}
		s.mu.Unlock()
	}
	return n
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
