package steer_test

import (
	"slices"
	"testing"
	"time"

	"jurymast/internal/health"
	"jurymast/internal/profile"
	"jurymast/internal/steer"
)

// row of a table: what a view answers one client.
type answerCase struct {
	name    string
	view    *health.View
	client  steer.Client
	want    string
	rule    steer.Rule
	serving steer.Serving
	ttl     int // seconds; -1: not looked at
	scope   int // -1: not looked at
}

func runTable(t *testing.T, cases []answerCase) {
	t.Helper()
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			var trail steer.Trail
			p := steer.Compile(c.view)
			k := p.Pick(&c.client, zeros, &trail)
			if got := words(p, k); got != c.want || k.Rule != c.rule || k.Serving != c.serving {
				t.Fatalf("got %s %s %s, want %s %s %s\n%s", got, k.Rule, k.Serving, c.want, c.rule, c.serving, text(&trail))
			}
			if c.ttl >= 0 && k.TTL != time.Duration(c.ttl)*time.Second {
				t.Fatalf("ttl %v, want %ds\n%s", k.TTL, c.ttl, text(&trail))
			}
			if c.scope >= 0 && int(k.Scope) != c.scope {
				t.Fatalf("scope %d, want %d\n%s", k.Scope, c.scope, text(&trail))
			}
			if plain := p.Pick(&c.client, zeros, nil); plain != k {
				t.Fatalf("explained is %+v, answered is %+v", k, plain)
			}
			order := p.Order(&c.client, k, nil)
			if k.Leaf >= 0 && (len(order) == 0 || order[0] != k.Leaf) {
				t.Fatalf("order %v does not begin with the picked leaf %d", order, k.Leaf)
			}
			if !k.Answers() && len(order) > 0 {
				t.Fatalf("nothing is answered, order is %v", order)
			}
		})
	}
}

// states makes endpoints a, b, c ... from letters.
func states(word string) (list []ep) {
	for i := range word {
		list = append(list, ep{state: word[i]})
	}
	return list
}

func TestD6CheckingIsSecondChoice(t *testing.T) {
	var cases []answerCase
	for _, r := range []profile.Routing{profile.Weighted, profile.Multivalue} {
		rule := map[profile.Routing]steer.Rule{profile.Weighted: steer.RuleWeight, profile.Multivalue: steer.RuleMultivalue}[r]
		one := map[profile.Routing]string{profile.Weighted: "b", profile.Multivalue: "{b}"}[r]
		both := map[profile.Routing]string{profile.Weighted: "a", profile.Multivalue: "{a b}"}[r]
		cases = append(
			cases,
			answerCase{string(r) + ": usable before checking", build(r, states("cu")), in(""), one, rule, steer.ServingPartial, 20, 0},
			answerCase{string(r) + ": checking before held", build(r, states("hc")), in(""), one, rule, steer.ServingPartial, 10, 0},
			answerCase{string(r) + ": held before down", build(r, states("dh")), in(""), one, rule, steer.ServingPartial, -1, 0},
			answerCase{string(r) + ": azure counts checking as usable", build(r, states("cu"), azure), in(""), both, rule, steer.ServingPreferred, 30, 0},
			answerCase{string(r) + ": checking: serve", build(r, states("cu"), func(v *health.View) { v.Profile.Checking = profile.CheckingServe }), in(""), both, rule, steer.ServingPreferred, 10, 0},
		)
	}
	// Dice of zeros fall on the first of a table.
	runTable(t, cases)
}

