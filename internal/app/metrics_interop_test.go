//go:build interop

package app_test

import (
	"net/http"
	"os/exec"
	"strings"
	"testing"
	"time"

	"jurymast/internal/testbed"
)

// TestInteropMetrics has Prometheus' own tool judge /metrics of a node that has carried good and bad requests, held some
// and failed over.
func TestInteropMetrics(t *testing.T) {
	tool := testbed.Tool(t, "promtool")
	s := newSite(t)
	s.up()
	for range 20 {
		s.browse()
	}
	for _, where := range []string{"http://" + s.web + "/", "http://" + s.web + "/no/such"} { // no profile has these names
		if resp, err := http.Get(where); err == nil {
			_ = resp.Body.Close()
		}
	}
	s.euTenant.kill()
	s.awaitActive(20*time.Second, "us21")
	s.browse()
	text := s.metrics()
	for _, want := range []string{
		`jurymast_proxy_requests_total{class="2xx",endpoint="eu20",profile="integration",reason="OK"}`,
		`jurymast_proxy_requests_total{class="4xx",endpoint="",profile="",reason="PR"} 2`,
		`jurymast_proxy_request_seconds_bucket{profile="integration",le="+Inf"}`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%s is not in the metrics", want)
		}
	}
	check := exec.CommandContext(t.Context(), tool, "check", "metrics")
	check.Stdin = strings.NewReader(text)
	if out, err := check.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("%v\n%s", err, out)
	}
}
