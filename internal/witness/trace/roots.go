package trace

import (
	"fmt"
	"io"
	"net/netip"
	"slices"

	"github.com/miekg/dns"
)

// Root is one address of a server of the root zone.
type Root struct {
	Name string
	Addr netip.AddrPort
}

// rootServers are those of the Internet (https://www.internic.net/domain/named.root). They change every few years, one
// at a time; any of them is enough.
func rootServers() (out []Root) {
	for i, a := range [...]string{
		"198.41.0.4", "170.247.170.2", "192.33.4.12", "199.7.91.13", "192.203.230.10", "192.5.5.241", "192.112.36.4",
		"198.97.190.53", "192.36.148.17", "192.58.128.30", "193.0.14.129", "199.7.83.42", "202.12.27.33",
	} {
		out = append(out, Root{fmt.Sprintf("%c.root-servers.net.", 'a'+i), netip.AddrPortFrom(netip.MustParseAddr(a), resolverPort)})
	}
	for _, a := range [...]struct{ name, addr string }{{"a.root-servers.net.", "2001:503:ba3e::2:30"}, {"k.root-servers.net.", "2001:7fd::1"}} {
		out = append(out, Root{a.name, netip.AddrPortFrom(netip.MustParseAddr(a.addr), resolverPort)})
	}
	return out
}

// ReadHints reads root servers from a file in the form of named.root.
func ReadHints(from io.Reader, name string) (out []Root, err error) {
	p := dns.NewZoneParser(from, ".", name)
	p.SetDefaultTTL(0)
	var servers []string
	addrs := map[string][]netip.Addr{}
	for rr, ok := p.Next(); ok; rr, ok = p.Next() {
		owner := dns.CanonicalName(rr.Header().Name)
		if ns, is := rr.(*dns.NS); is && owner == "." {
			servers = append(servers, dns.CanonicalName(ns.Ns))
		}
		if a, is := addressOf(rr); is {
			addrs[owner] = append(addrs[owner], a)
		}
	}
	if err := p.Err(); err != nil {
		return nil, fmt.Errorf("root hints: %w", err)
	}
	slices.Sort(servers)
	for _, s := range slices.Compact(servers) {
		for _, a := range addrs[s] {
			out = append(out, Root{s, netip.AddrPortFrom(a, resolverPort)})
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("root hints: %s names no server of the root with an address; write lines as in named.root", name)
	}
	return out, nil
}
