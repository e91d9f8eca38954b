package proxy

import (
	"jurymast/internal/proxy/figures"
	"jurymast/internal/proxy/http1"
)

// Why a request is sent again, in metrics.
const (
	retryConnect = "connect" // no connection, or nothing accepted
	retryLost    = "lost"    // the connection was lost under a request that may be repeated
	retryStale   = "stale"   // a pooled connection was dead
	retrySwitch  = "switch"  // the decision moved
)

func (p *Proxy) newFigures() *figures.Figures {
	var rules []string
	for _, r := range http1.Rules() {
		rules = append(rules, string(r))
	}
	return figures.New(figures.Options{
		Reasons: words(allReasons), Kinds: words(allKinds), Attempts: outcomeNames[:],
		Retries: []string{retryConnect, retryLost, retryStale, retrySwitch},
		Holds:   words([]holdResult{holdReleased, holdTimeout, holdFull, holdGone}), Rules: rules,
		Live: p.lives, LogDropped: func() uint64 { return p.log.Dropped() }, Origins: p.tellOrigins,
	})
}

func words[T ~string](list []T) (out []string) {
	for _, w := range list {
		out = append(out, string(w))
	}
	return out
}

// lives reports what the configuration in force has.
func (p *Proxy) lives() func(profile, endpoint string) bool {
	t, _ := p.o.Hub.Load().Config(p.slot).(*table) // nil before the first documents
	if t == nil {
		return func(string, string) bool { return false }
	}
	labels := map[string]map[string]bool{}
	return func(profile, endpoint string) bool {
		r := t.byName[profile]
		if r == nil {
			return false
		}
		if endpoint == "" {
			return true
		}
		if labels[profile] == nil {
			labels[profile] = t.labels(r)
		}
		return labels[profile][endpoint]
	}
}

// figures is where the requests of a route are counted.
func (r *route) figures(p *Proxy) *figures.Profile {
	if f := r.counts.Load(); f != nil {
		return f
	}
	f := p.figures.Profile(r.profile.Name)
	r.counts.Store(f)
	return f
}

func (p *Proxy) tellOrigins(tell func(figures.Origin)) {
	for _, o := range p.pools.Figures() {
		tell(figures.Origin{Addr: o.Addr, Idle: o.Idle, Busy: o.Busy, Stale: o.Stale, Dials: o.Dials})
	}
}

// countAttempt counts one attempt.
func (x *exchange) countAttempt(c *choice, result string) {
	if x.counts = c.link.counts.Load(); x.counts == nil {
		x.counts = x.route.figures(x.p).Endpoint(c.endpoint)
		c.link.counts.Store(x.counts)
	}
	x.counts.Attempt(x.door.shard, result)
}