func TestD10NothingToAnswer(t *testing.T) {
	off := func(v *health.View) { v.Disabled = true }
	unready := func(v *health.View) { v.Ready = false }
	halted := func(h health.Halt) change { return func(v *health.View) { v.Halt = h } }
	var cases []answerCase
	for _, r := range []profile.Routing{profile.Priority, profile.Weighted, profile.Performance, profile.Geographic, profile.Subnet, profile.Multivalue} {
		n := string(r) + ": "
		cases = append(
			cases,
			answerCase{n + "disabled", build(r, states("uu"), off), in(""), "-", steer.RuleDisabled, steer.ServingNone, 30, 0},
			answerCase{n + "disabled, azure", build(r, states("uu"), off, azure), in(""), "NX", steer.RuleDisabled, steer.ServingNone, 30, 0},
			answerCase{n + "all disabled", build(r, states("xs")), in(""), "-", steer.RuleDisabled, steer.ServingNone, 30, 0},
			answerCase{n + "all disabled, azure", build(r, states("xs"), azure), in(""), "NX", steer.RuleDisabled, steer.ServingNone, 30, 0},
			answerCase{n + "no endpoint", build(r, nil), in(""), "-", steer.RuleNoEndpoint, steer.ServingNone, 30, 0},
			answerCase{n + "no endpoint, azure", build(r, nil, azure), in(""), "NX", steer.RuleNoEndpoint, steer.ServingNone, 30, 0},
			answerCase{n + "all stopped", build(r, states("oo")), in(""), "-", steer.RuleStopped, steer.ServingNone, 30, 0},
			answerCase{n + "all stopped, azure", build(r, states("oo"), azure), in(""), "-", steer.RuleStopped, steer.ServingNone, 30, 0},
			answerCase{n + "stopped, drained and disabled", build(r, states("orx")), in(""), "-", steer.RuleStopped, steer.ServingNone, 30, 0},
			answerCase{n + "stopped and disabled, azure", build(r, states("ox"), azure), in(""), "-", steer.RuleStopped, steer.ServingNone, 30, 0},
			answerCase{n + "not ready", build(r, states("cc"), unready), in(""), "-", steer.RuleNotReady, steer.ServingNotReady, 0, 0},
			answerCase{n + "not ready, azure", build(r, states("cc"), unready, azure), in(""), "-", steer.RuleNotReady, steer.ServingNotReady, 0, 0},
			answerCase{n + "isolated", build(r, states("uu"), active("a"), halted(health.HaltIsolated)), in(""), "-", steer.RuleIsolated, steer.ServingHalted, 0, 0},
			answerCase{n + "unconfirmed, and not ready", build(r, states("cu"), unready, halted(health.HaltUnconfirmed)), in(""), "-", steer.RuleUnconfirmed, steer.ServingHalted, 0, 0},
			answerCase{n + "preparing", build(r, states("uu"), active("b"), halted(health.HaltPreparing)), in(""), "-", steer.RulePreparing, steer.ServingHalted, 0, 0},
			answerCase{n + "preparing, and not ready", build(r, states("cu"), unready, halted(health.HaltPreparing)), in(""), "-", steer.RuleNotReady, steer.ServingNotReady, 0, 0},
			answerCase{n + "disabled and isolated", build(r, states("uu"), off, halted(health.HaltIsolated)), in(""), "-", steer.RuleDisabled, steer.ServingNone, 30, 0},
		)
	}
	runTable(t, cases)
}

func TestD9StoppedIsNeverEligible(t *testing.T) {
	for _, r := range []profile.Routing{profile.Priority, profile.Weighted, profile.Performance, profile.Multivalue} {
		for _, c := range []change{func(*health.View) {}, azure} {
			p := steer.Compile(build(r, states("od"), c))
			k := p.Pick(&steer.Client{}, seeded(2), nil)
			if got := words(p, k); (got != "b" && got != "{b}") || k.Serving != steer.ServingAllDown {
				t.Errorf("%s: got %s %s, want the Degraded one, never the stopped one", r, got, k.Serving)
			}
		}
	}
}

