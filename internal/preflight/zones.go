package preflight

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"

	"jurymast/internal/profile"
	"jurymast/internal/question"
)

const questionTimeout = 2 * time.Second

// servers are the name servers of a zone and, where the zone's own records tell them, their addresses.
func servers(z *profile.Zone) (names []string, glue map[string][]string) {
	glue = map[string][]string{}
	for _, n := range z.Nameservers {
		names = append(names, profile.CanonicalName(n))
	}
	origin := dns.Fqdn(z.Name)
	parser := dns.NewZoneParser(strings.NewReader(z.Records), origin, "")
	parser.SetDefaultTTL(3600)
	for rr, ok := parser.Next(); ok; rr, ok = parser.Next() {
		name := profile.CanonicalName(rr.Header().Name)
		switch rr := rr.(type) {
		case *dns.NS:
			if host := profile.CanonicalName(rr.Ns); name == profile.CanonicalName(z.Name) && !slices.Contains(names, host) {
				names = append(names, host)
			}
		case *dns.A:
			glue[name] = append(glue[name], rr.A.String())
		case *dns.AAAA:
			glue[name] = append(glue[name], rr.AAAA.String())
		}
	}
	return names, glue
}

// zone asks every name server of a zone.
func (r *runner) zone(ctx context.Context, z *profile.Zone) findings {
	var list findings
	place := at{zone: z.Name}
	names, glue := servers(z)
	for _, name := range names {
		addrs := glue[name]
		if len(addrs) == 0 {
			found, err := r.Resolver.LookupHost(ctx, name+".")
			if err != nil {
				list.add(Error, NameserverUnknown, place, "name server "+name+" has no address: "+resolveCause(err),
					"resolvers that are sent to it cannot ask it", "add its address to the zone's records, or correct nameservers")
				continue
			}
			addrs = found
		}
		for _, a := range addrs {
			if ctx.Err() == nil {
				r.nameserver(ctx, &list, z, name, a)
			}
		}
	}
	return list
}

// nameserver asks one address of a name server for the SOA and for one profile's name.
func (r *runner) nameserver(ctx context.Context, list *findings, z *profile.Zone, name, addr string) {
	place := at{zone: z.Name}
	server, own := r.serverAt(addr)
	label := fmt.Sprintf("name server %s at %s", name, server)
	soa, err := asks(ctx, server, z.Name, dns.TypeSOA)
	switch {
	case err != nil && own:
		list.add(Info, NameserverSilent, place, label+" does not answer: "+cause(err), "it is this node's own, which seems not to be running", "")
		return
	case err != nil:
		list.add(Warning, NameserverSilent, place, label+" does not answer: "+cause(err),
			"resolvers that try it first wait, and with the others away the zone is gone", "start the node there, or open UDP and TCP to it")
		return
	}
	serial, ok := serialOf(soa)
	if soa.Rcode != dns.RcodeSuccess || !soa.Authoritative || !ok {
		list.add(Error, NameserverWrong, place, label+" is not authoritative for the zone: "+dns.RcodeToString[soa.Rcode],
			"resolvers that are sent to it get no answer (lame delegation)", "serve the zone there: the same file on that node, or a shared store").
			and("asked for the SOA, authoritative %t", soa.Authoritative)
		return
	}
	f := Finding{
		Severity: Info, Code: NameserverFine, Zone: z.Name, What: label + " answers", Why: "it is authoritative for the zone",
		Evidence: []string{fmt.Sprintf("SOA serial %d", serial)},
	}
	if p, host := r.nameIn(z); p != nil {
		got, err := asks(ctx, server, host, dns.TypeA)
		switch {
		case err != nil:
			f.and("%s A: %s", host, cause(err))
		case got.Rcode != dns.RcodeSuccess:
			f.Severity, f.Code = Warning, NameserverWrong
			f.What = fmt.Sprintf("%s answers %s for %s", label, dns.RcodeToString[got.Rcode], host)
			f.Why = "clients of profile " + p.Name + " get no address from it"
			f.Remedy = "look at jurymast status on that node: it may still wait for its first probes, or not have the profile"
		default:
			f.and("%s A: %s", host, recordText(got))
		}
	}
	*list = append(*list, f)
}

// serverAt is host:port of a name server's address: this node's own port where it listens there, else 53.
func (r *runner) serverAt(addr string) (server string, own bool) {
	a, err := netip.ParseAddr(addr)
	for _, listen := range r.in.File.Node.Nameserver.Listen {
		host, port, bad := net.SplitHostPort(listen)
		if bad != nil || err != nil {
			continue
		}
		l, bad := netip.ParseAddr(host)
		everywhere := host == "" || bad == nil && l.IsUnspecified()
		if bad == nil && l == a || everywhere && isOwn(a) {
			return net.JoinHostPort(addr, port), true
		}
	}
	return net.JoinHostPort(addr, "53"), false
}

// isOwn reports that an address is one of this machine.
func isOwn(a netip.Addr) bool {
	if a.IsLoopback() {
		return true
	}
	list, err := net.InterfaceAddrs()
	return err == nil && slices.ContainsFunc(list, func(n net.Addr) bool {
		prefix, err := netip.ParsePrefix(n.String())
		return err == nil && prefix.Addr().Unmap() == a
	})
}

// nameIn is the first profile with a host name in the zone that can be asked for.
func (r *runner) nameIn(z *profile.Zone) (*profile.Profile, string) {
	for i := range r.in.File.Profiles {
		p := &r.in.File.Profiles[i]
		for _, h := range p.Hostnames {
			if p.Enabled && !strings.HasPrefix(h, "*.") && dns.IsSubDomain(dns.Fqdn(z.Name), dns.Fqdn(h)) {
				return p, h
			}
		}
	}
	return nil, ""
}

// asks sends a question to host:port.
func asks(ctx context.Context, server, name string, qtype uint16) (*dns.Msg, error) {
	to, err := netip.ParseAddrPort(server)
	if err != nil {
		return nil, err
	}
	q := question.New(name, qtype)
	q.RecursionDesired = false
	got, err := question.Ask(ctx, to, q, question.Way{Patience: questionTimeout, Part: true})
	return got.Msg, err
}

func serialOf(m *dns.Msg) (uint32, bool) {
	for _, rr := range m.Answer {
		if soa, ok := rr.(*dns.SOA); ok {
			return soa.Serial, true
		}
	}
	return 0, false
}

func recordText(m *dns.Msg) string {
	var words []string
	for _, rr := range m.Answer {
		fields := strings.Fields(rr.String())
		if len(fields) > 4 {
			words = append(words, strings.Join(fields[3:], " ")+", TTL "+fields[1])
		}
	}
	if len(words) == 0 {
		return "no record"
	}
	return oneLine(strings.Join(words, "; "), 200)
}
