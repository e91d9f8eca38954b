package rrl

import (
	"math/bits"
	"time"
)

// bucket is one token bucket, kept as the time at which it will be full again: a question moves that time on by what one
// token takes to come. A bucket that is full says nothing, so its place is free.
//
//	full - now <= burst            there was a token
//	burst < full - now             there was none; full grows no further than burst + window
type bucket struct {
	full  int64  // nanoseconds of the clock
	tag   uint32 // of the hash
	count uint16 // answers suppressed since they were last reported
	told  uint8  // the second of that, see suppress; 0: never
	phase uint8  // suppressed answers since the last Slip
}

// ways are the buckets of one line: as many as a cache line of 64 bytes has.
const ways = 4

// table has two lines for each hash, so that what is asked often is hardly ever alone in being without a place. It is found
// in two cache lines, and never grows.
type table struct {
	secret
	lines []([ways]bucket)
	mask  uint64

	cost   int64 // what one token takes to come, in nanoseconds
	burst  int64 // what a full bucket has, in time
	window int64 // what it may owe
}

func newTable(key secret, buckets int, cost, burst, window time.Duration) table {
	n := 1
	for n*ways < buckets {
		n *= 2
	}
	return table{key, make([][ways]bucket, n), uint64(n) - 1, int64(cost), int64(burst), int64(window)}
}

// hash of a bucket's key, of which name is the hash of the name.
func (t *table) hash(k Kind, network, family, name uint64) uint64 {
	hi, lo := bits.Mul64(name^t.k0^uint64(k)<<8^family, network^t.k1)
	return hi ^ lo
}

// known is the bucket that a hash has in its first line, where nearly all are; nil: look with find.
func (t *table) known(h uint64) *bucket {
	tag, line := uint32(h>>32), &t.lines[h&t.mask]
	for i := range line {
		if line[i].tag == tag {
			return &line[i]
		}
	}
	return nil
}

// find is the bucket of a hash: the one it has, even if it is full by now, else the fullest of those it may have, emptied of
// its past. lost says that this past still mattered.
func (t *table) find(h uint64, now int64) (b *bucket, lost bool) {
	tag := uint32(h >> 32)
	one := &t.lines[h&t.mask]
	for i := range one {
		if one[i].tag == tag {
			return &one[i], false
		}
	}
	other := &t.lines[t.second(h)]
	for i := range other {
		if other[i].tag == tag {
			return &other[i], false
		}
	}
	b, taken := fullest(one, now)
	if c, more := fullest(other, now); more < taken || more == taken && c.full < b.full {
		b = c
	}
	lost = b.full > now
	*b = bucket{tag: tag}
	return b, lost
}

// fullest is the bucket of a line that matters least, and how many matter at all: of two lines the emptier one is taken.
func fullest(line *[ways]bucket, now int64) (b *bucket, taken int) {
	b = &line[0]
	for i := range line {
		if line[i].full > now {
			taken++
		}
		if line[i].full < b.full {
			b = &line[i]
		}
	}
	return b, taken
}

// second is the other line of a hash, never the first one unless there is only one.
func (t *table) second(h uint64) uint64 {
	return (h ^ (bits.RotateLeft64(h, 27)*0x9E3779B97F4A7C15>>32 | 1)) & t.mask
}

// take one token. debt says that there was none, and then keeps account of it.
func (t *table) take(b *bucket, now int64) (debt bool) {
	full := max(b.full, now) + t.cost
	if full-now <= t.burst {
		b.full = full
		return false
	}
	if t.window > 0 { // else asking in vain costs nothing
		b.full = min(full, now+t.burst+t.window)
	}
	return true
}

// level counts buckets of some lines: those that are not full, and of them those that owe.
func (t *table) level(from, to int, now int64) (used, owing int) {
	for i := from; i < to; i++ {
		for j := range t.lines[i] {
			switch left := t.lines[i][j].full - now; {
			case left > t.burst:
				owing++
				used++
			case left > 0:
				used++
			}
		}
	}
	return used, owing
}
