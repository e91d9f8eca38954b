package profile

import (
	"net/netip"
	"strings"
)

// taken are the addresses that listeners of one protocol want, TCP or UDP.
type taken []wanted

// wanted is one listening address. A wildcard of the nameserver is that of its family; every other one is that of both,
// because the system gives it both.
type wanted struct {
	place  *at
	text   string
	host   netip.Addr // invalid: every address of both families, or a name
	name   string     // a host name that is not localhost
	port   string
	family bool // a wildcard takes its own family only
}

// families says which wildcards an address is or lies under.
func (w *wanted) families() (v4, v6 bool) {
	if !w.host.IsValid() || w.host.IsUnspecified() && !w.family {
		return w.name == "", w.name == ""
	}
	return w.host.Is4(), w.host.Is6()
}

func (w *wanted) wildcard() bool {
	return w.name == "" && (!w.host.IsValid() || w.host.IsUnspecified())
}

// clash says that two listeners cannot both have what they want, and whether they want the very same.
func (w *wanted) clash(o *wanted) (same, clash bool) {
	four, six := w.families()
	four2, six2 := o.families()
	shared := four && four2 || six && six2
	switch {
	case w.port != o.port || w.port == "0": // 0: the system chooses
		return false, false
	case w.name != "" || o.name != "":
		return true, w.name == o.name
	case w.wildcard() != o.wildcard():
		return false, shared
	}
	return true, w.host == o.host || w.wildcard() && shared
}

// add reports an address that cannot be had beside those before it.
func (t *taken) add(r *report, w wanted) bool {
	for i := range *t {
		o := &(*t)[i]
		same, clash := w.clash(o)
		switch {
		case !clash:
			continue
		case same:
			r.errorf(w.place, "%s is already listened on in line %d (%s); choose another port", w.text, o.place.line, o.place.path())
		default:
			r.errorf(w.place, "%s cannot be had beside %s in line %d (%s), because one of the two takes the port on every address; choose another port", w.text, o.text, o.place.line, o.place.path())
		}
		return false
	}
	*t = append(*t, w)
	return true
}

// validateListeners checks every listening address, and that no two TCP or two UDP listeners want the same one.
func validateListeners(r *report, a *at, n *Node) {
	var tcp, udp taken
	all := func(a *at, addresses []string, names bool, protocols ...*taken) {
		for i, address := range addresses {
			listener(r, a.element(i), address, names, protocols...)
		}
	}
	ns, proxy := a.child("nameserver"), a.child("proxy")
	r.between(ns.child("udp").child("loops"), n.Nameserver.UDP.Loops, 0, 1024)
	r.between(ns.child("udp").child("batch"), n.Nameserver.UDP.Batch, 1, 64)
	all(ns.child("listen"), n.Nameserver.Listen, false, &udp, &tcp)
	portable(r, ns, &n.Nameserver)
	all(ns.child("tls"), n.Nameserver.TLS, false, &tcp)
	all(ns.child("https"), n.Nameserver.HTTPS, false, &tcp)
	all(ns.child("quic"), n.Nameserver.QUIC, false, &udp)
	all(proxy.child("http"), n.Proxy.HTTP, true, &tcp)
	all(proxy.child("https"), n.Proxy.HTTPS, true, &tcp)
	if n.API.Listen == "" {
		return
	}
	place := a.child("api").child("listen")
	listener(r, place, n.API.Listen, true, &tcp)
	if host, _, _ := cutPort(n.API.Listen); !loopback(host) {
		r.errorf(place, "%q is reachable from other machines, and the API has no tokens yet; allowed: 127.0.0.1, [::1] or localhost with a port", n.API.Listen)
	}
}

// portable: a question's own address is not known then, so the answer could leave from another one.
func portable(r *report, ns *at, n *NameserverFront) {
	for _, address := range n.Listen {
		host, _, ok := cutPort(address)
		addr, err := netip.ParseAddr(host)
		if ok && n.UDP.Wait == WaitPortable && (host == "" || err == nil && addr.IsUnspecified()) {
			r.errorf(ns.child("udp").child("wait"), "portable cannot answer for %q, because answers could leave from another address; list the addresses, or use raw", address)
		}
	}
}

// listener checks one address; the nameserver, alone, resolves no names.
func listener(r *report, a *at, address string, names bool, protocols ...*taken) {
	if why := listenFault(address); why != "" {
		r.errorf(a, "%q %s", address, why)
		return
	}
	host, port, _ := cutPort(address)
	w := wanted{place: a, text: address, port: port, family: !names}
	addr, err := netip.ParseAddr(host)
	switch {
	case err == nil:
		w.host = addr.Unmap()
	case host == "":
	case !names:
		r.errorf(a, "%q is a host name, and the nameserver listens on IP addresses; write one like 127.0.0.1:%s, or :%[2]s for all of this machine", address, port)
		return
	case strings.EqualFold(host, "localhost"):
		w.host = netip.AddrFrom4([4]byte{127, 0, 0, 1})
	default:
		w.name = strings.ToLower(host)
	}
	for _, t := range protocols {
		if !t.add(r, w) {
			return
		}
	}
}
