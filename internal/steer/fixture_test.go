package steer_test

import (
	"cmp"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"jurymast/internal/geo"
	"jurymast/internal/health"
	"jurymast/internal/profile"
	"jurymast/internal/steer"
)

// ep is one endpoint of a test view. state is one letter:
// u Online, c Checking, d Degraded, h held down, x disabled by order, r drained, s enabled: false, o stopped, m always served.
type ep struct {
	name    string
	state   byte
	weight  int // 0: 1; -1: 0
	geo     string
	subnets string
	region  string
	bias    int
	ago     time.Duration // how long ago the verdict changed; 0: a minute
	fresh   bool          // the verdict is a recovery
	rtt     string        // "location millis, location millis"
	child   *health.View
	addrs   string
}

type change func(*health.View)

func azure(v *health.View) {
	v.Profile.Compat, v.Profile.Checking, v.Profile.Climb = profile.CompatAzure, profile.CheckingServe, false
}
func noClimb(v *health.View) { v.Profile.Climb = false }
func sticky(v *health.View)  { v.Profile.Sticky = true }
func onAllDown(r profile.AllDownRule) change {
	return func(v *health.View) {
		v.Profile.AllDown = profile.AllDown{Rule: r}
		if r == profile.AllDownTarget {
			v.Profile.AllDown.Target = profile.Target{Host: "sorry.example.net"}
		}
	}
}

func active(name string) change {
	return func(v *health.View) {
		v.Decision = health.Decision{Active: name, Epoch: 7, Reason: "initial", Since: t0}
	}
}

// build makes a view: TTL 30s, floor 1s, a probe every 10s, Degraded on the second failure.
func build(r profile.Routing, eps []ep, changes ...change) *health.View {
	p := &profile.Profile{
		Name: string(r), Routing: r, Enabled: true, TTL: 30 * time.Second, TTLFloor: time.Second, Climb: true, MaxReturn: 2,
		Checking: profile.CheckingSecond, AllDown: profile.AllDown{Rule: profile.AllDownServe}, Failback: profile.Failback{Mode: profile.FailbackAuto},
	}
	now := t0.Add(time.Hour)
	v := &health.View{Profile: p, Ready: true}
	for i, e := range eps {
		p.Endpoints = append(p.Endpoints, configOf(i, e))
		for text := range strings.FieldsSeq(e.subnets) {
			p.Ranges = append(p.Ranges, rangeOf(text, i))
		}
	}
	slices.SortFunc(p.Ranges, func(a, b profile.SubnetRange) int { return a.From.Compare(b.From) })
	for i, e := range eps {
		ev := health.EndpointView{Config: &p.Endpoints[i], Child: e.child}
		ev.Verdict = verdictOf(e, now)
		ev.Layer = health.Layer{Disabled: e.state == 'x', Drained: e.state == 'r'}
		for text := range strings.SplitSeq(e.rtt, ",") {
			if at, ms, ok := strings.Cut(strings.TrimSpace(text), " "); ok {
				ev.Votes = append(ev.Votes, health.Ballot{Node: "node-" + at, Location: at, Vote: health.Vote{Opinion: health.Up, RTT: atoi(ms)}})
			}
		}
		v.Endpoints = append(v.Endpoints, ev)
	}
	for _, c := range changes {
		c(v)
	}
	for i := range v.Endpoints {
		health.Resolve(p, &v.Endpoints[i], v.Disabled, now)
	}
	return v
}

