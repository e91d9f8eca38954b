package profile

import (
	"fmt"
	"net/netip"
	"strings"

	"jurymast/internal/geo"
)

// validateRouting checks the set of endpoints against the routing method. Under other methods locations, codes and
// subnets are only kept.
func validateRouting(r *report, a *at, p *Profile) {
	list := a.child("endpoints")
	validateKinds(r, list, p)
	if p.Compat == CompatAzure && p.Routing != Multivalue {
		validateOneFamily(r, list, p)
	}
	switch p.Routing {
	case Performance:
		validateLocations(r, list, p)
	case Geographic:
		validateCodes(r, list, p)
	case Subnet:
		validateFallback(r, list, p)
	case Multivalue:
		validateMultivalue(r, list, p)
	case Priority, Weighted:
	}
	validateOverlaps(r, list, p)
}

// validateKinds refuses host names beside addresses where the answer for a host name is a CNAME: a name that is
// sometimes a CNAME and sometimes an address poisons caches (D36 of docs/azure.md).
func validateKinds(r *report, a *at, p *Profile) {
	if p.Answer != AnswerCNAME && p.Compat != CompatAzure {
		return // then the addresses of host names are answered
	}
	var name *at
	var addr *at
	for i := range p.Endpoints {
		place := a.element(i).child("target")
		switch t := p.Endpoints[i].Target; {
		case t.Host != "" && name == nil:
			name = place
		case len(t.Addrs) > 0 && addr == nil:
			addr = place
		}
	}
	if name == nil || addr == nil {
		return
	}
	later, first, kinds := name, addr, "a host name, and the target in line %d is an address"
	if after(addr, name) {
		later, first, kinds = addr, name, "an address, and the target in line %d is a host name"
	}
	why, remedy := "with answer: cname the name would sometimes be a CNAME and sometimes have addresses, which poisons caches",
		"write host names only or addresses only, or leave answer out"
	if p.Azure() {
		why, remedy = "with compat: azure all targets are of one kind", "write host names only or addresses only"
	}
	r.errorf(later, "is "+kinds+": "+why+"; "+remedy, first.line)
}

// validateOneFamily refuses what the service refuses: IPv4 and IPv6 in one profile, except under multivalue (D36 of
// docs/azure.md).
func validateOneFamily(r *report, a *at, p *Profile) {
	var first *at
	var kind string
	for i := range p.Endpoints {
		v4, v6 := familiesOf(p.Endpoints[i].Target)
		if !v4 && !v6 {
			continue
		}
		place, own := a.element(i).child("target"), familyWords(v4, v6)
		switch {
		case v4 && v6:
			r.errorf(place, "has %s, and with compat: azure all targets are of one kind; write addresses of one family, or take compat: azure away", own)
			return
		case first == nil:
			first, kind = place, own
		case own != kind:
			r.errorf(place, "is %s and the target in line %d is %s: with compat: azure all targets are of one kind; write addresses of one family, or take compat: azure away", own, first.line, kind)
			return
		}
	}
}

func after(a, b *at) bool { return a.line > b.line || a.line == b.line && a.column > b.column }

func validateLocations(r *report, a *at, p *Profile) {
	for i := range p.Endpoints {
		l, place := p.Endpoints[i].Location, a.element(i).child("location")
		if l.Lat != nil && l.Lon != nil || !a.element(i).mapping() {
			continue
		}
		if l.Region == "" {
			r.errorf(place, "is missing, and routing performance needs one for every endpoint; write {region: eu-central} or {lat: 50.1, lon: 8.7}")
		} else if _, ok := geo.FindRegion(l.Region); !ok {
			r.errorf(place.child("region"), "%q is no region with known coordinates%s; write {lat: 50.1, lon: 8.7} instead, or another region", l.Region, didYouMean(l.Region, regionNames()))
		}
	}
}

func regionNames() []string {
	var out []string
	for _, known := range geo.AllRegions() {
		out = append(out, known.ID)
	}
	return out
}

func didYouMean(word string, allowed []string) string {
	if near := nearest(word, allowed); near != "" {
		return fmt.Sprintf(" (did you mean %q?)", near)
	}
	return ""
}

