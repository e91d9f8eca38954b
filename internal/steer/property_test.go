package steer_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"jurymast/internal/geo"
	"jurymast/internal/health"
	"jurymast/internal/profile"
	"jurymast/internal/steer"
)

var (
	methods  = []profile.Routing{profile.Priority, profile.Weighted, profile.Performance, profile.Geographic, profile.Subnet, profile.Multivalue}
	allCodes = []string{"WORLD", "GEO-EU", "DE", "FR", "GEO-NA", "US", "US-CA", "US-TX"}
	allNets  = []string{"10.0.0.0/8", "192.0.2.0/25", "192.0.2.128/25", "198.51.100.0/24", "2001:db8::/32", "203.0.113.64/26"}
	allPlace = []string{"eastus", "eastus2", "westeurope", "japaneast", ""}
)

// anyView draws a profile; depth is how many levels of nested profiles it may have.
func anyView(t *rapid.T, name string, depth int) *health.View {
	routing := rapid.SampledFrom(methods).Draw(t, name+" routing")
	size := rapid.IntRange(0, 4).Draw(t, name+" size")
	if depth > 0 {
		size = max(1, size)
	}
	codes := rapid.Permutation(allCodes).Draw(t, name+" codes")
	nets := rapid.Permutation(allNets).Draw(t, name+" nets")
	var eps []ep
	for i := range size {
		eps = append(eps, anyEndpoint(t, fmt.Sprintf("%s%d", name, i), depth, routing, &codes, &nets))
	}
	v := build(routing, eps, func(v *health.View) { anySettings(t, name, v) })
	v.Profile.Name = name
	return v
}

func anyEndpoint(t *rapid.T, name string, depth int, routing profile.Routing, codes, nets *[]string) ep {
	e := ep{
		name: name, state: rapid.SampledFrom([]byte("uuuudddchxrsom")).Draw(t, name+" state"),
		weight: rapid.SampledFrom([]int{1, 1, 5, 1000, -1}).Draw(t, name+" weight"),
		region: rapid.SampledFrom(allPlace).Draw(t, name+" region"),
		bias:   rapid.SampledFrom([]int{0, 0, 20, -50}).Draw(t, name+" bias"),
		rtt:    rapid.SampledFrom([]string{"", "", "eastus 8", "westeurope 8, eastus 20", "westeurope 30"}).Draw(t, name+" rtt"),
		ago:    time.Duration(rapid.IntRange(1, 3).Draw(t, name+" ago")) * time.Minute,
	}
	if k := rapid.IntRange(0, 2).Draw(t, name+" codes"); routing == profile.Geographic {
		for _, c := range (*codes)[:min(k, len(*codes))] {
			e.geo += c + " "
		}
		*codes = (*codes)[min(k, len(*codes)):]
	}
	looks := routing == profile.Geographic || routing == profile.Performance || routing == profile.Subnet
	if k := rapid.IntRange(0, 2).Draw(t, name+" nets"); looks {
		for _, n := range (*nets)[:min(k, len(*nets))] {
			e.subnets += n + " "
		}
		*nets = (*nets)[min(k, len(*nets)):]
	}
	if depth > 0 && routing != profile.Multivalue && rapid.IntRange(0, 2).Draw(t, name+" nested") == 0 {
		e.child = anyView(t, name+".", depth-1)
		e.rtt = "" // the parent never probes the child
	}
	return e
}

func anySettings(t *rapid.T, name string, v *health.View) {
	p := v.Profile
	if rapid.Bool().Draw(t, name+" azure") {
		azure(v)
	}
	p.Climb = p.Climb != rapid.SampledFrom([]bool{false, false, true}).Draw(t, name+" climb")
	p.Sticky = rapid.Bool().Draw(t, name+" sticky")
	p.AllDown.Rule = rapid.SampledFrom([]profile.AllDownRule{profile.AllDownServe, profile.AllDownServe, profile.AllDownLastActive, profile.AllDownNone, profile.AllDownTarget}).Draw(t, name+" all_down")
	p.Failback.Mode = rapid.SampledFrom([]profile.FailbackMode{profile.FailbackAuto, profile.FailbackManual, profile.FailbackDelayed, profile.FailbackNewSessions}).Draw(t, name+" failback")
	p.LatencyBand = time.Duration(rapid.SampledFrom([]int{0, 0, 5, 100}).Draw(t, name+" band")) * time.Millisecond
	p.TTL = time.Duration(rapid.SampledFrom([]int{0, 5, 30, 300}).Draw(t, name+" ttl")) * time.Second
	p.TTLFloor = min(p.TTL, time.Second)
	v.Disabled = rapid.IntRange(0, 9).Draw(t, name+" disabled") == 9
	v.Ready = rapid.IntRange(0, 9).Draw(t, name+" unready") != 9
	v.Stale = rapid.IntRange(0, 9).Draw(t, name+" stale") == 9
	if len(v.Endpoints) > 0 {
		at := rapid.IntRange(0, len(v.Endpoints)).Draw(t, name+" active")
		if at < len(v.Endpoints) {
			active(v.Endpoints[at].Config.Name)(v)
		}
		if i := rapid.IntRange(0, 3*len(v.Endpoints)).Draw(t, name+" forced"); i < len(v.Endpoints) {
			v.Endpoints[i].Layer.Forced = rapid.SampledFrom([]health.Opinion{health.Up, health.Down}).Draw(t, name+" force")
		}
	}
}

