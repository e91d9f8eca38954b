package rrl

import (
	"hash/maphash"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// GateOptions of a Gate.
type GateOptions struct {
	Rate     int // of one network, a second, 1..MaxRate; 0: no limit
	Networks Networks
	Watch    *Watch // learns who is limited; nil: nobody
}

// Burst is how many seconds of its rate a network may use at once.
const gateBurst = 2 * time.Second

// gateBuckets is the size of a gate's table: 64 KiB.
const gateBuckets = 4096

// Gate lets new connections in, as many a second as one network may open. It has a lock, held for nanoseconds, so it is no
// thing for UDP loops. A nil Gate lets everybody in.
type Gate struct {
	opt   GateOptions
	base  time.Time
	count atomic.Uint64 // refused

	mu    sync.Mutex
	table table
}

// NewGate makes one, nil without a rate.
func NewGate(o GateOptions) *Gate {
	if o.Rate <= 0 {
		return nil
	}
	o.Networks = o.Networks.orDefaults()
	cost := time.Second / time.Duration(min(o.Rate, MaxRate))
	return &Gate{opt: o, base: time.Now(), table: newTable(newSecret(maphash.Seed{}), gateBuckets, cost, gateBurst, 0)}
}

// Allow reports that one more may come in from a source. Call it once for each, before anything is spent on it.
func (g *Gate) Allow(from netip.Addr) bool {
	if g == nil || g.opt.Networks.exempt(from) {
		return true
	}
	now := int64(time.Since(g.base))
	network, family := g.opt.Networks.number(from)
	h := g.table.hash(Connection, network, family, 0)
	g.mu.Lock()
	b, _ := g.table.find(h, now)
	debt := g.table.take(b, now)
	g.mu.Unlock()
	if !debt {
		return true
	}
	g.count.Add(1)
	if g.opt.Watch != nil {
		g.opt.Watch.note(Limit{Network: g.opt.Networks.Of(from), Kind: Connection}, 1, time.Duration(g.table.cost))
	}
	return false
}

// Rate is how many a second one network may open; 0: no limit.
func (g *Gate) Rate() int {
	if g == nil {
		return 0
	}
	return g.opt.Rate
}

// Refused is how often Allow has said no.
func (g *Gate) Refused() uint64 {
	if g == nil {
		return 0
	}
	return g.count.Load()
}

// Level is how full the table is.
func (g *Gate) Level() (l Level) {
	if g == nil {
		return l
	}
	now := int64(time.Since(g.base))
	g.mu.Lock()
	defer g.mu.Unlock()
	l.Buckets = len(g.table.lines) * ways
	l.Used, _ = g.table.level(0, len(g.table.lines), now)
	return l
}
