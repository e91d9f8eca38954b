package api

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/quick"
	"time"

	"jurymast/internal/health"
	"jurymast/internal/profile"
	"jurymast/internal/snapshot"
)

func onEndpoint(id string, act health.Act, endpoint string) health.Override {
	return health.Override{ID: id, Act: act, Profile: "integration", Endpoint: endpoint, By: "x", At: at.Add(-time.Minute)}
}

var (
	up   = health.Online
	down = health.Degraded
	wait = health.CheckingEndpoint
)

func TestOrders(t *testing.T) {
	for _, c := range []struct {
		name     string
		req      OrderRequest
		active   string
		orders   []health.Override
		verdicts [2]health.Status
		document string // instead of integration
		place    string // act, "" for none
		until    time.Duration
		end      []string // ids
		code     string   // of the refusal: guard, refused, invalid, not-found
		says     string   // in the error or the message
	}{
		{name: "disable the standby", req: OrderRequest{Act: "disable", Endpoint: "us21"}, place: "disable"},
		{name: "drain for a while", req: OrderRequest{Act: "drain", Endpoint: "eu20", For: "30m"}, place: "drain", until: 30 * time.Minute, says: "in force until 2026-03-01T12:30:00Z"},
		{name: "longest", req: OrderRequest{Act: "drain", Endpoint: "eu20", For: "720h"}, place: "drain", until: 720 * time.Hour},
		{name: "too long", req: OrderRequest{Act: "drain", Endpoint: "eu20", For: "720h1s"}, code: "invalid", says: "30 days"},
		{name: "no time", req: OrderRequest{Act: "drain", Endpoint: "eu20", For: "0s"}, code: "invalid"},
		{name: "negative", req: OrderRequest{Act: "drain", Endpoint: "eu20", For: "-5m"}, code: "invalid"},
		{name: "not a duration", req: OrderRequest{Act: "drain", Endpoint: "eu20", For: "soon"}, code: "invalid", says: `"soon"`},
		{name: "for on an end", req: OrderRequest{Act: "undrain", Endpoint: "eu20", For: "5m"}, code: "invalid"},
		{name: "unknown act", req: OrderRequest{Act: "explode", Endpoint: "eu20"}, code: "invalid", says: "allowed: disable, enable"},
		{name: "unknown endpoint", req: OrderRequest{Act: "drain", Endpoint: "mars"}, code: "not-found", says: `"mars"`},
		{name: "drain a profile", req: OrderRequest{Act: "drain"}, code: "invalid", says: "name it"},
		{name: "hold an endpoint", req: OrderRequest{Act: "hold", Endpoint: "eu20"}, code: "invalid", says: "leave the endpoint out"},

		{name: "enable ends disable", req: OrderRequest{Act: "enable", Endpoint: "eu20"}, orders: []health.Override{onEndpoint("1", health.Disable, "eu20"), onEndpoint("2", health.Drain, "eu20"), onEndpoint("3", health.Disable, "us21")}, end: []string{"1"}},
		{name: "nothing to end", req: OrderRequest{Act: "undrain", Endpoint: "eu20"}, says: "nothing to end"},
		{name: "disabled by its document", req: OrderRequest{Act: "enable", Endpoint: "eu20"}, document: strings.Replace(integration, `"name":"eu20"`, `"name":"eu20","enabled":false`, 1), code: "refused", says: "change the document"},
		{name: "profile disabled by its document", req: OrderRequest{Act: "enable"}, document: strings.Replace(integration, `"name":"integration"`, `"name":"integration","enabled":false`, 1), code: "refused", says: "change the document"},
		{name: "again with another end", req: OrderRequest{Act: "drain", Endpoint: "eu20", For: "1h"}, orders: []health.Override{onEndpoint("1", health.Drain, "eu20")}, place: "drain", until: time.Hour, end: []string{"1"}},
		{name: "expired orders are not there", req: OrderRequest{Act: "undrain", Endpoint: "eu20"}, orders: []health.Override{{ID: "1", Act: health.Drain, Profile: "integration", Endpoint: "eu20", Until: at}}, says: "nothing to end"},

		{name: "a force replaces the other", req: OrderRequest{Act: "force-up", Endpoint: "eu20"}, orders: []health.Override{onEndpoint("1", health.ForceDown, "eu20")}, place: "force-up", end: []string{"1"}},
		{name: "force down the primary", req: OrderRequest{Act: "force-down", Endpoint: "eu20"}, place: "force-down"},
		{name: "force off", req: OrderRequest{Act: "force-off", Endpoint: "eu20"}, orders: []health.Override{onEndpoint("1", health.ForceDown, "eu20"), onEndpoint("2", health.Drain, "eu20")}, end: []string{"1"}},
		{name: "force off the only support", req: OrderRequest{Act: "force-off", Endpoint: "eu20"}, orders: []health.Override{onEndpoint("1", health.ForceUp, "eu20")}, verdicts: [2]health.Status{down, down}, code: "guard"},

		{name: "drain the last usable", req: OrderRequest{Act: "drain", Endpoint: "eu20"}, verdicts: [2]health.Status{up, down}, code: "guard", says: "break glass"},
		{name: "force down the last usable", req: OrderRequest{Act: "force-down", Endpoint: "eu20"}, orders: []health.Override{onEndpoint("1", health.Disable, "us21")}, code: "guard"},
		{name: "disable while the other is checked", req: OrderRequest{Act: "disable", Endpoint: "eu20"}, verdicts: [2]health.Status{up, wait}, code: "guard"},
		{name: "break glass", req: OrderRequest{Act: "drain", Endpoint: "eu20", BreakGlass: true}, verdicts: [2]health.Status{up, down}, place: "drain"},
		{name: "drain a dead one", req: OrderRequest{Act: "drain", Endpoint: "us21"}, verdicts: [2]health.Status{up, down}, place: "drain"},
		{name: "drain one of two dead", req: OrderRequest{Act: "drain", Endpoint: "us21"}, verdicts: [2]health.Status{down, down}, place: "drain"},
		{name: "drain the last that answers", req: OrderRequest{Act: "drain", Endpoint: "us21"}, orders: []health.Override{onEndpoint("1", health.Disable, "eu20")}, verdicts: [2]health.Status{down, down}, code: "guard"},
		{name: "force up a dead one", req: OrderRequest{Act: "force-up", Endpoint: "us21"}, verdicts: [2]health.Status{down, down}, place: "force-up"},

		{name: "disable the profile", req: OrderRequest{Act: "disable"}, place: "disable-profile"},
		{name: "enable the profile", req: OrderRequest{Act: "enable"}, orders: []health.Override{onEndpoint("1", health.DisableProfile, "")}, end: []string{"1"}},
		{name: "hold", req: OrderRequest{Act: "hold"}, place: "hold-profile"},
		{name: "resume", req: OrderRequest{Act: "resume"}, orders: []health.Override{onEndpoint("1", health.HoldProfile, "")}, end: []string{"1"}},

		{name: "failback", req: OrderRequest{Act: "failback"}, active: "us21", place: "failback", until: failbackLife},
		{name: "failback at home", req: OrderRequest{Act: "failback"}, code: "refused", says: "active already"},
		{name: "failback to a dead one", req: OrderRequest{Act: "failback"}, active: "us21", verdicts: [2]health.Status{down, up}, code: "refused", says: "eu20 is Degraded"},
		{name: "failback to a drained one", req: OrderRequest{Act: "failback"}, active: "us21", orders: []health.Override{onEndpoint("1", health.Drain, "eu20")}, code: "refused", says: "drain by x"},
		{name: "failback during a takeover", req: OrderRequest{Act: "failback"}, active: "us21", verdicts: [2]health.Status{up, down}, code: "refused", says: "by itself"},
		{name: "failback without a decision", req: OrderRequest{Act: "failback"}, active: "-", code: "refused", says: "no decision"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.document == "" {
				// Automatic failback would make every failback order a takeover by itself.
				c.document = strings.Replace(integration, `"name":"integration"`, `"name":"integration","failback":{"mode":"manual"}`, 1)
			}
			if c.verdicts == [2]health.Status{} {
				c.verdicts = [2]health.Status{up, up}
			}
			decision := activeAt("eu20", 3)
			if c.active == "-" {
				decision = health.Decision{}
			} else if c.active != "" {
				decision.Active = c.active
			}
			view := viewOf(decoded(t, c.document), decision, c.orders, c.verdicts[:]...)
			p, err := planOrder(oneOrder(c.req, c.orders, view))
			if c.code != "" {
				checkRefusal(t, err, c.code, c.says)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			checkPlan(t, p, c.place, c.req.Endpoint, c.until, c.end)
			if said := strings.Join(p.said, "; "); !strings.Contains(said, c.says) {
				t.Errorf("message %q does not say %q", said, c.says)
			}
		})
	}
}

