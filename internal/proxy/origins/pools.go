package origins

import (
	"context"
	"crypto/x509"
	"errors"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"jurymast/internal/proxy/wire"
)

// Defaults and bounds of Options.
const (
	DefaultIdle        = 256              // idle connections per Key
	DefaultIdleTimeout = 60 * time.Second // of an idle connection without a Keep-Alive hint
	DefaultMaxAge      = 10 * time.Minute // of a connection; each gets 90 to 110 % of it
	DefaultMaxRequests = 10_000           // on a connection; each gets 90 to 110 % of it
	maxPools           = 1024             // with a wildcard host name the client chooses the server name, and so the Key
	maxShards          = 32
)

// Unsafe is how recently a pooled connection must have been used to carry a request that could not be sent again, and
// Any is what the others pass to Take; proxy.md 9.2.
const (
	Unsafe = time.Second
	Any    = time.Duration(1<<63 - 1)
)

// Key is what connections are shared by. Two requests with the same Key may use the same connection one after the other.
type Key struct {
	Secure     bool
	Addr       string // host:port; the host is an address or a name
	ServerName string // SNI and the name the certificate must carry; "" without TLS
	Proxy      uint8  // version of the PROXY protocol header that begins each connection; 0: none
	TLS        *TLS   // nil: the defaults. Equal words must be the same pointer, see TLS
}

// Options of Pools; the zero value works.
type Options struct {
	Roots       *x509.CertPool // that sign the origins' certificates; nil: the system's
	Watch       *wire.Watch    // carries out the deadlines of connections; nil: they have none
	Idle        int            // connections per Key; 0: DefaultIdle
	IdleTimeout time.Duration  // 0: DefaultIdleTimeout
	MaxAge      time.Duration  // 0: DefaultMaxAge
	MaxRequests int            // 0: DefaultMaxRequests
	Resolver    Resolver       // nil: the system's
	Logger      *slog.Logger   // nil: nothing is logged
	Shards      int            // 0: one per processor, at most 32
}

func (o Options) withDefaults() Options {
	if o.Idle <= 0 {
		o.Idle = DefaultIdle
	}
	if o.IdleTimeout <= 0 {
		o.IdleTimeout = DefaultIdleTimeout
	}
	if o.MaxAge <= 0 {
		o.MaxAge = DefaultMaxAge
	}
	if o.MaxRequests <= 0 {
		o.MaxRequests = DefaultMaxRequests
	}
	if o.Resolver == nil {
		o.Resolver = net.DefaultResolver
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Shards <= 0 {
		o.Shards = runtime.GOMAXPROCS(0)
	}
	o.Shards = min(o.Shards, maxShards, o.Idle)
	return o
}

// Pools are the pools of all origins.
type Pools struct {
	o     Options
	start time.Time // what lengths of time are counted from
	lanes sync.Pool // of *lane: which shard this processor uses
	next  atomic.Uint32
	all   []lane

	byKey    atomic.Pointer[map[Key]*Pool] // replaced as a whole, so that For does not lock
	sweeping atomic.Bool
	swept    atomic.Uint64 // sweeps made, for tests

	mu      sync.Mutex // of what follows, and of writing byKey
	closed  bool
	names   map[string]*name
	tallies map[string]*tally
	ctx     context.Context //nolint:containedctx // of look-ups, which belong to no request
	cancel  context.CancelFunc
	lookups sync.WaitGroup
}

// lane is one shard's number. It lives in a sync.Pool, whose first slot belongs to a processor: that is the only way to
// learn on which one we run. Nothing is made when it is empty, so it costs no allocation.
type lane struct{ i int }

// New has no pools yet.
func New(o Options) *Pools {
	s := &Pools{o: o.withDefaults(), start: time.Now(), names: map[string]*name{}, tallies: map[string]*tally{}}
	s.all = make([]lane, s.o.Shards)
	for i := range s.all {
		s.all[i].i = i
	}
	s.lanes.New = func() any { return &s.all[int(s.next.Add(1))%len(s.all)] }
	s.byKey.Store(&map[Key]*Pool{})
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s
}

// now counts nanoseconds from the start; it never goes back and is never 0.
func (s *Pools) now() int64 { return int64(time.Since(s.start)) + 1 }

// lane is the shard of the processor we run on, most of the time.
func (s *Pools) lane() int {
	l, ok := s.lanes.Get().(*lane)
	if !ok { // cannot happen: nothing else is put there
		return 0
	}
	s.lanes.Put(l)
	return l.i
}

// For is the pool of k. It costs one look into a map, no lock and no allocation when the pool exists. A pointer may be
// kept as long as its Gone is false.
func (s *Pools) For(k Key) *Pool {
	p := (*s.byKey.Load())[k]
	if p == nil {
		p = s.add(k)
	}
	if now := s.now(); now-p.used.Load() > int64(time.Second) { // not each time: all processors read this line
		p.used.Store(now)
	}
	return p
}

// add makes the pool of k. After Close it is one that keeps nothing and dials nothing.
func (s *Pools) add(k Key) *Pool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := (*s.byKey.Load())[k]; p != nil {
		return p
	}
	p := &Pool{set: s, key: k, shards: make([]shard, s.o.Shards)}
	p.used.Store(s.now())
	p.tls = k.config(s.o.Roots)
	p.tally = s.tallyOf(k.Addr)
	if p.addr, p.fault = netip.ParseAddrPort(k.Addr); p.fault != nil {
		var host string
		if host, p.port, p.fault = splitAddr(k.Addr); p.fault == nil && !s.closed {
			p.name = s.nameOf(host)
		}
	}
	if s.closed {
		p.gone.Store(true)
		p.fault = errClosed
		return p
	}
	pools := maps.Clone(*s.byKey.Load())
	if len(pools) >= maxPools {
		retire(pools, oldest(pools))
	}
	pools[k] = p
	s.byKey.Store(&pools)
	return p
}

