package proxy

import (
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
	live    atomic.Int64 // exchanges, for retiring
	last    destination  // of the choice followed last
}

func (p *Proxy) service(name string) *service {
	if s, ok := p.services.Load(name); ok {
		return s.(*service) //nolint:errcheck // only services are stored
	}
	s := &service{p: p, name: name, waiting: map[*attempt]struct{}{}, tunnels: map[*tunnel]struct{}{}, paces: map[string]*pace{}}
	s.queue = newQueue(s.current)
	kept, _ := p.services.LoadOrStore(name, s)
	return kept.(*service) //nolint:errcheck // only services are stored
}

// current is where this profile's requests may go now, never nil.
func (s *service) current() *choice {
	snap := s.p.o.Hub.Load()
	t, _ := snap.Config(s.p.slot).(*table) // nil before the first documents
	if t != nil {
		if r := t.byName[s.name]; r != nil && r.profile.Proxy != nil {
			return choiceOf(snap, s.p.slot, r)
		}
	}
	return &choice{gone: true, why: "the profile is not served any more", reason: ReasonNoProfile}
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

// review moves an attempt whose endpoint is no longer the agreed one: in its connect phase any, later only what may
// be sent again. The others wait for the origin they were sent to.
func (s *service) review(a *attempt, c *choice) {
	if !c.ok || c.dest == a.c.dest {
		return
	}
	if a.phase.CompareAndSwap(phaseConnecting, phaseCalledOff) || a.x.mayResend() {
		a.cancel(errMoved)
	}
}

// follow brings everything that waits in line with a new snapshot.
func (s *service) follow(c *choice) {
	if s.queue.busy.Load() {
		s.queue.pump()
	}
	s.mu.Lock()
	var old string
	if c.ok && c.dest != s.last {
		old, s.last = s.last.addr, c.dest
	}
	for a := range s.waiting {
		s.review(a, c)
	}
	var cut []*tunnel
	for t := range s.tunnels {
		if c.ok && t.dest != c.dest {
			cut = append(cut, t)
		}
	}
	s.mu.Unlock()
	if old != "" {
		s.p.sender.drop(old)
	}
	for i, t := range cut { // spread, so that the clients do not come back as one herd
		t.cutAfter(time.Duration(i) * cutSpread / time.Duration(len(cut)))
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
		for _, d := range r.origins {
			addrs[d.scheme()+d.addr] = true
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
		for i := range r.profile.Endpoints {
			endpoint := r.profile.Endpoints[i].Name
			if now == nil || now.profile.Proxy == nil || !has(now, endpoint) {
				p.metrics.forget(name, endpoint)
			}
		}
		if now == nil || now.profile.Proxy == nil {
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

func has(r *route, endpoint string) bool {
	_, i := r.profile.Endpoint(endpoint)
	return i >= 0
}
