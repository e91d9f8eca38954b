package zone

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/miekg/dns"

	"jurymast/internal/nameserver/wire"
)

// Lint lists what works but was hardly meant, in the order of the text and at most 20, after the host names of profiles
// are in. notes are the same about name servers that stand beside the text: their addresses may come later. ours tells
// names that this zone answers from those that another zone of ours does.
func (z *Zone) Lint(ours func(*wire.Name) bool) (warnings, notes []*Fault) {
	l := linter{zone: z, ours: ours, list: slices.Clone(z.Warnings)}
	l.serves()
	for _, n := range z.nodes {
		if len(n.Sets) > 0 {
			l.node(n)
		}
	}
	slices.SortFunc(l.list, func(a, b *Fault) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(b.Column, a.Column), cmp.Compare(a.Text, b.Text))
	})
	return l.list[:min(len(l.list), maxFaults)], l.notes
}

type linter struct {
	zone  *Zone
	ours  func(*wire.Name) bool
	list  []*Fault
	notes []*Fault

	servers map[string]bool // that NS records point to, in lower case
}

func (l *linter) add(s *RRset, format string, args ...any) {
	f := &Fault{Line: int(s.line), Text: fmt.Sprintf(format, args...)}
	if s.line == 0 {
		l.notes = append(l.notes, f)
		return
	}
	l.list = append(l.list, f)
}

func (l *linter) node(n *Node) {
	ns, ds := n.Set(dns.TypeNS), n.Set(dns.TypeDS)
	if ds != nil && n == l.zone.Apex {
		l.add(ds, "%s DS: the DS of a zone stands in the zone above it, here nobody looks for it; move it there", Text(n.Name))
	} else if ds != nil && ns == nil {
		l.add(ds, "%s DS without NS: a DS belongs to a delegation; add its NS records, or remove it", Text(n.Name))
	}
	if ns != nil {
		l.addresses(n, ns)
	}
	if n.Name[0] == 1 && n.Name[1] == '*' {
		for _, s := range []*RRset{ns, n.Set(dns.TypeDNAME)} {
			if s != nil {
				l.add(s, "%s %s: servers and resolvers do not agree on what %[2]s at a wildcard means; write the names out", Text(n.Name), dns.Type(s.Type))
			}
		}
	}
	l.hidden(n)
}

// addresses looks for the addresses of name servers that only this zone can tell.
func (l *linter) addresses(n *Node, ns *RRset) {
	for _, d := range ns.Data {
		var target wire.Name
		if target.Set(d) == 0 || !l.zone.contains(&target) {
			continue
		}
		if _, err := netip.ParseAddr(strings.TrimSuffix(Text(d), "."+dns.Fqdn(l.zone.Name))); err == nil {
			continue // it has been told that this is an address
		}
		if n.cut && below(&target, n) {
			if to := l.zone.Glue(&target); to == nil || !addressed(to) {
				l.add(ns, "%s NS points to %s, which lies below this delegation and has no address record here (glue), so nobody can find it; add A or AAAA",
					Text(n.Name), Text(d))
			}
			continue
		}
		if !l.ours(&target) {
			continue
		}
		m := l.zone.Find(&target)
		if m.Kind == Missing || (m.Kind == Exact || m.Kind == Wildcard) && !addressed(m.Node) && m.Node.Set(dns.TypeCNAME) == nil {
			l.add(ns, "%s NS points to %s, which has no address record in this zone; add A or AAAA, or correct the name", Text(n.Name), Text(d))
		}
	}
}

func addressed(n *Node) bool {
	return n.Profile != NoProfile || n.Set(dns.TypeA) != nil || n.Set(dns.TypeAAAA) != nil
}

func below(name *wire.Name, n *Node) bool {
	for i := 0; i <= name.Labels(); i++ {
		if wire.EqualFold(name.Wire(i), n.Name) {
			return true
		}
	}
	return false
}

// hidden looks for records at or below a delegation that are neither it nor addresses of name servers.
func (l *linter) hidden(n *Node) {
	var name wire.Name
	name.Set(n.Name)
	m := l.zone.Find(&name)
	if m.Kind != Cut {
		return
	}
	for i := range n.Sets {
		s := &n.Sets[i]
		switch s.Type {
		case dns.TypeNS, dns.TypeDS, dns.TypeNSEC, dns.TypeRRSIG:
			if m.Node == n {
				continue
			}
		case dns.TypeA, dns.TypeAAAA:
			if l.servers[string(name.Key(0))] {
				continue
			}
		}
		l.add(s, "%s %s lies %s, which hides it: resolvers ask the servers of that zone; move it there, or remove the delegation",
			Text(n.Name), dns.Type(s.Type), where(m.Node, n))
		return
	}
}

func where(cut, n *Node) string {
	if cut == n {
		return "at the delegation " + Text(cut.Name)
	}
	return "below the delegation " + Text(cut.Name)
}

// serves collects the targets of all NS of the zone.
func (l *linter) serves() {
	l.servers = map[string]bool{}
	for _, n := range l.zone.nodes {
		ns := n.Set(dns.TypeNS)
		if ns == nil {
			continue
		}
		for _, d := range ns.Data {
			var target wire.Name
			if target.Set(d) > 0 {
				l.servers[string(target.Key(0))] = true
			}
		}
	}
}
