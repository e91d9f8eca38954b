package nameserver

import (
	"slices"

	"github.com/miekg/dns"

	"jurymast/internal/nameserver/denial"
	"jurymast/internal/nameserver/flatten"
	"jurymast/internal/nameserver/wire"
	"jurymast/internal/nameserver/zone"
	"jurymast/internal/profile"
	"jurymast/internal/steer"
)

// refused is the choice behind a NODATA or NXDOMAIN of a profile, for the types that the proof must list.
type refused struct {
	c     *compiled // nil: not known, or not asked
	p     choice
	drawn bool // dice chose: the next question may get another one
}

// compact reports that a zone proves what is not there as RFC 9824 says.
func compact(z *zone.Zone) bool { return z.DNSSEC.Denial != profile.DenialNSEC }

// signals reports that the answer says of itself that it denies compactly [RFC 9824 5.1].
func (r *response) signals() bool {
	return r.co && r.ours() && r.secure(r.zone) && compact(r.zone)
}

// chainOf is the NSEC chain of a zone that has one.
func (r *response) chainOf(z *zone.Zone) *denial.Chain { return r.conf.chains[z] }

// prove adds what proves the step that was just made: answers and authors are how long the sections were before.
//
//	SOA in the authority section   no such type, or no such name
//	NS there                       DS, or that there is none
//	a wildcard's records           that no other name is nearer; not where the denial is compact
func (r *response) prove(z *zone.Zone, m *zone.Match, name *wire.Name, typ uint16, answers, authors int) {
	if z.Presigned && r.do && r.ours() {
		r.presigned(z, m, name, answers, authors)
		return
	}
	if !r.secure(z) || !r.ours() {
		return
	}
	switch {
	case len(r.author) > authors && r.author[authors].set.Type == dns.TypeSOA:
		r.deny(z, m, name, typ, r.author[authors].ttl)
	case m.Kind == zone.Cut && len(r.author) > authors:
		r.delegates(z, m, name)
	case m.Kind == zone.Wildcard && len(r.answer) > answers && !compact(z):
		r.linked(z, r.chainOf(z).Expanded(name), m, nil, z.NegativeTTL)
	}
}

// deny proves that the name has not the type, or that there is no such name. NXDOMAIN stays the response code where the
// proof says so, or where the question knows how to read that of a compact one; a name of the tree cannot be denied by a
// chain, so that proof is that it has nothing.
func (r *response) deny(z *zone.Zone, m *zone.Match, name *wire.Name, typ uint16, ttl uint32) {
	missing := r.rcode == wire.NXDomain
	if compact(z) {
		if missing {
			if !r.co {
				r.rcode = wire.Success
			}
			r.proof(z, name.Wire(0), denial.Nothing(name.Wire(0), z.Apex.Name, z.NegativeTTL), ttl)
			return
		}
		types := denial.Without(r.types(z, m.Node), typ)
		r.proof(z, name.Wire(0), denial.Compact(name.Wire(0), z.Apex.Name, types, z.NegativeTTL), ttl)
		return
	}
	chain := r.chainOf(z)
	if m.Kind == zone.Missing {
		r.linked(z, chain.Missing(name), m, nil, ttl)
		return
	}
	if missing {
		r.rcode = wire.Success
	}
	proof := chain.NoType(m.Node.Name)
	if m.Kind == zone.Wildcard {
		proof = chain.NoTypeBelow(name, m.Node)
	}
	r.linked(z, proof, m, denial.Without(r.types(z, m.Node), typ), ttl)
}

// delegates adds the DS set of a delegation, or the proof that it has none, so that the zone below is not signed.
func (r *response) delegates(z *zone.Zone, m *zone.Match, name *wire.Name) {
	if set := m.Node.Set(dns.TypeDS); set != nil {
		r.proof(z, name.Wire(m.Label), set, set.TTL)
		return
	}
	types := denial.Static(nil, z, m.Node)
	if compact(z) {
		owner := name.Wire(m.Label)
		r.proof(z, owner, denial.Compact(owner, z.Apex.Name, types, z.NegativeTTL), z.NegativeTTL)
		return
	}
	r.linked(z, r.chainOf(z).NoType(m.Node.Name), m, types, z.NegativeTTL)
}

// linked adds the records of links. types are those at the matched node just now. What only covers a name lists all that
// its own name could ever answer: resolvers may conclude from it for as long as they keep it [RFC 8198], and what a
// profile answers there changes sooner.
func (r *response) linked(z *zone.Zone, p denial.Proof, m *zone.Match, types []uint16, ttl uint32) {
	chain := r.chainOf(z)
	for _, use := range p.Links[:p.N] {
		n, list := chain.Node(use.Link), types
		if !use.Types || n != m.Node {
			list = r.ever(z, n)
		}
		at := slices.IndexFunc(r.author, func(rec record) bool {
			return rec.set.Type == dns.TypeNSEC && rec.zone == z && wire.EqualFold(rec.owner, n.Name)
		})
		switch {
		case at < 0:
			r.proof(z, n.Name, chain.NSEC(use.Link, list), ttl)
		case use.Types: // a step before has needed the link too
			r.author[at].set, r.author[at].ttl = chain.NSEC(use.Link, list), ttl
		}
	}
}

