package trace

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/miekg/dns"
)

const (
	maxHops      = 16 // zones from the root to the name
	maxServers   = 32 // addresses of one zone that are asked
	maxPerHop    = 6  // servers of one zone that may fail before the walk ends there
	maxNames     = 20 // servers of one zone whose addresses are looked for
	maxGlueDepth = 3  // names of servers whose own servers must be found first
)

// place is one address of a name server.
type place struct {
	name string
	addr netip.AddrPort
}

// cut is a zone and the servers that are said to have it.
type cut struct {
	zone   string
	names  []string
	places []place
}

// walk goes from the start down to the servers that answer a name with authority.
func (t *tracer) walk(ctx context.Context, name string, depth int) (c cut, hops []Hop, err error) {
	c = t.start(ctx)
	for range maxHops {
		next, hop, err := t.descend(ctx, c, name, depth)
		hops = append(hops, hop...)
		if err != nil {
			return c, hops, err
		}
		if next == nil {
			return t.whole(ctx, c, name, depth), hops, nil
		}
		c = *next
	}
	return c, hops, fmt.Errorf("the delegation has more than %d steps", maxHops)
}

// start is where the walk begins: the given servers, or the root.
func (t *tracer) start(context.Context) cut {
	c := cut{zone: "."}
	if len(t.o.Servers) > 0 {
		for _, s := range t.o.Servers {
			c.places = append(c.places, place{"(" + t.o.ServersFrom + ")", s})
		}
		return c
	}
	for _, h := range t.o.Roots {
		c.names = append(c.names, h.Name)
		c.places = append(c.places, place{h.Name, h.Addr})
	}
	return c
}

// descend asks the servers of a zone, one after another, until one refers to a zone nearer to the name, or answers:
// then next is nil and the server that did is the first of c's places.
func (t *tracer) descend(ctx context.Context, c cut, name string, depth int) (next *cut, hops []Hop, err error) {
	err = errors.New("no server of " + c.zone + " has an address")
	list := reachableFirst(c.places)
	list = list[:min(len(list), maxPerHop)]
	for i, p := range list {
		if ctx.Err() != nil {
			break
		}
		hop := Hop{Zone: c.zone, Server: p.name, Address: p.addr.String()}
		r := t.ask(ctx, query{to: p.addr, name: name, typ: t.typ, hasty: i < len(list)-1})
		hop.TookMS = milliseconds(r.Took)
		switch next, trouble := t.referral(ctx, r, c, name, depth); {
		case trouble != "":
			hop.Trouble, err = trouble, fmt.Errorf("%s %s: %s", p.name, p.addr, trouble)
			hops = append(hops, hop)
		case next != nil:
			hop.Refers, hop.Names = next.zone, next.names
			return next, append(hops, hop), nil
		default:
			return nil, append(hops, hop), nil
		}
	}
	return nil, hops, err
}

// referral reads where an answer leads: to a zone (next), nowhere because it is the answer (nil), or it is no use.
func (t *tracer) referral(ctx context.Context, r reply, c cut, name string, depth int) (next *cut, trouble string) {
	switch {
	case r.err != nil:
		return nil, r.err.Error()
	case r.Authoritative && (r.Rcode == dns.RcodeSuccess || r.Rcode == dns.RcodeNameError):
		return nil, ""
	case r.Rcode != dns.RcodeSuccess:
		return nil, "it answers " + rcode(r.Msg)
	}
	n := cut{}
	for _, rr := range r.Ns {
		ns, ok := rr.(*dns.NS)
		if !ok {
			continue
		}
		zone := dns.CanonicalName(ns.Hdr.Name)
		if n.zone != "" && zone != n.zone || !dns.IsSubDomain(zone, name) {
			continue
		}
		n.zone = zone
		n.names = append(n.names, dns.CanonicalName(ns.Ns))
	}
	switch {
	case n.zone == "" && r.RecursionAvailable:
		return nil, "it resolves for others and has no authority here"
	case n.zone == "":
		return nil, "it has no authority here and refers nowhere"
	case dns.CountLabel(n.zone) <= dns.CountLabel(c.zone) && (c.zone != "." || n.zone == "."):
		return nil, "it refers to " + n.zone + ", which is not nearer to the name"
	}
	t.locate(ctx, &n, r.Msg, depth)
	return &n, ""
}

// locate finds the addresses of a zone's servers: beside the referral, else by asking for them.
func (t *tracer) locate(ctx context.Context, c *cut, m *dns.Msg, depth int) {
	slices.Sort(c.names)
	if c.names = slices.Compact(c.names); len(c.names) > maxNames {
		t.note("zone %s has %d name servers; %d of them are asked", c.zone, len(c.names), maxNames)
		c.names = c.names[:maxNames]
	}
	for _, name := range c.names {
		addrs := glue(m, name)
		if len(addrs) == 0 && depth < maxGlueDepth {
			addrs = t.addresses(ctx, name, depth+1)
		}
		for _, a := range addrs {
			c.add(place{name, netip.AddrPortFrom(a, t.port)})
		}
	}
}

// add keeps each address once.
func (c *cut) add(p place) {
	if len(c.places) < maxServers && !slices.ContainsFunc(c.places, func(q place) bool { return q.addr == p.addr }) {
		c.places = append(c.places, p)
	}
}

