package nameserver

import (
	"math"
	"time"

	"github.com/miekg/dns"

	"jurymast/internal/nameserver/flatten"
	"jurymast/internal/nameserver/wire"
	"jurymast/internal/nameserver/zone"
	"jurymast/internal/steer"
)

// Extended errors of answers whose addresses are not known [RFC 8914].
const (
	edeNoAuthority  = 22
	edeNetworkError = 23
)

var (
	whyUnresolved = []wire.EDE{{Code: edeNoAuthority, Text: "the address of what would be answered is not known"}}
	whySilence    = []wire.EDE{{Code: edeNetworkError, Text: "the address of what would be answered is not known: no resolver answers"}}
)

// ruleUnresolved counts questions that got SERVFAIL because the addresses of the choice are not known.
const ruleUnresolved steer.Rule = "unresolved"

// stop is one step on the way from a target's name to addresses, for explanations.
type stop struct {
	host    string
	route   *route
	profile *compiled // answers there; nil: static records, or outside
	leaf    int       // it chose; below 0: none, or several
}

// flat is what a target's name came to for one type.
type flat struct {
	known flatten.Known
	leaf  *leaf       // of a profile of ours at the end, nil without
	rule  steer.Rule  // of that profile's choice
	set   *zone.RRset // one set
	pool  *compiled   // or a window of a set of a profile, by pick
	pick  choice
	ttl   uint32 // seconds it may be kept
	stale bool
	why   []wire.EDE // of the last profile on the way that has something to say, or for Unknown
	told  []wire.EDE // the former, until it is known how this ends
}

// flattened answers with the addresses of the name that was chosen, where a CNAME may not stand:
//
//	known             one set, TTL min(health, target)       azure: the profile's ttl
//	none of the type  NODATA
//	not known         SERVFAIL, or what is static; never NODATA
//
// The addresses are those this node's resolvers gave, whoever asks, so the scope is that of the choice alone.
func (r *response) flattened(z *zone.Zone, n *zone.Node, c *compiled, p choice, name *wire.Name, typ uint16) []byte {
	l, before := &c.leaves[p.Leaf], len(r.answer)
	r.first(n, c, &p)
	static := typ == dns.TypeANY && len(n.Sets) > 0
	known := flatten.None
	for _, one := range [...]uint16{dns.TypeA, dns.TypeAAAA} {
		if typ != one && (typ != dns.TypeANY || (len(r.answer) > before && !c.azure)) {
			continue
		}
		f := r.follow(l, one)
		if !c.azure {
			p.ttl = min(p.ttl, f.ttl)
		}
		if f.stale {
			p.Stale = true
			p.why = c.because(&p.Pick)
		}
		if p.why == nil || f.known == flatten.Unknown {
			p.why = f.why
		}
		switch f.known {
		case flatten.Addresses:
			r.puts(name, &f, &p, one)
		case flatten.Unknown:
			known = flatten.Unknown
		case flatten.None:
		}
	}
	switch {
	case len(r.answer) > before:
		r.given = append(r.given, given{l, p.Rule})
	case static:
		return r.static(z, n, name, typ)
	case known == flatten.Unknown:
		r.fail(wire.ServFail, p.why...)
		r.given = append(r.given, given{l, ruleUnresolved})
		return nil
	default:
		r.nothing(z, n, c, &p)
	}
	if p.why != nil {
		r.errors = p.why
	}
	return nil
}

// puts adds what was found under the name that was asked for.
func (r *response) puts(name *wire.Name, f *flat, p *choice, typ uint16) {
	if f.pool != nil {
		f.pick.ttl = p.ttl
		r.window(f.pool, &f.pick, name, typ)
		return
	}
	r.put(name, f.set, p.ttl)
	if f.leaf != nil {
		r.given = append(r.given, given{f.leaf, f.rule})
	}
}

