package preflight

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"jurymast/internal/geo"
	"jurymast/internal/profile"
)

// DefaultRate is the load assumed when nobody states one, in requests per second.
const DefaultRate = 10

// Input is what a preflight judges.
type Input struct {
	File *profile.File

	Nodes  []Node  // the live nodes, as a running node tells them; empty: nobody was asked
	Voters int     // how many nodes there are, when Nodes is empty; 0: not stated
	Rate   float64 // expected requests per second and profile; 0: DefaultRate

	Latency      *geo.Table // of node.geo.latency; nil: none, or not readable
	LatencyError string     // why node.geo.latency cannot be used
	GeoError     string     // why node.geo.database cannot be used
}

// Node is one live node.
type Node struct{ Name, Location string }

// Static lists what follows from the documents alone, sorted with the worst first.
func Static(in Input) []Finding {
	s := newStatic(in)
	s.node()
	for i := range in.File.Zones {
		s.zone(&in.File.Zones[i])
	}
	for i := range in.File.Profiles {
		s.profile(&in.File.Profiles[i])
	}
	for i := range in.File.Safety {
		s.safety(&in.File.Safety[i])
	}
	Sort(s.findings)
	return s.findings
}

// static is one run of Static.
type static struct {
	in       Input
	voters   int    // at least 1
	certain  bool   // voters is known, not assumed
	source   string // where voters comes from
	profiles map[string]*profile.Profile
	findings
}

func newStatic(in Input) *static {
	if in.Rate <= 0 {
		in.Rate = DefaultRate
	}
	s := &static{in: in, profiles: map[string]*profile.Profile{}}
	for i := range in.File.Profiles {
		s.profiles[in.File.Profiles[i].Name] = &in.File.Profiles[i]
	}
	switch store := &in.File.Node.Store; {
	case len(in.Nodes) > 0:
		s.voters, s.certain, s.source = len(in.Nodes), true, "as the running node tells"
	case in.Voters > 0:
		s.voters, s.certain, s.source = in.Voters, true, "as stated with --nodes"
	case len(store.Endpoints) == 0 && len(store.Members) == 0:
		s.voters, s.certain, s.source = 1, true, "the store is this node's own"
	default:
		s.voters, s.source = 1, "assumed: the file does not say how many nodes share the store; state it with --nodes, or ask a running node with --api"
	}
	return s
}

// votersFor is how many nodes probe an endpoint with this monitor.
func (s *static) votersFor(m *profile.Monitor) int {
	if len(m.Vantage) == 0 || len(s.in.Nodes) == 0 {
		return s.voters
	}
	n := 0
	for _, node := range s.in.Nodes {
		if slices.Contains(m.Vantage, node.Location) {
			n++
		}
	}
	return n
}

func (s *static) node() {
	n := &s.in.File.Node
	members := max(len(n.Store.Endpoints), len(n.Store.Members))
	switch {
	case s.certain && s.voters == 1:
		s.add(Warning, SingleNode, at{}, "there is one node ("+s.source+")",
			"when this machine is lost, nobody probes, decides, answers DNS or carries requests any more",
			"run three nodes in different places with one store: the same file, an own node.name and node.location, and node.store.endpoints")
	case members == 1:
		s.add(Warning, SingleStoreMember, at{}, "the store has one member",
			"while it is away every node keeps serving its last decision, but nobody can decide: a failover waits for its return",
			"run the store on three machines and name all of them in node.store.endpoints")
	case members == 2:
		s.add(Warning, TwoStoreMembers, at{}, "the store has two members",
			"half of two is no majority: losing either of them stops every decision, so two are worse than one",
			"add a third, small member in a third place")
	}
	for _, file := range [][2]string{{n.Geo.Database, s.in.GeoError}, {n.Geo.Latency, s.in.LatencyError}} {
		if file[1] != "" {
			why, lines := groupLines(file[1])
			f := s.add(Error, GeoFileUnreadable, at{}, file[0]+" cannot be used: "+why,
				"clients have no location then, so geographic and performance profiles answer as if they came from nowhere",
				"put a readable file there, or correct node.geo")
			f.Evidence = lines
		}
	}
}

