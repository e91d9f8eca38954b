package profile

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"
)

// looksAtSubnets reports that the routing method looks at the endpoints' subnets: subnet always, geographic and
// performance before anything else.
func (p *Profile) looksAtSubnets() bool {
	return p.Routing == Subnet || p.Routing == Geographic || p.Routing == Performance
}

// rangesOf is the endpoints' subnets in address order; what overlaps or touches within one endpoint is merged. Texts
// that are no ranges are left out, validation reports them. Nil when the method never looks at them.
func rangesOf(p *Profile) []SubnetRange {
	if !p.looksAtSubnets() {
		return nil
	}
	var all []SubnetRange
	for i := range p.Endpoints {
		var own []SubnetRange
		for _, text := range p.Endpoints[i].Subnets {
			if from, to, why := parseSubnet(text); why == "" {
				own = append(own, SubnetRange{From: from, To: to, Endpoint: i})
			}
		}
		all = append(all, merged(own)...)
	}
	slices.SortStableFunc(all, func(a, b SubnetRange) int { return compareRanges(a, b) })
	return all
}

func compareRanges(a, b SubnetRange) int {
	return cmp.Or(a.From.Compare(b.From), a.To.Compare(b.To))
}

// merged sorts the ranges of one endpoint and joins those that overlap or touch.
func merged(list []SubnetRange) []SubnetRange {
	slices.SortFunc(list, compareRanges)
	var out []SubnetRange
	for _, next := range list {
		if len(out) > 0 {
			last := &out[len(out)-1]
			beyond := last.To.Next() // invalid behind the last address of a family
			if last.To.BitLen() == next.From.BitLen() && (!beyond.IsValid() || next.From.Compare(beyond) <= 0) {
				if last.To.Less(next.To) {
					last.To = next.To
				}
				continue
			}
		}
		out = append(out, next)
	}
	return out
}

const subnetRemedy = "; write a network like 192.0.2.0/24, an address, or a range like 192.0.2.1-192.0.2.9"

// parseSubnet reads a network, an address or a range first-last of either family. why says what is wrong, or "".
func parseSubnet(s string) (from, to netip.Addr, why string) {
	if first, last, ranged := strings.Cut(s, "-"); ranged {
		low, err1 := netip.ParseAddr(strings.TrimSpace(first))
		high, err2 := netip.ParseAddr(strings.TrimSpace(last))
		low, high = low.Unmap(), high.Unmap()
		switch {
		case err1 != nil || err2 != nil || low.Is4() != high.Is4() || low.Zone() != "" || high.Zone() != "":
			return from, to, "is not a range of addresses of one family" + subnetRemedy
		case high.Less(low):
			return from, to, "ends before it begins; swap the two addresses"
		}
		return low, high, ""
	}
	if addr, err := netip.ParseAddr(s); err == nil && addr.Zone() == "" {
		return addr.Unmap(), addr.Unmap(), ""
	}
	prefix, err := netip.ParsePrefix(s)
	switch {
	case err != nil || prefix.Addr().Is4In6():
		return from, to, "is not a network" + subnetRemedy
	case prefix.Masked() != prefix:
		return from, to, "has bits set behind its length; write " + prefix.Masked().String()
	}
	return prefix.Addr(), lastOf(prefix), ""
}

// lastOf is the last address of a network.
func lastOf(p netip.Prefix) netip.Addr {
	bytes := p.Addr().AsSlice()
	for bit := p.Bits(); bit < len(bytes)*8; bit++ {
		bytes[bit/8] |= 1 << (7 - bit%8)
	}
	last, _ := netip.AddrFromSlice(bytes) // a slice of 4 or 16 bytes always is an address
	return last
}
