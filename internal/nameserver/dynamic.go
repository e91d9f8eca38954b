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
//	first verdicts missing, or halted     SERVFAIL, or what is static
//	nothing to answer                     NODATA, or NXDOMAIN where the profile wants that and the name may be denied
//	the choice has the type               its set
//	it has not                            NODATA
func (r *response) dynamic(z *zone.Zone, n *zone.Node, name *wire.Name, typ uint16) (next []byte) {
	var c *compiled
	if p := r.snap.Part(n.Profile); p != nil {
		c, _ = p.Compiled(r.slot).(*compiled)
	}
	service := n.Service && typ == dns.TypeHTTPS
	if !n.Alias && typ != dns.TypeA && typ != dns.TypeAAAA && typ != dns.TypeANY && !service {
		return r.beside(z, n, c, name, typ)
	}
	static := typ == dns.TypeANY && len(n.Sets) > 0
	if c == nil {
		if static {
			return r.static(z, n, name, typ)
		}
		r.first(n, nil, nil)
		r.fail(wire.ServFail, whyMissing...)
		return nil
	}
	r.ceiling = c.ceiling
	thrown := r.asker.thrown
	p := r.choose(c)
	answers, before := p.Answers(), len(r.answer)
	var set *zone.RRset
	if service && answers && c.services != nil {
		set = r.service(c, p, n, r.asker.thrown == thrown)
	}
	switch {
	case !answers:
	case set != nil:
		r.put(name, set, p.ttl)
		if p.Leaf >= 0 {
			r.given = append(r.given, given{&c.leaves[p.Leaf], p.Rule})
		}
	case n.Flat && p.Leaf >= 0 && c.leaves[p.Leaf].alias != nil:
		return r.flattened(z, n, c, *p, name, typ)
	default:
		next = r.chosen(c, p, name, typ)
	}
	if static && len(r.answer) == before {
		return r.static(z, n, name, typ)
	}
	r.first(n, c, p)
	switch {
	case p.Serving == steer.ServingNotReady, p.Serving == steer.ServingHalted:
		r.fail(wire.ServFail, p.why...)
		return nil
	case len(r.answer) == before:
		r.nothing(z, n, c, p)
	}
	if p.why != nil {
		r.errors = p.why
	}
	return next
}

// beside answers a type that no target of the profile can have: from the static records. Only where the profile may
// deny the whole name, and there is nothing else at it, the choice matters too.
func (r *response) beside(z *zone.Zone, n *zone.Node, c *compiled, name *wire.Name, typ uint16) []byte {
	if c == nil || n.Set(typ) != nil || r.live(z, n, typ) != nil {
		return r.static(z, n, name, typ)
	}
	if r.secure(z) { // the proof says what else there is
		p := r.choose(c)
		if ttl := r.denied(c, p); !p.NX || !z.Deniable(n) {
			r.negative(z, min(z.NegativeTTL, ttl))
			return nil
		}
	}
	if c.azure && z.Deniable(n) {
		if p := r.choose(c); p.NX {
			r.first(n, c, p)
			r.nothing(z, n, c, p)
			r.errors = p.why
			return nil
		}
	}
	r.negative(z, min(z.NegativeTTL, c.ceiling))
	return nil
}

// choose asks the plan, unless it would always say the same. The choice is valid until the next one.
func (r *response) choose(c *compiled) *choice {
	trail := r.trail
	if r.number != zone.NoProfile {
		trail = nil // explained is the profile that was asked for
	}
	if c.constant && trail == nil {
		return &c.always
	}
	needs := c.needs
	if trail != nil {
		needs = needClient // it tells what is known, asked for or not
	}
	r.choice = c.choice(c.plan.Pick(r.asker.facts(needs), r.asker.dice, trail))
	r.scope = max(r.scope, r.asker.scope(r.choice.Scope))
	return &r.choice
}

// first notes which profile answered the question, before any that the answer led to. p is nil without an answer.
func (r *response) first(n *zone.Node, c *compiled, p *choice) {
	if r.number != zone.NoProfile {
		return
	}
	r.profile, r.number = c, n.Profile
	if r.trail != nil && p != nil {
		r.pick = p.Pick
	}
}

// chosen adds what the choice has of the type, and returns the name it points to, if it does.
func (r *response) chosen(c *compiled, p *choice, name *wire.Name, typ uint16) (next []byte) {
	if p.Set >= 0 {
		r.window(c, p, name, typ)
		return nil
	}
	l := &c.leaves[p.Leaf]
	set := l.set(typ)
	if set == nil {
		return nil
	}
	r.put(name, set, p.ttl)
	if typ == dns.TypeANY && c.azure && set == l.v4 && l.v6 != nil {
		r.put(name, l.v6, p.ttl)
	}
	r.given = append(r.given, given{l, p.Rule})
	if set == l.alias && typ != dns.TypeCNAME && typ != dns.TypeANY {
		return set.Data[0]
	}
	return nil
}

// window adds a window over the addresses of a set. ANY gets one of the two families, or with azure all there is.
func (r *response) window(c *compiled, p *choice, name *wire.Name, typ uint16) {
	both := &c.rings[p.Set]
	switch {
	case typ == dns.TypeANY && c.azure:
		r.slice(c, &both.v4, 0, len(both.v4.leaf), p, name, dns.TypeA)
		r.slice(c, &both.v6, 0, len(both.v6.leaf), p, name, dns.TypeAAAA)
	case typ == dns.TypeA, typ == dns.TypeANY && len(both.v4.leaf) > 0:
		r.slice(c, &both.v4, p.Start, both.max, p, name, dns.TypeA)
	case typ == dns.TypeAAAA, typ == dns.TypeANY:
		r.slice(c, &both.v6, p.Start, both.max, p, name, dns.TypeAAAA)
	}
}

// slice adds k addresses of a ring from start on.
func (r *response) slice(c *compiled, in *ring, start uint64, k int, p *choice, name *wire.Name, typ uint16) {
	data, at := in.window(start, k)
	if len(data) == 0 {
		return
	}
	set := &r.windows[0]
	if typ == dns.TypeAAAA {
		set = &r.windows[1]
	}
	*set = zone.RRset{Type: typ, Data: data}
	r.put(name, set, p.ttl)
	last := -1
	for i := range data {
		if number := in.leaf[(at+i)%len(in.leaf)]; number != last { // an endpoint's addresses stand together
			r.given, last = append(r.given, given{&c.leaves[number], p.Rule}), number
		}
	}
}

// nothing says that the name has nothing of the type, or that it is not there. It may be kept no longer than the
// answer would have been.
func (r *response) nothing(z *zone.Zone, n *zone.Node, c *compiled, p *choice) {
	if p.NX && z.Deniable(n) {
		r.rcode = wire.NXDomain
	}
	r.negative(z, min(z.NegativeTTL, r.denied(c, p)))
	if !p.Answers() {
		r.given = append(r.given, given{&c.nobody, p.Rule})
	}
}
