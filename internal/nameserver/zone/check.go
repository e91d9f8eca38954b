package zone

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/miekg/dns"

	"jurymast/internal/nameserver/wire"
	"jurymast/internal/profile"
)

// check looks at what only the whole zone can tell and finishes it.
func (p *parser) check() error {
	z := p.zone
	z.seal(p.doc.Order == profile.OrderRotate)
	if z.SOA = z.Apex.Set(dns.TypeSOA); z.SOA == nil {
		return errors.New("no SOA at the apex")
	}
	z.Written = z.SOA.line > 0
	soa := z.SOA.Data[0]
	z.Serial = binary.BigEndian.Uint32(soa[len(soa)-20:])
	z.NegativeTTL = min(z.SOA.TTL, binary.BigEndian.Uint32(soa[len(soa)-4:]))
	for _, n := range p.inOrder() {
		p.name.Set(n.Name)
		for i := 1; i <= p.name.Labels()-z.labels; i++ {
			if above := z.nodes[string(p.name.Key(i))]; above != nil && above.dname && len(n.Sets) > 0 {
				return &Fault{Line: p.first[n], Text: fmt.Sprintf("%s lies below the DNAME at %s, which redirects every name below it",
					Text(n.Name), Text(above.Name))}
			}
		}
		p.warnAliases(n)
	}
	return nil
}

// inOrder lists the nodes with records as they were written.
func (p *parser) inOrder() []*Node {
	list := make([]*Node, 0, len(p.first))
	for n := range p.first {
		list = append(list, n)
	}
	slices.SortFunc(list, func(a, b *Node) int {
		if d := p.first[a] - p.first[b]; d != 0 {
			return d
		}
		return slices.Compare(a.Name, b.Name)
	})
	return list
}

// warnAliases notes NS and MX that point to a CNAME of the zone [RFC 2181 10.3].
func (p *parser) warnAliases(n *Node) {
	for _, typ := range []uint16{dns.TypeNS, dns.TypeMX} {
		set := n.Set(typ)
		if set == nil {
			continue
		}
		for _, d := range set.Data {
			if typ == dns.TypeMX {
				d = d[2:]
			}
			var target wire.Name
			target.Set(d)
			if !p.zone.contains(&target) {
				continue
			}
			if to := p.zone.nodes[string(target.Key(0))]; to != nil && to.Set(dns.TypeCNAME) != nil {
				p.zone.Warnings = append(p.zone.Warnings, &Fault{Line: int(set.line), Text: fmt.Sprintf(
					"%s %s points to %s, which is a CNAME; resolvers may refuse it", Text(n.Name), dns.Type(typ), Text(to.Name))})
			}
		}
	}
}

// Host is a profile's host name on its way into the tree.
type Host struct {
	Name    wire.Name
	Profile int      // number of the profile
	Alias   bool     // an endpoint answers with a CNAME, which tolerates nothing beside it
	Flat    bool     // instead of a CNAME its target's addresses are answered
	Service bool     // HTTPS is answered too
	May     []uint16 // types that could be answered, whatever the endpoints' health
}

// Attach makes the node of a host name one that the profile answers. The error says what stands in the way. Only
// before the zone is served. It is a *Clash when records of the text stand in the way.
func (z *Zone) Attach(h *Host) error {
	for i := h.Name.Labels() - z.labels - 1; i >= 0; i-- {
		above := z.nodes[string(h.Name.Key(i))]
		if above != nil && above.cut {
			return z.clash(above, fmt.Sprintf("delegates %s to other name servers", Text(above.Name)), ", so nobody would ask us for it; remove those NS records, or the host name")
		}
		if parent := z.nodes[string(h.Name.Key(i+1))]; parent != nil && parent.dname {
			return z.clash(parent, fmt.Sprintf("redirects everything below %s with a DNAME", Text(parent.Name)), "; remove that record, or the host name")
		}
	}
	n := z.node(&h.Name)
	switch {
	case n.Profile != NoProfile && n.Profile != h.Profile:
		return errors.New("another profile answers it already")
	}
	if h.Alias {
		if err := z.NoAlias(&h.Name); err != nil {
			return err
		}
	}
	if n.Service = h.Service; n.Service && n.Set(dns.TypeHTTPS) != nil {
		return z.clash(n, "has HTTPS records at the same name", "; remove them, or https from the profile, which makes its own")
	}
	for _, typ := range []uint16{dns.TypeCNAME, dns.TypeA, dns.TypeAAAA} {
		if n.Set(typ) != nil {
			return z.clash(n, fmt.Sprintf("has %s records at the same name", dns.Type(typ)), "; remove them, the profile answers there")
		}
	}
	n.Profile, n.Alias, n.Flat, n.May = h.Profile, h.Alias, h.Flat, h.May
	return nil
}

// NoAlias says why no CNAME may stand at a name of the zone, nil when it may. It is a *Clash when records of the text
// stand there.
func (z *Zone) NoAlias(name *wire.Name) error {
	const remedy = "; write answer: flatten or leave answer out, then the addresses of that host are answered; or give addresses"
	n := z.nodes[string(name.Key(0))]
	switch {
	case n == z.Apex:
		return fmt.Errorf("it is the apex of zone %s, where no CNAME may stand, and an endpoint's target is a host name%s", z.Name, remedy)
	case n != nil && len(n.Sets) > 0:
		return z.clash(n, fmt.Sprintf("has %s records at the same name", dns.Type(n.Sets[0].Type)),
			", beside which no CNAME may stand, and an endpoint's target is a host name"+remedy)
	}
	return nil
}

func (z *Zone) clash(n *Node, what, then string) *Clash {
	return &Clash{Zone: z.Name, Line: int(n.line), What: "zone " + z.Name + " " + what, Then: then}
}