func TestD38AllDown(t *testing.T) {
	pr, we, mu := profile.Priority, profile.Weighted, profile.Multivalue
	mode := func(m profile.FailbackMode) change { return func(v *health.View) { v.Profile.Failback.Mode = m } }
	strict := func(v *health.View) { v.Profile.Fencing = profile.Strict }
	last := []ep{{state: 'd', ago: time.Hour}, {state: 'd', ago: time.Minute}, {state: 'd', ago: time.Minute}, {state: 'r', ago: time.Second}}
	down := steer.ServingAllDown
	runTable(t, []answerCase{
		{"priority, auto: the preferred", build(pr, states("dd"), active("b")), in(""), "a", steer.RuleAllDown, down, 1, 0},
		{"priority, new-sessions: the preferred", build(pr, states("dd"), active("b"), mode(profile.FailbackNewSessions)), in(""), "a", steer.RuleAllDown, down, 1, 0},
		{"priority, manual: the active", build(pr, states("dd"), active("b"), mode(profile.FailbackManual)), in(""), "b", steer.RuleAllDown, down, 1, 0},
		{"priority, delayed: the active", build(pr, states("dd"), active("b"), mode(profile.FailbackDelayed)), in(""), "b", steer.RuleAllDown, down, 1, 0},
		{"priority, strict: the active", build(pr, states("dd"), active("b"), strict), in(""), "b", steer.RuleAllDown, down, 1, 0},
		{"priority, strict: the active, until another one is decided for", build(pr, states("du"), active("a"), strict), in(""), "a", steer.RuleDecision, steer.ServingPartial, 1, 0},
		{"priority, azure: fixed ttl", build(pr, states("dd"), active("b"), azure), in(""), "a", steer.RuleAllDown, down, 30, 0},
		{"priority, last-active", build(pr, states("dd"), active("b"), onAllDown(profile.AllDownLastActive)), in(""), "b", steer.RuleLastActive, down, 1, 0},
		{"priority, last-active, drained meanwhile", build(pr, states("dr"), active("b"), onAllDown(profile.AllDownLastActive)), in(""), "a", steer.RuleLastActive, down, 1, 0},
		{"priority, none", build(pr, states("dd"), active("b"), onAllDown(profile.AllDownNone)), in(""), "-", steer.RuleAllDown, steer.ServingNone, 1, 0},
		{"priority, target", build(pr, states("dd"), onAllDown(profile.AllDownTarget)), in(""), "all_down.target", steer.RuleLastResort, down, 1, 0},
		{"target waits for the last one", build(pr, states("dc"), onAllDown(profile.AllDownTarget)), in(""), "b", steer.RuleLowestNumber, steer.ServingFallback, 10, 0},
		{"weighted", build(we, states("dr")), in(""), "a", steer.RuleAllDown, down, 1, 0},
		{"weighted, azure", build(we, states("do"), azure), in(""), "a", steer.RuleAllDown, down, 30, 0},
		{"weighted, none", build(we, states("dd"), onAllDown(profile.AllDownNone)), in(""), "-", steer.RuleAllDown, steer.ServingNone, 1, 0},
		{"weighted, target", build(we, states("dd"), onAllDown(profile.AllDownTarget)), in(""), "all_down.target", steer.RuleLastResort, down, 1, 0},
		{"multivalue", build(mu, states("dxd")), in(""), "{a c}", steer.RuleAllDown, down, 1, 0},
		{"multivalue, last-active: those that fell last", build(mu, last, onAllDown(profile.AllDownLastActive)), in(""), "{b c}", steer.RuleLastActive, down, 1, 0},
		{"performance", build(profile.Performance, []ep{{state: 'd', region: "westeurope"}, {state: 'd', region: "eastus"}}), near("eastus"), "b", steer.RuleAllDown, down, 1, 18},
		{"geographic", build(profile.Geographic, []ep{{state: 'd', geo: "WORLD"}, {state: 'd', geo: "DE"}}), in("DE"), "b", steer.RuleAllDown, down, 1, 16},
		{"geographic, none", build(profile.Geographic, []ep{{state: 'd', geo: "WORLD"}}, onAllDown(profile.AllDownNone)), in("DE"), "-", steer.RuleAllDown, steer.ServingNone, 1, 0},
		{"geographic, azure", build(profile.Geographic, []ep{{state: 'd', geo: "WORLD"}, {state: 'd', geo: "DE"}}, azure), in("DE"), "b", steer.RuleAllDown, down, 30, 16},
		{"subnet", build(profile.Subnet, []ep{{state: 'd'}, {state: 'd', subnets: "192.0.2.0/24"}}), from("192.0.2.9"), "b", steer.RuleAllDown, down, 1, 24},
		{"subnet, azure: as if Online", build(profile.Subnet, []ep{{state: 'd'}, {state: 'd', subnets: "192.0.2.0/24"}}, azure), from("192.0.2.9"), "b", steer.RuleAllDown, down, 30, 24},
	})
}