func anyClient(t *rapid.T, tb testing.TB) steer.Client {
	c := from(rapid.SampledFrom([]string{"192.0.2.1", "192.0.2.200", "198.51.100.9", "10.9.8.7", "203.0.113.1", "2001:db8::7", "2001:db9::7"}).Draw(t, "address"))
	if code := rapid.SampledFrom([]string{"", "DE", "US-CA", "US", "JP", "CA-QC", "WORLD"}).Draw(t, "code"); code != "" {
		c.Place.Code, c.Place.Known = geo.ParseCode(code)
	}
	if region := rapid.SampledFrom(allPlace).Draw(t, "client region"); region != "" {
		c.Place.Position, c.Place.HasPosition = near(region).Place.Position, true
	}
	if cells := rapid.SampledFrom([]string{"", "", "eastus 10, westeurope 10, eastus2 12, japaneast 90", "japaneast 4", "brazilsouth 3"}).Draw(t, "row"); cells != "" {
		c.Row = row(tb, in(""), cells).Row
	}
	return c
}

// what names a pick as the oracle does.
func what(p *steer.Plan, k steer.Pick) string {
	switch {
	case k.Serving == steer.ServingNotReady:
		return "not-ready"
	case k.Leaf >= 0 && p.Leaves()[k.Leaf].Endpoint < 0:
		return "target"
	case k.Leaf >= 0:
		return p.Leaves()[k.Leaf].View.Profile.Name + "/" + p.Leaves()[k.Leaf].Name()
	case k.Set >= 0:
		return words(p, k)
	case k.NX:
		return "nx"
	}
	return "none"
}

// Both implementations allow the same answers, over random trees of profiles and random clients.
func TestTwoImplementationsAgree(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		v := anyView(rt, "p", rapid.IntRange(0, 2).Draw(rt, "depth"))
		c := anyClient(rt, t)
		p, allowed := steer.Compile(v), oracle(v, c)
		dice := seeded(rapid.Uint64().Draw(rt, "dice"))
		for range 8 {
			var trail steer.Trail
			k := p.Pick(&c, dice, nil)
			if got := (outcome{what(p, k), k.Serving}); !slices.Contains(allowed, got) {
				p.Pick(&c, zeros, &trail)
				rt.Fatalf("answered %+v by %s, allowed are %+v\nexplained with dice of zeros:\n%s", got, k.Rule, allowed, text(&trail))
			}
			holds(rt, v, p, &c, k)
			if k.Rule == "" {
				rt.Fatal("no rule is named")
			}
		}
		var trail steer.Trail
		if plain, told := p.Pick(&c, zeros, nil), p.Pick(&c, zeros, &trail); plain != told {
			rt.Fatalf("answered is %+v, explained is %+v", plain, told)
		}
	})
}

// holds checks what is true of every answer, whatever the method.
func holds(t *rapid.T, v *health.View, p *steer.Plan, c *steer.Client, k steer.Pick) {
	if k.TTL > v.Profile.TTL || k.TTL < 0 || k.TTL%time.Second != 0 {
		t.Fatalf("ttl %v of at most %v", k.TTL, v.Profile.TTL)
	}
	if k.Leaf >= 0 {
		l := &p.Leaves()[k.Leaf]
		of := l.View.Profile
		if l.Endpoint >= 0 {
			e := &l.View.Endpoints[l.Endpoint]
			if e.Tier == health.TierExcluded {
				t.Fatalf("answered %s, which is %s", l.Name(), e.Status)
			}
			if k.TTL > of.TTL || !of.Azure() && k.TTL > max(of.TTLFloor, e.Horizon) {
				t.Fatalf("ttl %v outlives the horizon %v", k.TTL, e.Horizon)
			}
		}
		if k.Serving == steer.ServingAllDown && !v.Profile.Azure() && l.View == v && k.TTL > v.Profile.TTLFloor {
			t.Fatalf("all down for %v", k.TTL)
		}
	}
	if k.Agreed && k.Serving == steer.ServingNone {
		t.Fatal("agreed on nothing")
	}
	order := p.Order(c, k, nil)
	if k.Leaf >= 0 && (len(order) == 0 || order[0] != k.Leaf) || !k.Answers() && len(order) > 0 {
		t.Fatalf("order %v of leaf %d", order, k.Leaf)
	}
	for at, l := range order {
		leaf := &p.Leaves()[l]
		if slices.Contains(order[:at], l) {
			t.Fatalf("order %v names %s twice", order, leaf.Name())
		}
		if leaf.Endpoint >= 0 && leaf.View.Endpoints[leaf.Endpoint].Tier == health.TierExcluded {
			t.Fatalf("order %v names %s, which is excluded", order, leaf.Name())
		}
	}
	flat(t, v, p, k)
}

// flat checks the promises of the methods whose candidates do not depend on the client.
func flat(t *rapid.T, v *health.View, p *steer.Plan, k steer.Pick) {
	switch v.Profile.Routing {
	case profile.Geographic, profile.Subnet:
		return
	case profile.Priority, profile.Weighted, profile.Performance, profile.Multivalue:
	}
	nested := slices.ContainsFunc(v.Endpoints, func(e health.EndpointView) bool { return e.Nested() })
	if v.Disabled || !v.Ready || nested {
		return
	}
	best := health.TierExcluded
	for i := range v.Endpoints {
		best = min(best, v.Endpoints[i].Tier)
	}
	if best < health.TierDown && !k.Answers() {
		t.Fatalf("empty although a candidate is there: %+v", k)
	}
	leaves := []int{k.Leaf}
	if k.Set >= 0 {
		leaves = p.Sets()[k.Set].Leaves
	}
	for _, l := range leaves {
		if l < 0 || p.Leaves()[l].Endpoint < 0 {
			continue
		}
		if e := &v.Endpoints[p.Leaves()[l].Endpoint]; e.Tier != best {
			t.Fatalf("answered %s of tier %d, the best is %d", e.Config.Name, e.Tier, best)
		}
	}
}
