package steer_test

import (
	"fmt"
	"testing"
	"time"

	"jurymast/internal/health"
	"jurymast/internal/profile"
	"jurymast/internal/steer"
)

func named(name string) change { return func(v *health.View) { v.Profile.Name = name } }

func ttl(d time.Duration) change {
	return func(v *health.View) { v.Profile.TTL = d }
}

func TestD15NestedAnswersTakeTheMinimumOfThePath(t *testing.T) {
	one := build(profile.Weighted, []ep{{name: "leaf", state: 'm'}}, ttl(7*time.Second))
	two := build(profile.Weighted, []ep{{name: "mid", state: 'u', child: one}}, ttl(9*time.Second), named("two"))
	runTable(t, []answerCase{
		{"the child's is shorter", build(profile.Priority, []ep{{state: 'u', child: two}}), in(""), "leaf", steer.RuleLowestNumber, steer.ServingPreferred, 7, 0},
		{"the parent's is shorter", build(profile.Priority, []ep{{state: 'u', child: two}}, ttl(5*time.Second)), in(""), "leaf", steer.RuleLowestNumber, steer.ServingPreferred, 5, 0},
		{"azure, too", build(profile.Priority, []ep{{state: 'u', child: two}}, azure), in(""), "leaf", steer.RuleLowestNumber, steer.ServingPreferred, 7, 0},
	})
}

func TestNestedTable(t *testing.T) {
	ge := func(child *health.View, c ...change) *health.View {
		return build(profile.Geographic, []ep{{name: "n", state: 'u', geo: "DE", child: child}, {name: "w", state: 'u', geo: "WORLD"}}, c...)
	}
	off := func(v *health.View) { v.Disabled = true }
	unready := func(v *health.View) { v.Ready = false }
	forceUp := func(v *health.View) { v.Endpoints[0].Layer.Forced = health.Up }
	pr := profile.Priority
	foreign := build(profile.Geographic, []ep{{name: "fr", state: 'u', geo: "FR"}}, azure)
	runTable(t, []answerCase{
		{"a fallback below is a fallback", ge(build(pr, states("du"))), in("DE"), "b", steer.RuleGeo, steer.ServingFallback, 10, 16},
		{"a child that is off is climbed over", ge(build(pr, states("uu"), off)), in("DE"), "w", steer.RuleGeoClimb, steer.ServingFallback, -1, 16},
		{"azure: a child that is off is NODATA", ge(build(pr, states("uu"), off), azure), in("DE"), "-", steer.RuleStopped, steer.ServingNone, 30, 16},
		{"all down climbs up through every level", ge(build(profile.Weighted, states("dd"))), in("DE"), "w", steer.RuleGeoClimb, steer.ServingFallback, 10, 16},
		{"all down below, and nothing else", build(pr, []ep{{state: 'u', child: build(profile.Weighted, states("d"))}}), in(""), "a", steer.RuleAllDown, steer.ServingAllDown, 1, 0},
		{"a child that is not ready is second choice", ge(build(pr, states("cc"), unready)), in("DE"), "w", steer.RuleGeoClimb, steer.ServingFallback, -1, 16},
		{"a child that is not ready, chosen", build(profile.Weighted, []ep{{state: 'u', child: build(pr, states("cc"), unready)}}), in(""), "-", steer.RuleNotReady, steer.ServingNotReady, 0, 0},
		{"a child that is halted", build(profile.Weighted, []ep{{state: 'u', child: build(pr, states("uu"), func(v *health.View) { v.Halt = health.HaltPreparing })}}), in(""), "-", steer.RulePreparing, steer.ServingHalted, 0, 0},
		{"a child without a view", build(profile.Weighted, []ep{{state: 'u'}}, func(v *health.View) { v.Profile.Endpoints[0].Target = profile.Target{Profile: "later"} }), in(""), "-", steer.RuleNotReady, steer.ServingNotReady, 0, 0},
		{"the child's NXDOMAIN is the parent's NODATA", build(pr, []ep{{state: 'u', child: build(profile.Subnet, []ep{{state: 'u', subnets: "10.0.0.0/8"}}, azure)}}), in(""), "-", steer.RuleNoMapping, steer.ServingNone, -1, 1},
		{"NXDOMAIN when both say so", build(pr, []ep{{state: 'u', child: build(profile.Subnet, []ep{{state: 'u', subnets: "10.0.0.0/8"}}, azure)}}, azure), in(""), "NX", steer.RuleNoMapping, steer.ServingNone, 30, 1},
		{"geographic below has nothing for the client", build(pr, []ep{{state: 'u', child: foreign}}), in("DE"), "-", steer.RuleNoMapping, steer.ServingNone, 20, 16},
		{"a set below", build(pr, []ep{{state: 'u', child: build(profile.Multivalue, states("uud"))}}), in(""), "{a b}", steer.RuleLowestNumber, steer.ServingPartial, 20, 0},
		{"forced up over a dead child", build(pr, []ep{{state: 'u', child: build(pr, states("oo"))}}, forceUp), in(""), "-", steer.RuleStopped, steer.ServingNone, 30, 0},
	})
}