func configOf(i int, e ep) profile.Endpoint {
	weight := max(0, cmp.Or(e.weight, 1))
	cfg := profile.Endpoint{
		Name: cmp.Or(e.name, string(rune('a'+i))), Priority: i + 1, Weight: weight, Bias: e.bias, MinChild: 1,
		Enabled: e.state != 's', AlwaysServe: e.state == 'm', Stopped: e.state == 'o', Location: profile.Location{Region: e.region},
		Geo: strings.Fields(e.geo), Subnets: strings.Fields(e.subnets),
		Target:  profile.Target{Host: cmp.Or(e.name, string(rune('a'+i))) + ".example.net"},
		Monitor: profile.Monitor{Interval: 10 * time.Second, ToleratedFailures: 1, RecoverySuccesses: 1},
	}
	if e.addrs != "" {
		cfg.Target = profile.Target{Addrs: strings.Fields(e.addrs)}
	}
	if e.child != nil {
		cfg.Target = profile.Target{Profile: e.child.Profile.Name}
	}
	if e.state == 'h' {
		cfg.Monitor.HoldDown = 24 * time.Hour
	}
	return cfg
}

func verdictOf(e ep, now time.Time) health.Verdict {
	v := health.Verdict{Since: now.Add(-cmp.Or(e.ago, time.Minute)), Recovered: e.fresh, Reason: "as the test says"}
	switch e.state {
	case 'd':
		v.Status = health.Degraded
	case 'h':
		v.Status, v.Held = health.Degraded, true
	case 'c', 'o', 'm', 's':
	default:
		v.Status = health.Online
	}
	return v
}

// rangeOf reads a network or first-last.
func rangeOf(text string, endpoint int) profile.SubnetRange {
	if from, to, ok := strings.Cut(text, "-"); ok {
		return profile.SubnetRange{From: netip.MustParseAddr(from), To: netip.MustParseAddr(to), Endpoint: endpoint}
	}
	p := netip.MustParsePrefix(text)
	last := p.Addr().AsSlice()
	for bit := p.Bits(); bit < len(last)*8; bit++ {
		last[bit/8] |= 1 << (7 - bit%8)
	}
	to, _ := netip.AddrFromSlice(last)
	return profile.SubnetRange{From: p.Addr(), To: to, Endpoint: endpoint}
}

func atoi(s string) (n int) {
	for _, c := range s {
		n = n*10 + int(c-'0')
	}
	return n
}

func from(addr string) steer.Client {
	return steer.Client{Addr: netip.MustParseAddr(addr), Bits: netip.MustParseAddr(addr).BitLen()}
}

// in is a client at a place: "" is none known.
func in(code string) steer.Client {
	c := from("198.51.100.7")
	if code != "" {
		c.Place.Code, c.Place.Known = geo.ParseCode(code)
		c.Place.Bits = 16
	}
	return c
}

// near is a client that stands in a region.
func near(region string) steer.Client {
	c := from("198.51.100.7")
	r, ok := geo.FindRegion(region)
	if !ok {
		panic("no region " + region)
	}
	c.Place = geo.Place{Position: r.Position, HasPosition: true, Bits: 18}
	return c
}

// row is a client with a row of the latency table: "region millis, region millis".
func row(t testing.TB, c steer.Client, cells string) steer.Client {
	t.Helper()
	text := ""
	for cell := range strings.SplitSeq(cells, ",") {
		region, ms, _ := strings.Cut(strings.TrimSpace(cell), " ")
		text += "198.51.100.0/24," + region + "," + ms + "\n"
	}
	table, err := geo.ParseTable(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	c.Row = table.Find(c.Addr)
	return c
}

func seeded(a uint64) steer.Dice { return rand.New(rand.NewPCG(a, a+1)).Uint64 }

// words writes what a pick leads to: a leaf's name, {a b} for a set, "-" for nothing, "NX" for a denied name.
func words(p *steer.Plan, k steer.Pick) string {
	switch {
	case k.Leaf >= 0:
		return p.Leaves()[k.Leaf].Name()
	case k.Set >= 0:
		var names []string
		for _, l := range p.Sets()[k.Set].Leaves {
			names = append(names, p.Leaves()[l].Name())
		}
		return "{" + strings.Join(names, " ") + "}"
	case k.NX:
		return "NX"
	}
	return "-"
}

func zeros() uint64 { return 0 }