func TestD14TTL(t *testing.T) {
	long := func(v *health.View) { v.Profile.TTL = 300 * time.Second }
	stale := func(v *health.View) { v.Stale = true }
	one := []ep{{state: 'd', geo: "DE"}, {state: 'u', geo: "WORLD"}}
	runTable(t, []answerCase{
		{"the horizon caps", build(profile.Weighted, states("u"), long), in(""), "a", steer.RuleWeight, steer.ServingPreferred, 20, 0},
		{"always served: the ceiling", build(profile.Weighted, states("m"), long), in(""), "a", steer.RuleWeight, steer.ServingPreferred, 300, 0},
		{"azure: fixed", build(profile.Weighted, states("u"), long, azure), in(""), "a", steer.RuleWeight, steer.ServingPreferred, 300, 0},
		{"stale: the floor", build(profile.Weighted, states("m"), long, stale), in(""), "a", steer.RuleWeight, steer.ServingPreferred, 1, 0},
		{"stale, azure: fixed", build(profile.Weighted, states("m"), long, stale, azure), in(""), "a", steer.RuleWeight, steer.ServingPreferred, 300, 0},
		{"weighted: another's recovery does not matter", build(profile.Weighted, states("dm")), in(""), "b", steer.RuleWeight, steer.ServingPartial, 30, 0},
		{"multivalue: the minimum of all", build(profile.Multivalue, states("mu")), in(""), "{a b}", steer.RuleMultivalue, steer.ServingPreferred, 20, 0},
		{"geographic: the recovery of a more specific one", build(profile.Geographic, one), in("DE"), "b", steer.RuleGeoClimb, steer.ServingFallback, 10, 16},
		{"geographic: not of one that is not for this client", build(profile.Geographic, one), in("FR"), "b", steer.RuleGeo, steer.ServingPartial, 20, 16},
		{"performance: the recovery of a nearer one", build(profile.Performance, []ep{{state: 'd', region: "westeurope"}, {state: 'u', region: "eastus"}}), near("westeurope"), "b", steer.RuleDistance, steer.ServingFallback, 10, 18},
		{"performance: not of a farther one", build(profile.Performance, []ep{{state: 'd', region: "westeurope"}, {state: 'u', region: "eastus"}}), near("eastus"), "b", steer.RuleDistance, steer.ServingPartial, 20, 18},
		{"subnet: the recovery of the mapped one", build(profile.Subnet, []ep{{state: 'd', subnets: "192.0.2.0/24"}, {state: 'u'}}), from("192.0.2.1"), "b", steer.RuleSubnetFallback, steer.ServingFallback, 10, 24},
	})
}

func TestWeightZeroIsTheLastClass(t *testing.T) {
	runTable(t, []answerCase{
		{"not while another is there", build(profile.Weighted, []ep{{state: 'u', weight: -1}, {state: 'u'}}), in(""), "b", steer.RuleWeight, steer.ServingPreferred, 20, 0},
		{"when all others are gone", build(profile.Weighted, []ep{{state: 'u', weight: -1}, {state: 'd'}}), in(""), "a", steer.RuleWeight, steer.ServingFallback, 10, 0},
		{"all zero", build(profile.Weighted, []ep{{state: 'u', weight: -1}, {state: 'x', weight: -1}}), in(""), "a", steer.RuleWeight, steer.ServingPreferred, 20, 0},
	})
}