var errClosed = errors.New("the pools of origin connections are closed")

// share is how many idle connections shard i may hold; the shares of all sum up to Options.Idle.
func (s *Pools) share(i int) int {
	n := s.o.Idle / s.o.Shards
	if i < s.o.Idle%s.o.Shards {
		n++
	}
	return n
}

func oldest(pools map[Key]*Pool) Key {
	var key Key
	at := int64(-1)
	for k, p := range pools {
		if used := p.used.Load(); at < 0 || used < at {
			key, at = k, used
		}
	}
	return key
}

// retire takes a pool out of the map: its idle connections end now, its lent ones when they come back.
func retire(pools map[Key]*Pool, k Key) {
	p := pools[k]
	delete(pools, k)
	p.gone.Store(true)
	p.empty()
}

// Drop closes the idle connections to an address, and those that are out when they come back: the endpoint went down,
// drains, or is another one now.
func (s *Pools) Drop(addr string) {
	for k, p := range *s.byKey.Load() {
		if k.Addr == addr {
			p.empty()
		}
	}
}

// Keep forgets the pools for which wanted is false, with their figures and host names. It is called with each new
// configuration.
func (s *Pools) Keep(wanted func(Key) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	pools := maps.Clone(*s.byKey.Load())
	for k := range pools {
		if !wanted(k) {
			retire(pools, k)
		}
	}
	s.byKey.Store(&pools)
	addrs, hosts := map[string]bool{}, map[*name]bool{}
	for k, p := range pools {
		addrs[k.Addr], hosts[p.name] = true, true
	}
	maps.DeleteFunc(s.tallies, func(addr string, _ *tally) bool { return !addrs[addr] })
	maps.DeleteFunc(s.names, func(_ string, n *name) bool {
		if hosts[n] {
			return false
		}
		n.stop()
		return true
	})
}

// Close closes all idle connections, and those that are out when they come back; it waits for look-ups under way.
func (s *Pools) Close() {
	s.Keep(func(Key) bool { return false })
	s.mu.Lock()
	s.closed = true
	// A pool may have been added since; none is from now on.
	pools := maps.Clone(*s.byKey.Load())
	for k := range pools {
		retire(pools, k)
	}
	s.byKey.Store(&pools)
	for _, n := range s.names {
		n.stop()
	}
	s.mu.Unlock()
	s.cancel()
	s.lookups.Wait()
}
