package figures

import (
	"maps"
	"sync"
	"sync/atomic"
	"time"
)

// Profile counts what belongs to no single endpoint of a profile.
type Profile struct {
	f         *Figures
	name      string
	life      life
	endpoints atomic.Pointer[map[string]*Endpoint] // replaced as a whole
	none      *Endpoint                            // the one without a name

	spread     []atomic.Pointer[spread] // by shard, made when first needed
	holds      []atomic.Uint64          // by result
	retries    []atomic.Uint64          // by cause
	moved, cut atomic.Uint64
	tunnels    atomic.Int64
	everTunnel atomic.Bool

	waitMu   sync.Mutex
	last     *Wait
	waiting  int
	everWait bool
}

func newProfile(f *Figures, name string) *Profile {
	p := &Profile{
		f: f, name: name, spread: make([]atomic.Pointer[spread], len(f.shards)),
		holds: f.words.holds.counters(), retries: f.words.retries.counters(),
	}
	p.none = p.newEndpoint("")
	p.endpoints.Store(&map[string]*Endpoint{"": p.none})
	return p
}

func (p *Profile) newEndpoint(name string) *Endpoint {
	return &Endpoint{f: p.f, profile: p.name, name: name, hot: make([]atomic.Pointer[hot], len(p.f.shards))}
}

// Endpoint is where requests to an endpoint are counted, "" for those that went to none: always the same, as long as the
// configuration has it. Look others up when a configuration is read, not for every request.
func (p *Profile) Endpoint(name string) *Endpoint {
	if name == "" {
		return p.none
	}
	for {
		now := p.endpoints.Load()
		e := (*now)[name]
		switch {
		case e != nil && e.life.ask():
			return e
		case e != nil:
			p.forget(e) // it is being forgotten at this moment
		default:
			next := maps.Clone(*now)
			next[name] = p.newEndpoint(name)
			p.endpoints.CompareAndSwap(now, &next) // or somebody was faster
		}
	}
}

// forget takes an endpoint out.
func (p *Profile) forget(e *Endpoint) {
	for {
		now := p.endpoints.Load()
		if (*now)[e.name] != e {
			return
		}
		next := maps.Clone(*now)
		delete(next, e.name)
		if p.endpoints.CompareAndSwap(now, &next) {
			return
		}
	}
}

// Observe enters a sample: the whole time, and the time to the first byte of the origin's answer, 0 if none came.
func (p *Profile) Observe(s *Shard, total, firstByte time.Duration) {
	at := &p.spread[s.index]
	d := at.Load()
	if d == nil {
		at.CompareAndSwap(nil, &spread{}) // or somebody was faster
		d = at.Load()
	}
	d.total.observe(total)
	if firstByte > 0 {
		d.firstByte.observe(firstByte)
	}
}

// Retry counts a request that is sent again.
func (p *Profile) Retry(cause string) { p.retries[p.f.words.retries.index(cause)].Add(1) }

// Moved counts a request that a new decision moved to another endpoint.
func (p *Profile) Moved() { p.moved.Add(1) }

// Cut counts a request or tunnel that a switch ended.
func (p *Profile) Cut() { p.cut.Add(1) }

// Tunnel counts an upgraded connection that begins (1) or ends (-1).
func (p *Profile) Tunnel(change int64) {
	p.everTunnel.Store(true)
	p.tunnels.Add(change)
}

// Wait counts a request that begins to wait; since is when, or when it began to for the first time.
func (p *Profile) Wait(w *Wait, since time.Time) {
	p.waitMu.Lock()
	defer p.waitMu.Unlock()
	w.since, w.earlier, w.later = since, p.last, nil
	if p.last != nil {
		p.last.later = w
	}
	p.last = w
	p.waiting++
	p.everWait = true
}

// Waited counts that it no longer waits, and why.
func (p *Profile) Waited(w *Wait, result string) {
	p.holds[p.f.words.holds.index(result)].Add(1)
	p.waitMu.Lock()
	defer p.waitMu.Unlock()
	if w.earlier != nil {
		w.earlier.later = w.later
	}
	if w.later != nil {
		w.later.earlier = w.earlier
	} else {
		p.last = w.earlier
	}
	w.earlier, w.later = nil, nil
	p.waiting--
}

// held is how many requests wait, how long the oldest has, and whether any ever did.
func (p *Profile) held(now time.Time) (n int, oldest time.Duration, ever bool) {
	p.waitMu.Lock()
	defer p.waitMu.Unlock()
	for w := p.last; w != nil; w = w.earlier {
		oldest = max(oldest, now.Sub(w.since))
	}
	return p.waiting, oldest, p.everWait
}

// quiet: nothing of the profile goes on.
func (p *Profile) quiet() bool {
	n, _, _ := p.held(time.Time{})
	return n == 0 && p.tunnels.Load() == 0
}
