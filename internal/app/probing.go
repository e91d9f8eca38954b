package app

import (
	"context"
	"sync"
	"time"

	"jurymast/internal/engine"
	"jurymast/internal/probe"
)

// probing keeps the set of checks in step with the documents and with what is switched off, and knows the key of each
// check, so that a result of an older one is not counted. The loop only marks what changed; the scheduler gets its set
// from a goroutine of its own, once for many changes.
type probing struct {
	sched *probe.Scheduler
	post  func(profile string, ev engine.Event)
	wake  chan struct{}

	mu     sync.Mutex
	all    []probe.Check
	checks map[target]*checked
}

type target struct{ profile, endpoint, check string }

func targetOf(c *probe.Check) target { return target{c.Profile, c.Endpoint, c.Name} }

// checked is one check with what the engine wants of it.
type checked struct {
	probe.Check
	paused  bool
	patient bool // failures must last a while to count: state lives in the instance
	every  time.Duration // 0: the check's own interval
}

func newProbing(post func(string, engine.Event)) *probing {
	return &probing{post: post, wake: make(chan struct{}, 1), checks: map[target]*checked{}}
}

// replace takes the checks of a new edition. What was paused stays so until the engine says otherwise.
func (p *probing) replace(ed *edition) {
	p.mu.Lock()
	old := p.checks
	p.all, p.checks = ed.checks, make(map[target]*checked, len(ed.checks))
	for i := range ed.checks {
		t := targetOf(&ed.checks[i])
		n := &checked{Check: ed.checks[i], patient: ed.patient[t.profile]}
		if was := old[t]; was != nil {
			n.paused, n.every = was.paused, was.every
		}
		p.checks[t] = n
	}
	p.mu.Unlock()
	p.nudge()
}

// pace changes the interval of one check; 0 pauses it. What this node does not probe is ignored.
func (p *probing) pace(profile, endpoint, check string, every time.Duration) {
	p.mu.Lock()
	c := p.checks[target{profile, endpoint, check}]
	if c == nil {
		p.mu.Unlock()
		return
	}
	turned := c.paused != (every == 0)
	c.paused, c.every = every == 0, every
	p.mu.Unlock()
	if turned {
		p.nudge()
	} else {
		p.sched.SetPace(profile, endpoint, check, every)
	}
}

func (p *probing) nudge() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// run hands the scheduler what is to be probed, until ctx ends.
func (p *probing) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-p.wake:
			p.apply()
		}
	}
}

func (p *probing) apply() {
	p.mu.Lock()
	set := make([]probe.Check, 0, len(p.all))
	paces := map[target]time.Duration{}
	for i := range p.all {
		c := p.all[i]
		t := targetOf(&c)
		if now := p.checks[t]; !now.paused {
			set = append(set, c)
			if now.every != 0 {
				paces[t] = now.every
			}
		}
	}
	p.mu.Unlock()
	p.sched.Apply(set)
	for t, every := range paces {
		p.sched.SetPace(t.profile, t.endpoint, t.check, every)
	}
}

// report takes a result from the scheduler to the engine.
func (p *probing) report(r probe.Report) {
	p.mu.Lock()
	c := p.checks[target{r.Profile, r.Endpoint, r.Check}]
	current := c != nil && !c.paused && c.Key() == r.Key
	if current && c.patient && r.Confirm && !r.Asked {
		current = false // somebody else's confirm run, shorter than what this profile asks for
	}
	p.mu.Unlock()
	if current {
		p.post(r.Profile, engine.Observed{Endpoint: r.Endpoint, Check: r.Check, Obs: r.Obs})
	}
}

// find returns the checks of an endpoint, switched off or not, in the order of the document.
func (p *probing) find(profile, endpoint string) []probe.Check {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []probe.Check
	for i := range p.all {
		if p.all[i].Profile == profile && p.all[i].Endpoint == endpoint {
			out = append(out, p.all[i])
		}
	}
	return out
}