func validateCodes(r *report, a *at, p *Profile) {
	taken := unique{}
	for i := range p.Endpoints {
		place := a.element(i)
		if !place.mapping() {
			continue
		}
		if len(p.Endpoints[i].Geo) == 0 {
			r.errorf(place.child("geo"), "is missing, and routing geographic needs at least one code for every endpoint; write one like [DE], [GEO-EU] or [WORLD] for all that no other endpoint has")
		}
		for j, code := range p.Endpoints[i].Geo {
			here := place.child("geo").element(j)
			if _, ok := geo.ParseCode(code); !ok {
				r.errorf(here, "%q is no geographic code%s; allowed: countries like DE, states like US-CA, GEO-EU, GEO-ME, GEO-NA, GEO-AS, GEO-AF, GEO-AN, GEO-SA, GEO-AP, WORLD", code, didYouMeanCode(code))
				continue
			}
			taken.add(r, here, "the code", code)
		}
	}
}

// didYouMeanCode knows the places by name too.
func didYouMeanCode(word string) string {
	if c, ok := geo.ByName(word); ok {
		return fmt.Sprintf(" (did you mean %q?)", c)
	}
	var out []string
	for _, c := range geo.Codes() {
		out = append(out, c.String())
	}
	return didYouMean(word, out)
}

// validateFallback: an endpoint without subnets takes what no other has, and only one can.
func validateFallback(r *report, a *at, p *Profile) {
	var first *at
	for i := range p.Endpoints {
		place := a.element(i)
		if len(p.Endpoints[i].Subnets) > 0 || !place.mapping() {
			continue
		}
		if first != nil {
			r.errorf(place.child("subnets"), "is missing, and the endpoint in line %d is the fallback already; only one endpoint may have no subnets; write some", first.line)
			continue
		}
		first = place
	}
}

func validateMultivalue(r *report, a *at, p *Profile) {
	for i := range p.Endpoints {
		place := a.element(i).child("target")
		switch t := p.Endpoints[i].Target; {
		case t.Profile != "":
			r.errorf(place, "routing multivalue cannot nest profiles, because it answers addresses of its own endpoints; write addresses, or nest this profile in another one")
		case t.Host != "":
			r.errorf(place, "routing multivalue answers addresses, and %q is a host name; write its addresses", t.Host)
		}
	}
}

// validateOverlaps: a client belongs to one endpoint. Ranges is sorted, so whoever reaches furthest so far is the one
// the next can overlap with.
func validateOverlaps(r *report, a *at, p *Profile) {
	furthest := -1
	for i, next := range p.Ranges {
		if furthest >= 0 {
			if before := p.Ranges[furthest]; before.Endpoint != next.Endpoint && before.To.BitLen() == next.From.BitLen() && !before.To.Less(next.From) {
				overlap(r, a, p, before, next)
			}
			if before := p.Ranges[furthest]; before.To.BitLen() == next.To.BitLen() && !before.To.Less(next.To) {
				continue
			}
		}
		furthest = i
	}
}

// overlap reports two ranges at the later endpoint's text.
func overlap(r *report, a *at, p *Profile, x, y SubnetRange) {
	if x.Endpoint > y.Endpoint {
		x, y = y, x
	}
	e, place := &p.Endpoints[y.Endpoint], a.element(y.Endpoint).child("subnets")
	for i, text := range e.Subnets {
		if from, to, why := parseSubnet(text); why == "" && meets(x, from, to) {
			r.errorf(place.element(i), "%s overlaps %s of endpoint %q; a client belongs to one endpoint; take the addresses out of one of them", text, overlapped(&p.Endpoints[x.Endpoint], from, to), p.Endpoints[x.Endpoint].Name)
			return
		}
	}
}

func meets(s SubnetRange, from, to netip.Addr) bool {
	return s.From.BitLen() == from.BitLen() && !s.To.Less(from) && !to.Less(s.From)
}

// overlapped names the subnets of an endpoint that from..to meets.
func overlapped(e *Endpoint, from, to netip.Addr) string {
	var out []string
	for _, text := range e.Subnets {
		if low, high, why := parseSubnet(text); why == "" && meets(SubnetRange{From: low, To: high}, from, to) {
			out = append(out, text)
		}
	}
	return strings.Join(out, ", ")
}
