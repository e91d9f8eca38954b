package nameserver

import (
	"fmt"
	"iter"
	"net/netip"
	"slices"

	"github.com/miekg/dns"

	"jurymast/internal/nameserver/denial"
	"jurymast/internal/nameserver/wire"
	"jurymast/internal/nameserver/zone"
	"jurymast/internal/profile"
	"jurymast/internal/snapshot"
)

// link makes the NSEC chains of the zones that have one.
func (c *config) link(docs *snapshot.Documents) {
	c.chains = map[*zone.Zone]*denial.Chain{}
	for _, z := range c.zones {
		if z.DNSSEC.Enabled && !compact(z) {
			c.chains[z] = denial.NewChain(z, func(n *wire.Name) bool { return c.find(n, dns.TypeDS) == z })
		}
	}
	before := len(c.warnings)
	for _, z := range c.zones {
		c.secured(z)
		c.expires(z)
	}
	for _, p := range docs.Profiles {
		if p.Azure() {
			c.undeniable(p)
		}
	}
	slices.Sort(c.warnings[before:])
}

// secured warns of a zone that lies below a signed one and cannot be believed.
func (c *config) secured(z *zone.Zone) {
	var apex wire.Name
	apex.Set(z.Apex.Name)
	parent := c.find(&apex, dns.TypeDS)
	if parent == nil || parent == z || !parent.DNSSEC.Enabled {
		return
	}
	n := parent.Glue(&apex)
	switch {
	case n == nil || n.Set(dns.TypeNS) == nil:
		c.warnings = append(c.warnings, fmt.Sprintf("zone %s lies below zone %s, which is signed and does not delegate it, so resolvers that validate take it for forged; "+
			"add NS records for %[1]s to zone %[2]s, and its DS records when it is signed", z.Name, parent.Name))
	case n.Set(dns.TypeDS) != nil && !z.DNSSEC.Enabled:
		c.warnings = append(c.warnings, fmt.Sprintf("zone %s is not signed, but zone %s has DS records for it, so resolvers that validate answer nothing from it; "+
			"remove those records, or sign the zone", z.Name, parent.Name))
	}
}

// undeniable warns of names that a chain cannot deny.
func (c *config) undeniable(p *profile.Profile) {
	for _, host := range p.Hostnames {
		packed, err := zone.PackName(host)
		if err != nil {
			continue // refused elsewhere
		}
		var name wire.Name
		name.Set(packed)
		if z := c.find(&name, dns.TypeA); z != nil && c.chains[z] != nil && z.Glue(&name) != nil && z.Deniable(z.Glue(&name)) {
			c.warnings = append(c.warnings, fmt.Sprintf("host name %s of profile %s: while nothing can be answered, questions with DNSSEC get no data in place of NXDOMAIN, "+
				"because zone %s denies with nsec, and its chain cannot deny a name that is in it; write denial: compact if NXDOMAIN matters", host, p.Name, z.Name))
		}
	}
}

// everTypes are the types that targets could be answered with, in the order of their numbers.
func everTypes(spots []spot, flat, service bool) (list []uint16) {
	var v4, v6, alias bool
	for i := range spots {
		t := spots[i].target
		switch {
		case t.Host != "" && flat:
			v4, v6 = true, true
		case t.Host != "":
			alias = true
		}
		for _, a := range t.Addrs {
			if addr, err := netip.ParseAddr(a); err == nil { // checked with the documents
				v4, v6 = v4 || addr.Unmap().Is4(), v6 || !addr.Unmap().Is4()
			}
		}
	}
	for typ, is := range map[uint16]bool{dns.TypeA: v4, dns.TypeCNAME: alias, dns.TypeAAAA: v6, dns.TypeHTTPS: service} {
		if is {
			list = append(list, typ)
		}
	}
	slices.Sort(list)
	return list
}

// denials yields the NSEC sets that questions for names of the tree can get, with every list of types that a profile can
// lead to: what a zone is signed with ahead. Their TTL is the one their signatures tell. What is made for names that are
// not in the tree, those under wildcards among them, is not here.
func (r *response) denials(z *zone.Zone, yield func(owner []byte, set *zone.RRset) bool) {
	chain := r.chainOf(z)
	var name wire.Name
	for n := range z.All() {
		name.Set(n.Name)
		if !r.conf.answers(z, n, &name) {
			continue
		}
		link := -1
		if chain != nil {
			if link = chain.At(n.Name); link < 0 {
				continue
			}
		}
		for types := range variants(r.own(z, n), n) {
			set := denial.Compact(n.Name, z.Apex.Name, types, z.NegativeTTL)
			if link >= 0 {
				set = chain.NSEC(link, types)
			}
			if !yield(n.Name, set) {
				return
			}
		}
	}
}

// answers reports that a zone answers for one of its nodes, or for the delegation there.
func (c *config) answers(z *zone.Zone, n *zone.Node, name *wire.Name) bool {
	m := z.Find(name)
	return m.Node == n && (m.Kind == zone.Exact || m.Kind == zone.Cut && m.Label == 0) && (n == z.Apex || c.find(name, dns.TypeDS) == z)
}

// variants are the lists of types a name's proofs can have: own ones with every choice of what its profile could answer.
// HTTPS is answered with any address, so only its own denial is without it.
func variants(own []uint16, n *zone.Node) iter.Seq[[]uint16] {
	return func(yield func([]uint16) bool) {
		for choice := range 1 << len(n.May) {
			list, addresses := slices.Clone(own), 0
			alias, service := false, false
			for i, typ := range n.May {
				if choice>>i&1 == 0 {
					continue
				}
				list = append(list, typ)
				switch typ {
				case dns.TypeCNAME:
					alias = true
				case dns.TypeHTTPS:
					service = true
				default:
					addresses++
				}
			}
			switch all := len(list) == len(own)+len(n.May); {
			case all:
			case alias && len(list) > len(own)+1: // a CNAME stands alone
				continue
			case n.Service && !service && addresses > 0:
				continue
			}
			if !yield(list) {
				return
			}
		}
	}
}