// oneOrder is an order of the per-profile route, judged in a world of these views; the first is the profile's.
func oneOrder(r OrderRequest, orders []health.Override, views ...*health.View) asked {
	return asked{
		world: worldOf(OrderBook{Orders: orders}, nil, views...), steps: []OrderStep{{Act: r.Act, Targets: []OrderTarget{{views[0].Profile.Name, r.Endpoint}}, For: r.For}},
		one: true, note: r.Note, breakGlass: r.BreakGlass, by: "me", id: "new",
	}
}

func worldOf(book OrderBook, rules []*profile.Safety, views ...*health.View) world {
	w := world{docs: &snapshot.Documents{Safety: rules}, book: book, now: at}
	byName := map[string]*health.View{}
	for _, v := range views {
		w.docs.Profiles = append(w.docs.Profiles, v.Profile)
		byName[v.Profile.Name] = v
	}
	w.view = func(name string) *health.View { return byName[name] }
	w.at = func(i int) *health.View { return views[i] }
	w.above = parents(w.docs)
	return w
}

func checkRefusal(t *testing.T, err error, code, says string) {
	t.Helper()
	if err == nil {
		t.Fatalf("not refused, want %s", code)
	}
	if p := problemOf(t.Context(), nil, err); p.Code != code {
		t.Errorf("code %s, want %s: %v", p.Code, code, err)
	}
	if !strings.Contains(err.Error(), says) {
		t.Errorf("%q does not say %q", err, says)
	}
}