func TestPerformanceTable(t *testing.T) {
	pe := profile.Performance
	three := []ep{{state: 'u', region: "westeurope"}, {state: 'u', region: "eastus"}, {state: 'u', region: "southeastasia"}}
	dead := []ep{{state: 'u', region: "westeurope"}, {state: 'd', region: "eastus"}, {state: 'u', region: "southeastasia"}}
	measured := []ep{{state: 'u', rtt: "westeurope 5, eastus 90"}, {state: 'u', rtt: "westeurope 80, eastus 7"}}
	biased := []ep{{state: 'u', region: "westeurope", bias: -50}, {state: 'u', region: "northeurope", bias: 30}}
	override := []ep{{state: 'u', region: "westeurope", subnets: "198.51.100.0/25"}, {state: 'u', region: "eastus"}}
	sick := []ep{{state: 'd', region: "westeurope", subnets: "198.51.100.0/25"}, {state: 'u', region: "eastus"}}
	half := []ep{{state: 'u', region: "westeurope"}, {state: 'u', region: "our cellar"}}
	pref, part, fall := steer.ServingPreferred, steer.ServingPartial, steer.ServingFallback
	here := near("eastus")
	runTable(t, []answerCase{
		{"distance", build(pe, three), near("eastus2"), "b", steer.RuleDistance, pref, 20, 18},
		{"distance, elsewhere", build(pe, three), near("japaneast"), "c", steer.RuleDistance, pref, 20, 18},
		{"D26: the next closest", build(pe, dead), near("eastus2"), "a", steer.RuleDistance, fall, 10, 18},
		{"a dead one elsewhere", build(pe, dead), near("westeurope"), "a", steer.RuleDistance, part, 20, 18},
		{"the table wins over distance", build(pe, three), row(t, here, "westeurope 9, eastus 10, southeastasia 200"), "a", steer.RuleLatency, pref, 20, 24},
		{"the table knows only some: they win", build(pe, three), row(t, here, "southeastasia 200"), "c", steer.RuleLatency, pref, 20, 24},
		{"the table knows no candidate: distance", build(pe, three), row(t, here, "brazilsouth 1"), "b", steer.RuleDistance, pref, 20, 24},
		{"measured by the nearest node", build(pe, measured), near("eastus2"), "b", steer.RuleMeasured, pref, 20, 18},
		{"measured, the other node", build(pe, measured), near("northeurope"), "a", steer.RuleMeasured, pref, 20, 18},
		{"measured, but nobody is near", build(pe, []ep{{state: 'u', region: "westeurope", rtt: "westeurope 5"}, {state: 'u', region: "eastus", rtt: "westeurope 90"}}), near("eastus2"), "b", steer.RuleDistance, pref, 20, 18},
		{"measured needs a position", build(pe, measured), from("198.51.100.7"), "a", steer.RuleNoLocation, pref, 20, 0},
		{"the table before measurements", build(pe, []ep{{state: 'u', region: "westeurope", rtt: "eastus 5"}, {state: 'u', region: "eastus", rtt: "eastus 9"}}), row(t, here, "westeurope 9, eastus 8"), "b", steer.RuleLatency, pref, 20, 24},
		{"distance knows one candidate only", build(pe, half), near("eastus"), "a", steer.RuleDistance, pref, 20, 18},
		{"the table knows a region we do not", build(pe, half), row(t, here, "ourcellar 3, westeurope 4"), "b", steer.RuleLatency, pref, 20, 24},
		{"bias draws and repels", build(pe, biased), row(t, here, "westeurope 10, northeurope 20"), "b", steer.RuleLatency, pref, 20, 24},
		{"bias is not everything", build(pe, biased), row(t, here, "westeurope 9, northeurope 20"), "a", steer.RuleLatency, pref, 20, 24},
		{"no location", build(pe, three), from("198.51.100.7"), "a", steer.RuleNoLocation, pref, 20, 0},
		{"no location, the first is down", build(pe, states("du")), from("198.51.100.7"), "b", steer.RuleNoLocation, fall, 10, 0},
		{"override", build(pe, override), near("eastus"), "a", steer.RuleSubnet, pref, 20, 25},
		{"override, no hit", build(pe, override), func() steer.Client { c := near("eastus"); c.Addr = from("198.51.100.200").Addr; return c }(), "b", steer.RuleDistance, pref, 20, 25},
		{"override is used only when usable", build(pe, sick), near("eastus"), "b", steer.RuleDistance, fall, 10, 25},
	})
}

