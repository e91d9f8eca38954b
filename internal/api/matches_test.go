package api

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"jurymast/internal/health"
	"jurymast/internal/profile"
)

// methodProfiles are one profile per routing method that chooses for each client, and a nested one.
func methodProfiles(t testing.TB) map[string]*profile.Profile {
	t.Helper()
	of := func(routing, first, second, more string) *profile.Profile {
		return decoded(t, fmt.Sprintf(`{"name":%q,"hostnames":["%s.dr.example"],"routing":%q%s,"endpoints":[{"name":"eu20","target":"127.0.0.11"%s},{"name":"us21","target":"127.0.0.12"%s}]}`,
			routing, routing, routing, more, first, second))
	}
	return map[string]*profile.Profile{
		"weighted":    of("weighted", `,"weight":3`, `,"weight":1`, `,"restore_ramp":"10m"`),
		"geographic":  of("geographic", `,"geo":["GEO-EU","GEO-AF","GEO-ME","GEO-AS"]`, `,"geo":["WORLD"],"subnets":["192.0.2.0/24"]`, ""),
		"performance": of("performance", `,"location":{"region":"West Europe"}`, `,"location":{"lat":37.8,"lon":-122.4}`, ""),
		"subnet":      of("subnet", `,"subnets":["192.0.2.0/24","198.51.100.7","203.0.113.0-203.0.113.9","2001:db8::/32"]`, "", ""),
		"nested":      decoded(t, `{"name":"nested","hostnames":["nested.dr.example"],"routing":"weighted","endpoints":[{"name":"all","target":{"profile":"weighted"},"min_child":2},{"name":"new","target":{"profile":"later"}}]}`),
	}
}

// methodStatuses is the state of them all, us21 fallen.
func methodStatuses(t testing.TB) map[string]ProfileStatus {
	t.Helper()
	profiles, out := methodProfiles(t), map[string]ProfileStatus{}
	views := map[string]*health.View{}
	for name, p := range profiles {
		if name != "nested" {
			views[name] = viewOf(p, health.Decision{}, nil, health.Online, health.Degraded)
			out[name] = StatusOf(views[name])
		}
	}
	v := &health.View{Profile: profiles["nested"], Ready: true}
	for i := range v.Profile.Endpoints {
		v.Endpoints = append(v.Endpoints, health.EndpointView{Config: &v.Profile.Endpoints[i]})
	}
	v.Endpoints[0].Child = views["weighted"]
	for i := range v.Endpoints {
		health.Resolve(v.Profile, &v.Endpoints[i], false, at)
		v.Endpoints[i].Verdict = health.NestedVerdict(&v.Endpoints[i], health.Verdict{}, at)
	}
	out["nested"] = StatusOf(v)
	return out
}

func TestStatusPerMethod(t *testing.T) {
	all := methodStatuses(t)
	for _, row := range []struct{ name, serving, first, second string }{
		{"weighted", "partial", "3", "1"},
		{"geographic", "partial", "GEO-EU GEO-AF GEO-ME +1", "WORLD and 192.0.2.0/24"},
		{"performance", "partial", "West Europe", "37.8, -122.4"},
		{"subnet", "partial", "192.0.2.0/24 198.51.100.7 203.0.113.0-203.0.113.9 +1", "all others"},
		{"nested", "", "1", "1"},
	} {
		s := all[row.name]
		if row.serving != "" && s.Serving != row.serving {
			t.Errorf("%s: serving %s, want %s", row.name, s.Serving, row.serving)
		}
		for i, want := range []string{row.first, row.second} {
			if got := s.Endpoints[i].Matches(s.Routing); got != want {
				t.Errorf("%s: endpoint %d matches %q, want %q", row.name, i, got, want)
			}
		}
	}
	nested := all["nested"].Endpoints
	if got := nested[0].Nested.String(); got != "weighted (1 of 2 Online, needs 2)" || nested[0].MonitorStatus != "Degraded" {
		t.Errorf("%s, %s", got, nested[0].MonitorStatus)
	}
	if got := nested[1].Nested.String(); got != "later (not known yet)" {
		t.Error(got)
	}
	if all["geographic"].Decision != nil || MatchHeading("priority") != "" {
		t.Error("a decision where there is none, or a column for priority")
	}
}

// Where the client decides, serving is how the endpoints stand, not what nobody in particular would get.
func TestServingOverAllClients(t *testing.T) {
	p := methodProfiles(t)["geographic"]
	for _, row := range []struct {
		eu, us health.Status
		want   string
	}{
		{health.Online, health.Online, "preferred"},
		{health.Degraded, health.Online, "partial"},
		{health.Degraded, health.Degraded, "all-down"},
	} {
		if got := StatusOf(viewOf(p, health.Decision{}, nil, row.eu, row.us)).Serving; got != row.want {
			t.Errorf("%s and %s: %s, want %s", row.eu, row.us, got, row.want)
		}
	}
	orders := []health.Override{{Act: health.Disable, Endpoint: "eu20"}, {Act: health.Disable, Endpoint: "us21"}}
	if got := StatusOf(viewOf(p, health.Decision{}, orders, health.Online, health.Online)).Serving; got != "none" {
		t.Errorf("all disabled: %s", got)
	}
	v := viewOf(p, health.Decision{}, nil, health.Online, health.Online)
	v.Ready = false
	if got := StatusOf(v).Serving; got != "not-ready" {
		t.Errorf("not ready: %s", got)
	}
}

func TestMethodsPageGolden(t *testing.T) {
	all := methodStatuses(t)
	weighted := all["weighted"]
	weighted.Endpoints[1].Weight, weighted.Endpoints[1].Paused = 0.25, true
	weighted.Endpoints[0].Signal = &SignalStatus{State: "up", By: "ci", At: at.Add(-time.Minute), Until: at.Add(time.Minute), Reason: "deployed"}
	kept := StatusOf(viewOf(decoded(t, integration), health.Decision{Active: "eu20", Epoch: 4, Keeps: "us21", Since: at}, nil, health.Online, health.Online))
	n := node()
	n.Locations = []LocationFile{
		{Path: "/var/lib/geo.mmdb", Kind: "location database", Type: "GeoLite2-City", Built: at.Add(-240 * time.Hour), Records: 123},
		{Path: "/etc/latency.csv", Kind: "latency table", Records: 9, Fault: "line 3: no number"},
	}
	page, err := renderPage(pageData{Overview: Overview{n, []ProfileStatus{kept, weighted, all["geographic"], all["performance"], all["subnet"], all["nested"]}}, At: at})
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join("testdata", "methods.html")
	if *update {
		if err := os.WriteFile(name, page, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if string(page) != string(want) {
		t.Errorf("the page differs from %s; look at it, then run with -update:\n%s", name, page)
	}
	if strings.Count(string(page), "No decision yet") != 0 {
		t.Error("a method without decisions waits for one")
	}
}