func TestAgreedNeedsEveryPriorityLevel(t *testing.T) {
	cases := []struct {
		name   string
		view   *health.View
		agreed bool
	}{
		{"both agreed", build(profile.Priority, []ep{{name: "n", state: 'u', child: build(profile.Priority, states("u"), active("a"))}}, active("n")), true},
		{"below is not", build(profile.Priority, []ep{{name: "n", state: 'u', child: build(profile.Priority, states("u"))}}, active("n")), false},
		{"above is not", build(profile.Priority, []ep{{name: "n", state: 'u', child: build(profile.Priority, states("u"), active("a"))}}), false},
		{"weighted agrees by itself", build(profile.Priority, []ep{{name: "n", state: 'u', child: build(profile.Weighted, states("u"))}}, active("n")), true},
		{"weighted, all down", build(profile.Weighted, states("d")), false},
		{"multivalue agrees by itself", build(profile.Multivalue, states("u")), true},
	}
	for _, c := range cases {
		if k := steer.Compile(c.view).Pick(&steer.Client{}, nil, nil); k.Agreed != c.agreed {
			t.Errorf("%s: agreed %v", c.name, k.Agreed)
		}
	}
}

func TestStaleAnywhereOnThePath(t *testing.T) {
	child := build(profile.Weighted, states("u"), func(v *health.View) { v.Stale = true })
	k := steer.Compile(build(profile.Priority, []ep{{state: 'u', child: child}})).Pick(&steer.Client{}, nil, nil)
	if !k.Stale || k.TTL != time.Second {
		t.Fatalf("got %+v", k)
	}
}

func TestNeedsAreTheUnionOverTheTree(t *testing.T) {
	geographic := build(profile.Geographic, []ep{{state: 'u', geo: "DE"}})
	cases := []struct {
		name string
		view *health.View
		want steer.Needs
	}{
		{"priority", build(profile.Priority, states("uu")), 0},
		{"weighted", build(profile.Weighted, states("uu")), steer.NeedDice},
		{"weighted, one candidate", build(profile.Weighted, states("ud")), 0},
		{"sticky", build(profile.Weighted, states("uu"), sticky), steer.NeedAddr},
		{"geographic", geographic, steer.NeedPlace},
		{"geographic, only the world", build(profile.Geographic, []ep{{state: 'u', geo: "WORLD"}}), 0},
		{"geographic with subnets", build(profile.Geographic, []ep{{state: 'u', geo: "DE", subnets: "10.0.0.0/8"}}), steer.NeedPlace | steer.NeedAddr},
		{"subnet", build(profile.Subnet, []ep{{state: 'u', subnets: "10.0.0.0/8"}}), steer.NeedAddr},
		{"performance", build(profile.Performance, []ep{{state: 'u', region: "eastus"}}), steer.NeedAddr | steer.NeedPlace | steer.NeedRow},
		{"multivalue", build(profile.Multivalue, states("uu")), steer.NeedDice},
		{"disabled", build(profile.Multivalue, states("xx")), 0},
		{"nested", build(profile.Weighted, []ep{{state: 'u', child: geographic}, {state: 'u'}}), steer.NeedDice | steer.NeedPlace},
		{"nested under priority: what is chosen", build(profile.Priority, []ep{{state: 'u'}, {state: 'u', child: geographic}}), 0},
	}
	for _, c := range cases {
		if got := steer.Compile(c.view).Needs(); got != c.want {
			t.Errorf("%s: needs %b, want %b", c.name, got, c.want)
		}
	}
}

// Ten levels with every profile nested twice in the one above are eleven profiles, not two thousand.
func TestDiamondsStayLinear(t *testing.T) {
	v := build(profile.Weighted, states("uu"), named("bottom"))
	for level := range 10 {
		v = build(profile.Weighted, []ep{{name: "l", state: 'u', child: v}, {name: "r", state: 'u', child: v}}, named(fmt.Sprint("level ", level)))
	}
	p := steer.Compile(v)
	if n := len(p.Leaves()); n != 2 {
		t.Fatalf("%d leaves", n)
	}
	k := p.Pick(&steer.Client{}, seeded(1), nil)
	if order := p.Order(&steer.Client{}, k, nil); len(order) != 2 {
		t.Fatalf("order %v", order)
	}
}

func TestLeafIsEndpointInAFlatProfile(t *testing.T) {
	p := steer.Compile(build(profile.Weighted, states("udxro"), onAllDown(profile.AllDownTarget)))
	for i, l := range p.Leaves() {
		if want := i; want < 5 && l.Endpoint != want || i == 5 && l.Endpoint != -1 {
			t.Fatalf("leaf %d is endpoint %d", i, l.Endpoint)
		}
	}
	if len(p.Leaves()) != 6 || p.Leaves()[5].Name() != "all_down.target" || p.Leaves()[5].Target.Host != "sorry.example.net" {
		t.Fatalf("%+v", p.Leaves())
	}
}
