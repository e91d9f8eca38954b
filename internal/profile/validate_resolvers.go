package profile

import (
	"net/netip"
	"time"
)

const maxResolvers = 8

// ResolverPort is the port of resolvers that are named without one.
const ResolverPort = 53

// ParseResolver reads a resolver: an address with or without a port, such as 192.0.2.53, [2001:db8::53]:5353.
func ParseResolver(text string) (netip.AddrPort, bool) {
	addr, err := netip.ParseAddr(text)
	if err == nil {
		return netip.AddrPortFrom(addr.Unmap(), ResolverPort), true
	}
	both, err := netip.ParseAddrPort(text)
	return netip.AddrPortFrom(both.Addr().Unmap(), both.Port()), err == nil && both.Port() != 0
}

// validateResolvers checks who is asked for the addresses of targets. This node is no resolver, so it cannot be one of
// them.
func validateResolvers(r *report, a *at, n *NameserverFront) {
	list := a.child("resolvers")
	if len(n.Resolvers) > maxResolvers {
		r.errorf(list, "%d resolvers; allowed: at most %d", len(n.Resolvers), maxResolvers)
	}
	seen := map[netip.AddrPort]*at{}
	for i, text := range n.Resolvers {
		place := list.element(i)
		server, ok := ParseResolver(text)
		switch first := seen[server]; {
		case !ok || server.Addr().IsUnspecified() || server.Addr().IsMulticast():
			r.errorf(place, "%q is not the address of a resolver; write one like 192.0.2.53, or with a port [2001:db8::53]:5353", text)
		case first != nil:
			r.errorf(place, "%s is already named in line %d; remove one", server, first.line)
		case listensOn(n.Listen, server):
			r.errorf(place, "%s is this nameserver itself, which resolves for nobody; name a resolver, or leave resolvers out for those of the system", server)
		default:
			seen[server] = place
		}
	}
	r.lasts(a.child("flatten_max_stale"), n.FlattenMaxStale, 0, 7*24*time.Hour)
}

// listensOn reports that one of the listeners is the address; all addresses are the loopback ones here, since others of
// the machine are not known.
func listensOn(listeners []string, server netip.AddrPort) bool {
	for _, text := range listeners {
		host, port, _ := cutPort(text)
		addr, err := netip.ParseAddrPort("[::]:" + port)
		if err != nil || addr.Port() != server.Port() {
			continue
		}
		own, err := netip.ParseAddr(host)
		all := host == "" || err == nil && own.IsUnspecified()
		if err == nil && own.Unmap() == server.Addr() || all && server.Addr().IsLoopback() {
			return true
		}
	}
	return false
}
