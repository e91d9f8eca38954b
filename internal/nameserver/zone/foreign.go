package zone

import (
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"slices"

	"github.com/miekg/dns"

	"jurymast/internal/nameserver/wire"
)

// Foreign builds the zone that a primary sent, from records in their order (CompareRecords). It takes what other servers
// load as well and notes in Warnings what it makes of it; what is refused could not be answered at all.
//
//	TTLs of one set differ          the lowest holds [RFC 2181 5.2]
//	CNAME beside other records      the CNAME is answered
//	two CNAME, two DNAME            the first holds
//	records below a DNAME or a cut  they are there, and hidden
//	NSEC3 and what signs them       kept beside the tree: they are proofs, no names [RFC 5155 7.2.8]
func Foreign(name string, records iter.Seq[Record]) (*Zone, error) {
	apex, err := PackName(name)
	if err != nil {
		return nil, err
	}
	f := &foreign{zone: &Zone{Name: name, nodes: map[string]*Node{}, Foreign: true}, told: map[string]bool{}}
	f.name.Set(apex)
	f.zone.labels = f.name.Labels()
	f.zone.node(&f.name)
	for rec := range records {
		if err := f.add(rec); err != nil {
			return nil, err
		}
	}
	if err := f.finish(); err != nil {
		return nil, err
	}
	return f.zone, nil
}

// Unloaded stands for a zone whose records are not here, or not any more: everything in it is SERVFAIL. Host names can be
// attached to it.
func Unloaded(name string) (*Zone, error) {
	apex, err := PackName(name)
	if err != nil {
		return nil, err
	}
	z := &Zone{Name: name, nodes: map[string]*Node{}, Foreign: true, Unloaded: true}
	var n wire.Name
	n.Set(apex)
	z.labels = n.Labels()
	z.node(&n)
	z.SOA = &RRset{Type: dns.TypeSOA}
	return z, nil
}

// foreign builds one zone.
type foreign struct {
	zone  *Zone
	name  wire.Name
	owner *Owner // of node
	node  *Node
	sigs  []Record        // of owner
	told  map[string]bool // warnings, so that each is told once
	proof *hashed         // of owner
}

func (f *foreign) warn(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if !f.told[text] && len(f.told) < maxFaults {
		f.told[text] = true
		f.zone.Warnings = append(f.zone.Warnings, &Fault{Text: text})
	}
}

func (f *foreign) add(rec Record) error {
	if f.owner == nil || f.owner != rec.Owner && !f.owner.Same(rec.Owner) {
		f.sign()
		f.owner, f.node, f.proof = rec.Owner, nil, nil
	}
	switch rec.Type {
	case dns.TypeRRSIG:
		f.sigs = append(f.sigs, rec)
		return nil
	case dns.TypeNSEC3:
		return f.hashed(rec)
	}
	if f.node == nil {
		f.name.Set(rec.Owner.Name)
		f.node = f.zone.node(&f.name)
	}
	return f.record(f.node, rec)
}

func (f *foreign) record(n *Node, rec Record) error {
	set := n.Set(rec.Type)
	single := rec.Type == dns.TypeCNAME || rec.Type == dns.TypeDNAME || rec.Type == dns.TypeSOA
	switch {
	case rec.Type == dns.TypeSOA && n != f.zone.Apex:
		f.warn("%s has an SOA below the apex, which is left out", Text(n.Name))
		return nil
	case rec.Type == dns.TypeCNAME && n == f.zone.Apex:
		return errors.New("a CNAME stands at the apex, where SOA and NS are")
	case set == nil:
		n.Sets = append(n.Sets, RRset{Type: rec.Type, TTL: rec.TTL, Data: [][]byte{rec.Data}})
		return nil
	case single && n == f.zone.Apex && rec.Type == dns.TypeSOA:
		return errors.New("it has two SOA records")
	case single:
		f.warn("%s has more than one %s; the first holds", Text(n.Name), dns.Type(rec.Type))
		return nil
	}
	if set.TTL != rec.TTL {
		f.warn("%s %s: TTLs of one set differ; the lowest holds", Text(n.Name), dns.Type(rec.Type))
		set.TTL = min(set.TTL, rec.TTL)
	}
	set.Data = append(set.Data, rec.Data)
	return nil
}

