package nameserver

import (
	"github.com/miekg/dns"

	"jurymast/internal/nameserver/wire"
	"jurymast/internal/nameserver/zone"
	"jurymast/internal/steer"
)

// given is one target that was answered, or nobody, to be counted once the message is written.
type given struct {
	leaf *leaf
	rule steer.Rule
}

// dynamic answers from the compiled part of the node's profile, or from the static records beside it.
//
//	first verdicts missing                SERVFAIL, or what is static
//	nothing to answer                     NODATA, or NXDOMAIN where the profile wants that and the name may be denied
//	the choice has the type               its set
//	it has not                            NODATA
func (r *response) dynamic(z *zone.Zone, n *zone.Node, name *wire.Name, typ uint16) (next []byte) {
	var c *compiled
	if p := r.snap.Part(n.Profile); p != nil {
		c, _ = p.Compiled(r.slot).(*compiled)
	}
	if !n.Alias && typ != dns.TypeA && typ != dns.TypeAAAA && typ != dns.TypeANY {
		return r.beside(z, n, c, name, typ)
	}
	static := typ == dns.TypeANY && len(n.Sets) > 0
	if c == nil {
		if static {
			return r.static(z, n, name, typ)
		}
		r.first(n, nil, steer.Pick{})
		r.fail(wire.ServFail, whyMissing...)
		return nil
	}
	p := r.choose(c)
	answers, before := p.Answers(), len(r.answer)
	if answers {
		next = r.chosen(c, &p, name, typ)
	}
	if static && len(r.answer) == before {
		return r.static(z, n, name, typ)
	}
	r.first(n, c, p)
	switch {
	case p.Serving == steer.ServingNotReady:
		r.fail(wire.ServFail, c.because(&p)...)
		return nil
	case len(r.answer) == before:
		r.nothing(z, n, c, &p)
	}
	if why := c.because(&p); why != nil {
		r.errors = why
	}
	return next
}

// beside answers a type that no target of the profile can have: from the static records. Only where the profile may
// deny the whole name, and there is nothing else at it, the choice matters too.
func (r *response) beside(z *zone.Zone, n *zone.Node, c *compiled, name *wire.Name, typ uint16) []byte {
	if c == nil || n.Set(typ) != nil {
		return r.static(z, n, name, typ)
	}
	if c.azure && z.Deniable(n) {
		if p := r.choose(c); p.NX {
			r.first(n, c, p)
			r.nothing(z, n, c, &p)
			r.errors = c.because(&p)
			return nil
		}
	}
	r.negative(z, min(z.NegativeTTL, c.ceiling))
	return nil
}

// choose asks the plan, unless it would always say the same.
func (r *response) choose(c *compiled) (p steer.Pick) {
	trail := r.trail
	if r.number != zone.NoProfile {
		trail = nil // explained is the profile that was asked for
	}
	if c.constant && trail == nil {
		return c.always
	}
	needs := c.needs
	if trail != nil {
		needs = needClient // it tells what is known, asked for or not
	}
	p = c.plan.Pick(r.asker.facts(needs), r.asker.dice, trail)
	r.scope = max(r.scope, r.asker.scope(p.Scope))
	return p
}

// first notes which profile answered the question, before any that the answer led to.
func (r *response) first(n *zone.Node, c *compiled, p steer.Pick) {
	if r.number == zone.NoProfile {
		r.profile, r.number, r.pick = c, n.Profile, p
	}
}

// chosen adds what the choice has of the type, and returns the name it points to, if it does.
func (r *response) chosen(c *compiled, p *steer.Pick, name *wire.Name, typ uint16) (next []byte) {
	ttl := seconds(p.TTL)
	if p.Set >= 0 {
		r.window(c, p, name, typ, ttl)
		return nil
	}
	l := &c.leaves[p.Leaf]
	set := l.set(typ)
	if set == nil {
		return nil
	}
	r.put(name, set, ttl)
	if typ == dns.TypeANY && c.azure && set == l.v4 && l.v6 != nil {
		r.put(name, l.v6, ttl)
	}
	r.given = append(r.given, given{l, p.Rule})
	if set == l.alias && typ != dns.TypeCNAME && typ != dns.TypeANY {
		return set.Data[0]
	}
	return nil
}

// window adds a window over the addresses of a set. ANY gets one of the two families, or with azure all there is.
func (r *response) window(c *compiled, p *steer.Pick, name *wire.Name, typ uint16, ttl uint32) {
	both := &c.rings[p.Set]
	switch {
	case typ == dns.TypeANY && c.azure:
		r.slice(c, &both.v4, 0, len(both.v4.leaf), p, name, dns.TypeA, ttl)
		r.slice(c, &both.v6, 0, len(both.v6.leaf), p, name, dns.TypeAAAA, ttl)
	case typ == dns.TypeA, typ == dns.TypeANY && len(both.v4.leaf) > 0:
		r.slice(c, &both.v4, p.Start, both.max, p, name, dns.TypeA, ttl)
	case typ == dns.TypeAAAA, typ == dns.TypeANY:
		r.slice(c, &both.v6, p.Start, both.max, p, name, dns.TypeAAAA, ttl)
	}
}

// slice adds k addresses of a ring from start on.
func (r *response) slice(c *compiled, in *ring, start uint64, k int, p *steer.Pick, name *wire.Name, typ uint16, ttl uint32) {
	data, at := in.window(start, k)
	if len(data) == 0 {
		return
	}
	set := &r.windows[0]
	if typ == dns.TypeAAAA {
		set = &r.windows[1]
	}
	*set = zone.RRset{Type: typ, Data: data}
	r.put(name, set, ttl)
	last := -1
	for i := range data {
		if number := in.leaf[(at+i)%len(in.leaf)]; number != last { // an endpoint's addresses stand together
			r.given, last = append(r.given, given{&c.leaves[number], p.Rule}), number
		}
	}
}

// nothing says that the name has nothing of the type, or that it is not there. It may be kept no longer than the
// answer would have been.
func (r *response) nothing(z *zone.Zone, n *zone.Node, c *compiled, p *steer.Pick) {
	if p.NX && z.Deniable(n) {
		r.rcode = wire.NXDomain
	}
	r.negative(z, min(z.NegativeTTL, c.ceiling, seconds(p.TTL)))
	if !p.Answers() {
		r.given = append(r.given, given{&c.nobody, p.Rule})
	}
}
