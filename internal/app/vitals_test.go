//go:build linux

package app_test

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestHealthIsInTheMetrics: what happened to an endpoint, and what is answered for it, can be read by a monitoring system.
func TestHealthIsInTheMetrics(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.up()
	shows := func(lines ...string) {
		t.Helper()
		eventually(t, 5*time.Second, strings.Join(lines, ", "), func() bool {
			code, text := s.call(http.MethodGet, "/metrics", "")
			for _, l := range lines {
				if code != http.StatusOK || !strings.Contains(text, "\n"+l+"\n") {
					return false
				}
			}
			return true
		})
	}
	shows(`jurymast_endpoint_up{endpoint="eu20",profile="integration"} 1`, `jurymast_endpoint_up{endpoint="us21",profile="integration"} 1`,
		`jurymast_serving{profile="integration",state="preferred"} 1`, `jurymast_stale{profile="integration"} 0`)
	s.euTenant.kill()
	shows(`jurymast_endpoint_up{endpoint="eu20",profile="integration"} 0`, `jurymast_endpoint_votes{endpoint="eu20",profile="integration",vote="down"} 1`,
		`jurymast_serving{profile="integration",state="fallback"} 1`, `jurymast_verdict_changes_total{endpoint="eu20",profile="integration",verdict="Degraded"} 1`)
	s.usTenant.kill()
	shows(`jurymast_serving{profile="integration",state="all-down"} 1`)
}
