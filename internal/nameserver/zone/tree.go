package zone

import (
	"cmp"
	"fmt"
	"iter"
	"maps"
	"slices"

	"github.com/miekg/dns"

	"jurymast/internal/nameserver/wire"
	"jurymast/internal/profile"
)

// NoProfile is a Node's Profile when no profile answers there.
const NoProfile = -1

// RRset is all records of one type at one name, ready to be written. It may be shared and is never changed.
type RRset struct {
	Type uint16
	TTL  uint32   // seconds, one for the whole set [RFC 2181 5.2]
	Data [][]byte // RDATA in wire form, names not compressed

	Signatures *RRset // that came with the set from elsewhere, of type RRSIG; nil: none did

	ring [][]byte // Data twice in a row, if the set rotates
	line int32    // of its first record; 0 when it is not from the text
}

// maxTurns are the orders a set is told in at most.
const maxTurns = 8

// Turns is in how many orders the set is told, 1..8. Other orders say the same [RFC 1034 3.6].
func (s *RRset) Turns() int {
	if s.ring == nil {
		return 1
	}
	return min(len(s.Data), maxTurns)
}

// Turn is Data in the i-th order, 0..Turns()-1. It shares memory with the set.
func (s *RRset) Turn(i int) [][]byte {
	if s.ring == nil {
		return s.Data
	}
	at := i * len(s.Data) / s.Turns()
	return s.ring[at : at+len(s.Data) : at+len(s.Data)]
}

// rotate makes addresses of several records begin elsewhere for each question.
func (s *RRset) rotate() {
	if (s.Type == dns.TypeA || s.Type == dns.TypeAAAA) && len(s.Data) > 1 {
		s.ring = append(slices.Clone(s.Data), s.Data...)
	}
}

// Node is one name of a zone. Without Sets and profile it is an empty non-terminal.
type Node struct {
	Name    []byte // wire form, letter case as written
	Sets    []RRset
	Profile int      // number of the profile that answers here, or NoProfile
	Alias   bool     // that profile may answer with a CNAME, so no other type can be here
	Flat    bool     // that profile answers the addresses of its targets' names instead
	Service bool     // that profile answers HTTPS
	May     []uint16 // types the profile could answer, whatever its endpoints' health
	Below   bool     // other names lie below this one, in this zone or in another of ours: it can never be denied

	cut   bool // NS below the apex
	dname bool
	line  int32 // of its first record; 0 when it has none in the text
	wild  *Node // the child "*"
}

// Set of a type, or nil.
func (n *Node) Set(typ uint16) *RRset {
	for i := range n.Sets {
		if n.Sets[i].Type == typ {
			return &n.Sets[i]
		}
	}
	return nil
}

// Zone is one zone, immutable once it is served.
type Zone struct {
	Name        string // lower case, no trailing dot; "." for the root
	Apex        *Node
	SOA         *RRset
	NegativeTTL uint32         // min(TTL of the SOA, MINIMUM) [RFC 2308]
	Serial      uint32         // of the SOA
	DNSSEC      profile.DNSSEC // whether and how it is signed
	Written     bool           // the SOA is from the text, not made
	Warnings    []*Fault       // what of the text works but was hardly meant; Lint finds the rest

	Transfer  *profile.Transfer // who may fetch it; nil: nobody
	Foreign   bool              // its records were transferred
	Unloaded  bool              // and are not here, or are too old: everything is SERVFAIL
	Presigned bool              // and its primary has signed it

	labels int // of the apex
	nodes  map[string]*Node
	proofs *proofs // of a presigned zone
}

// Key is the apex in wire form and lower case: what a table of zones is keyed with.
func (z *Zone) Key() string {
	var n wire.Name
	n.Set(z.Apex.Name)
	return string(n.Key(0))
}

// Kind says how a name was matched.
type Kind uint8

// The kinds of a Match.
const (
	Missing  Kind = iota // NXDOMAIN
	Exact                // the node itself
	Wildcard             // synthesised from the closest encloser's "*"
	Cut                  // at or below a delegation
	Redirect             // below a DNAME
)

func (k Kind) String() string {
	switch k {
	case Exact:
		return "exact"
	case Wildcard:
		return "wildcard"
	case Cut:
		return "delegation"
	case Redirect:
		return "dname"
	case Missing:
	}
	return "missing"
}

// Match is where a name led.
type Match struct {
	Kind  Kind
	Node  *Node // nil for Missing
	Label int   // Cut, Redirect: the label of the asked name at which Node's name starts
}

// Find matches a name that lies in the zone.
func (z *Zone) Find(n *wire.Name) Match {
	at := z.Apex
	for i := n.Labels() - z.labels - 1; i >= 0; i-- {
		if at.dname {
			return Match{Redirect, at, i + 1}
		}
		next := z.nodes[string(n.Key(i))]
		switch {
		case next != nil && next.cut:
			return Match{Cut, next, i}
		case next != nil:
			at = next
		case at.wild != nil:
			return Match{Wildcard, at.wild, 0}
		default:
			return Match{}
		}
	}
	return Match{Exact, at, 0}
}

