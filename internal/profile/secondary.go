package profile

import (
	"net/netip"
	"time"
)

// Secondary says where a zone is fetched from. Such a zone has no records of its own; host names of profiles may lie in it.
// Every node fetches it for itself.
type Secondary struct {
	From       []Primary     `yaml:"from"`        // in the order in which they are asked
	ZONEMD     ZONEMDRule    `yaml:"zonemd"`      // what becomes of a zone's digest [RFC 8976]
	MinRefresh time.Duration `yaml:"min_refresh"` // the shortest time between two looks, whatever the SOA says
	MaxRefresh time.Duration `yaml:"max_refresh"` // the longest
}

// Primary is one server that a zone is fetched from.
type Primary struct {
	Address string `yaml:"address"` // with or without a port
	Key     string `yaml:"key"`     // name of a TSIG key; "": unsigned
}

// ZONEMDRule is what becomes of the digest of a transferred zone.
type ZONEMDRule string

// The words of ZONEMDRule.
const (
	ZONEMDAuto     ZONEMDRule = "auto"     // checked where the zone has one
	ZONEMDRequired ZONEMDRule = "required" // a zone without one is refused
	ZONEMDOff      ZONEMDRule = "off"      // never looked at
)

// Allowed words, the default first.
func (ZONEMDRule) Allowed() []string { return []string{"auto", "required", "off"} }

const maxPrimaries = 16

func defaultSecondary() *Secondary {
	return &Secondary{ZONEMD: ZONEMDAuto, MinRefresh: 30 * time.Second, MaxRefresh: 24 * time.Hour}
}

func finishSecondary(s *Secondary) {
	if s == nil {
		return
	}
	for i := range s.From {
		s.From[i].Key = CanonicalName(s.From[i].Key)
	}
}

// Server is the address of a primary, port 53 unless it names another one.
func (p *Primary) Server() (netip.AddrPort, bool) {
	server, ok := ParseResolver(p.Address)
	return server, ok && !server.Addr().IsUnspecified() && !server.Addr().IsMulticast()
}

// validateSecondary checks where a zone is fetched from, and that it says nothing a primary says.
func validateSecondary(r *report, a *at, z *Zone) {
	for _, key := range []string{"records", "file", "nameservers", "hostmaster", "dnssec", "transfer"} {
		if a.has(key) {
			r.errorf(a.child(key), "stands in a secondary zone, whose content comes from its primaries; remove %s, or remove secondary", key)
		}
	}
	if a.has("transfer") {
		r.errorf(a.child("transfer"), "stands in a secondary zone, which is not handed on; let other secondaries fetch it from the primary, and remove transfer")
	}
	s, place := z.Secondary, a.child("secondary")
	if !place.mapping() {
		return
	}
	from := place.child("from")
	switch {
	case len(s.From) == 0:
		r.errorf(from, "is missing; write the servers the zone is fetched from like [{address: 192.0.2.1}]")
	case len(s.From) > maxPrimaries:
		r.errorf(from, "%d primaries; allowed: at most %d", len(s.From), maxPrimaries)
	}
	seen := map[netip.AddrPort]*at{}
	for i := range s.From {
		validatePrimary(r, from.element(i), &s.From[i], seen)
	}
	r.lasts(place.child("min_refresh"), s.MinRefresh, time.Second, 24*time.Hour)
	r.lasts(place.child("max_refresh"), s.MaxRefresh, time.Second, 7*24*time.Hour)
	if s.MaxRefresh < s.MinRefresh {
		r.errorf(place.child("max_refresh"), "%s is shorter than min_refresh (%s); write a longer time", short(s.MaxRefresh), short(s.MinRefresh))
	}
}

func validatePrimary(r *report, a *at, p *Primary, seen map[netip.AddrPort]*at) {
	if !a.mapping() {
		return
	}
	if key := a.child("key"); key.given() {
		r.fault(key, p.Key, hostNameFault(p.Key))
	}
	place := a.child("address")
	server, ok := p.Server()
	switch first := seen[server]; {
	case !place.given():
		r.errorf(place, "is missing; write the address of the primary like 192.0.2.1, or with a port [2001:db8::1]:5353")
	case !ok:
		r.errorf(place, "%q is not the address of a server; write one like 192.0.2.1, or with a port [2001:db8::1]:5353", p.Address)
	case first != nil:
		r.errorf(place, "%s is already named in line %d; remove one", server, first.line)
	default:
		seen[server] = place
	}
}