// follow finds the addresses of a leaf's name, through profiles of ours if it leads there. It is bounded: what leads in
// a circle was refused with the documents.
func (r *response) follow(l *leaf, typ uint16) flat {
	f := flat{known: flatten.Unknown, ttl: math.MaxUint32, why: whyUnresolved}
	for range maxChain {
		rt := r.conf.routes[l.host]
		if rt == nil {
			return f
		}
		f.ttl = min(f.ttl, rt.ttl)
		switch {
		case rt.abroad != "":
			r.note(l.host, rt, nil, -1)
			r.abroad(&f, rt.target, typ)
			return f
		case rt.node == nil || rt.node.Profile == zone.NoProfile:
			r.note(l.host, rt, nil, -1)
			f.inside(rt, typ)
			return f
		}
		if l = r.through(&f, rt, l.host, typ); l == nil {
			return f
		}
	}
	return f
}

// through asks a profile of ours that answers the name. It returns a leaf whose name has to be followed in turn.
func (r *response) through(f *flat, rt *route, host string, typ uint16) *leaf {
	var c *compiled
	if part := r.snap.Part(rt.node.Profile); part != nil {
		c, _ = part.Compiled(r.slot).(*compiled)
	}
	if c == nil {
		f.why = whyMissing
		return nil
	}
	p := r.choose(c)
	r.note(host, rt, c, p.Leaf)
	f.ttl = min(f.ttl, p.ttl)
	if p.why != nil {
		f.told = p.why
	}
	switch {
	case p.Serving == steer.ServingNotReady, p.Serving == steer.ServingHalted:
		f.why = p.why
		return nil
	case !p.Answers():
		f.known, f.why = flatten.None, f.told
		r.given = append(r.given, given{&c.nobody, p.Rule})
		return nil
	case p.Set >= 0:
		f.why, f.known = f.told, flatten.None
		if ring := c.rings[p.Set].of(typ); len(ring.leaf) > 0 {
			f.known, f.pool, f.pick = flatten.Addresses, c, *p
		}
		return nil
	}
	l := &c.leaves[p.Leaf]
	if l.alias != nil {
		return l
	}
	f.why, f.known = f.told, flatten.None
	if set := l.set(typ); set != nil {
		f.known, f.set, f.leaf, f.rule = flatten.Addresses, set, l, p.Rule
	}
	return nil
}

// inside answers from the static records of a zone of ours.
func (f *flat) inside(rt *route, typ uint16) {
	if rt.zone != nil && rt.zone.Unloaded {
		f.why = whyUnloaded
		return // it stays unknown
	}
	f.known, f.why = flatten.None, f.told
	if rt.node != nil {
		if set := rt.node.Set(typ); set != nil {
			f.known, f.set, f.ttl = flatten.Addresses, set, min(f.ttl, set.TTL)
			return
		}
	}
	f.ttl = min(f.ttl, rt.zone.NegativeTTL)
}

// abroad answers from what the resolvers told.
func (r *response) abroad(f *flat, t *flatten.Target, typ uint16) {
	if t == nil {
		return
	}
	a := t.Load()
	family := &a.V4
	if typ == dns.TypeAAAA {
		family = &a.V6
	}
	var ttl uint32
	f.known, ttl, f.stale = family.At(time.Now())
	f.set, f.ttl = family.Set, min(f.ttl, ttl)
	switch {
	case f.known != flatten.Unknown:
		f.why = f.told
	case a.Network:
		f.why = whySilence
	}
}

// note keeps the way for an explanation.
func (r *response) note(host string, rt *route, c *compiled, leaf int) {
	if r.trail != nil {
		r.stops = append(r.stops, stop{host, rt, c, leaf})
	}
}

// of is the ring of one family.
func (b *rings) of(typ uint16) *ring {
	if typ == dns.TypeAAAA {
		return &b.v6
	}
	return &b.v4
}

// Targets are the names outside our zones whose addresses are answered, of the documents in force.
func (s *Server) Targets() flatten.Set {
	if c, ok := s.opt.Hub.Load().Config(s.slot).(*config); ok && c != nil {
		return c.flat
	}
	return nil
}