// Glue is the node with that name even when it is hidden below a cut, or nil.
func (z *Zone) Glue(n *wire.Name) *Node {
	return z.nodes[string(n.Key(0))]
}

// Above is the node with the name that begins at label i of n, even when it is hidden, or nil.
func (z *Zone) Above(n *wire.Name, i int) *Node { return z.nodes[string(n.Key(i))] }

// All are the nodes of the zone in no order, those hidden below a cut and the empty ones too.
func (z *Zone) All() iter.Seq[*Node] { return maps.Values(z.nodes) }

// Size is the number of nodes.
func (z *Zone) Size() int { return len(z.nodes) }

// node returns the node of a name inside the zone and creates it, with the empty non-terminals above it.
func (z *Zone) node(n *wire.Name) *Node {
	if z.Apex == nil {
		z.Apex = &Node{Name: slices.Clone(n.Wire(n.Labels() - z.labels)), Profile: NoProfile}
		z.nodes[string(n.Key(n.Labels()-z.labels))] = z.Apex
	}
	at := z.Apex
	for i := n.Labels() - z.labels - 1; i >= 0; i-- {
		key := string(n.Key(i))
		next := z.nodes[key]
		if next == nil {
			next = &Node{Name: slices.Clone(n.Wire(i)), Profile: NoProfile}
			z.nodes[key] = next
			at.Below = true
			if key[0] == 1 && key[1] == '*' {
				at.wild = next
			}
		}
		at = next
	}
	return at
}

// Enclose notes that another zone of ours begins at a name below this one's apex: the names in between exist, even where
// nothing delegates it, because resolvers take NXDOMAIN for everything below a name [RFC 8020]. Only before the zone is
// served.
func (z *Zone) Enclose(apex *wire.Name) {
	var above wire.Name
	if apex.Labels()-z.labels < 1 || above.Set(apex.Wire(1)) == 0 {
		return
	}
	if m := z.Find(&above); m.Kind == Missing || m.Kind == Wildcard {
		z.node(&above)
	}
	for i := 1; i <= apex.Labels()-z.labels; i++ {
		if above := z.nodes[string(apex.Key(i))]; above != nil {
			above.Below = true
		}
	}
}

// Deniable reports that NXDOMAIN may be said of a node that answers nothing: resolvers take it for everything below
// the name too [RFC 8020], and for every type.
func (z *Zone) Deniable(n *Node) bool { return n != z.Apex && !n.Below && len(n.Sets) == 0 }

// contains reports that the name is the apex or below it.
func (z *Zone) contains(n *wire.Name) bool {
	i := n.Labels() - z.labels
	return i >= 0 && (z.Apex == nil || z.nodes[string(n.Key(i))] == z.Apex)
}

// seal marks cuts and sorts sets after all records are in.
func (z *Zone) seal(rotate bool) {
	for _, n := range z.nodes {
		slices.SortFunc(n.Sets, func(a, b RRset) int { return cmp.Compare(a.Type, b.Type) })
		n.cut = n != z.Apex && n.Set(dns.TypeNS) != nil
		n.dname = n.Set(dns.TypeDNAME) != nil
		for i := range n.Sets {
			if rotate {
				n.Sets[i].rotate()
			}
		}
	}
}

// PackName turns a name in text, dots and escapes, into wire form.
func PackName(text string) ([]byte, error) {
	buf := make([]byte, wire.MaxName+1)
	end, err := dns.PackDomainName(dns.Fqdn(text), buf, 0, nil, false)
	if err != nil || end > wire.MaxName {
		return nil, fmt.Errorf("name %q: not a domain name of at most 255 bytes with labels of 1 to 63", text)
	}
	return buf[:end], nil
}

// Text is a name in wire form as text with a trailing dot.
func Text(name []byte) string {
	s, _, err := dns.UnpackDomainName(name, 0)
	if err != nil {
		return fmt.Sprintf("%q", name)
	}
	return s
}

// Own yields the sets that belong to the zone itself, in no order: what a signed zone signs [RFC 4035 2.2]. Of a
// delegation that is DS alone; NS there, and what is hidden below it or below a DNAME, are not the zone's.
func (z *Zone) Own() iter.Seq2[*Node, *RRset] {
	return func(yield func(*Node, *RRset) bool) {
		var name wire.Name
		for _, n := range z.nodes {
			if len(n.Sets) == 0 {
				continue
			}
			name.Set(n.Name)
			m := z.Find(&name)
			for i := range n.Sets {
				own := m.Node == n && (m.Kind == Exact || m.Kind == Cut && n.Sets[i].Type == dns.TypeDS)
				if own && !yield(n, &n.Sets[i]) {
					return
				}
			}
		}
	}
}
