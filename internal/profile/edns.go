package profile

import (
	"net/netip"
	"strings"
)

const (
	minUDPSize   = 512  // RFC 1035
	maxUDPSize   = 1400 // RFC 9715
	maxNSID      = 64   // bytes
	maxChaosText = 255  // bytes, one string of a TXT record
)

// The words of nameserver.nsid that stand for something else than themselves.
const (
	NSIDOff  = "off"  // not told
	NSIDAuto = "auto" // a hash of the node's name
)

// Cookies of DNS [RFC 7873]: by them a client shows that it owns its address.
type Cookies struct {
	Enabled bool    `yaml:"enabled"`
	Require Require `yaml:"require"`

	// Secrets shared with other servers; without Current all nodes share one that they make and change themselves.
	Current  CookieFile `yaml:"current"`  // issued
	Next     CookieFile `yaml:"next"`     // verified before it is issued
	Previous CookieFile `yaml:"previous"` // verified after it was issued
}

// Chaos are the texts of class CH; "" is not told.
type Chaos struct {
	Version string `yaml:"version"` // version.bind, version.server
	ID      string `yaml:"id"`      // id.server, hostname.bind
}

func validateNameserver(r *report, a *at, n *NameserverFront) {
	if n.UDPSize > maxUDPSize {
		r.errorf(a.child("udp_size"), "%d is out of range; allowed: %d to %d bytes, because larger answers get fragmented on the way, and fragments get lost or forged (RFC 9715); write %d",
			n.UDPSize, minUDPSize, maxUDPSize, DefaultUDPSize)
	} else {
		r.between(a.child("udp_size"), n.UDPSize, minUDPSize, maxUDPSize)
	}
	for i, s := range n.ECS.From {
		r.fault(a.child("ecs").element(i), s, prefixFault(s, "; write the network of a resolver like 192.0.2.0/24, or an address"))
	}
	r.fault(a.child("nsid"), n.NSID, shownTextFault(n.NSID, maxNSID, "; write off, auto or a name like fra1"))
	for key, text := range map[string]string{"version": n.Chaos.Version, "id": n.Chaos.ID} {
		if text != "" {
			r.fault(a.child("chaos").child(key), text, shownTextFault(text, maxChaosText, "; write a short word, or leave it out"))
		}
	}
	if !n.Cookies.Enabled && n.Cookies.Require == RequireAlways {
		r.errorf(a.child("cookies").child("require"), "always needs cookies, and enabled is false; write enabled: true, or require: never")
	}
}

// shownTextFault says what is wrong with a text that everybody can ask for, or "".
func shownTextFault(s string, most int, remedy string) string {
	switch {
	case s == "":
		return "is empty" + remedy
	case len(s) > most:
		return "is too long" + remedy
	case strings.ContainsFunc(s, func(c rune) bool { return c < ' ' || c > '~' }):
		return "has characters that are not printable ASCII" + remedy
	}
	return ""
}

// Network reads a network, or an address as the network of it alone, as the lists of networks have them.
func Network(s string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(s); err == nil {
		addr = addr.Unmap().WithZone("")
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	return netip.ParsePrefix(s)
}

// maxALPN protocols of 255 bytes at most [RFC 7301] keep a record small enough for UDP.
const maxALPN = 8

func validateService(r *report, a *at, s *Service) {
	place := a.child("alpn")
	if n := len(s.ALPN); n == 0 || n > maxALPN {
		r.errorf(place, "%d protocols; allowed: 1 to %d; write [h2, http/1.1]", n, maxALPN)
	}
	seen := unique{}
	for i, word := range s.ALPN {
		r.fault(place.element(i), word, shownTextFault(word, maxNSID, "; write the name TLS has for it, like h2"))
		if strings.ContainsAny(word, `,\`) {
			r.errorf(place.element(i), "%q has a comma or backslash, which no protocol has; write one name per entry", word)
		}
		seen.add(r, place.element(i), "the protocol", word)
	}
}

// ecs decodes on, off, or a list of networks.
func (d *decoder) ecs(a *at, p *ECSPolicy) {
	const allowed = "allowed: on, off, or a list of resolvers' networks like [192.0.2.0/24]"
	switch {
	case a.n.kind == kindText && (a.n.text == string(ECSOn) || a.n.text == string(ECSOff)):
		*p = ECSPolicy{Rule: ECSRule(a.n.text)}
	case a.n.kind == kindList && len(a.n.items) > 0:
		*p = ECSPolicy{Rule: ECSFrom}
		for i := range a.n.items {
			if text, ok := d.text(a.element(i)); ok {
				p.From = append(p.From, text)
			}
		}
	case a.n.kind == kindList:
		d.errorf(a, "the list is empty; %s", allowed)
	default:
		d.errorf(a, "%s is not allowed; %s", a.n.shown(), allowed)
	}
}