func TestD13GeographicClimbs(t *testing.T) {
	ge := profile.Geographic
	with := func(word string, c ...change) *health.View {
		return build(ge, []ep{{state: word[0], geo: "US-CA"}, {state: word[1], geo: "US CA"}, {state: word[2], geo: "WORLD"}}, c...)
	}
	pref, part, fall, down, none := steer.ServingPreferred, steer.ServingPartial, steer.ServingFallback, steer.ServingAllDown, steer.ServingNone
	runTable(t, []answerCase{
		{"the state", with("uuu"), in("US-CA"), "a", steer.RuleGeo, pref, 20, 16},
		{"the country of another state", with("uuu"), in("US-TX"), "b", steer.RuleGeo, pref, 20, 16},
		{"the country of a state is not a state of the same letters", with("uuu"), in("CA-QC"), "b", steer.RuleGeo, pref, 20, 16},
		{"the world", with("uuu"), in("DE"), "c", steer.RuleGeo, pref, 20, 16},
		{"no location is the world", with("uuu"), in(""), "c", steer.RuleGeo, pref, 20, 0},
		{"climbs from Degraded", with("duu"), in("US-CA"), "b", steer.RuleGeoClimb, fall, 10, 16},
		{"climbs from stopped", with("ouu"), in("US-CA"), "b", steer.RuleGeoClimb, fall, 20, 16},
		{"climbs from drained", with("ruu"), in("US-CA"), "b", steer.RuleGeoClimb, fall, 20, 16},
		{"climbs twice", with("dou"), in("US-CA"), "c", steer.RuleGeoClimb, fall, 10, 16},
		{"disabled leaves the matching", with("xuu"), in("US-CA"), "b", steer.RuleGeo, pref, 20, 16},
		{"usable above wins over checking below", with("cud"), in("US-CA"), "b", steer.RuleGeoClimb, fall, 10, 16},
		{"checking when no level is usable", with("cdd"), in("US-CA"), "a", steer.RuleGeo, part, 10, 16},
		{"checking here although elsewhere is usable", build(ge, []ep{{state: 'c', geo: "DE"}, {state: 'u', geo: "FR"}}), in("DE"), "a", steer.RuleGeo, part, 10, 16},
		{"no level has one: the most specific anyway", build(ge, []ep{{state: 'd', geo: "DE"}, {state: 'd', geo: "WORLD"}, {state: 'u', geo: "FR"}}), in("DE"), "a", steer.RuleGeoAnyway, down, 1, 16},
		{"anyway, but never a stopped one", build(ge, []ep{{state: 'o', geo: "DE"}, {state: 'd', geo: "WORLD"}, {state: 'u', geo: "FR"}}), in("DE"), "b", steer.RuleGeoAnyway, down, 1, 16},
		{"climbs from stopped, then NODATA", build(ge, []ep{{state: 'o', geo: "DE"}, {state: 'u', geo: "FR"}}), in("DE"), "-", steer.RuleStopped, none, 30, 16},
		{"no mapping and no WORLD", build(ge, []ep{{state: 'u', geo: "FR"}}), in("DE"), "-", steer.RuleNoMapping, none, 30, 16},
		{"no mapping, azure", build(ge, []ep{{state: 'u', geo: "FR"}}, azure), in("DE"), "-", steer.RuleNoMapping, none, 30, 16},
		{"only the world needs no place", build(ge, []ep{{state: 'u', geo: "WORLD"}}), in("DE"), "a", steer.RuleGeo, pref, 20, 0},
		{"azure: Degraded is answered", with("duu", azure), in("US-CA"), "a", steer.RuleGeoAnyway, down, 30, 16},
		{"azure: checking is answered", with("cuu", azure), in("US-CA"), "a", steer.RuleGeo, pref, 30, 16},
		{"azure: stopped is NODATA", with("ouu", azure), in("US-CA"), "-", steer.RuleStopped, none, 30, 16},
		{"azure: disabled leaves the matching", with("xuu", azure), in("US-CA"), "b", steer.RuleGeo, pref, 30, 16},
		{"climb: false, Degraded: at the floor", with("duu", noClimb), in("US-CA"), "a", steer.RuleGeoAnyway, down, 1, 16},
		{"climb: false, drained is as if absent", with("ruu", noClimb), in("US-CA"), "b", steer.RuleGeo, pref, 20, 16},
	})
}

func TestSubnetOverrideOnGeographic(t *testing.T) {
	ge := profile.Geographic
	with := func(state byte, c ...change) *health.View {
		return build(ge, []ep{{state: state, subnets: "198.51.100.0/24", geo: "FR"}, {state: 'u', geo: "DE"}, {state: 'u', geo: "WORLD"}}, c...)
	}
	runTable(t, []answerCase{
		{"hit", with('u'), in("DE"), "a", steer.RuleSubnet, steer.ServingPreferred, 20, 24},
		{"unusable hit falls to the method", with('d'), in("DE"), "b", steer.RuleGeo, steer.ServingFallback, 10, 24},
		{"azure ignores health", with('d', azure), in("DE"), "a", steer.RuleGeoAnyway, steer.ServingAllDown, 30, 24},
		{"disabled hit is absent", with('x', azure), in("DE"), "b", steer.RuleGeo, steer.ServingPreferred, 30, 24},
	})
}

