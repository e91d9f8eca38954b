//go:build linux

package app_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"jurymast/internal/api"
)

// TestMissingSecondaryHidesNothing: a zone that was never fetched has no SOA, and everything that tells of zones still does.
func TestMissingSecondaryHidesNothing(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.write(strings.Replace(s.text(), "profiles:\n", `  - name: b.example
    secondary: {from: [{address: "127.0.0.1:1"}]}
profiles:
`, 1))
	s.startTenants()
	s.startNode()
	s.awaitReady(30 * time.Second)
	var zones []api.ZoneStatus
	if !s.get("/api/v1/dns/zones", &zones) || len(zones) != 2 || zones[0].State != "missing" || zones[1].Serial == 0 {
		t.Errorf("%+v", zones)
	}
	if text := s.metrics(); !strings.Contains(text, `jurymast_dns_zone_serial{zone="dr.example"}`) || strings.Contains(text, `jurymast_dns_zone_serial{zone="b.example"}`) {
		t.Errorf("serials in the metrics: %.200s", text)
	}
	for path, want := range map[string]int{
		"/api/v1/zones/b.example/status": http.StatusOK, "/api/v1/zones/b.example/keys": http.StatusOK, "/api/v1/zones/b.example/ds": http.StatusConflict,
		"/api/v1/explain?name=www.b.example": http.StatusOK, "/api/v1/dns/secondary": http.StatusOK, "/api/v1/status": http.StatusOK, "/status": http.StatusOK,
	} {
		if code, body := s.call(http.MethodGet, path, ""); code != want && code != http.StatusNotFound || code == http.StatusInternalServerError {
			t.Errorf("%s: %d %.300s", path, code, body)
		}
	}
}
