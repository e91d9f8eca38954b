package rrl

import (
	"hash/maphash"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"jurymast/internal/nameserver/tap"
)

// Limiter is what the loops of one server share: settings and a key, nothing that changes. A nil Limiter limits nothing.
type Limiter struct {
	opt Options
	key secret

	mu    sync.Mutex
	loops []*Loop
	base  time.Time
}

// NewLimiter makes one.
func NewLimiter(o Options) *Limiter {
	return &Limiter{opt: o.orDefaults(), key: newSecret(o.Seed), base: time.Now()}
}

// Options are those in use, defaults filled in.
func (l *Limiter) Options() Options { return l.opt }

// Dry reports that what Ask says is only counted.
func (l *Limiter) Dry() bool { return l.opt.Dry }

// clock is the time since the limiter was made, in nanoseconds.
func (l *Limiter) clock() int64 { return int64(time.Since(l.base)) }

// Loop is for one more loop; nil when there is no limiter.
func (l *Limiter) Loop() *Loop {
	if l == nil {
		return nil
	}
	cost := time.Second * time.Duration(l.opt.Loops) / time.Duration(l.opt.Rate)
	burst := max(time.Second, cost*time.Duration(min(l.opt.Rate, leastBurst)))
	t := &Loop{
		limiter: l, networks: l.opt.Networks, slip: uint8(l.opt.Slip), clock: l.clock, ring: tap.NewRing[report](reports), //nolint:gosec // at most MaxSlip
		table: newTable(l.key, l.opt.Buckets, cost, burst, l.opt.Window),
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.loops = append(l.loops, t)
	return t
}

// leastBurst is how many tokens a full bucket holds at least, unless the whole rate is less: what comes by chance to one of
// many loops comes unevenly.
const leastBurst = 20

// Sizes of a loop's side of what others look at.
const (
	reports    = 256                    // not yet taken by the Watch; more are told with the next one
	sweepEvery = 100 * time.Millisecond // a part of the table is counted
	sweepParts = 16
	maxName    = 255
)

// report says that answers of one bucket are suppressed. A bucket reports at most once a second.
type report struct {
	network netip.Prefix
	until   int64 // when it will stop if no more questions come, by the limiter's clock
	count   uint32
	kind    Kind
	length  uint8
	name    [maxName]byte
}

// Loop limits the answers of one UDP loop; only that loop uses it.
type Loop struct {
	limiter  *Limiter
	networks Networks
	table    table
	clock    func() int64
	now      int64
	fresh    bool // now is that of this batch
	slip     uint8
	ring     *tap.Ring[report]

	swept, part int64
	counting    [2]int
	used, owing atomic.Int64 // buckets, of the last sweep
	seen        atomic.Int64 // when that was; 0: never
	lost        atomic.Uint64
}

// Tick begins another batch of questions, all of which come at the same time.
func (t *Loop) Tick() { t.fresh = false }

// Exempt reports that no limit holds for a source.
func (t *Loop) Exempt(from netip.Addr) bool { return t.networks.exempt(from) }

// Ask takes a token for an answer that is about to be written and says what becomes of it. name is only read.
func (t *Loop) Ask(from netip.Addr, kind Kind, name []byte) Action {
	return t.AskHashed(from, kind, name, maphash.Bytes(t.table.seed, name))
}

// AskHashed is Ask for who has the name's hash already: maphash.Bytes of Options.Seed.
func (t *Loop) AskHashed(from netip.Addr, kind Kind, name []byte, hash uint64) Action {
	var network, family uint64
	if from.Is4() && t.networks.Exempt == nil { // as most are
		b := from.As4()
		if b[0] == 127 && t.networks.Loopback {
			return Pass
		}
		network, family = t.networks.number4(b), family4
	} else {
		if t.networks.exempt(from) {
			return Pass
		}
		network, family = t.networks.number(from)
	}
	if !t.fresh {
		t.now, t.fresh = t.clock(), true
		if t.now-t.swept >= int64(sweepEvery) {
			t.sweep()
		}
	}
	return t.ask(from, kind, name, t.table.hash(kind, network, family, hash), t.now)
}

func (t *Loop) ask(from netip.Addr, kind Kind, name []byte, h uint64, now int64) Action {
	b := t.table.known(h)
	if b == nil {
		var lost bool
		if b, lost = t.table.find(h, now); lost {
			t.lost.Add(1)
		}
	}
	if !t.table.take(b, now) {
		return Pass
	}
	return t.suppress(b, from, kind, name, now)
}

// suppress says how, and reports it when that is due.
func (t *Loop) suppress(b *bucket, from netip.Addr, kind Kind, name []byte, now int64) Action {
	if b.count < 1<<16-1 {
		b.count++
	}
	if second := uint8(now>>29) | 1; second != b.told { //nolint:gosec // modulo 256, and never 0; it changes every 2^30 ns, about a second
		if r := t.ring.Next(); r != nil {
			r.network, r.kind, r.count, r.until = t.networks.Of(from), kind, uint32(b.count), b.full-t.table.burst
			r.length = uint8(copy(r.name[:], name)) //nolint:gosec // at most maxName
			t.ring.Put()
			b.count, b.told = 0, second
		}
	}
	if t.slip == 0 {
		return Drop
	}
	if b.phase++; b.phase >= t.slip {
		b.phase = 0
		return Slip
	}
	return Drop
}

// sweep counts the buckets of one more part of the table.
func (t *Loop) sweep() {
	n := int64(len(t.table.lines))
	used, owing := t.table.level(int(t.part*n/sweepParts), int((t.part+1)*n/sweepParts), t.now)
	t.counting[0] += used
	t.counting[1] += owing
	t.swept = t.now
	if t.part++; t.part < sweepParts {
		return
	}
	t.used.Store(int64(t.counting[0]))
	t.owing.Store(int64(t.counting[1]))
	t.seen.Store(t.now)
	t.part, t.counting = 0, [2]int{}
}

// Level is how full the tables of all loops are. It is some seconds old under load, and zero soon after questions end.
type Level struct {
	Buckets int    // places
	Used    int    // that are not full of tokens
	Limited int    // of them, those that owe
	Lost    uint64 // buckets forgotten for want of room, since the start: their networks began with a full one
}

// Level sums up the loops.
func (l *Limiter) Level() (sum Level) {
	now := l.clock()
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, t := range l.loops {
		sum.Buckets += len(t.table.lines) * ways
		sum.Lost += t.lost.Load()
		if now-t.seen.Load() < t.table.burst+t.table.window {
			sum.Used += int(t.used.Load())
			sum.Limited += int(t.owing.Load())
		}
	}
	return sum
}

// drain hands over what all loops have reported.
func (l *Limiter) drain(take func(*report, time.Duration)) {
	now := l.clock()
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, t := range l.loops {
		t.ring.Drain(func(r *report) { take(r, time.Duration(max(0, r.until-now))) })
	}
}

// Dry reports that what Ask says is only counted.
func (t *Loop) Dry() bool { return t.limiter.opt.Dry }