// sign gives the sets of the owner that is complete now their signatures.
func (f *foreign) sign() {
	for _, sig := range f.sigs {
		if len(sig.Data) < sigHead {
			continue
		}
		typ := binary.BigEndian.Uint16(sig.Data)
		var set *RRset
		switch {
		case typ == dns.TypeNSEC3 && f.proof != nil:
			set = f.proof.set
		case f.node != nil:
			set = f.node.Set(typ)
		}
		if set == nil {
			f.warn("%s has signatures over records of type %s, which are not there", Text(sig.Owner.Name), dns.Type(typ))
			continue
		}
		if set.Signatures == nil {
			set.Signatures = &RRset{Type: dns.TypeRRSIG, TTL: set.TTL}
		}
		set.Signatures.Data = append(set.Signatures.Data, sig.Data)
	}
	f.sigs = f.sigs[:0]
}

// sigHead is what every RRSIG has before the signer's name, in bytes.
const sigHead = 18

func (f *foreign) finish() error {
	f.sign()
	z := f.zone
	z.seal(false)
	if z.SOA = z.Apex.Set(dns.TypeSOA); z.SOA == nil {
		return errors.New("it has no SOA at the apex")
	}
	soa := z.SOA.Data[0]
	if len(soa) < 22 {
		return errors.New("its SOA is not complete")
	}
	z.Serial = binary.BigEndian.Uint32(soa[len(soa)-20:])
	z.NegativeTTL = min(z.SOA.TTL, binary.BigEndian.Uint32(soa[len(soa)-4:]))
	if z.Apex.Set(dns.TypeNS) == nil {
		f.warn("it has no NS records at the apex")
	}
	z.Presigned = z.SOA.Signatures != nil && z.Apex.Set(dns.TypeDNSKEY) != nil
	for _, n := range z.nodes {
		if err := f.check(n); err != nil {
			return err
		}
	}
	if z.Presigned {
		z.proofs = f.chain()
	}
	slices.SortFunc(z.Warnings, func(a, b *Fault) int { return slices.Compare([]byte(a.Text), []byte(b.Text)) })
	return nil
}

func (f *foreign) check(n *Node) error {
	if n.Set(dns.TypeCNAME) != nil {
		for i := range n.Sets {
			if t := n.Sets[i].Type; t != dns.TypeCNAME && t != dns.TypeNSEC && t != dns.TypeKEY {
				f.warn("%s has a CNAME beside other records; the CNAME is answered", Text(n.Name))
			}
		}
	}
	for i := range n.Sets {
		size := 0
		for _, d := range n.Sets[i].Data {
			size += recordHead + len(d)
		}
		if size > maxSet {
			return fmt.Errorf("%s %s: the set is too large for any answer: %d bytes, at most %d fit", Text(n.Name), dns.Type(n.Sets[i].Type), size, maxSet)
		}
	}
	return nil
}

// Copy is a zone of the same records that host names can be attached to; the records themselves are shared. Order says
// whether addresses rotate.
func (z *Zone) Copy(rotate bool) *Zone {
	out := *z
	out.nodes = make(map[string]*Node, len(z.nodes))
	slab := make([]Node, 0, len(z.nodes))
	for key, n := range z.nodes {
		slab = append(slab, *n)
		at := &slab[len(slab)-1]
		out.nodes[key] = at
		if n == z.Apex {
			out.Apex = at
		}
		if rotate && turns(at) {
			at.Sets = slices.Clone(at.Sets)
			for i := range at.Sets {
				at.Sets[i].rotate()
			}
		}
	}
	var name wire.Name
	for i := range slab {
		if n := &slab[i]; n.wild != nil {
			name.Set(n.wild.Name)
			n.wild = out.nodes[string(name.Key(0))]
		}
	}
	if set := out.Apex.Set(dns.TypeSOA); set != nil {
		out.SOA = set
	}
	return &out
}

// turns reports that a node has addresses to rotate.
func turns(n *Node) bool {
	return slices.ContainsFunc(n.Sets, func(s RRset) bool {
		return (s.Type == dns.TypeA || s.Type == dns.TypeAAAA) && len(s.Data) > 1
	})
}

// Displace takes out what a profile answers at a name in its stead: addresses, a CNAME, HTTPS. It reports whether there
// was anything. Only before the zone is served.
func (z *Zone) Displace(name *wire.Name, service bool) bool {
	n := z.nodes[string(name.Key(0))]
	if n == nil {
		return false
	}
	before := len(n.Sets)
	n.Sets = slices.DeleteFunc(slices.Clone(n.Sets), func(s RRset) bool {
		return s.Type == dns.TypeCNAME || s.Type == dns.TypeA || s.Type == dns.TypeAAAA || service && s.Type == dns.TypeHTTPS
	})
	return len(n.Sets) < before
}