func glue(m *dns.Msg, name string) (out []netip.Addr) {
	for _, rr := range slices.Concat(m.Answer, m.Extra) {
		if dns.CanonicalName(rr.Header().Name) != name {
			continue
		}
		if a, ok := addressOf(rr); ok && !slices.Contains(out, a) {
			out = append(out, a)
		}
	}
	return out
}

func addressOf(rr dns.RR) (netip.Addr, bool) {
	switch rr := rr.(type) {
	case *dns.A:
		a, ok := netip.AddrFromSlice(rr.A.To4())
		return a, ok
	case *dns.AAAA:
		return netip.AddrFromSlice(rr.AAAA.To16())
	}
	return netip.Addr{}, false
}

// addresses of a server's name: from the resolvers, which mostly hold them, else from the root down.
func (t *tracer) addresses(ctx context.Context, host string, depth int) (out []netip.Addr) {
	if known, ok := t.hosts[host]; ok {
		return known
	}
	t.hosts[host] = nil // who needs itself to be found is not found
	defer func() { t.hosts[host] = out }()
	for _, typ := range []uint16{dns.TypeA, dns.TypeAAAA} {
		for _, h := range t.resolvers {
			r := t.ask(ctx, query{to: h.Addr, name: host, typ: typ, recurse: true})
			if r.err == nil && r.Rcode == dns.RcodeSuccess {
				out = append(out, endOf(r.Msg, host, typ)...)
				break
			}
		}
	}
	if len(out) > 0 || ctx.Err() != nil {
		return out
	}
	c, _, err := t.walk(ctx, host, depth)
	if err != nil || len(c.places) == 0 {
		return out
	}
	for _, typ := range []uint16{dns.TypeA, dns.TypeAAAA} {
		if r := t.ask(ctx, query{to: c.places[0].addr, name: host, typ: typ}); r.err == nil {
			out = append(out, endOf(r.Msg, host, typ)...)
		}
	}
	return out
}

func endOf(m *dns.Msg, name string, typ uint16) (out []netip.Addr) {
	path, _ := pathOf(m, name, typ)
	for i := range path {
		for _, v := range path[i].values {
			if a, err := netip.ParseAddr(v); err == nil {
				out = append(out, a)
			}
		}
	}
	return out
}

// whole is all servers of the zone a name is in: those the zone above names, and those the zone itself names. A server
// may have zones below the one it was found for.
func (t *tracer) whole(ctx context.Context, c cut, name string, depth int) cut {
	out := cut{zone: c.zone, names: c.names}
	var first *place
	for _, p := range reachableFirst(c.places) {
		r := t.ask(ctx, query{to: p.addr, name: name, typ: dns.TypeSOA})
		if r.err != nil || !r.Authoritative {
			continue
		}
		for _, rr := range slices.Concat(r.Answer, r.Ns) {
			if owner := dns.CanonicalName(rr.Header().Name); rr.Header().Rrtype == dns.TypeSOA && dns.IsSubDomain(owner, name) {
				out.zone = owner
			}
		}
		first = &p
		break
	}
	if first == nil || out.zone == "." {
		return c
	}
	r := t.ask(ctx, query{to: first.addr, name: out.zone, typ: dns.TypeNS})
	own := cut{zone: out.zone}
	if r.err == nil {
		for _, rr := range r.Answer {
			if ns, ok := rr.(*dns.NS); ok && dns.CanonicalName(ns.Hdr.Name) == out.zone {
				own.names = append(own.names, dns.CanonicalName(ns.Ns))
			}
		}
	}
	if out.zone != c.zone && len(own.names) > 0 {
		out.names = nil // those of a zone above
	}
	t.compareNames(&out, &own)
	if r.err == nil {
		t.ownAddresses(ctx, &own, r.Msg, first.addr, depth)
	}
	for _, p := range slices.Concat(own.places, c.places) {
		if out.zone == c.zone || p.addr == first.addr || !strings.HasSuffix(p.name, ".") || slices.Contains(own.names, p.name) {
			out.add(p)
		}
	}
	return out
}

// ownAddresses are those of the names a zone gives itself; the server that gave the names mostly knows them.
func (t *tracer) ownAddresses(ctx context.Context, own *cut, m *dns.Msg, from netip.AddrPort, depth int) {
	for _, name := range own.names {
		if !dns.IsSubDomain(own.zone, name) || len(glue(m, name)) > 0 {
			continue
		}
		for _, typ := range []uint16{dns.TypeA, dns.TypeAAAA} {
			if r := t.ask(ctx, query{to: from, name: name, typ: typ}); r.err == nil && r.Authoritative {
				m.Extra = append(m.Extra, r.Answer...)
			}
		}
	}
	t.locate(ctx, own, m, depth)
}

// compareNames notes where the zone and the one above it name different servers.
func (t *tracer) compareNames(above, own *cut) {
	slices.Sort(own.names)
	own.names = slices.Compact(own.names)
	if len(above.names) == 0 || len(own.names) == 0 || slices.Equal(above.names, own.names) {
		return
	}
	t.note("the zone above %s names %s, the zone itself %s: some resolvers ask the ones, some the others", own.zone,
		strings.Join(above.names, " "), strings.Join(own.names, " "))
}

// reachableFirst puts IPv4 before IPv6: a walk should not wait for a family this host may not have.
func reachableFirst(list []place) []place {
	list = slices.Clone(list)
	slices.SortStableFunc(list, func(a, b place) int { return family(a) - family(b) })
	return list
}

func family(p place) int {
	if p.addr.Addr().Is4() {
		return 4
	}
	return 6
}
