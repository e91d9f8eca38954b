package profile

import (
	"slices"
	"strings"
)

// maxInterface is the longest name of a network interface, in bytes [Linux, IFNAMSIZ less the end].
const maxInterface = 15

// xdp decodes off, auto, or a list of interfaces.
func (d *decoder) xdp(a *at, p *XDPPolicy) {
	const allowed = "allowed: off, auto, or a list of network interfaces like [eth0]"
	switch {
	case a.n.kind == kindText && (a.n.text == string(XDPOff) || a.n.text == string(XDPAuto)):
		*p = XDPPolicy{Rule: XDPRule(a.n.text)}
	case a.n.kind == kindList && len(a.n.items) > 0:
		*p = XDPPolicy{Rule: XDPOn}
		for i := range a.n.items {
			if text, ok := d.text(a.element(i)); ok {
				p.Interfaces = append(p.Interfaces, text)
			}
		}
	case a.n.kind == kindList:
		d.errorf(a, "the list is empty; %s", allowed)
	default:
		d.errorf(a, "%s is not allowed; %s", a.n.shown(), allowed)
	}
}

func validateXDP(r *report, a *at, x *XDPPolicy) {
	for i, name := range x.Interfaces {
		switch at := a.element(i); {
		case name == "", len(name) > maxInterface, name == ".", name == "..", strings.ContainsAny(name, "/: \t\n"):
			r.errorf(at, "%q is no name of a network interface; allowed: 1 to %d characters without slash, colon and space, as ip link shows them", name, maxInterface)
		case slices.Contains(x.Interfaces[:i], name):
			r.errorf(at, "the interface %q is there twice; keep one", name)
		}
	}
}

// xdp says what answers in the driver pass by, and what keeps them from being given.
func (w *advisor) xdp(a *at, n *NameserverFront) {
	place := a.child("xdp")
	atPort := func(address string) bool { return strings.HasSuffix(address, ":53") }
	switch {
	case n.XDP.Rule == XDPOff:
	case n.Cookies.Enabled && n.Cookies.Require == RequireAlways:
		w.warn(place, "answers nothing while cookies.require is always, because the network driver knows no cookies; write xdp: off")
	case n.RRL.Mode == RRLOn && n.RRL.Driver == DriverRefused:
		w.warn(place, "answers nothing while rrl.mode is on, because the network driver limits no answers; write xdp: off, or rrl: {driver: unlimited} to let it answer whoever asks")
	case !slices.ContainsFunc(n.Listen, atPort):
		w.warn(place, "answers nothing, because no listener has port 53 and the network driver looks at no other; write xdp: off")
	default:
		w.info(place, "answers given in the network driver pass by packet filters (nftables, iptables), rp_filter and routing tables; filter in front of this machine where that matters")
	}
}