// groupLines turns an error of many lines into one sentence, and names the lines of the file that have the same fault
// together.
func groupLines(text string) (sentence string, groups []string) {
	all := strings.Split(text, "\n")
	if len(all) == 1 {
		return text, nil
	}
	numbers, order := map[string][]string{}, []string(nil)
	for _, one := range all {
		number, fault, ok := strings.Cut(strings.TrimPrefix(one, "line "), ": ")
		if _, err := strconv.Atoi(number); !ok || err != nil {
			number, fault = "", one // and 12 more
		}
		if _, known := numbers[fault]; !known {
			order = append(order, fault)
		}
		numbers[fault] = append(numbers[fault], number)
	}
	for _, fault := range order {
		switch at := numbers[fault]; {
		case at[0] == "":
			groups = append(groups, fault)
		case len(at) == 1:
			groups = append(groups, "line "+at[0]+": "+fault)
		default:
			groups = append(groups, "lines "+strings.Join(at, ", ")+": "+fault)
		}
	}
	return "several lines are wrong", groups
}

// zone counts the name servers of a zone, and the addresses of those that the zone's own records tell.
func (s *static) zone(z *profile.Zone) {
	names, glue := servers(z)
	var addrs []string
	for _, n := range names {
		if len(glue[n]) == 0 {
			addrs = append(addrs, n) // somewhere else: a live run resolves it
		}
		addrs = append(addrs, glue[n]...)
	}
	slices.Sort(addrs)
	if len(names) == 0 || len(slices.Compact(addrs)) > 1 && len(names) > 1 {
		return
	}
	what := "the zone has one name server: " + names[0]
	if len(names) > 1 {
		what = "the name servers " + strings.Join(names, ", ") + " are all at " + addrs[0]
	}
	s.add(Warning, SingleNameserver, at{zone: z.Name}, what,
		"while it is away every name of the zone stops resolving as caches run out, however healthy the endpoints are",
		"run a second node in another network and add it to nameservers, here and at the parent zone")
}

func (s *static) profile(p *profile.Profile) {
	place := at{profile: p.Name}
	s.endpoints(place, p)
	s.timing(place, p)
	s.load(place, p)
	s.quorum(place, p)
	s.routing(place, p)
	for i := range p.Endpoints {
		e := &p.Endpoints[i]
		if e.Enabled {
			s.monitor(at{profile: p.Name, endpoint: e.Name}, e)
		}
	}
	if p.Proxy != nil {
		s.hold(place, p)
		s.presence(place, p)
	}
}

// eligible are the endpoints that may be answered.
func eligible(p *profile.Profile) []*profile.Endpoint {
	var list []*profile.Endpoint
	for i := range p.Endpoints {
		if e := &p.Endpoints[i]; e.Enabled && !e.Stopped {
			list = append(list, e)
		}
	}
	return list
}

func (s *static) endpoints(place at, p *profile.Profile) {
	list := eligible(p)
	switch len(list) {
	case 0:
		s.add(Warning, NoEndpoint, place, "no endpoint is enabled", "nothing can be answered for "+p.Hostnames[0],
			"enable an endpoint, or add one")
	case 1:
		s.add(Warning, SingleEndpoint, place, "only "+list[0].Name+" can serve it", "when it fails there is nowhere to go",
			"add or enable a second endpoint in another place")
	}
	if len(list) > 0 && len(list) < p.MinUsable {
		s.add(Warning, MinUsable, place, fmt.Sprintf("%s enabled, and min_usable is %d", plural(len(list), "endpoint is", "endpoints are"), p.MinUsable),
			"every order that takes an endpoint out will be refused", "enable more endpoints, or lower min_usable")
	}
	s.addresses(place, list)
	s.families(place, list)
}

