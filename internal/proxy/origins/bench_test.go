package origins

import (
	"container/list"
	"runtime"
	"sync"
	"testing"
)

// lend is a pool as a benchmark sees it.
type lend interface {
	take() *Conn
	put(c *Conn)
}

type pooled struct{ p *Pool }

func (b pooled) take() *Conn { return b.p.Take(Any) }
func (b pooled) put(c *Conn) { b.p.Put(c) }

// oneMutex keeps idle connections as net/http's Transport does: one lock over a map of stacks and a list of them all by
// age. It asks the socket as we do, so that the difference is the bookkeeping alone. (Transport asks nothing: it has a
// goroutine reading on each connection.)
type oneMutex struct {
	mu   sync.Mutex
	key  Key
	idle map[Key][]*Conn
	lru  *list.List
	at   map[*Conn]*list.Element
}

func (b *oneMutex) take() *Conn {
	b.mu.Lock()
	all := b.idle[b.key]
	if len(all) == 0 {
		b.mu.Unlock()
		return nil
	}
	c := all[len(all)-1]
	b.idle[b.key] = all[:len(all)-1]
	b.lru.Remove(b.at[c])
	delete(b.at, c)
	b.mu.Unlock()
	if !c.Alive() {
		return nil
	}
	return c
}

func (b *oneMutex) put(c *Conn) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.idle[b.key] = append(b.idle[b.key], c)
	b.at[c] = b.lru.PushFront(c)
}

func benchmark(b *testing.B, pool lend, p *Pool) {
	for range 2 * runtime.GOMAXPROCS(0) {
		c, err := p.Dial(b.Context(), 0)
		if err != nil {
			b.Fatal(err)
		}
		pool.put(c)
	}
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			c := pool.take()
			if c == nil {
				b.Error("the pool is empty")
				return
			}
			pool.put(c)
		}
	})
}

// BenchmarkTakePut is what lending a connection costs, the question to its socket included; run it with -cpu 1,2.
// "socket" is that question alone.
func BenchmarkTakePut(b *testing.B) {
	o := newOrigin(b)
	k := Key{Addr: o.Addr}
	b.Run("sharded", func(b *testing.B) {
		p := newPools(b, Options{MaxRequests: 1 << 50}).For(k)
		benchmark(b, pooled{p}, p)
	})
	b.Run("one-shard", func(b *testing.B) {
		p := newPools(b, Options{MaxRequests: 1 << 50, Shards: 1}).For(k)
		benchmark(b, pooled{p}, p)
	})
	b.Run("one-mutex", func(b *testing.B) {
		p := newPools(b, Options{MaxRequests: 1 << 50}).For(k)
		benchmark(b, &oneMutex{key: k, idle: map[Key][]*Conn{}, lru: list.New(), at: map[*Conn]*list.Element{}}, p)
	})
	b.Run("socket", func(b *testing.B) {
		p := newPools(b, Options{MaxRequests: 1 << 50}).For(k)
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			c, err := p.Dial(b.Context(), 0)
			if err != nil {
				b.Error(err)
				return
			}
			defer discard(c)
			for pb.Next() {
				if !c.Alive() {
					b.Error("ended")
					return
				}
			}
		})
	})
}

// BenchmarkShards is the bookkeeping of the pool without any socket.
func BenchmarkShards(b *testing.B) {
	for name, shards := range map[string]int{"one": 1, "sharded": 0} {
		b.Run(name, func(b *testing.B) {
			s := newPools(b, Options{MaxRequests: 1 << 50, Shards: shards})
			p := s.For(Key{Addr: somewhere})
			for i := range 2 * runtime.GOMAXPROCS(0) {
				p.shards[i%len(p.shards)].push(p, &Conn{pool: p}, 100)
			}
			defer func() { // they are no connections: nobody must close them
				for i := range p.shards {
					p.shards[i].clear()
				}
			}()
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					now, own := s.now(), s.lane()
					for i := range p.shards {
						if c := p.shards[(own+i)%len(p.shards)].pop(now, Any); c != nil {
							p.shards[(own+i)%len(p.shards)].push(p, c, 100)
							break
						}
					}
				}
			})
		})
	}
}

// BenchmarkFor is the way from a key to its pool.
func BenchmarkFor(b *testing.B) {
	s := newPools(b, Options{MaxRequests: 1 << 50})
	k := Key{Secure: true, Addr: somewhere, ServerName: "origin.example"}
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			s.For(k)
		}
	})
}
