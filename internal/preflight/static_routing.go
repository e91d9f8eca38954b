package preflight

import (
	"fmt"
	"slices"
	"strings"

	"jurymast/internal/geo"
	"jurymast/internal/profile"
)

// quorum says how many wrong or lost nodes the verdict survives.
func (s *static) quorum(place at, p *profile.Profile) {
	if !s.certain {
		return
	}
	needed := p.Quorum.Needed(s.voters)
	switch {
	case needed > s.voters:
		s.add(Error, QuorumUnreachable, place, fmt.Sprintf("quorum %s, and there is %s to vote", p.Quorum, plural(s.voters, "node", "nodes")),
			"no endpoint is ever taken down", "lower at_least, write quorum: majority, or run more nodes").and("%s", s.source)
	case s.voters == 2 && needed == 2:
		s.add(Info, QuorumTie, place, "two nodes vote, and both must see an endpoint down",
			"a tie is up: when one of them is wrong or cut off from the endpoint's network, nothing is taken down",
			"three nodes are the smallest set that tolerates a wrong one")
	case s.voters > 1 && needed == 1:
		s.add(Info, QuorumAnyNode, place, fmt.Sprintf("quorum %s: one of %d nodes alone takes an endpoint down", p.Quorum, s.voters),
			"a fault near that node looks like a fault of the endpoint", "write quorum: majority")
	}
}

// routing judges the method against the data it needs.
func (s *static) routing(place at, p *profile.Profile) {
	switch p.Routing {
	case profile.Weighted:
		if len(eligible(p)) > 1 && !p.Sticky {
			s.add(Info, WeightSkew, place, "weights are shares of answers, not of clients or requests",
				"one resolver may stand for thousands of clients and keeps its answer for the TTL: with few resolvers the load differs much from the weights", "")
		}
	case profile.Geographic:
		s.geographic(place, p)
	case profile.Performance:
		s.performance(place, p)
	case profile.Subnet:
		for _, e := range eligible(p) {
			if len(e.Subnets) == 0 {
				return
			}
		}
		s.add(Warning, SubnetNoFallback, place, "every endpoint has subnets, so there is no fallback",
			"clients outside all of them get no address", "leave subnets out at one endpoint")
	case profile.Priority, profile.Multivalue:
	}
}

func (s *static) geographic(place at, p *profile.Profile) {
	if s.in.File.Node.Geo.Database == "" {
		s.add(Warning, GeoNoDatabase, place, "routing is geographic, and this node has no location database",
			"every client is without a location: all of them get the endpoint of WORLD, or nothing",
			"name an MMDB file in node.geo.database")
	}
	world := slices.ContainsFunc(eligible(p), func(e *profile.Endpoint) bool { return slices.Contains(e.Geo, geo.World.String()) })
	if !world {
		s.add(Warning, GeoNoWorld, place, "no endpoint has the code WORLD",
			"clients from everywhere else, and those without a known location, get no address", "add WORLD to the geo codes of one endpoint")
	}
}

func (s *static) performance(place at, p *profile.Profile) {
	n := &s.in.File.Node.Geo
	if n.Database == "" && n.Latency == "" {
		s.add(Warning, NoLocations, place, "routing is performance, and this node has neither a latency table nor a location database",
			"every client is unknown, so all get the endpoint with the lowest priority number",
			"name a CSV file of prefix,region,ms in node.geo.latency, or an MMDB file in node.geo.database")
		return
	}
	if s.in.Latency == nil || s.in.Latency.Len() == 0 {
		return
	}
	regions := s.in.Latency.Regions()
	var missing, used []string
	for _, e := range eligible(p) {
		region := geo.Canonical(e.Location.Region)
		switch {
		case e.Location.Region == "":
		case slices.Contains(regions, region):
			used = append(used, region)
		default:
			missing = append(missing, fmt.Sprintf("%s (%s)", e.Name, e.Location.Region))
		}
	}
	if len(missing) > 0 {
		s.add(Warning, LatencyNoRegion, place, "the latency table knows no region of "+strings.Join(missing, ", "),
			"clients of the table are never sent there while another region answers", "add lines for these regions to "+n.Latency)
	}
	var unused []string
	for i, written := range s.in.Latency.Written() {
		if !slices.Contains(used, regions[i]) {
			unused = append(unused, written)
		}
	}
	if len(unused) > 0 && len(used) > 0 {
		slices.Sort(unused)
		s.add(Info, LatencyNoEndpoint, place, "no endpoint stands in these regions of the latency table: "+strings.Join(unused, ", "),
			"their lines decide nothing for this profile; a mistyped region looks like this", "")
	}
}
