package api

import (
	"slices"
	"strings"
	"testing"
	"time"

	"jurymast/internal/health"
	"jurymast/internal/profile"
)

// Three profiles: shop nests two sites, each of which has two endpoints.
const (
	shop = `{"name":"shop","hostnames":["shop.dr.example"],"routing":"priority","min_usable":2,"endpoints":[
{"name":"north","target":{"profile":"site-north"}},{"name":"south","target":{"profile":"site-south"}}]}`
	siteNorth = `{"name":"site-north","hostnames":["north.dr.example"],"labels":{"tier":"gold"},"endpoints":[
{"name":"a","target":"127.0.0.11","labels":{"rack":"1"},"location":{"region":"eu-central"}},{"name":"b","target":"127.0.0.12","labels":{"rack":"2"},"location":{"region":"eu-west"}}]}`
	siteSouth = `{"name":"site-south","hostnames":["south.dr.example"],"min_between":"1m","endpoints":[
{"name":"a","target":"127.0.0.21","labels":{"rack":"1"}},{"name":"b","target":"127.0.0.22","labels":{"rack":"2"}}]}`
)

// shopViews are the three as they stand under some orders, children first resolved.
func shopViews(t *testing.T, orders []health.Override) []*health.View {
	t.Helper()
	of := func(name string) []health.Override {
		return slices.DeleteFunc(slices.Clone(orders), func(o health.Override) bool { return o.Profile != name })
	}
	north := viewOf(decoded(t, siteNorth), health.Decision{}, of("site-north"), up, up)
	south := viewOf(decoded(t, siteSouth), health.Decision{}, of("site-south"), up, up)
	top := viewOf(decoded(t, shop), activeAt("north", 3), of("shop"), up, up)
	for i, child := range []*health.View{north, south} {
		top.Endpoints[i].Child = child
		health.Resolve(top.Profile, &top.Endpoints[i], top.Disabled, at)
	}
	return []*health.View{top, north, south}
}

func order(id string, act health.Act, target string) health.Override {
	name, endpoint, _ := strings.Cut(target, "/")
	return health.Override{ID: id, Act: act, Profile: name, Endpoint: endpoint, By: "x", At: at.Add(-time.Minute)}
}

func openGate(name string) health.Override {
	return health.Override{ID: "g", Act: health.OpenGate, Gate: name, By: "x", At: at.Add(-time.Minute)}
}

