package steer

import (
	"math/bits"
	"net/netip"

	"jurymast/internal/health"
)

func (n *node) compileSubnet() {
	for _, i := range n.order {
		if len(n.view.Endpoints[i].Config.Subnets) == 0 {
			n.without = append(n.without, i)
		}
	}
	if len(n.view.Profile.Ranges) > 0 {
		n.needs |= NeedAddr
	}
}

// locate is the endpoint whose range contains the address, or -1, and how many leading bits decide that: the shortest
// prefix of the address that lies wholly inside the range, or inside the gap between two.
func (n *node) locate(a netip.Addr) (endpoint int, scope uint8) {
	ranges := n.view.Profile.Ranges
	if len(ranges) == 0 || !a.IsValid() {
		return -1, 0
	}
	a = a.Unmap().WithZone("")
	low, high := 0, len(ranges) // the first range that begins above a
	for low < high {
		if mid := (low + high) / 2; ranges[mid].From.Compare(a) <= 0 {
			low = mid + 1
		} else {
			high = mid
		}
	}
	var below, above netip.Addr // the next addresses that are not of the same range or gap
	endpoint = -1
	if low > 0 {
		r := &ranges[low-1]
		below = r.To
		if a.Compare(r.To) <= 0 {
			endpoint = r.Endpoint
			return endpoint, max(apart(a, r.From.Prev()), apart(a, r.To.Next()))
		}
	}
	if low < len(ranges) {
		above = ranges[low].From
	}
	return endpoint, max(apart(a, below), apart(a, above))
}

// apart is the length of the shortest prefix of a that does not contain b; 0 when b is none or of the other family.
func apart(a, b netip.Addr) uint8 {
	if !b.IsValid() || a.BitLen() != b.BitLen() {
		return 0
	}
	x, y := a.As16(), b.As16()
	for k := range x {
		if d := x[k] ^ y[k]; d != 0 {
			return uint8(k*8 + bits.LeadingZeros8(d) + 1 - (128 - a.BitLen())) //nolint:gosec // G115: 1 to 128
		}
	}
	return uint8(a.BitLen()) //nolint:gosec // G115: 32 or 128; a and b are the same only when nothing is apart
}

func (n *node) subnetPath(c *Client) (path, uint8) {
	hit, scope := n.locate(c.Addr)
	return path{n: n, hit: hit, soon: health.Unlimited}, scope
}

// subnet answers the endpoint whose range contains the client, else one without ranges.
//
//	mapped is no candidate, climb: true   one without ranges; else the mapped one anyway
//	                        climb: false  the mapped one anyway; azure: NXDOMAIN
//	nothing is mapped                     NODATA; azure: NXDOMAIN
func (n *node) subnet(q *question) choice {
	prof := n.view.Profile
	p, scope := n.subnetPath(q.client)
	mapped := p.hit >= 0 && !n.absent(p.hit)
	w := startWalk()
	for i, _, ranged := p.step(); i >= 0; i, _, ranged = p.step() {
		w.seen = min(w.seen, p.soon)
		w.visit(n, i)
		if q.trail != nil {
			n.explainRange(q, i, ranged)
		}
		if w.tier == health.TierUsable {
			break
		}
	}
	w.seen = min(w.seen, p.soon)
	ch := n.walked(&w, RuleSubnetAnyway)
	ch.scope = scope
	byRange := mapped && ch.endpoint == p.hit
	strict := prof.Azure() && !prof.Climb
	switch {
	case w.first < 0:
		ch.rule, ch.nx = RuleNoMapping, prof.Azure()
	case w.best >= 0 && byRange:
		ch.rule = RuleSubnet
	case w.best >= 0:
		ch.rule = RuleSubnetFallback
	case strict:
		ch = nothing(RuleSubnet)
		ch.nx, ch.scope = true, scope
	case ch.endpoint >= 0 && !byRange:
		ch.rule = RuleSubnetFallback
	}
	n.explainWalk(q, &w, &ch)
	return ch
}

func (n *node) explainRange(q *question, i int, ranged bool) {
	if ranged {
		n.explainLevel(q, i, 0, true)
		return
	}
	result := n.view.Endpoints[i].Status.String()
	if n.in[i] {
		result += ", candidate"
	}
	q.trail.add("level", "an endpoint without ranges stands in", n.name(i), result)
}