func TestD11SubnetNoMapping(t *testing.T) {
	mapped := ep{state: 'u', subnets: "192.0.2.0/24 192.0.4.0-192.0.4.9 2001:db8::/48"}
	with := func(c ...change) *health.View { return build(profile.Subnet, []ep{mapped}, c...) }
	runTable(t, []answerCase{
		{"no fallback: NODATA", with(), from("198.51.100.1"), "-", steer.RuleNoMapping, steer.ServingNone, 30, 6},
		{"no fallback, azure: NXDOMAIN", with(azure), from("198.51.100.1"), "NX", steer.RuleNoMapping, steer.ServingNone, 30, 6},
		{"the gap between two ranges", with(), from("192.0.3.77"), "-", steer.RuleNoMapping, steer.ServingNone, 30, 24},
		{"close to a range's end", with(), from("192.0.4.10"), "-", steer.RuleNoMapping, steer.ServingNone, 30, 31},
		{"inside the ragged range", with(), from("192.0.4.8"), "a", steer.RuleSubnet, steer.ServingPreferred, 20, 31},
		{"the first address of a range", with(), from("192.0.4.0"), "a", steer.RuleSubnet, steer.ServingPreferred, 20, 29},
		{"the last address of a range", with(), from("192.0.4.9"), "a", steer.RuleSubnet, steer.ServingPreferred, 20, 31},
		{"inside, farther", with(), from("192.0.4.3"), "a", steer.RuleSubnet, steer.ServingPreferred, 20, 29},
		{"IPv6", with(), from("2001:db8::1"), "a", steer.RuleSubnet, steer.ServingPreferred, 20, 48},
		{"IPv6, outside", with(), from("2001:db9::1"), "-", steer.RuleNoMapping, steer.ServingNone, 30, 32},
		{"IPv4 in IPv6", with(), from("::ffff:192.0.2.1"), "a", steer.RuleSubnet, steer.ServingPreferred, 20, 24},
		{"mapped is disabled: absent", build(profile.Subnet, []ep{{state: 'x', subnets: "192.0.2.0/24"}, {state: 'u', subnets: "10.0.0.0/8"}}, azure), from("192.0.2.1"), "NX", steer.RuleNoMapping, steer.ServingNone, 30, 24},
		{"mapped is disabled: the fallback", build(profile.Subnet, []ep{{state: 'x', subnets: "192.0.2.0/24"}, {state: 'u'}}, azure), from("192.0.2.1"), "b", steer.RuleSubnetFallback, steer.ServingPreferred, 30, 24},
		{"no address at all", build(profile.Subnet, []ep{mapped, {state: 'u'}}), steer.Client{}, "b", steer.RuleSubnetFallback, steer.ServingPreferred, 20, 0},
	})
}

func TestD12SubnetMappedNotUsable(t *testing.T) {
	with := func(word string, c ...change) *health.View {
		return build(profile.Subnet, []ep{{state: word[0], subnets: "192.0.2.0/24"}, {state: word[1]}, {state: word[2], subnets: "10.0.0.0/8"}}, c...)
	}
	here := from("192.0.2.1")
	pref, part, fall, down, none := steer.ServingPreferred, steer.ServingPartial, steer.ServingFallback, steer.ServingAllDown, steer.ServingNone
	runTable(t, []answerCase{
		{"mapped", with("uuu"), here, "a", steer.RuleSubnet, pref, 20, 24},
		{"the fallback", with("duu"), here, "b", steer.RuleSubnetFallback, fall, 10, 24},
		{"the fallback for a stopped one", with("ouu"), here, "b", steer.RuleSubnetFallback, fall, 20, 24},
		{"the fallback for a drained one", with("ruu"), here, "b", steer.RuleSubnetFallback, fall, 20, 24},
		{"mapped anyway", with("ddu"), here, "a", steer.RuleSubnetAnyway, down, 1, 24},
		{"mapped is stopped: the fallback anyway", with("odu"), here, "b", steer.RuleSubnetFallback, down, 1, 24},
		{"both stopped", with("oou"), here, "-", steer.RuleStopped, none, 30, 24},
		{"checking waits for a usable fallback", with("cuu"), here, "b", steer.RuleSubnetFallback, fall, 10, 24},
		{"checking when the fallback is down", with("cdu"), here, "a", steer.RuleSubnet, part, 10, 24},
		{"climb: false: mapped anyway", with("duu", noClimb), here, "a", steer.RuleSubnetAnyway, down, 1, 24},
		{"climb: false, drained is absent", with("ruu", noClimb), here, "b", steer.RuleSubnetFallback, pref, 20, 24},
		{"azure: NXDOMAIN", with("duu", azure), here, "NX", steer.RuleSubnet, none, 30, 24},
		{"azure: stopped is NXDOMAIN too", with("ouu", azure), here, "NX", steer.RuleSubnet, none, 30, 24},
		{"azure with climb: true has the fallback", with("duu", azure, func(v *health.View) { v.Profile.Climb = true }), here, "b", steer.RuleSubnetFallback, fall, 30, 24},
		{"nothing mapped: the fallback", with("uuu"), from("203.0.113.5"), "b", steer.RuleSubnetFallback, pref, 20, 5},
		{"nothing mapped, the fallback is down", with("udu"), from("203.0.113.5"), "b", steer.RuleSubnetFallback, down, 1, 5},
	})
}

