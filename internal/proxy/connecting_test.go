package proxy_test

import (
	"strings"
	"testing"
	"time"

	"jurymast/internal/profile"
	"jurymast/internal/proxy"
)

// A POST that is still connecting has not been sent: it moves with the decision and does not wait for the timeout.
func TestConnectingRequestsOfAnyMethodMove(t *testing.T) {
	hole := deaf(t)
	r := newRig(t, func(_ *proxy.Options, p *profile.Profile) {
		p.Endpoints[0].Origin = "http://" + hole
		p.Proxy.Timeouts.Connect, p.Proxy.Hold.MaxWait = 10*time.Second, 10*time.Second
	})
	got := make(chan answer, 1)
	go func() { got <- r.must("POST", "/", strings.NewReader("once"), "X-Id", "one") }()
	r.eventually("it connects", func() bool { return r.metric("jurymast_proxy_inflight") == 1 })
	start := time.Now()
	r.activate(1)
	if a := <-got; a.StatusCode != 200 || r.origins[1].Processed("one") != 1 {
		t.Errorf("%s %s", a.Status, a.body)
	}
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("it waited for the timeout: %v", took)
	}
}