// safety finds rules that fail before anybody has ordered anything.
func (s *static) safety(rule *profile.Safety) {
	if rule.Assert == nil {
		return
	}
	of, err := profile.ParseSelector(rule.Assert.Of)
	if err != nil {
		return // validation says so
	}
	var chosen []string
	for i := range s.in.File.Profiles {
		p := &s.in.File.Profiles[i]
		for _, e := range eligible(p) {
			if of.Match(p, e) {
				chosen = append(chosen, p.Name+"/"+e.Name)
			}
		}
	}
	if len(chosen) >= rule.Assert.AtLeast {
		return
	}
	f := s.add(Warning, SafetyUnmet, at{}, fmt.Sprintf("safety rule %s wants %d usable of %s, and %s enabled", rule.Name, rule.Assert.AtLeast, of, plural(len(chosen), "endpoint is", "endpoints are")),
		"it is broken from the start: every order that touches them will be refused", "enable or add endpoints, correct the selector, or lower at_least")
	if len(chosen) > 0 {
		f.and("%s", strings.Join(chosen, ", "))
	}
}

// addresses finds endpoints that are one machine under two names.
func (s *static) addresses(place at, list []*profile.Endpoint) {
	owners, order := map[string][]string{}, []string(nil)
	for _, e := range list {
		for _, a := range writtenAt(e) {
			if len(owners[a]) == 0 {
				order = append(order, a)
			}
			if !slices.Contains(owners[a], e.Name) {
				owners[a] = append(owners[a], e.Name)
			}
		}
	}
	for _, a := range order {
		if len(owners[a]) > 1 {
			s.sameAddress(place, a, owners[a], "both are written with it")
		}
	}
}

// sharing stands between the endpoints and the place they share.
const sharing = " are all at "

// sameAddress reports a place that several endpoints share. On loopback it is a lab.
func (l *findings) sameAddress(place at, addr string, owners []string, how string) {
	severity, remedy := Warning, "put the endpoints on different machines in different places"
	if isLoopback(addr) {
		severity, remedy = Info, "fine for a lab on one machine; in earnest put them in different places"
	}
	l.add(severity, SameAddress, place, strings.Join(owners, ", ")+sharing+addr,
		"what takes one of them down takes the others down as well: a failover between them helps against a dead process, not a dead machine",
		remedy).and("%s", how)
}

// writtenAt is where an endpoint stands by its own words: hosts and addresses of origin and target.
func writtenAt(e *profile.Endpoint) []string {
	var list []string
	if u := originOf(e); u != nil {
		list = append(list, u.Hostname())
	}
	if e.Target.Host != "" && !slices.Contains(list, e.Target.Host) {
		list = append(list, e.Target.Host)
	}
	for _, a := range e.Target.Addrs {
		if !slices.Contains(list, a) {
			list = append(list, a)
		}
	}
	return list
}

// families compares the address families of endpoints that are written as addresses.
func (s *static) families(place at, list []*profile.Endpoint) {
	groups := map[string][]string{}
	for _, e := range list {
		if len(e.Target.Addrs) > 0 {
			f := familiesOf(e.Target.Addrs)
			groups[f] = append(groups[f], e.Name)
		}
	}
	s.familyGroups(place, groups)
}

// familyGroups reports endpoints of one profile whose families differ: IPv4, IPv6 or both -> names.
func (l *findings) familyGroups(place at, groups map[string][]string) {
	if len(groups) < 2 {
		return
	}
	f := l.add(Warning, FamiliesDiffer, place, "the endpoints do not have the same address families",
		"the family of a question is looked at after the endpoint was chosen: while an endpoint without it is active, clients that need it get no address",
		"give every endpoint addresses of both families, or of the same one")
	for _, family := range []string{"IPv4", "IPv6", "IPv4 and IPv6"} {
		if len(groups[family]) > 0 {
			f.and("%s: %s", family, strings.Join(groups[family], ", "))
		}
	}
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return strconv.Itoa(n) + " " + many
}

// span is a duration as people say it: 90s, 3.3s, 250ms, 20m.
func span(d time.Duration) string {
	switch {
	case d == Unbounded:
		return "no bound"
	case d >= 10*time.Minute:
		return strings.TrimSuffix(d.Round(time.Minute).String(), "0s")
	case d >= time.Second:
		return strconv.FormatFloat(d.Seconds(), 'f', -1, 64) + "s"
	default:
		return d.String()
	}
}
