package trace

import (
	"context"
	"net/netip"
	"slices"
	"sync"

	"github.com/miekg/dns"
)

// maxLinks is how many aliases into other zones are followed.
const maxLinks = 8

// chain follows a name through the zones its aliases lead to.
func (t *tracer) chain(ctx context.Context, name string) (links []Link) {
	seen := map[string]bool{}
	for range maxLinks {
		seen[name] = true
		l, path := t.link(ctx, name)
		links = append(links, l)
		if len(path) == 0 {
			return links
		}
		last := path[len(path)-1]
		if last.typ != "CNAME" || t.typ == dns.TypeCNAME {
			return links
		}
		if name = last.values[0]; seen[name] {
			t.note("the aliases lead in a circle at %s", name)
			return links
		}
	}
	t.note("there are more than %d aliases into other zones; the rest is not followed", maxLinks)
	return links
}

// link asks every server of the zone a name is in, and returns what most of them answer.
func (t *tracer) link(ctx context.Context, name string) (Link, []step) {
	l := Link{Name: name, Hops: []Hop{}, Servers: []Server{}}
	c, hops, err := t.walk(ctx, name, 0)
	l.Hops = append(l.Hops, hops...)
	if err != nil {
		c = t.beside(ctx, name)
		if len(c.places) == 0 {
			l.Trouble = "no name server was found: " + err.Error()
			return l, nil
		}
		t.note("the name servers of %s were found through a resolver: %v", c.zone, err)
	}
	l.Zone = c.zone
	l.Servers = t.servers(ctx, c, name)
	path := t.agree(ctx, &l)
	if path == nil {
		l.Trouble = "no name server of " + c.zone + " answers with authority"
	}
	return l, path
}

// beside finds the servers of a zone through the resolvers, for hosts that may not ask the root.
func (t *tracer) beside(ctx context.Context, name string) (c cut) {
	for _, h := range t.resolvers {
		r := t.ask(ctx, query{to: h.Addr, name: name, typ: dns.TypeSOA, recurse: true})
		if r.err != nil {
			continue
		}
		for _, rr := range slices.Concat(r.Answer, r.Ns) {
			if owner := dns.CanonicalName(rr.Header().Name); rr.Header().Rrtype == dns.TypeSOA && dns.IsSubDomain(owner, name) {
				c.zone = owner
			}
		}
		if c.zone == "" {
			continue
		}
		r = t.ask(ctx, query{to: h.Addr, name: c.zone, typ: dns.TypeNS, recurse: true})
		if r.err != nil {
			continue
		}
		for _, rr := range r.Answer {
			if ns, ok := rr.(*dns.NS); ok {
				c.names = append(c.names, dns.CanonicalName(ns.Ns))
			}
		}
		t.locate(ctx, &c, r.Msg, maxGlueDepth-1)
		if len(c.places) > 0 {
			return c
		}
	}
	return cut{}
}

// servers asks all of them at once, over UDP and TCP.
func (t *tracer) servers(ctx context.Context, c cut, name string) []Server {
	out := make([]Server, 2*len(c.places))
	var all sync.WaitGroup
	for i, p := range c.places {
		all.Go(func() { out[2*i] = t.server(ctx, p, name, c.zone, false) })
		all.Go(func() { out[2*i+1] = t.server(ctx, p, name, c.zone, true) })
	}
	all.Wait()
	return out
}

func (t *tracer) server(ctx context.Context, p place, name, zone string, tcp bool) Server {
	s := Server{Name: p.name, Address: p.addr.String(), Transport: "udp"}
	if tcp {
		s.Transport = "tcp"
	}
	r := t.ask(ctx, query{to: p.addr, tcp: tcp, name: name, typ: t.typ})
	s.TookMS = milliseconds(r.Took)
	if r.err != nil {
		s.Trouble = r.err.Error()
		return s
	}
	s.Rcode, s.AA, s.NSID = rcode(r.Msg), r.Authoritative, nsid(r.Msg)
	s.Node = t.o.NSIDs[s.NSID]
	s.Errors, _ = extended(r.Msg)
	path, _ := pathOf(r.Msg, name, t.typ)
	path = inside(path, zone)
	s.Records, s.TTL = recordsOf(path), smallest(path)
	switch {
	case !r.Authoritative && r.Rcode == dns.RcodeSuccess:
		s.Trouble = "it has no authority for this name (lame)"
		return s
	case len(path) == 0:
		s.Trouble = "it answers " + s.Rcode
		return s
	}
	s.path = path
	s.Serial = t.serial(ctx, p.addr, tcp, zone)
	return s
}

// inside cuts a path where it leaves the zone: nobody believes a server about other people's zones.
func inside(path []step, zone string) []step {
	for i := range path {
		if !dns.IsSubDomain(zone, path[i].owner) {
			return path[:i]
		}
	}
	return path
}

func (t *tracer) serial(ctx context.Context, to netip.AddrPort, tcp bool, zone string) uint32 {
	r := t.ask(ctx, query{to: to, tcp: tcp, name: zone, typ: dns.TypeSOA})
	if r.err != nil {
		return 0
	}
	for _, rr := range r.Answer {
		if soa, ok := rr.(*dns.SOA); ok {
			return soa.Serial
		}
	}
	return 0
}

// agree finds what most servers answer, marks the others, and keeps what is true for comparing caches with it.
func (t *tracer) agree(ctx context.Context, l *Link) []step {
	votes := map[string]int{}
	var best []step
	most := 0
	for i := range l.Servers {
		if s := &l.Servers[i]; s.path != nil {
			sign := signature(s.path)
			if votes[sign]++; votes[sign] > most || t.told(s.path) && !t.told(best) {
				best, most = s.path, votes[sign]
			}
		}
	}
	if best == nil {
		return nil
	}
	if len(votes) > 1 {
		t.drawn(ctx, l)
	}
	l.Agree, l.Rcode = true, "NOERROR"
	serials := map[uint32]bool{}
	for i := range l.Servers {
		s := &l.Servers[i]
		if s.path == nil {
			continue
		}
		if signature(s.path) == signature(best) {
			l.Rcode = s.Rcode
		} else if !t.o.Varies && !l.Varies {
			s.Differs, l.Agree = true, false
		}
		if s.Serial != 0 {
			serials[s.Serial] = true
		}
		if !s.Differs {
			t.believe(s.path)
		}
	}
	if len(serials) > 1 {
		t.note("the servers of %s have different serials: a transfer is under way, or fails", l.Zone)
	}
	l.Records = recordsOf(best)
	return best
}

// told reports that a path is what our node says.
func (t *tracer) told(path []step) bool {
	if t.o.Node == nil || len(t.o.Node.Answer) == 0 || len(path) == 0 {
		return false
	}
	said := map[string][]string{}
	for _, r := range t.o.Node.Answer {
		key := dns.CanonicalName(r.Name) + " " + r.Type
		said[key] = append(said[key], r.Value)
	}
	for i := range path {
		values := said[path[i].owner+" "+path[i].typ]
		slices.Sort(values)
		if !slices.Equal(values, path[i].values) {
			return false
		}
	}
	return true
}