func rule(t *testing.T, text string) *profile.Safety {
	t.Helper()
	s, err := profile.DecodeSafety("test", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func on(act string, targets ...string) OrderStep {
	s := OrderStep{Act: act}
	for _, text := range targets {
		name, endpoint, _ := strings.Cut(text, "/")
		s.Targets = append(s.Targets, OrderTarget{name, endpoint})
	}
	return s
}

func by(act, selector string) OrderStep { return OrderStep{Act: act, Select: selector} }

func TestTransactions(t *testing.T) {
	racks := `{"name":"rack one","assert":{"of":"label:rack=1","at_least":2}}`
	window := `{"name":"window","gate":"maintenance","of":"profile=site-north"}`
	for _, c := range []struct {
		name   string
		steps  []OrderStep
		orders []health.Override
		begun  map[string]time.Duration // how long ago
		rules  []string
		glass  bool

		place, end []string // ACT TARGET
		broken     []string
		code, says string
		skipped    int
	}{
		{name: "nested: one of two is enough", steps: []OrderStep{on("disable", "site-north/a")}, place: []string{"disable site-north/a"}},
		{
			name: "nested: the last one of a child", steps: []OrderStep{on("disable", "site-north/a", "site-north/b")},
			code: "guard", says: `no usable endpoint of profile "site-north" would be left`,
		},
		{
			name: "nested: the child may, its parent may not", steps: []OrderStep{on("disable", "site-north")},
			code: "guard", says: `profile "shop" would have 1 usable endpoint left (2 now, min_usable is 2), because it stands on`,
		},
		{
			name: "nested: not worse than it is", orders: []health.Override{order("1", health.DisableProfile, "site-south")},
			steps: []OrderStep{on("drain", "site-north/a")}, place: []string{"drain site-north/a"},
		},
		{
			name: "nested: ending an order is judged too", orders: []health.Override{order("1", health.ForceUp, "shop/north"), order("2", health.DisableProfile, "site-north")},
			steps: []OrderStep{on("force-off", "shop/north")}, code: "guard", says: `"shop" would have 1`,
		},
		{
			name:   "a switch of children is one change",
			orders: []health.Override{order("1", health.Disable, "site-north/b")},
			steps:  []OrderStep{on("disable", "site-north/a"), on("enable", "site-north/b")},
			place:  []string{"disable site-north/a"}, end: []string{"disable site-north/b"},
		},
		{name: "the same in two changes", orders: []health.Override{order("1", health.Disable, "site-north/b")}, steps: []OrderStep{on("disable", "site-north/a")}, code: "guard"},
		{
			name: "a later step undoes an earlier one", steps: []OrderStep{on("drain", "site-north/a", "site-north/b"), on("undrain", "site-north/b")},
			place: []string{"drain site-north/a"},
		},

		{name: "by label of the endpoint", steps: []OrderStep{by("pause", "label:rack=1")}, place: []string{"pause site-north/a", "pause site-south/a"}},
		{name: "by label of the profile", steps: []OrderStep{by("pause", "label:tier=gold")}, place: []string{"pause site-north/a", "pause site-north/b"}},
		{name: "by location", steps: []OrderStep{by("drain", "location=eu-west")}, place: []string{"drain site-north/b"}},
		{name: "profiles by label", steps: []OrderStep{by("hold", "label:tier=gold")}, place: []string{"hold-profile site-north"}},
		{name: "a label of an endpoint selects no profile", steps: []OrderStep{by("hold", "label:rack=1")}, code: "invalid", says: "matches nothing; profiles: shop, site-north, site-south; labels: tier=gold"},
		{name: "matched on whole names", steps: []OrderStep{by("drain", "profile=site")}, code: "invalid", says: `"profile=site" matches nothing; profiles: shop`},
		{name: "no selector", steps: []OrderStep{by("drain", "rack=1")}, code: "invalid", says: "allowed: profile=NAME"},
		{name: "nothing named", steps: []OrderStep{{Act: "drain"}}, code: "invalid", says: "names nothing"},
		{name: "both", steps: []OrderStep{{Act: "drain", Select: "profile=shop", Targets: []OrderTarget{{"shop", "north"}}}}, code: "invalid", says: "one of them"},
		{name: "the second step is wrong", steps: []OrderStep{on("drain", "shop/north"), on("explode", "shop/south")}, code: "invalid", says: "steps[1].act"},
		{name: "unknown profile", steps: []OrderStep{on("drain", "moon/a")}, code: "not-found", says: `"moon"`},
		{name: "keep probing", steps: []OrderStep{{Act: "disable", Select: "endpoint=a", KeepProbing: true}}, place: []string{"disable site-north/a", "disable site-south/a"}},
		{name: "keep probing what is probed", steps: []OrderStep{{Act: "drain", Select: "endpoint=a", KeepProbing: true}}, code: "invalid", says: "only disable of endpoints"},
		{name: "selected, but not possible", steps: []OrderStep{by("failback", "profile=site-north")}, code: "refused", says: "no decision"},

		{name: "assertion holds", rules: []string{racks}, steps: []OrderStep{on("disable", "site-north/b")}, place: []string{"disable site-north/b"}},
		{
			name: "assertion over two profiles", rules: []string{racks}, steps: []OrderStep{on("disable", "site-north/a")},
			code: "guard", says: `safety rule "rack one": 1 usable endpoint would be left of label:rack=1 (2 now, at least 2 must stay)`,
		},
		{name: "assertion against disabling a profile", rules: []string{racks}, steps: []OrderStep{on("disable", "site-south")}, code: "guard", says: `safety rule "rack one"`},
		{
			name: "assertion that is broken already", rules: []string{racks}, orders: []health.Override{order("1", health.Disable, "site-north/a")},
			steps: []OrderStep{on("drain", "site-south/b")}, place: []string{"drain site-south/b"},
		},
		{
			name: "assertion kept by a switch", rules: []string{racks}, orders: []health.Override{order("1", health.Disable, "site-north/a")},
			steps: []OrderStep{on("disable", "site-south/a"), on("enable", "site-north/a")}, place: []string{"disable site-south/a"}, end: []string{"disable site-north/a"},
		},
		{
			name: "glass over an assertion", rules: []string{racks}, steps: []OrderStep{on("disable", "site-north/a")}, glass: true,
			place: []string{"disable site-north/a"}, broken: []string{"safety rule rack one"},
		},

		{name: "gate closed", rules: []string{window}, steps: []OrderStep{on("drain", "site-north/a")}, code: "guard", says: `safety rule "window": gate "maintenance" is closed`},
		{name: "gate closed for the whole profile", rules: []string{window}, steps: []OrderStep{on("hold", "site-north")}, code: "guard", says: `"window"`},
		{name: "gate open", rules: []string{window}, orders: []health.Override{openGate("maintenance")}, steps: []OrderStep{on("drain", "site-north/a")}, place: []string{"drain site-north/a"}},
		{name: "gate of others", rules: []string{window}, steps: []OrderStep{on("pause", "site-south/a")}, place: []string{"pause site-south/a"}},
		{name: "gate over everything", rules: []string{`{"name":"freeze","gate":"change"}`}, steps: []OrderStep{on("pause", "site-south/a")}, code: "guard", says: `"freeze"`},
		{name: "ending behind a gate", rules: []string{window}, orders: []health.Override{order("1", health.Drain, "site-north/a")}, steps: []OrderStep{on("undrain", "site-north/a")}, code: "guard"},
		{name: "open a gate", rules: []string{window}, steps: []OrderStep{{Act: "open-gate", Gate: "maintenance"}}, place: []string{"open-gate maintenance"}},
		{name: "open and go through", rules: []string{window}, steps: []OrderStep{{Act: "open-gate", Gate: "maintenance"}, on("drain", "site-north/a")}, code: "guard"},
		{name: "close a gate", rules: []string{window}, orders: []health.Override{openGate("maintenance")}, steps: []OrderStep{{Act: "close-gate", Gate: "maintenance"}}, end: []string{"open-gate maintenance"}},
		{name: "no such gate", rules: []string{window}, steps: []OrderStep{{Act: "open-gate", Gate: "moon"}}, code: "invalid", says: "gates: maintenance"},
		{name: "a gate on a target", rules: []string{window}, steps: []OrderStep{{Act: "open-gate", Gate: "maintenance", Select: "profile=shop"}}, code: "invalid", says: "leave targets and select out"},

		{name: "too soon", begun: map[string]time.Duration{"site-south": 20 * time.Second}, steps: []OrderStep{on("pause", "site-south/a")}, code: "guard", says: "wait 40s"},
		{name: "late enough", begun: map[string]time.Duration{"site-south": time.Minute}, steps: []OrderStep{on("pause", "site-south/a")}, place: []string{"pause site-south/a"}},
		{name: "another clock runs ahead", begun: map[string]time.Duration{"site-south": -time.Hour}, steps: []OrderStep{on("pause", "site-south/a")}, code: "guard", says: "wait 1m0s"},
		{name: "no pause asked for", begun: map[string]time.Duration{"site-north": time.Second}, steps: []OrderStep{on("pause", "site-north/a")}, place: []string{"pause site-north/a"}},
		{
			name: "glass over all", begun: map[string]time.Duration{"site-south": time.Second}, rules: []string{racks, `{"name":"freeze","gate":"change"}`},
			steps: []OrderStep{by("disable", "profile=site-south")}, glass: true, place: []string{"disable site-south/a", "disable site-south/b"},
			broken: []string{"min_between of profile site-south", "safety rule freeze", "min_usable of profile shop", "min_usable of profile site-south", "safety rule rack one"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			book := OrderBook{Orders: c.orders, Begun: map[string]time.Time{}}
			for name, ago := range c.begun {
				book.Begun[name] = at.Add(-ago)
			}
			var rules []*profile.Safety
			for _, text := range c.rules {
				rules = append(rules, rule(t, text))
			}
			p, err := planOrder(asked{world: worldOf(book, rules, shopViews(t, c.orders)...), steps: c.steps, breakGlass: c.glass, by: "me", id: "new"})
			if c.code != "" {
				checkRefusal(t, err, c.code, c.says)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := told(p.place); !slices.Equal(got, c.place) {
				t.Errorf("places %v, want %v", got, c.place)
			}
			if got := told(p.end); !slices.Equal(got, c.end) {
				t.Errorf("ends %v, want %v", got, c.end)
			}
			if got := ruleNames(p.broken); len(got)+len(c.broken) > 0 && !slices.Equal(got, c.broken) {
				t.Errorf("breaks %v, want %v", got, c.broken)
			}
			for i := range p.place {
				if want := map[bool]string{false: "me", true: "me (break-glass)"}[c.glass]; p.place[i].By != want {
					t.Errorf("by %q, want %q", p.place[i].By, want)
				}
			}
		})
	}
}

func told(list []health.Override) []string {
	var out []string
	for i := range list {
		out = append(out, list[i].Act.String()+" "+subjectOf(&list[i]))
	}
	return out
}

// The rules look at the orders there are, not at what the views last saw of them.
func TestRulesDoNotTrustOldViews(t *testing.T) {
	orders := []health.Override{order("1", health.Disable, "site-north/b")}
	w := worldOf(OrderBook{Orders: orders}, nil, shopViews(t, nil)...) // the views have not followed yet
	_, err := planOrder(asked{world: w, steps: []OrderStep{on("disable", "site-north/a")}, by: "me", id: "new"})
	checkRefusal(t, err, "guard", "no usable endpoint")
	w = worldOf(OrderBook{}, nil, shopViews(t, orders)...) // ended meanwhile
	for i := range orders {
		w.view("site-north").Orders = append(w.view("site-north").Orders, orders[i])
	}
	if _, err := planOrder(asked{world: w, steps: []OrderStep{on("disable", "site-north/a")}, by: "me", id: "new"}); err != nil {
		t.Error(err)
	}
}

// An order is judged by what is calculated from its target, too.
func TestCalculatedIsJudged(t *testing.T) {
	front := decoded(t, `{"name":"front","hostnames":["front.dr.example"],"endpoints":[
{"name":"pair","target":"127.0.0.31","monitor":{"calculated":{"of":["site-north/a","near"],"at_least":2}}},{"name":"near","target":"127.0.0.32","weight":0}],"min_usable":2}`)
	views := append(shopViews(t, nil), viewOf(front, health.Decision{}, nil, up, up))
	a := asked{world: worldOf(OrderBook{}, nil, views...), steps: []OrderStep{on("disable", "site-north/a")}, by: "me", id: "new"}
	_, err := planOrder(a)
	checkRefusal(t, err, "guard", `profile "front" would have 1 usable endpoint left (2 now, min_usable is 2), because it stands on`)
	a.steps = []OrderStep{on("disable", "site-north/b")}
	if _, err := planOrder(a); err != nil {
		t.Error(err)
	}
}

// What one step orders is one order; each failback is one by itself.
func TestIDsOfAStep(t *testing.T) {
	w := worldOf(OrderBook{}, nil, shopViews(t, nil)...)
	p, err := planOrder(asked{world: w, steps: []OrderStep{by("pause", "endpoint=a"), by("drain", "endpoint=b")}, by: "me", id: "new"})
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for i := range p.place {
		ids = append(ids, p.place[i].ID)
	}
	if !slices.Equal(ids, []string{"new", "new", "new-2", "new-2"}) {
		t.Errorf("ids %v", ids)
	}
	if a := (asked{id: "new"}); a.orderID(1, 2, health.FailbackNow) != "new-2.3" {
		t.Errorf("a failback has %s", a.orderID(1, 2, health.FailbackNow))
	}
}

// min_usable: 0 demands nothing; what begins is remembered only where somebody asks for a pause.
func TestNoDemandAndBegins(t *testing.T) {
	p := decoded(t, strings.Replace(integration, `"name":"integration"`, `"name":"integration","min_usable":0,"min_between":"5s"`, 1))
	v := viewOf(p, activeAt("eu20", 3), nil, up, up)
	a := asked{world: worldOf(OrderBook{Begun: map[string]time.Time{"gone": at, "integration": at.Add(-time.Hour)}}, nil, v), steps: []OrderStep{by("disable", "profile=integration")}, id: "new"}
	plan, err := planOrder(a)
	if err != nil {
		t.Fatal(err)
	}
	if len(plan.begun) != 1 || !plan.begun["integration"].Equal(at) {
		t.Errorf("remembers %v", plan.begun)
	}
}

func TestTransactionsOverTheWire(t *testing.T) {
	r := newRig(t)
	r.publish(viewOf(decoded(t, integration), activeAt("eu20", 3), nil, up, up))
	got := into[OrderResult](t, r.do(r.unix, "POST", "/api/v1/orders", `{"act":"drain","select":"endpoint=us21","for":"10m","note":"patch"}`))
	if len(got.Placed) != 1 || got.Placed[0].Profile != "integration" || got.Placed[0].Endpoint != "us21" || got.Placed[0].Until == nil {
		t.Fatalf("%+v", got)
	}
	got = into[OrderResult](t, r.do(r.web, "POST", "/api/v1/orders", `{"steps":[{"act":"undrain","targets":[{"profile":"integration","endpoint":"us21"}]},{"act":"drain","targets":[{"profile":"integration","endpoint":"eu20"}]}],"for":"1h"}`))
	if len(got.Placed) != 1 || len(got.Ended) != 1 || got.Placed[0].Until == nil || len(r.orders.changes) != 2 {
		t.Fatalf("%+v in %d changes", got, len(r.orders.changes))
	}
	r.problem(r.do(r.web, "POST", "/api/v1/orders", `{}`), 422, CodeInvalid)
	r.problem(r.do(r.web, "POST", "/api/v1/orders", `{"act":"drain","steps":[{"act":"drain","select":"endpoint=us21"}]}`), 422, CodeInvalid)
	r.problem(r.do(r.web, "POST", "/api/v1/orders", `{"steps":[{"act":"undrain","select":"endpoint=eu20"}],"for":"1h"}`), 422, CodeInvalid)
	r.problem(r.do(r.web, "POST", "/api/v1/orders", `{"act":"drain","select":"endpoint=mars"}`), 422, CodeInvalid)
	r.problem(r.do(r.web, "POST", "/api/v1/orders", `{"act":"drain","targets":[{"profile":"mars","endpoint":"x"}]}`), 404, CodeNotFound)
	r.problem(r.do(r.web, "POST", "/api/v1/orders", `{"act":"disable","select":"profile=integration"}`), 409, CodeGuard)
	broken := into[OrderResult](t, r.do(r.web, "POST", "/api/v1/orders", `{"act":"disable","select":"profile=integration","breakGlass":true}`))
	if !slices.Equal(broken.Broken, []string{"min_usable of profile integration"}) || !strings.Contains(broken.Message, "glass was broken") {
		t.Fatalf("%+v", broken)
	}
	if last := r.orders.changes[len(r.orders.changes)-1]; last.Reason != "break-glass: min_usable of profile integration" || !strings.HasSuffix(last.By, "(break-glass)") {
		t.Fatalf("the journal would say %+v", last)
	}
	if list := into[OrderList](t, r.do(r.web, "GET", "/api/v1/orders", "")); len(list.Orders) != 3 {
		t.Fatalf("%+v", list)
	}
	id := broken.Placed[0].ID
	if ended := into[OrderResult](t, r.do(r.web, "DELETE", "/api/v1/orders/"+id, "")); len(ended.Ended) != 2 || !strings.Contains(ended.Message, "2 targets") {
		t.Fatalf("%+v", ended)
	}
	r.problem(r.do(r.web, "DELETE", "/api/v1/orders/"+id, ""), 404, CodeNotFound)
}