// itself answers a question for the NSEC record of a name that has one; else it reports false.
func (r *response) itself(z *zone.Zone, m *zone.Match, name *wire.Name) bool {
	link := -1
	if chain := r.chainOf(z); chain != nil {
		if link = chain.At(m.Node.Name); link < 0 {
			return false
		}
	}
	ttl := z.NegativeTTL
	if c := r.compiledOf(m.Node); c != nil {
		ttl = min(ttl, r.denied(c, r.choose(c)))
		r.first(m.Node, c, &r.none.p)
	}
	types := r.types(z, m.Node)
	if r.pointing(m.Node) {
		types = []uint16{dns.TypeCNAME}
	}
	var set *zone.RRset
	if link >= 0 {
		set = r.chainOf(z).NSEC(link, types)
	} else {
		set = denial.Compact(name.Wire(0), z.Apex.Name, types, z.NegativeTTL)
	}
	r.answer = append(r.answer, r.signedBy(record{owner: name.Wire(0), set: set, ttl: ttl}, z, set.TTL))
	return true
}

// denied notes the choice behind a denial, and says how long that may be kept, in seconds.
func (r *response) denied(c *compiled, p *choice) uint32 {
	r.none = refused{c: c, p: *p, drawn: r.asker.thrown != r.began}
	if p.Serving == steer.ServingNotReady || p.Serving == steer.ServingHalted {
		return c.ceiling // nothing is denied that could come
	}
	return min(c.ceiling, p.ttl)
}

func (r *response) compiledOf(n *zone.Node) (c *compiled) {
	if n.Profile == zone.NoProfile {
		return nil
	}
	if part := r.snap.Part(n.Profile); part != nil {
		c, _ = part.Compiled(r.slot).(*compiled)
	}
	return c
}

// own are the types of a name's records, those that keys bring to the apex among them.
func (r *response) own(z *zone.Zone, n *zone.Node) []uint16 {
	list := denial.Static(make([]uint16, 0, 16), z, n)
	if n == z.Apex {
		for _, live := range r.conf.books[z].Live() {
			list = append(list, live.Type)
		}
	}
	return list
}

// ever are the types a name could answer at any time.
func (r *response) ever(z *zone.Zone, n *zone.Node) []uint16 { return append(r.own(z, n), n.May...) }

// types are those a name answers now beside CNAME, for the choice in r.none. Where that is not known, or dice chose it,
// they are those the next question might get: a proof must not deny what comes then.
func (r *response) types(z *zone.Zone, n *zone.Node) []uint16 {
	c, p := r.none.c, &r.none.p
	switch {
	case n.Profile != zone.NoProfile && (c == nil || p.Serving == steer.ServingNotReady || p.Serving == steer.ServingHalted):
		return denial.Without(r.ever(z, n), dns.TypeCNAME)
	case c == nil, !p.Answers():
		return r.own(z, n)
	}
	list := r.own(z, n)
	window := p.Set >= 0 && len(c.rings) == 1 && c.view.Profile.Routing == profile.Multivalue // dice move it, that is all
	switch {
	case r.none.drawn && !window:
		for i := range c.leaves {
			list = c.leaves[i].types(list)
			if c.leaves[i].alias != nil && n.Flat {
				list = append(list, dns.TypeA, dns.TypeAAAA)
			}
		}
	case p.Set >= 0:
		if len(c.rings[p.Set].v4.leaf) > 0 {
			list = append(list, dns.TypeA)
		}
		if len(c.rings[p.Set].v6.leaf) > 0 {
			list = append(list, dns.TypeAAAA)
		}
	case c.leaves[p.Leaf].alias != nil && n.Flat:
		list = r.led(list, &c.leaves[p.Leaf])
	default:
		list = c.leaves[p.Leaf].types(list)
	}
	if n.Service && c.services != nil && !r.pointing(n) {
		list = append(list, dns.TypeHTTPS)
	}
	return list
}

// pointing reports that the choice in r.none is a CNAME.
func (r *response) pointing(n *zone.Node) bool {
	c, p := r.none.c, &r.none.p
	return n.Alias && c != nil && p.Leaf >= 0 && c.leaves[p.Leaf].alias != nil
}

// types appends those of a leaf's addresses.
func (l *leaf) types(list []uint16) []uint16 {
	if l.v4 != nil {
		list = append(list, dns.TypeA)
	}
	if l.v6 != nil {
		list = append(list, dns.TypeAAAA)
	}
	return list
}

// led appends the types of the addresses a leaf's name leads to. What is not known is not denied, nor what dice chose on
// the way.
func (r *response) led(list []uint16, l *leaf) []uint16 {
	given := len(r.given)
	for _, typ := range [...]uint16{dns.TypeA, dns.TypeAAAA} {
		thrown := r.asker.thrown
		if f := r.follow(l, typ); f.known != flatten.None || r.asker.thrown != thrown {
			list = append(list, typ)
		}
	}
	r.given = r.given[:given] // nobody got these
	return list
}
