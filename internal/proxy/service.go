package proxy

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// service is what the proxy remembers of one profile. It outlives snapshots and reloads, by the profile's name.
type service struct {
	p      *Proxy
	name   string
	queue  *queue
	budget budget

	mu      sync.Mutex
	waiting map[*attempt]struct{} // sent or connecting, no response head yet
	tunnels map[*tunnel]struct{}
	paces   map[string]*pace
	live    atomic.Int64  // exchanges, for retiring
	pausing atomic.Int64  // exchanges that wait alone
	seen    *outlook      // followed last
	open    []destination // of the last one that had any
}

func (p *Proxy) service(name string) *service {
	if s, ok := p.services.Load(name); ok {
		return s.(*service) //nolint:errcheck // only services are stored
	}
	s := &service{p: p, name: name, waiting: map[*attempt]struct{}{}, tunnels: map[*tunnel]struct{}{}, paces: map[string]*pace{}}
	s.queue = newQueue(func() *choice { return &s.current().all })
	kept, _ := p.services.LoadOrStore(name, s)
	return kept.(*service) //nolint:errcheck // only services are stored
}

// current is where this profile's requests may go now, never nil.
func (s *service) current() *outlook {
	snap := s.p.o.Hub.Load()
	t, _ := snap.Config(s.p.slot).(*table) // nil before the first documents
	if t != nil {
		if r := t.byName[s.name]; r != nil && r.profile.Proxy != nil {
			return outlookOf(snap, s.p.slot, r)
		}
	}
	return &outlook{all: choice{gone: true, why: "the profile is not served any more", reason: ReasonNoProfile}}
}

func (s *service) pace(endpoint string) *pace {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.paces[endpoint]
	if p == nil {
		p = &pace{}
		s.paces[endpoint] = p
	}
	return p
}

func (s *service) enter(a *attempt) {
	s.mu.Lock()
	s.waiting[a] = struct{}{}
	s.mu.Unlock()
	s.review(a, s.current()) // the decision may have changed since it was read
}

func (s *service) leave(a *attempt) {
	s.mu.Lock()
	delete(s.waiting, a)
	s.mu.Unlock()
}

// review moves an attempt whose endpoint must not get it any more: in its connect phase any, later only what may be sent
// again, and not from an endpoint that keeps what it has. The others wait for the origin they were sent to.
func (s *service) review(a *attempt, o *outlook) {
	if !o.all.ok && !o.halted || o.fates[a.c.dest] == fateOpen {
		return
	}
	called := a.phase.CompareAndSwap(phaseConnecting, phaseCalledOff)
	if called || (o.fates[a.c.dest] == fateNone && a.x.mayResend()) {
		a.cancel(errMoved)
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
	for a := range s.waiting {
		s.review(a, o)
	}
	var cut []*tunnel
	for t := range s.tunnels {
		if o.cuts(t.dest) {
			cut = append(cut, t)
		}
	}
	s.mu.Unlock()
	for _, d := range left {
		s.p.sender.drop(d.addr)
	}
	for i, t := range cut { // spread, so that the clients do not come back as one herd
		t.cutAfter(o.spread() * time.Duration(i) / time.Duration(len(cut)))
	}
}

// stall is asked by an attempt that has waited long: does the endpoint hang?
func (s *service) stall(a *attempt, now time.Time) bool {
	var starts []time.Time
	s.mu.Lock()
	for o := range s.waiting {
		if o.c.dest == a.c.dest && o.phase.Load() == phaseSending {
			starts = append(starts, o.start)
		}
	}
	s.mu.Unlock()
	return a.pace.stalled(starts, now)
}

// watch follows the snapshots until the proxy stops.
func (p *Proxy) watch() {
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
	addrs := map[string]bool{}
	for _, r := range t.byName {
		for i := range r.profile.Endpoints {
			if d, err := destinationOf(&r.profile.Endpoints[i]); err == nil {
				addrs[d.scheme()+d.addr] = true
			}
		}
	}
	p.sender.keep(func(k poolKey) bool {
		return addrs[destination{secure: k.secure, addr: k.addr}.scheme()+k.addr]
	})
	if old == nil {
		return
	}
	for name, r := range old.byName {
		now := t.byName[name]
		carried := now != nil && (now.profile.Proxy != nil || r.profile.Proxy == nil)
		var labels map[string]bool
		if carried {
			labels = t.labels(now)
		}
		for label := range old.labels(r) {
			if !labels[label] {
				p.metrics.forget(name, label)
			}
		}
		if !carried {
			p.metrics.forgetProfile(name)
			p.forgetService(name)
		}
	}
}

func (p *Proxy) forgetService(name string) {
	if v, ok := p.services.Load(name); ok && v.(*service).live.Load() == 0 { //nolint:errcheck // only services are stored
		p.services.Delete(name)
	}
}
