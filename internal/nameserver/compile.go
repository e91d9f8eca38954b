package nameserver

import (
	"math"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"

	"jurymast/internal/health"
	"jurymast/internal/nameserver/wire"
	"jurymast/internal/nameserver/zone"
	"jurymast/internal/profile"
	"jurymast/internal/steer"
)

// compiled is what one profile can answer until its next view: the plan that chooses, and everything it can choose in
// wire form. TTLs are not part of it, they come with each choice.
type compiled struct {
	prepared // first, because most questions need nothing else

	view    *health.View
	plan    *steer.Plan
	needs   steer.Needs
	leaves  []leaf // by number in the plan
	rings   []rings
	ceiling uint32 // the profile's ttl, in seconds
	azure   bool   // ANY tells all, and NXDOMAIN is possible
	nobody  leaf   // counts answers without anything in them

	services *services // nil: no HTTPS records

	// always is the choice for every question, if no question can make a difference.
	always   choice
	constant bool
}

// choice is what was picked for a question, with what follows from that alone.
type choice struct {
	steer.Pick
	ttl uint32
	why []wire.EDE
}

func (c *compiled) choice(p steer.Pick) choice { return choice{p, seconds(p.TTL), c.because(&p)} }

// leaf is one target ready to be written: an alias, or addresses of one or both families.
type leaf struct {
	profile, endpoint string
	host              string // of the alias, as config.routes knows it
	alias             *zone.RRset
	v4, v6            *zone.RRset
	counts            tallies
}

// rings are the addresses of one multivalue profile's candidates, by family.
type rings struct {
	max    int
	v4, v6 ring
}

// ring is n addresses of one family, twice in a row, so that every window of up to n is one slice.
type ring struct {
	data [][]byte
	leaf []int // whose address the i-th of the n is
}

// compile turns a view into answers. It cannot fail: targets were checked with the documents.
func compile(v *health.View) *compiled {
	p := steer.Compile(v)
	c := &compiled{
		view: v, plan: p, needs: p.Needs(), ceiling: seconds(v.Profile.TTL), azure: v.Profile.Azure(),
		nobody: leaf{profile: v.Profile.Name},
	}
	list := p.Leaves()
	c.leaves = make([]leaf, len(list))
	for i := range list {
		l := &c.leaves[i]
		l.profile, l.endpoint = list[i].View.Profile.Name, list[i].Name()
		l.sets(list[i].Target)
	}
	c.services = servicesOf(v.Profile.HTTPS, c.leaves)
	sets := p.Sets()
	c.rings = make([]rings, len(sets))
	for i := range sets {
		c.rings[i].max = sets[i].Max
		for _, number := range sets[i].Leaves {
			c.rings[i].v4.add(c.leaves[number].v4, number)
			c.rings[i].v6.add(c.leaves[number].v6, number)
		}
		c.rings[i].v4.close()
		c.rings[i].v6.close()
	}
	if c.constant = c.needs == 0 && len(sets) == 0; c.constant {
		c.always = c.choice(p.Pick(&steer.Client{}, nil, nil))
		c.prepare()
	}
	return c
}

// prepared is a constant choice ready to be copied, when it is a target with nothing more to tell. It is one line of the
// processor's cache, because with many profiles each line is what a question waits for.
type prepared struct {
	number         atomic.Uint32 // of the counter of its answers, and one; 0: not known yet
	bytes4, bytes6 uint8         // of the A and the AAAA set in room
	four, six      uint8         // records in them
	beyond         *beyond       // what room is no room for; nil: nothing
	room           [48]byte
}

// beyond is what few choices have.
type beyond struct {
	alias  *target
	v4, v6 ready
}

