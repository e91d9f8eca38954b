package proxy

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"jurymast/internal/proxy/origins"
	"jurymast/internal/snapshot"
)

// service is what the proxy remembers of one profile. It outlives snapshots and reloads, by the profile's name.
type service struct {
	p       *Proxy
	name    string
	queue   *queue
	budget  budget
	waiting [waiterLists]waiters // attempts without the head of an answer

	mu      sync.Mutex
	tunnels map[*tunnel]struct{}
	links   map[string]*link
	live    atomic.Int64  // exchanges, for retiring
	pausing atomic.Int64  // exchanges that wait alone
	seen    *outlook      // followed last
	open    []destination // of the last one that had any
}

func (p *Proxy) service(name string) *service {
	if s, ok := p.services.Load(name); ok {
		return s.(*service) //nolint:errcheck // only services are stored
	}
	s := &service{p: p, name: name, tunnels: map[*tunnel]struct{}{}, links: map[string]*link{}}
	s.queue = newQueue(func() *choice { return &s.current().all })
	kept, _ := p.services.LoadOrStore(name, s)
	return kept.(*service) //nolint:errcheck // only services are stored
}

// serviceOf is the service of a route.
func (p *Proxy) serviceOf(r *route) *service {
	if s := r.service.Load(); s != nil {
		return s
	}
	s := p.service(r.profile.Name)
	r.service.Store(s)
	return s
}

// current is where this profile's requests may go now, never nil.
func (s *service) current() *outlook { return s.currentIn(s.p.o.Hub.Load()) }

func (s *service) currentIn(snap *snapshot.Snapshot) *outlook {
	t, _ := snap.Config(s.p.slot).(*table) // nil before the first documents
	if t != nil {
		if r := t.byName[s.name]; r != nil && r.profile.Proxy != nil {
			return outlookOf(snap, s.p.slot, r)
		}
	}
	return &outlook{all: choice{gone: true, why: "the profile is not served any more", reason: ReasonNoProfile}}
}

// link is what the proxy knows of the way to one endpoint. It outlives snapshots, by the endpoint's name.
type link struct {
	pace    pace
	plain   atomic.Pointer[origins.Pool] // without TLS; with it the pool hangs on the host name
	stalled time.Time                    // charged last; of the lookout
}

func (s *service) link(endpoint string) *link {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.links[endpoint]
	if l == nil {
		l = &link{}
		s.links[endpoint] = l
	}
	return l
}

// link finds the link of a choice, by name only the first time.
func (x *exchange) link(c *choice) *link {
	if l := c.link.at.Load(); l != nil {
		return l
	}
	l := x.svc.link(c.endpoint)
	c.link.at.Store(l)
	return l
}

// pool is the connections to c's endpoint that may carry this request: with TLS the name the client asked for is SNI and
// is verified.
func (x *exchange) pool(c *choice, l *link) *origins.Pool {
	key := origins.Key{Secure: c.dest.secure, Addr: c.dest.addr, Proxy: c.dest.header}
	if !c.dest.secure {
		if p := l.plain.Load(); p != nil && !p.Gone() && p.Key() == key {
			return p
		}
		p := x.p.pools.For(key)
		l.plain.Store(p)
		return p
	}
	key.ServerName = hostName(string(x.req().Host.Of(x.head)))
	return x.p.pools.For(key)
}

// review moves an attempt whose endpoint must not get it any more: in its connect phase any, later only what may be sent
// again, and not from an endpoint that keeps what it has. The others wait for the origin they were sent to.
func (s *service) review(a *attempt, o *outlook) {
	if !o.all.ok && !o.halted || o.fates[a.c.dest] == fateOpen {
		return
	}
	called := a.phase.CompareAndSwap(phaseConnecting, phaseCalledOff)
	if called || (o.fates[a.c.dest] == fateNone && a.x.mayResend()) {
		a.callOff(calledMoved)
	}
}

// follow brings everything that waits in line with a new snapshot.
func (s *service) follow(o *outlook) {
	if s.queue.busy.Load() {
		s.queue.pump()
	}
	s.mu.Lock()
	if o == s.seen {
		s.mu.Unlock()
		return
	}
	s.seen = o
	var left []destination
	if o.all.ok {
		left = slices.DeleteFunc(s.open, func(d destination) bool { return o.fates[d] == fateOpen })
		s.open = o.openOnes()
	}
	var cut []*tunnel
	for t := range s.tunnels {
		if o.cuts(t.dest) {
			cut = append(cut, t)
		}
	}
	s.mu.Unlock()
	s.each(func(a *attempt) { s.review(a, o) })
	for _, d := range left {
		s.p.pools.Drop(d.addr)
	}
	for i, t := range cut { // spread, so that the clients do not come back as one herd
		t.end(cutSpread*time.Duration(i)/time.Duration(len(cut)), o.strict)
	}
}

// follow keeps up with the snapshots until the proxy stops.
func (p *Proxy) follow() {
	var known *table
	for {
		snap := p.o.Hub.Load()
		t, _ := snap.Config(p.slot).(*table) // nil before the first documents
		p.services.Range(func(_, v any) bool {
			s := v.(*service) //nolint:errcheck // only services are stored
			s.follow(s.current())
			return true
		})
		if t != known {
			p.retire(known, t)
			known = t
		}
		select {
		case <-snap.Replaced():
		case <-p.stop:
			return
		}
	}
}

// retire forgets what a new configuration no longer names: pools, metrics of endpoints, idle services.
func (p *Proxy) retire(old, t *table) {
	wanted := map[destination]bool{}
	for _, r := range t.byName {
		for i := range r.profile.Endpoints {
			if d, err := destinationOf(&r.profile.Endpoints[i]); err == nil {
				wanted[d] = true
			}
		}
	}
	p.pools.Keep(func(k origins.Key) bool {
		return wanted[destination{secure: k.Secure, addr: k.Addr, header: k.Proxy}]
	})
	p.figures.Sweep()
	if old == nil {
		return
	}
	for name, r := range old.byName {
		now := t.byName[name]
		if carried := now != nil && (now.profile.Proxy != nil || r.profile.Proxy == nil); !carried {
			p.forgetService(name)
		}
	}
}

func (p *Proxy) forgetService(name string) {
	if v, ok := p.services.Load(name); ok && v.(*service).live.Load() == 0 { //nolint:errcheck // only services are stored
		p.services.Delete(name)
	}
}
