package api

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"jurymast/internal/health"
)

// TestNamesIgnoreCase: what is meant is found in any case, and told as its document writes it.
func TestNamesIgnoreCase(t *testing.T) {
	r := newRig(t)
	r.server.o.Signals = &signals{}
	r.publish(viewOf(decoded(t, external), activeAt("eu20", 3), nil, up, up))
	const p = "/api/v1/profiles/INTEGRATION"
	if s := into[ProfileStatus](t, r.do(r.web, "GET", p+"/status", "")); s.Name != "integration" {
		t.Errorf("status of %q", s.Name)
	}
	if s := into[SignalResult](t, r.do(r.web, "POST", p+"/endpoints/EU20/signal", `{"state":"up"}`, "Authorization: Bearer open sesame")); s.Profile != "integration" || s.Endpoint != "eu20" {
		t.Errorf("signal of %+v", s)
	}
	if s := into[ProbeResult](t, r.do(r.web, "POST", p+"/endpoints/US21/probe", `{}`)); s.Profile != "integration" || s.Endpoint != "us21" {
		t.Errorf("probe of %+v", s)
	}
	if s := into[OrderResult](t, r.do(r.web, "POST", p+"/orders", `{"act":"drain","endpoint":"US21"}`)); len(s.Placed) != 1 || s.Placed[0].Profile != "integration" || s.Placed[0].Endpoint != "us21" {
		t.Errorf("order of %+v", s)
	}
	list := into[OrderList](t, r.do(r.web, "GET", p+"/orders", ""))
	if len(list.Orders) != 1 {
		t.Fatalf("orders %+v", list)
	}
	if s := into[OrderResult](t, r.do(r.web, "DELETE", p+"/orders/"+list.Orders[0].ID, "")); len(s.Ended) != 1 {
		t.Errorf("ended %+v", s)
	}
	if s := into[OrderResult](t, r.do(r.web, "POST", "/api/v1/orders", `{"act":"drain","targets":[{"profile":"Integration","endpoint":"Us21"}]}`)); len(s.Placed) != 1 || s.Placed[0].Endpoint != "us21" {
		t.Errorf("transaction %+v", s)
	}
	r.journal.add(health.Entry{ID: "1", Kind: health.EntryAct, Profile: "integration"})
	if s := into[EntryList](t, r.do(r.web, "GET", "/api/v1/journal?profile=Integration", "")); len(s.Entries) != 1 {
		t.Errorf("journal %+v", s)
	}
	if got := r.do(r.web, "PUT", p, external); got.status != 201 {
		t.Fatalf("%+v", got)
	}
	if d := into[Document](t, r.do(r.web, "GET", p, "")); d.Name != "integration" {
		t.Errorf("document %q", d.Name)
	}
	if got := r.do(r.web, "DELETE", p, ""); got.status != 204 {
		t.Errorf("delete: %+v", got)
	}
}

// TestProbeSaysWhatToUseInstead: an endpoint that has no probes says what it has.
func TestProbeSaysWhatToUseInstead(t *testing.T) {
	r := newRig(t)
	document := `{"name":"kinds","hostnames":["kinds.dr.example"],"endpoints":[
{"name":"nested","target":{"profile":"emea"}},{"name":"always","target":"127.0.0.12","always_serve":true},
{"name":"assumed","target":"127.0.0.13","monitor":{"assume":"down"}},
{"name":"external","target":"127.0.0.14","monitor":{"external":{"token":{"secret":"EU20"},"ttl":"1m","on_silence":"down"}}},
{"name":"calculated","target":"127.0.0.15","monitor":{"calculated":{"of":["external","assumed"]}}}]}`
	v := viewOf(decoded(t, document), health.Decision{}, nil, wait, wait, wait, wait, wait)
	r.publish(v)
	for name, says := range map[string]string{
		"nested": `stands for profile "emea"`, "always": "always_serve: true", "assumed": "taken for down (monitor.assume)",
		"external": "jurymast signal", "calculated": "calculated from: external, assumed",
	} {
		if p := r.problem(r.do(r.web, "POST", "/api/v1/profiles/kinds/endpoints/"+name+"/probe", `{}`), 422, CodeInvalid); !strings.Contains(p.Detail, says) {
			t.Errorf("%s: %s", name, p.Detail)
		}
	}
	for i, e := range StatusOf(v).Endpoints {
		if unwatched := i == 1 || i == 2; unwatched != (e.Real == "" && e.Reason == "not probed") {
			t.Errorf("%s: real %q, reason %q", e.Name, e.Real, e.Reason)
		}
	}
}

