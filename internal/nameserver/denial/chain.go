package denial

import (
	"slices"
	"sort"
	"strings"

	"github.com/miekg/dns"

	"jurymast/internal/nameserver/wire"
	"jurymast/internal/nameserver/zone"
)

// Chain is the names of a zone that have an NSEC record, in canonical order: those with records or a profile, and
// delegations. What a delegation or a DNAME hides is not among them, nor is what is empty [RFC 4035 2.3]. It does not
// depend on what profiles answer, and is never changed.
type Chain struct {
	z     *zone.Zone
	links []link // at least the apex, which is the first
}

type link struct {
	key  string
	node *zone.Node
}

// NewChain makes the chain of a zone. owns says of a name of the zone whether the zone answers for it: not so what is in
// another zone of ours that begins below, except for its apex.
func NewChain(z *zone.Zone, owns func(*wire.Name) bool) *Chain {
	c := &Chain{z: z}
	var empty []link
	var name wire.Name
	for n := range z.All() {
		name.Set(n.Name)
		if n != z.Apex && !owns(&name) || !visible(z, n, &name) {
			continue
		}
		l := link{string(AppendKey(nil, n.Name)), n}
		if len(n.Sets) == 0 && n.Profile == zone.NoProfile {
			empty = append(empty, l)
			continue
		}
		c.links = append(c.links, l)
	}
	sort.Sort(c)
	c.hold(empty)
	return c
}

// Len, Less and Swap sort links.
func (c *Chain) Len() int           { return len(c.links) }
func (c *Chain) Less(i, j int) bool { return c.links[i].key < c.links[j].key }
func (c *Chain) Swap(i, j int)      { c.links[i], c.links[j] = c.links[j], c.links[i] }

// hold gives records of their own to names that are empty in this zone and have another zone of ours below them that
// nothing here delegates: without, the chain would say that they do not exist.
func (c *Chain) hold(empty []link) {
	slices.SortFunc(empty, func(a, b link) int { return strings.Compare(b.key, a.key) }) // the deepest of each branch first
	var held []link
	for _, l := range empty {
		if n := len(held); n > 0 && strings.HasPrefix(held[n-1].key, l.key) {
			continue
		}
		if i := c.search(l.key); i == len(c.links) || !strings.HasPrefix(c.links[i].key, l.key) {
			held = append(held, l)
		}
	}
	if len(held) > 0 {
		c.links = append(c.links, held...)
		sort.Sort(c)
	}
}

// visible reports that questions reach a name.
func visible(z *zone.Zone, n *zone.Node, name *wire.Name) bool {
	m := z.Find(name)
	return m.Node == n && (m.Kind == zone.Exact || m.Kind == zone.Cut && m.Label == 0)
}

// search is the first link at or behind a key.
func (c *Chain) search(key string) int {
	return sort.Search(len(c.links), func(i int) bool { return c.links[i].key >= key })
}

// At is the link of a name, -1 when it has none.
func (c *Chain) At(name []byte) int {
	if i, same := c.find(name); same {
		return i
	}
	return -1
}

// Cover is the link that no name lies behind but before its next one: the name's own if it has one. The name lies in
// the zone.
func (c *Chain) Cover(name []byte) int {
	i, same := c.find(name)
	if same {
		return i
	}
	return i - 1
}

func (c *Chain) find(name []byte) (at int, same bool) {
	var room [2 * wire.MaxName]byte
	key := AppendKey(room[:0], name)
	at = sort.Search(len(c.links), func(i int) bool { return c.links[i].key >= string(key) })
	return at, at < len(c.links) && c.links[at].key == string(key)
}

// Node of a link.
func (c *Chain) Node(i int) *zone.Node { return c.links[i].node }

// NSEC is the record of a link that lists types beside RRSIG and NSEC, its own TTL being that of negative answers
// [RFC 9077]. Its owner is Node(i).Name.
func (c *Chain) NSEC(i int, types []uint16) *zone.RRset {
	next := c.z.Apex
	if i+1 < len(c.links) {
		next = c.links[i+1].node
	}
	return nsec(appendLower(make([]byte, 0, len(next.Name)+24), next.Name), types, c.z.NegativeTTL)
}

// Static appends the types of a name's own records as a bitmap lists them, in their order: of a delegation those that the
// zone above it answers for [RFC 4035 2.3].
func Static(to []uint16, z *zone.Zone, n *zone.Node) []uint16 {
	cut := n != z.Apex && n.Set(dns.TypeNS) != nil
	for i := range n.Sets {
		if typ := n.Sets[i].Type; !cut || typ == dns.TypeNS || typ == dns.TypeDS {
			to = append(to, typ)
		}
	}
	return to
}

// Without removes a type from a list, in place.
func Without(types []uint16, typ uint16) []uint16 {
	return slices.DeleteFunc(types, func(t uint16) bool { return t == typ })
}