// prepare makes the constant choice ready.
func (c *compiled) prepare() {
	p := &c.always
	if p.Leaf < 0 || p.why != nil {
		return
	}
	l := &c.leaves[p.Leaf]
	if l.alias != nil {
		c.beyond = &beyond{alias: newTarget(l.alias.Data[0])}
		return
	}
	v4, v6 := readySet(l.v4, p.ttl), readySet(l.v6, p.ttl)
	if len(v4.data)+len(v6.data) > len(c.room) {
		c.beyond = &beyond{v4: v4, v6: v6}
		return
	}
	copy(c.room[copy(c.room[:], v4.data):], v6.data)
	//nolint:gosec // they fit into room
	c.bytes4, c.bytes6, c.four, c.six = uint8(len(v4.data)), uint8(len(v6.data)), uint8(v4.records), uint8(v6.records)
}

// addresses is the set of type A, or else AAAA, or one without records.
func (p *prepared) addresses(v4 bool) ready {
	switch {
	case p.beyond != nil && v4:
		return p.beyond.v4
	case p.beyond != nil:
		return p.beyond.v6
	case v4:
		return ready{p.room[:p.bytes4], uint16(p.four)}
	}
	return ready{p.room[p.bytes4 : p.bytes4+p.bytes6], uint16(p.six)}
}

// alias is the host name, or nil.
func (p *prepared) alias() *target {
	if p.beyond == nil {
		return nil
	}
	return p.beyond.alias
}

// counter is that of the constant choice.
func (c *compiled) counter(of *counts) *atomic.Uint64 {
	n := c.number.Load()
	if n == 0 {
		n = c.leaves[c.always.Leaf].number(of.book, c.always.Rule) + 1
		c.number.Store(n)
	}
	return of.answer(n - 1)
}

func (l *leaf) sets(t *profile.Target) {
	if t.Host != "" {
		if name, err := zone.PackName(t.Host); err == nil {
			l.host, l.alias = profile.CanonicalName(t.Host), &zone.RRset{Type: dns.TypeCNAME, Data: [][]byte{name}}
		}
		return
	}
	for _, text := range t.Addrs {
		addr, err := netip.ParseAddr(text)
		if err != nil {
			continue
		}
		typ, set := dns.TypeAAAA, &l.v6
		if addr = addr.Unmap(); addr.Is4() {
			typ, set = dns.TypeA, &l.v4
		}
		if *set == nil {
			*set = &zone.RRset{Type: typ}
		}
		if data := addr.AsSlice(); !contains((*set).Data, data) {
			(*set).Data = append((*set).Data, data)
		}
	}
}

// set is what a question of that type gets of the leaf, or nil for NODATA. The type is compared only now, after the
// choice: another endpoint that has the family would be the wrong one.
func (l *leaf) set(typ uint16) *zone.RRset {
	switch {
	case l.alias != nil:
		return l.alias
	case typ == dns.TypeA:
		return l.v4
	case typ == dns.TypeAAAA:
		return l.v6
	case typ == dns.TypeANY && l.v4 != nil:
		return l.v4
	case typ == dns.TypeANY:
		return l.v6
	}
	return nil
}

func (r *ring) add(set *zone.RRset, number int) {
	if set == nil {
		return
	}
	for _, data := range set.Data {
		if !contains(r.data, data) { // a set has no record twice
			r.data, r.leaf = append(r.data, data), append(r.leaf, number)
		}
	}
}

func (r *ring) close() { r.data = append(r.data, r.data...) }

// window is k addresses, at most all, from the start-th on.
func (r *ring) window(start uint64, k int) (data [][]byte, at int) {
	n := len(r.leaf)
	if n == 0 {
		return nil, 0
	}
	at = int(start % uint64(n)) //nolint:gosec // below n
	return r.data[at : at+min(k, n)], at
}

func contains(list [][]byte, data []byte) bool {
	return slices.ContainsFunc(list, func(d []byte) bool { return string(d) == string(data) })
}

func seconds(d time.Duration) uint32 {
	return uint32(min(max(d/time.Second, 0), math.MaxInt32))
}