// names of an order's leaves.
func orderOf(p *steer.Plan, c steer.Client, k steer.Pick) (list []string) {
	for _, l := range p.Order(&c, k, nil) {
		list = append(list, p.Leaves()[l].Name())
	}
	return list
}

func TestOrder(t *testing.T) {
	child := build(profile.Priority, []ep{{name: "c1", state: 'd'}, {name: "c2", state: 'u'}, {name: "c3", state: 'u'}}, active("c3"))
	geoEps := []ep{{state: 'd', geo: "DE"}, {state: 'u', geo: "GEO-EU"}, {state: 'u', geo: "WORLD"}, {state: 'u', geo: "US"}}
	cases := []struct {
		name   string
		view   *health.View
		client steer.Client
		want   []string
	}{
		{"priority: the active, then by number", build(profile.Priority, states("uduu"), active("c")), in(""), []string{"c", "a", "d"}},
		{"weighted: by weight, 0 last", build(profile.Weighted, []ep{{state: 'u', weight: -1}, {state: 'u', weight: 1}, {state: 'u', weight: 1000}, {state: 'd', weight: 5}}), in(""), []string{"c", "b", "a"}},
		{"performance: near to far", build(profile.Performance, []ep{{state: 'u', region: "japaneast"}, {state: 'u', region: "westeurope"}, {state: 'u', region: "eastus"}, {state: 'u'}}), near("westeurope"), []string{"b", "c", "a", "d"}},
		{"geographic: upwards, nobody of another place", build(profile.Geographic, geoEps), in("DE"), []string{"b", "c"}},
		{"geographic, climb: false: the mapped one alone", build(profile.Geographic, geoEps, noClimb), in("DE"), []string{"a"}},
		{"subnet: the mapped one, then the fallback", build(profile.Subnet, []ep{{state: 'u'}, {state: 'u', subnets: "10.0.0.0/8"}, {state: 'u', subnets: "192.0.2.0/24"}}), from("192.0.2.1"), []string{"c", "a"}},
		{"all down: the eligible", build(profile.Priority, states("dord")), in(""), []string{"a", "d"}},
		{"all down: a target stands alone", build(profile.Priority, states("dd"), onAllDown(profile.AllDownTarget)), in(""), []string{"all_down.target"}},
		{"nothing", build(profile.Priority, states("oo")), in(""), nil},
		{"nested ones are expanded in place, once", build(profile.Priority, []ep{{name: "n", state: 'u', child: child}, {name: "x", state: 'u'}, {name: "again", state: 'u', child: child}}), in(""), []string{"c3", "c2", "x"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			p := steer.Compile(c.view)
			k := p.Pick(&c.client, seeded(1), nil)
			if got := orderOf(p, c.client, k); !slices.Equal(got, c.want) {
				t.Fatalf("order %v, want %v", got, c.want)
			}
		})
	}
	p := steer.Compile(build(profile.Multivalue, states("uudu")))
	k := p.Pick(&steer.Client{}, func() uint64 { return 5 }, nil)
	if got := orderOf(p, steer.Client{}, k); !slices.Equal(got, []string{"d", "a", "b"}) {
		t.Fatalf("multivalue begins where the window does: %v", got)
	}
}

func text(t *steer.Trail) (out string) {
	for _, s := range t.Steps {
		if s.Profile != "" {
			out += s.Profile + " | "
		}
		out += s.Step + " | " + s.Rule + " | " + s.Input + " | " + s.Result + "\n"
	}
	return out
}