// TestWordsOfRefusals: what was only asked changed nothing, which needs no word; the method goes before the body.
func TestWordsOfRefusals(t *testing.T) {
	r := newRig(t)
	r.server.o.Signals = &signals{}
	r.publish(viewOf(decoded(t, strings.Replace(external, `"target":"127.0.0.12"`, `"target":"127.0.0.12","monitor":{"external":{"token":{"secret":"US21"},"ttl":"1m","on_silence":"down"}}`, 1)), activeAt("eu20", 3), nil, up, up))
	if p := r.problem(r.do(r.web, "GET", "/api/v1/explain?name=x&client=nowhere", ""), 422, CodeInvalid); strings.Contains(p.Detail, "changed") {
		t.Errorf("a question is told %q", p.Detail)
	}
	if p := r.problem(r.do(r.web, "POST", "/api/v1/orders", `{"act":"explode"}`), 422, CodeInvalid); !strings.Contains(p.Detail, "nothing was changed") {
		t.Errorf("an order is told %q", p.Detail)
	}
	if got := r.do(r.web, "PATCH", "/api/v1/orders", "act=drain", "Content-Type: text/plain"); got.status != 405 || got.header.Get("Allow") == "" {
		t.Errorf("PATCH: %d, allow %q", got.status, got.header.Get("Allow"))
	}
	const signal = "/api/v1/profiles/integration/endpoints/eu20/signal"
	if p := r.problem(r.do(r.web, "POST", signal, `{"state":"up"}`, "Authorization: Bearer nonsense"), 401, CodeUnauthorized); !strings.Contains(p.Detail, "the token is wrong (401)") {
		t.Error(p.Detail)
	}
	if p := r.problem(r.do(r.web, "POST", signal, `{"state":"up"}`), 401, CodeUnauthorized); !strings.Contains(p.Detail, "needs the endpoint's own token") {
		t.Error(p.Detail)
	}
	if p := r.problem(r.do(r.web, "POST", strings.Replace(signal, "eu20", "us21", 1), `{"state":"up"}`, "Authorization: Bearer x"), 503, CodeUnavailable); !strings.Contains(p.Detail, "the environment variable US21 is not set") {
		t.Error(p.Detail)
	}
	steps := `{"steps":[{"act":"drain","targets":[{"profile":"integration","endpoint":"us21"}]},{"act":"drain","targets":[{"profile":"integration","endpoint":"mars"}]}]}`
	if p := r.problem(r.do(r.web, "POST", "/api/v1/orders", steps), 404, CodeNotFound); p.Detail != `step 2: endpoint "mars" of profile "integration": not found; endpoints of integration: eu20, us21` {
		t.Error(p.Detail)
	}
	if p := r.problem(r.do(r.web, "POST", "/api/v1/orders", strings.ReplaceAll(steps, "integration", "mars")), 404, CodeNotFound); p.Detail != `step 1: profile "mars": not found; profiles: integration` {
		t.Error(p.Detail)
	}
}

// TestBreakGlassIsOnlyToldWhenGlassBroke keeps the journal honest.
func TestBreakGlassIsOnlyToldWhenGlassBroke(t *testing.T) {
	p := decoded(t, integration)
	for _, c := range []struct {
		standby health.Status
		breaks  bool
	}{{up, false}, {down, true}} {
		a := oneOrder(OrderRequest{Act: "drain", Endpoint: "eu20"}, nil, viewOf(p, activeAt("eu20", 3), nil, up, c.standby))
		a.by, a.breakGlass = "anna", true
		plan, err := planOrder(a)
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Contains(plan.place[0].By, "break-glass"); got != c.breaks || strings.Contains(plan.actor("anna"), "break-glass") != c.breaks || (plan.reason() != "") != c.breaks {
			t.Errorf("standby %v: by %q, reason %q", c.standby, plan.place[0].By, plan.reason())
		}
	}
}

// TestOrdersOnWhatADocumentDisables are taken, and say that nothing comes of them.
func TestOrdersOnWhatADocumentDisables(t *testing.T) {
	p := decoded(t, strings.Replace(integration, `"name":"us21"`, `"name":"us21","enabled":false`, 1))
	v := viewOf(p, activeAt("eu20", 3), nil, up, wait)
	plan, err := planOrder(oneOrder(OrderRequest{Act: "force-up", Endpoint: "us21"}, nil, v))
	if err != nil || !strings.Contains(plan.said[0], "integration/us21: disabled by its document (enabled: false); force-up has no effect until the document enables it") {
		t.Errorf("%v, %q", err, plan.said)
	}
	plan, err = planOrder(oneOrder(OrderRequest{Act: "force-up", Endpoint: "eu20"}, nil, v))
	if err != nil || strings.Contains(plan.said[0], "document") {
		t.Errorf("%v, %q", err, plan.said)
	}
}

// TestStepsAreToldOneByOne: several steps are several sentences, one is one.
func TestStepsAreToldOneByOne(t *testing.T) {
	r := newRig(t)
	r.publish(viewOf(decoded(t, integration), activeAt("eu20", 3), nil, up, up))
	got := into[OrderResult](t, r.do(r.web, "POST", "/api/v1/orders", `{"steps":[{"act":"drain","select":"endpoint=us21"},{"act":"pause","select":"profile=integration"}]}`))
	want := []string{"drain integration/us21: in force until it is ended", "pause 2 endpoints of 1 profile: in force until it is ended"}
	if !slices.Equal(got.Steps, want) {
		t.Errorf("%q", got.Steps)
	}
	if got := into[OrderResult](t, r.do(r.web, "POST", "/api/v1/orders", `{"act":"undrain","select":"endpoint=us21"}`)); got.Steps != nil || got.Message == "" {
		t.Errorf("%+v", got)
	}
}

func TestErrNotFoundIsKeptUnderAStep(t *testing.T) {
	a := asked{lists: true}
	if err := a.nowhere(0, noProfile("x"), "profiles", nil); !errors.Is(err, ErrNotFound) || err.Error() != `step 1: profile "x": not found; there are no profiles` {
		t.Error(err)
	}
}
