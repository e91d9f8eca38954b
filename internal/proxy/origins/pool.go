package origins

import (
	"crypto/tls"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// Pool are the connections of one Key.
type Pool struct {
	set   *Pools
	key   Key
	addr  netip.AddrPort // of the origin when Key.Addr has an address
	name  *name          // else its name
	port  uint16         // and port
	fault error          // why nothing can be dialled: Key.Addr is no host:port, or the pools are closed
	tls   *tls.Config    // nil: plain
	tally *tally

	used   atomic.Int64 // last For, to the second
	gone   atomic.Bool
	gen    atomic.Uint64 // one more at each Drop: connections of another one are not taken back
	shards []shard
}

// shard is a part of the idle connections, with cache lines of its own.
type shard struct {
	mu   sync.Mutex
	idle []*Conn      // the newest is the last
	n    atomic.Int32 // len(idle), to pass by without locking
	look int          // where the next sweep looks for dead ones
	_    [64]byte
}

// Key is what the pool was asked for with.
func (p *Pool) Key() Key { return p.key }

// Gone says that the pool has left Pools: it keeps no connections any more. Ask For again.
func (p *Pool) Gone() bool { return p.gone.Load() }

// Take lends the newest idle connection that is alive and was used within unusedFor, in this processor's shard, else in
// another one; nil: dial. Requests that could not be sent again pass Unsafe, others Any.
//
// Alive means: at the moment of looking the origin had neither sent anything nor closed. It may do so at any time after,
// so a request on a reused connection can still be lost.
func (p *Pool) Take(unusedFor time.Duration) *Conn {
	now := p.set.now()
	own := p.set.lane()
	for i := range p.shards {
		s := &p.shards[(own+i)%len(p.shards)]
		for s.n.Load() > 0 {
			c := s.pop(now, unusedFor)
			if c == nil {
				break
			}
			if !p.fit(c, now) {
				discard(c)
				continue
			}
			c.Clear() // a wake that was meant for the exchange before
			if !c.Alive() {
				p.tally.stale.Add(1)
				discard(c)
				continue
			}
			c.Reused = true
			return c
		}
	}
	return nil
}

// Put takes a connection back after a complete, unambiguous answer to a request that was sent completely. It closes it
// instead when it is private, over its age or number of requests, dropped meanwhile, or one too many.
func (p *Pool) Put(c *Conn) {
	if c.pool != p { // a mistake of ours must not mix origins up
		discard(c)
		return
	}
	c.requests++
	c.since = p.set.now()
	if c.private || c.KeepFor < 0 || !p.fit(c, c.since) {
		discard(c)
		return
	}
	c.Until(time.Time{})
	own := p.set.lane()
	for i := range p.shards {
		at := (own + i) % len(p.shards)
		if p.shards[at].push(p, c, p.set.share(at)) {
			p.set.wakeSweep()
			return
		}
	}
	discard(c)
}

// fit says whether a connection may be used again, as far as can be said without asking the kernel.
func (p *Pool) fit(c *Conn, now int64) bool {
	idle := int64(p.set.o.IdleTimeout)
	if c.KeepFor > 0 {
		idle = min(idle, int64(c.KeepFor))
	}
	return now-c.since < idle && now < c.retire && c.requests < c.maxRequests &&
		c.gen == p.gen.Load() && !p.gone.Load() && p.name.has(c.remote)
}

// empty closes what is idle and marks what is out.
func (p *Pool) empty() {
	p.gen.Add(1) // before the shards: a Put that does not see it is in a shard when we come there
	for i := range p.shards {
		for _, c := range p.shards[i].clear() {
			discard(c)
		}
	}
}

// idle counts the connections nobody uses.
func (p *Pool) idle() int {
	n := 0
	for i := range p.shards {
		n += int(p.shards[i].n.Load())
	}
	return n
}

// pop is the newest connection when it was used within unusedFor, else nil: those below it are older.
func (s *shard) pop(now int64, unusedFor time.Duration) *Conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	last := len(s.idle) - 1
	if last < 0 || now-s.idle[last].since > int64(unusedFor) {
		return nil
	}
	c := s.idle[last]
	s.idle[last] = nil
	s.idle = s.idle[:last]
	s.n.Store(int32(last)) //nolint:gosec // at most Options.Idle
	return c
}

// push adds c unless there is no room. True also when c was closed because it may not be kept any more.
func (s *shard) push(p *Pool, c *Conn, limit int) bool {
	s.mu.Lock()
	if c.gen != p.gen.Load() || p.gone.Load() { // again, now that empty waits for the lock or has been here
		s.mu.Unlock()
		discard(c)
		return true
	}
	defer s.mu.Unlock()
	if len(s.idle) >= limit {
		return false
	}
	s.idle = append(s.idle, c)
	s.n.Store(int32(len(s.idle))) //nolint:gosec // at most Options.Idle
	return true
}

func (s *shard) clear() []*Conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	was := s.idle
	s.idle = nil
	s.n.Store(0)
	return was
}

// perSweep bounds how many connections of a shard the kernel is asked about in one sweep, since Take waits meanwhile.
const perSweep = 16

// sweep takes out what is not fit any more, and what the origin has ended: a few in each sweep, the oldest first.
func (s *shard) sweep(p *Pool, now int64) (unfit, stale []*Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.look >= len(s.idle) {
		s.look = 0
	}
	from, kept := s.look, s.idle[:0]
	s.look += perSweep
	for i, c := range s.idle {
		switch {
		case !p.fit(c, now):
			unfit = append(unfit, c)
		case i >= from && i < from+perSweep && c.Left():
			stale = append(stale, c)
		default:
			kept = append(kept, c)
		}
	}
	clear(s.idle[len(kept):])
	s.idle = kept
	s.n.Store(int32(len(kept))) //nolint:gosec // at most Options.Idle
	return unfit, stale
}
