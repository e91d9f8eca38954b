package sign

import "sync/atomic"

const (
	ways = 8 // places an entry may be in

	// DefaultCache is how many sets signed on demand are kept, unless told: some 12 MiB.
	DefaultCache = 32 << 10
)

// Cache keeps sets signed on demand, of all zones: a fixed number of places, read and written without a lock. Where all
// places are taken, the oldest of a group gives way, and a signature that is due is no longer found.
type Cache struct {
	slots []atomic.Pointer[entry]
	mask  uint64 // of the number of a group of places
	count atomic.Uint32
}

// NewCache makes one with places for that many sets at least.
func NewCache(sets int) *Cache {
	n := ways
	for n < sets {
		n *= 2
	}
	return &Cache{slots: make([]atomic.Pointer[entry], n), mask: uint64(n/ways) - 1}
}

func (c *Cache) group(h uint64) []atomic.Pointer[entry] {
	at := h & c.mask * ways
	return c.slots[at : at+ways]
}

// Find is what was signed of that content for that zone.
func (c *Cache) Find(b *Book, s *Set) Signatures {
	u := b.use.Load()
	if u == nil {
		return Signatures{}
	}
	h, now := b.salted(s), b.clock.Load()
	for i := range c.group(h) {
		if e := c.group(h)[i].Load(); e != nil && e.hash == h && e.of == b && e.renew > now && u.holds(e, now) && e.is(s) {
			return e.signatures()
		}
	}
	return Signatures{}
}

// Sign signs a set and keeps it.
func (c *Cache) Sign(b *Book, s *Set) (Signatures, error) {
	u := b.use.Load()
	if u == nil {
		return Signatures{}, ErrNoKeys
	}
	h, now := b.salted(s), b.clock.Load()
	e, err := newEntry(b, u, s, h, now)
	if err != nil {
		return Signatures{}, err
	}
	e.seen.Store(c.count.Add(1))
	group := c.group(h)
	at := &group[0]
	for i := range group {
		was, worst := group[i].Load(), at.Load()
		if was == nil || was.hash == h && was.of == b && was.is(s) {
			at = &group[i]
			break
		}
		if worst != nil && int32(was.seen.Load()-worst.seen.Load()) < 0 { //nolint:gosec // modulo 2^32: who came first
			at = &group[i]
		}
	}
	at.Store(e)
	return e.signatures(), nil
}

// Held is how many sets there are, and about how many bytes they take.
func (c *Cache) Held() (sets, bytes int) {
	for i := range c.slots {
		if e := c.slots[i].Load(); e != nil {
			sets, bytes = sets+1, bytes+e.bytes()
		}
	}
	return sets, bytes
}
