package app

import (
	"context"
	"sync"
	"time"

	"jurymast/internal/engine"
	"jurymast/internal/probe"
	"jurymast/internal/profile"
)

// probing keeps the set of checks in step with the documents and with what is switched off, and knows the key of each
// check, so that a result of an older one is not counted. The loop only marks what changed; the scheduler gets its set
// from a goroutine of its own, once for many changes.
type probing struct {
	sched *probe.Scheduler
	post  func(profile string, ev engine.Event)
	wake  chan struct{}

	mu     sync.Mutex // also orders what the scheduler is told of paces: a newer one is never undone
	all    []probe.Check
	checks map[target]*checked
	whole  bool            // everything has to be handed over
	turned map[target]bool // else these alone: switched off, or on again
}

type target struct{ profile, endpoint, check string }

func targetOf(c *probe.Check) target { return target{c.Profile, c.Endpoint, c.Name} }

// checked is one check with what the engine wants of it.
type checked struct {
	*probe.Check // in all
	paused       bool
	begun        bool          // a result of it was passed on since it last began
	patient      bool          // failures must last a while to count: state lives in the instance
	every        time.Duration // 0: the check's own interval
}

func newProbing(post func(string, engine.Event)) *probing {
	return &probing{post: post, wake: make(chan struct{}, 1), checks: map[target]*checked{}, turned: map[target]bool{}}
}

// replace takes the checks of a new edition. What was paused stays so until the engine says otherwise.
func (p *probing) replace(ed *edition) {
	docs := make(map[string]*profile.Profile, len(ed.prepared.Docs.Profiles))
	for _, doc := range ed.prepared.Docs.Profiles {
		docs[doc.Name] = doc
	}
	p.mu.Lock()
	old := p.checks
	p.all, p.checks = ed.checks, make(map[target]*checked, len(ed.checks))
	for i := range ed.checks {
		t := targetOf(&ed.checks[i])
		n := &checked{Check: &ed.checks[i], paused: idle(docs[t.profile], t.endpoint), patient: ed.patient[t.profile]}
		if was := old[t]; was != nil {
			n.paused, n.every, n.begun = was.paused, was.every, was.begun
		}
		p.checks[t] = n
	}
	p.whole = true
	p.mu.Unlock()
	p.nudge()
}

// idle: its document says that the endpoint is not to be probed.
func idle(p *profile.Profile, endpoint string) bool {
	e, _ := p.Endpoint(endpoint)
	return e == nil || !p.Enabled || !e.Enabled || e.Stopped
}

// pace changes the interval of one check; 0 pauses it. What this node does not probe is ignored.
func (p *probing) pace(name, endpoint, check string, every time.Duration) {
	p.mu.Lock()
	c := p.checks[target{name, endpoint, check}]
	if c == nil {
		p.mu.Unlock()
		return
	}
	turned := c.paused != (every == 0)
	c.begun = c.begun && every != 0
	c.paused, c.every = every == 0, every
	if turned {
		p.turned[target{name, endpoint, check}] = true
	} else {
		p.sched.SetPace(name, endpoint, check, every)
	}
	p.mu.Unlock()
	if turned {
		p.nudge()
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
			p.handOver()
		}
	}
}

// handOver tells the scheduler what changed since the last time: all of it after new documents, else what was switched
// off or on, so that an order costs what it touches.
func (p *probing) handOver() {
	p.mu.Lock()
	whole, turned := p.whole, p.turned
	p.whole, p.turned = false, map[target]bool{}
	p.mu.Unlock()
	if whole {
		p.apply()
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for t := range turned {
		switch c := p.checks[t]; {
		case c == nil: // gone with the documents
		case c.paused:
			p.sched.Drop(t.profile, t.endpoint, t.check)
		default:
			p.sched.Put(*c.Check)
			p.sched.SetPace(t.profile, t.endpoint, t.check, c.every)
		}
	}
}

func (p *probing) apply() {
	p.mu.Lock()
	set := make([]probe.Check, 0, len(p.all))
	for i := range p.all {
		if !p.checks[targetOf(&p.all[i])].paused {
			set = append(set, p.all[i])
		}
	}
	p.mu.Unlock()
	p.sched.Apply(set)
	p.mu.Lock()
	defer p.mu.Unlock()
	for t, c := range p.checks {
		if !c.paused && c.every != 0 {
			p.sched.SetPace(t.profile, t.endpoint, t.check, c.every)
		}
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
	if current && !c.begun && r.Obs.OK && c.every > 0 {
		// A first success is a verdict: the pace until then ends without waiting for the engine to say so.
		c.every = 0
		p.sched.SetPace(r.Profile, r.Endpoint, r.Check, 0)
	}
	if current {
		c.begun = true
	}
	p.mu.Unlock()
	if current {
		p.post(r.Profile, engine.Observed{Endpoint: r.Endpoint, Check: r.Check, Obs: r.Obs})
	}
}

// find returns the checks of an endpoint, switched off or not, in the order of the document.
func (p *probing) find(name, endpoint string) []probe.Check {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []probe.Check
	for i := range p.all {
		if p.all[i].Profile == name && p.all[i].Endpoint == endpoint {
			out = append(out, p.all[i])
		}
	}
	return out
}
