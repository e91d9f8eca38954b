package app

import (
	"sync"
	"time"

	"jurymast/internal/engine"
	"jurymast/internal/probe"
)

// probing keeps the set of checks in step with the documents and with what is switched off, and knows the key of each
// check, so that a result of an older one is not counted.
type probing struct {
	sched *probe.Scheduler
	post  func(profile string, ev engine.Event)

	mu     sync.Mutex
	all    []probe.Check
	paused map[target]bool
	keys   map[target]probe.Key
}

type target struct{ profile, endpoint string }

// replace takes the checks of a new edition.
func (p *probing) replace(checks []probe.Check) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.all = checks
	p.apply()
}

// pace changes the interval of one endpoint; 0 pauses it.
func (p *probing) pace(profile, endpoint string, every time.Duration) {
	p.mu.Lock()
	t := target{profile, endpoint}
	if pause := every == 0; p.paused[t] != pause {
		if pause {
			p.paused[t] = true
		} else {
			delete(p.paused, t)
		}
		p.apply()
	}
	p.mu.Unlock()
	p.sched.SetPace(profile, endpoint, every)
}

// apply hands the scheduler what is to be probed now; the caller holds mu.
func (p *probing) apply() {
	set := make([]probe.Check, 0, len(p.all))
	p.keys = make(map[target]probe.Key, len(p.all))
	for _, c := range p.all {
		if t := (target{c.Profile, c.Endpoint}); !p.paused[t] {
			set = append(set, c)
			p.keys[t] = c.Spec.Key()
		}
	}
	p.sched.Apply(set)
}

// report takes a result from the scheduler to the engine.
func (p *probing) report(r probe.Report) {
	p.mu.Lock()
	key, ok := p.keys[target{r.Profile, r.Endpoint}]
	p.mu.Unlock()
	if ok && key == r.Key {
		p.post(r.Profile, engine.Observed{Endpoint: r.Endpoint, Obs: r.Obs})
	}
}

// find returns the check of an endpoint, switched off or not.
func (p *probing) find(profile, endpoint string) (probe.Check, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.all {
		if c.Profile == profile && c.Endpoint == endpoint {
			return c, true
		}
	}
	return probe.Check{}, false
}