func checkPlan(t *testing.T, p orderPlan, place, endpoint string, until time.Duration, end []string) {
	t.Helper()
	var ids []string
	for i := range p.end {
		ids = append(ids, p.end[i].ID)
	}
	if !slices.Equal(ids, end) {
		t.Errorf("ends %v, want %v", ids, end)
	}
	if place == "" {
		if len(p.place) != 0 {
			t.Errorf("places %+v, want nothing", p.place)
		}
		return
	}
	if len(p.place) != 1 {
		t.Fatalf("places %+v, want one %s", p.place, place)
	}
	o := p.place[0]
	want := time.Time{}
	if until != 0 {
		want = at.Add(until)
	}
	if o.Act.String() != place || o.Endpoint != endpoint || o.Profile != "integration" || !strings.HasPrefix(o.By, "me") || o.ID != "new" || !o.At.Equal(at) || !o.Until.Equal(want) {
		t.Errorf("places %+v", o)
	}
}

// TestGuardKeepsOneUsable: whatever is ordered in whatever order, without breaking glass a usable endpoint stays.
func TestGuardKeepsOneUsable(t *testing.T) {
	p := decoded(t, integration)
	acts := []string{"disable", "enable", "drain", "undrain", "force-up", "force-down", "force-off", "hold", "resume"}
	err := quick.Check(func(steps []uint8) bool {
		var orders []health.Override
		for n, step := range steps {
			v := viewOf(p, activeAt("eu20", 3), orders, up, up)
			req := OrderRequest{Act: acts[int(step)%len(acts)], Endpoint: []string{"eu20", "us21", ""}[int(step)/len(acts)%3]}
			a := oneOrder(req, orders, v)
			a.id = string(rune('a' + n))
			plan, err := planOrder(a)
			if err != nil {
				continue
			}
			orders = plan.after
			if usable, _ := standing(viewOf(p, activeAt("eu20", 3), orders, up, up), at); usable == 0 { // also below a disabled profile: it may be enabled again
				return false
			}
		}
		return true
	}, &quick.Config{MaxCount: 500})
	if err != nil {
		t.Error(err)
	}
}

func TestOrdersOverTheWire(t *testing.T) {
	r := newRig(t)
	r.publish(viewOf(decoded(t, integration), activeAt("eu20", 3), nil, up, up))
	const orders = "/api/v1/profiles/integration/orders"
	got := into[OrderResult](t, r.do(r.unix, "POST", orders, `{"act":"drain","endpoint":"us21","for":"10m","note":"patch"}`))
	if len(got.Placed) != 1 || got.Placed[0].Note != "patch" || !strings.HasPrefix(got.Placed[0].By, "uid ") || got.Placed[0].Until == nil || got.Placed[0].Endpoint != "us21" || len(got.Ended) != 0 {
		t.Fatalf("%+v", got)
	}
	r.problem(r.do(r.web, "POST", orders, `{"act":"drain","endpoint":"eu20"}`), 409, CodeGuard)
	r.problem(r.do(r.web, "POST", orders, `{"act":"failback"}`), 409, CodeRefused)
	r.problem(r.do(r.web, "POST", orders, `{"act":"explode"}`), 422, CodeInvalid)
	r.problem(r.do(r.web, "POST", orders, `{"act":"drain","endpoit":"eu20"}`), 422, CodeInvalid)
	r.problem(r.do(r.web, "POST", orders, `{"act":`), 400, CodeRequest)
	r.problem(r.do(r.web, "POST", "/api/v1/profiles/other/orders", `{"act":"hold"}`), 404, CodeNotFound)
	list := into[OrderList](t, r.do(r.web, "GET", orders, ""))
	if len(list.Orders) != 1 || list.Orders[0].Endpoint != "us21" || list.Orders[0].ID != got.Placed[0].ID {
		t.Fatalf("%+v", list)
	}
	r.problem(r.do(r.web, "DELETE", orders+"/unknown", ""), 404, CodeNotFound)
	if ended := into[OrderResult](t, r.do(r.web, "DELETE", orders+"/"+list.Orders[0].ID+"?note=done", "")); len(ended.Ended) != 1 {
		t.Errorf("%+v", ended)
	}
	if list := into[OrderList](t, r.do(r.web, "GET", orders, "")); len(list.Orders) != 0 {
		t.Errorf("%+v", list)
	}
	r.orders.fail = errors.Join(ErrUnavailable, errors.New("details"))
	r.problem(r.do(r.web, "POST", orders, `{"act":"hold"}`), 503, CodeUnavailable)
}

func TestIDsSortByTime(t *testing.T) {
	var last string
	for i := range 3 {
		id, err := newID(at.Add(time.Duration(i) * time.Second))
		if err != nil || id <= last || strings.ContainsAny(id, "/ ") {
			t.Fatalf("%q after %q: %v", id, last, err)
		}
		last = id
	}
}
