package inbound

import (
	"net/netip"
	"sync"
	"sync/atomic"
)

const shards = 64 // power of two

// book knows every connection that lives. Only their beginning and their end take a lock, one of many.
type book struct {
	turn    atomic.Uint32
	shards  [shards]shard
	clients [shards]clients
}

type shard struct {
	mu    sync.Mutex
	first *Conn
	n     int
	_     [40]byte // a cache line of its own
}

func (b *book) add(c *Conn) {
	s := &b.shards[b.turn.Add(1)%shards]
	c.shard = s
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.next = s.first; c.next != nil {
		c.next.prev = c
	}
	s.first = c
	s.n++
}

func (b *book) remove(c *Conn) {
	s := c.shard
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.prev != nil {
		c.prev.next = c.next
	} else {
		s.first = c.next
	}
	if c.next != nil {
		c.next.prev = c.prev
	}
	c.prev, c.next = nil, nil
	s.n--
}

// each calls f for every connection, under the lock of its shard.
func (b *book) each(f func(*Conn)) {
	for i := range b.shards {
		s := &b.shards[i]
		s.mu.Lock()
		for c := s.first; c != nil; c = c.next {
			f(c)
		}
		s.mu.Unlock()
	}
}

func (b *book) size() (n int) {
	for i := range b.shards {
		s := &b.shards[i]
		s.mu.Lock()
		n += s.n
		s.mu.Unlock()
	}
	return n
}

// clients counts connections by who has them.
type clients struct {
	mu sync.Mutex
	n  map[netip.Addr]int32
}

// shareOf is what a client's connections are counted under: its IPv4 address, or its IPv6 /64, which is what one
// customer has at least.
func shareOf(addr netip.Addr) netip.Addr {
	addr = addr.Unmap().WithZone("")
	if addr.Is6() {
		if p, err := addr.Prefix(64); err == nil {
			return p.Addr()
		}
	}
	return addr
}

func (b *book) share(who netip.Addr) *clients {
	h := uint32(2166136261) // FNV-1a: any spread will do, and clients choose few of the bits
	for _, v := range who.As16() {
		h = (h ^ uint32(v)) * 16777619
	}
	return &b.clients[h%shards]
}

// take counts one more connection of who, unless there are limit already; negative: no limit.
func (b *book) take(who netip.Addr, limit int) bool {
	s := b.share(who)
	s.mu.Lock()
	defer s.mu.Unlock()
	if limit >= 0 && int(s.n[who]) >= limit {
		return false
	}
	if s.n == nil {
		s.n = map[netip.Addr]int32{}
	}
	s.n[who]++
	return true
}

func (b *book) putBack(who netip.Addr) {
	s := b.share(who)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.n[who]--; s.n[who] <= 0 {
		delete(s.n, who)
	}
}
