//go:build linux

package app_test

import (
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"jurymast/internal/api"
)

const exampleDatabase = "../../examples/data/geo-example.mmdb"

// geographic is a site whose clients in California go to us21 and all others to eu20, by DNS and through the proxy.
func geographic(t *testing.T) *site {
	t.Helper()
	s := newSite(t)
	text, err := os.ReadFile(exampleDatabase)
	must(t, err)
	must(t, os.WriteFile(filepath.Join(s.dir, "city.mmdb"), text, 0o600))
	s.head = "  geo: {database: city.mmdb}\n" // beside the configuration
	s.listeners = ", trusted_proxies: [127.0.0.0/8]"
	s.euMore, s.usMore = ", geo: [WORLD]", ", geo: [US-CA]"
	return s
}

func (s *site) geoText() string {
	return strings.Replace(s.text(), "routing: priority", "routing: geographic", 1)
}

// browseAs is browse for a client whose address a trusted hop tells.
func (s *site) browseAs(client string) string {
	req, err := http.NewRequest(http.MethodGet, "http://"+s.web+"/http/health", nil)
	must(s.t, err)
	req.Host = host
	req.Header.Set("X-Forwarded-For", client)
	return roundTrip(web, req)
}

func (s *site) explain(values url.Values) (e api.Explanation) {
	s.t.Helper()
	values.Set("name", host)
	if !s.get("/api/v1/explain?"+values.Encode(), &e) {
		s.t.Fatalf("explain %v refused", values)
	}
	return e
}

// Both fronts send the same client to the same endpoint, and explain says so; when it is down, to the next wider one.
func TestGeographicOnBothFronts(t *testing.T) {
	t.Parallel()
	s := geographic(t)
	s.startTenants()
	s.write(s.geoText())
	s.startNode()
	s.awaitReady(20 * time.Second)
	for _, c := range [][3]string{
		{"198.51.100.9", "127.0.0.12", "US21"}, {"198.51.100.200", "127.0.0.11", "EU20"}, {"192.0.2.9", "127.0.0.11", "EU20"}, {"8.8.8.8", "127.0.0.11", "EU20"},
	} {
		if got := s.browseAs(c[0]); got != c[2] {
			t.Errorf("the proxy sends %s to %q, want %s", c[0], got, c[2])
		}
		for _, asked := range []url.Values{{"client": {c[0]}}, {"client": {"192.0.2.53"}, "ecs": {c[0] + "/32"}}} {
			e := s.explain(asked)
			if len(e.Answer) != 1 || !strings.HasSuffix(e.Answer[0], " "+c[1]) || !strings.HasPrefix(e.Proxy, "sent to "+strings.ToLower(c[2])) {
				t.Errorf("explain %v: %v, proxy %q", asked, e.Answer, e.Proxy)
			}
		}
	}
	n := s.nodeStatus()
	if len(n.Locations) != 1 || n.Locations[0].Records == 0 || n.Locations[0].Type != "Jurymast-Example-City" || n.Locations[0].Path != filepath.Join(s.dir, "city.mmdb") {
		t.Errorf("locations %+v", n.Locations)
	}
	if st := s.status(); st.Serving != "preferred" || st.Decision != nil {
		t.Errorf("serving %s, decision %+v", st.Serving, st.Decision)
	}

	s.usTenant.kill()
	if got := s.browseAs("198.51.100.9"); got != "EU20" { // before or after the verdict: no client notices
		t.Errorf("after the kill: %q", got)
	}
	eventually(t, 5*time.Second, "us21 is down", func() bool { return s.status().Serving == "partial" })
	if e := s.explain(url.Values{"client": {"198.51.100.9"}}); !strings.HasSuffix(e.Answer[0], " 127.0.0.11") || e.Reason != "geo-climb" || e.Serving != "fallback" {
		t.Errorf("%v, reason %s, serving %s", e.Answer, e.Reason, e.Serving)
	}
	if got := s.browseAs("198.51.100.9"); got != "EU20" {
		t.Errorf("with us21 down: %q", got)
	}
}

// A broken database keeps a node from starting, and does nothing but show while one runs.
func TestBrokenLocationDatabase(t *testing.T) {
	t.Parallel()
	s := geographic(t)
	s.startTenants()
	s.write(s.geoText())
	s.startNode()
	s.awaitReady(20 * time.Second)
	database := filepath.Join(s.dir, "city.mmdb")
	must(t, os.WriteFile(database, []byte("no database"), 0o600))
	s.hangup()
	eventually(t, 5*time.Second, "status shows it", func() bool {
		n := s.nodeStatus()
		return len(n.Alarms) == 1 && strings.Contains(n.Alarms[0], "city.mmdb") && n.Locations[0].Fault != "" && n.Locations[0].Records > 0 && n.Ready
	})
	if got := s.browseAs("198.51.100.9"); got != "US21" {
		t.Errorf("the earlier reading is gone: %q", got)
	}
	s.node.stop(10 * time.Second)
	refused(t, s, "node.geo", "city.mmdb", "put a complete database")
}
