package api

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"jurymast/internal/health"
	"jurymast/internal/snapshot"
	"jurymast/internal/steer"
)

var update = flag.Bool("update", false, "write the golden files anew")

func TestStatusOf(t *testing.T) {
	p := decoded(t, integration)
	drain := health.Override{ID: "1", Act: health.Drain, Profile: "integration", Endpoint: "eu20", By: "uid 0 (root)", Note: "patch day", At: at}
	hold := health.Override{ID: "2", Act: health.HoldProfile, Profile: "integration", By: "local", At: at}
	for _, c := range []struct {
		name      string
		decision  health.Decision
		orders    []health.Override
		verdicts  []health.Status
		change    func(*health.View)
		status    string // profile
		serving   steer.Serving
		ttl       string
		endpoints [2]string // real monitorStatus override ttl
	}{
		{
			name: "all up", decision: activeAt("eu20", 3), verdicts: []health.Status{health.Online, health.Online},
			status: "Online", serving: steer.ServingPreferred, ttl: "30s", endpoints: [2]string{"up Online - 30s", "up Online - 30s"},
		},
		{
			name: "primary down", decision: activeAt("us21", 4), verdicts: []health.Status{health.Degraded, health.Online},
			status: "Degraded", serving: steer.ServingFallback, ttl: "30s", endpoints: [2]string{"down Degraded - 30s", "up Online - 30s"},
		},
		{
			name: "checking", verdicts: []health.Status{health.CheckingEndpoint, health.CheckingEndpoint}, change: func(v *health.View) { v.Ready = false },
			status: "CheckingEndpoints", serving: steer.ServingNotReady, ttl: "0s", endpoints: [2]string{"checking CheckingEndpoint - 30s", "checking CheckingEndpoint - 30s"},
		},
		{
			name: "drained", decision: activeAt("us21", 4), orders: []health.Override{drain}, verdicts: []health.Status{health.Online, health.Online},
			status: "Online", serving: steer.ServingFallback, ttl: "30s", endpoints: [2]string{"up Online drain 30s", "up Online - 30s"},
		},
		{
			name: "order about to end", decision: activeAt("us21", 4), verdicts: []health.Status{health.Online, health.Online},
			orders: []health.Override{{ID: "1", Act: health.ForceDown, Profile: "integration", Endpoint: "eu20", By: "local", At: at, Until: at.Add(4500 * time.Millisecond)}},
			status: "Degraded", serving: steer.ServingFallback, ttl: "4s", endpoints: [2]string{"up Degraded force-down 4s", "up Online - 30s"},
		},
		{
			name: "all down", decision: activeAt("eu20", 3), verdicts: []health.Status{health.Degraded, health.Degraded},
			status: "Degraded", serving: steer.ServingAllDown, ttl: "1s", endpoints: [2]string{"down Degraded - 30s", "down Degraded - 30s"},
		},
		{
			name: "held and stale", decision: activeAt("eu20", 3), orders: []health.Override{hold}, verdicts: []health.Status{health.Online, health.Online},
			change: func(v *health.View) { v.Stale = true },
			status: "Online", serving: steer.ServingPreferred, ttl: "1s", endpoints: [2]string{"up Online - 30s", "up Online - 30s"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			v := viewOf(p, c.decision, c.orders, c.verdicts...)
			if c.change != nil {
				c.change(v)
			}
			s := StatusOf(v)
			if s.MonitorStatus != c.status || s.Serving != string(c.serving) || s.TTL != c.ttl || s.Stale != v.Stale {
				t.Errorf("profile: %s %s %s stale %v", s.MonitorStatus, s.Serving, s.TTL, s.Stale)
			}
			for i, e := range s.Endpoints {
				order := "-"
				if e.Override != nil {
					order = e.Override.Act
				}
				if got := strings.Join([]string{e.Real, e.MonitorStatus, order, e.TTL}, " "); got != c.endpoints[i] {
					t.Errorf("%s: %s, want %s", e.Name, got, c.endpoints[i])
				}
			}
			if (s.Decision == nil) != (c.decision.Epoch == 0) || (s.Held != nil) != (len(c.orders) == 1 && c.orders[0].Act == health.HoldProfile) {
				t.Errorf("decision %+v, held %+v", s.Decision, s.Held)
			}
		})
	}
}

// TestStatusKeepsTheContract: scripts outside rely on these keys.
func TestStatusKeepsTheContract(t *testing.T) {
	text, err := json.Marshal(StatusOf(viewOf(decoded(t, integration), activeAt("eu20", 3), nil, health.Online, health.Online)))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`"name":"integration"`, `"monitorStatus":"Online"`, `"decision":{"active":"eu20","epoch":3,"since":"2026-03-01T11:59:00Z","reason":"probe-quorum"`,
		`"real":"up"`, `"override":null`, `"ttl":"30s"`, `"votes":[{"node":"n1","location":"eu-central","vote":"up","since":"2026-03-01T11:00:00Z","reason":"seen up","failures":0,"successes":12}]`,
	} {
		if !strings.Contains(string(text), want) {
			t.Errorf("missing %s in %s", want, text)
		}
	}
}

func TestProfileWithoutViewKnowsNothing(t *testing.T) {
	hub := snapshot.NewHub()
	prepared, err := hub.Prepare(&snapshot.Documents{Profiles: viewsProfiles(t)})
	if err != nil {
		t.Fatal(err)
	}
	hub.Publish(prepared)
	s := statuses(hub.Load())
	if len(s) != 1 || s[0].Serving != string(steer.ServingNotReady) || s[0].Endpoints[0].Real != "checking" || s[0].Decision != nil {
		t.Errorf("%+v", s)
	}
}

func fixedPage(t testing.TB) []byte {
	t.Helper()
	p := decoded(t, integration)
	hostile := health.Override{
		ID: "1", Act: health.Drain, Profile: "integration", Endpoint: "eu20", By: `<script>alert(1)</script>`, Note: `"><img src=x onerror=alert(2)>`,
		At: at, Until: at.Add(30 * time.Minute),
	}
	n := node()
	n.Alarms = []string{"the disk is full"}
	page, err := renderPage(pageData{Overview: Overview{n, []ProfileStatus{
		StatusOf(viewOf(p, activeAt("us21", 4), []health.Override{hostile}, health.Online, health.Online)),
		StatusOf(viewOf(p, health.Decision{}, nil, health.Degraded, health.CheckingEndpoint)),
	}}, At: at})
	if err != nil {
		t.Fatal(err)
	}
	return page
}

func TestPageGolden(t *testing.T) {
	got := fixedPage(t)
	name := filepath.Join("testdata", "status.html")
	if *update {
		if err := os.WriteFile(name, got, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != string(want) {
		t.Errorf("the page differs from %s; look at it, then run with -update:\n%s", name, got)
	}
	text := string(got)
	if strings.Contains(text, "<script") || strings.Contains(text, "<img") {
		t.Error("values are not escaped")
	}
	for _, foreign := range []string{"src=", "<link", "@import", "url("} {
		if strings.Contains(strings.ReplaceAll(text, "img src=x", ""), foreign) {
			t.Errorf("the page loads something: %s", foreign)
		}
	}
}
