package proxy_test

import (
	"net/http"
	"net/netip"
	"testing"
	"time"

	"jurymast/internal/health"
	"jurymast/internal/profile"
	"jurymast/internal/proxy"
)

func halted(h health.Halt) func(*health.View) { return func(v *health.View) { v.Halt = h } }

// TestIsolatedNodeAnswersAtOnce: a node that has lost the store sends nothing, and nobody waits for it.
func TestIsolatedNodeAnswersAtOnce(t *testing.T) {
	r := newRig(t, nil, "eu")
	r.publish(halted(health.HaltIsolated))
	began := time.Now()
	a := r.must("GET", "/", nil)
	if a.StatusCode != http.StatusServiceUnavailable || a.reason(t) != string(proxy.ReasonUnconfirmed) || a.Header.Get("Retry-After") == "" {
		t.Fatalf("%d %s", a.StatusCode, a.body)
	}
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("it took %v", took)
	}
	if got := r.p.Would(r.hub.Load(), "integration", "a.example", netip.Addr{}); got != "answered 503 at once: this node has lost the store and cannot confirm which endpoint is active" {
		t.Errorf("explain says %q", got)
	}
	r.activate(0)
	if a := r.must("GET", "/", nil); a.StatusCode != http.StatusOK {
		t.Fatalf("after the store is back: %d %s", a.StatusCode, a.body)
	}
}

// TestHaltedRequestsWait for what comes soon: the first word of the store, or the end of a switch.
func TestHaltedRequestsWait(t *testing.T) {
	for halt, in := range map[health.Halt]proxy.Reason{health.HaltUnconfirmed: proxy.ReasonUnconfirmed, health.HaltPreparing: proxy.ReasonHoldTime} {
		r := newRig(t, func(_ *proxy.Options, pr *profile.Profile) { pr.Proxy.Hold.MaxWait = 100 * time.Millisecond }, "eu")
		r.publish(halted(halt))
		if a := r.must("POST", "/", nil); a.StatusCode != http.StatusServiceUnavailable || a.reason(t) != string(in) {
			t.Errorf("%v: %d %s", halt, a.StatusCode, a.body)
		}
		r = newRig(t, nil, "eu")
		r.publish(halted(halt))
		done := make(chan answer, 1)
		go func() {
			a, _ := r.do("POST", "/", nil)
			done <- a
		}()
		r.eventually("the request waits", func() bool { return r.metric("jurymast_proxy_held", "profile", "integration") == 1 })
		r.activate(0)
		if a := <-done; a.Response == nil || a.StatusCode != http.StatusOK {
			t.Errorf("%v: released: %+v", halt, a)
		}
	}
}

// TestHeldRequestsLearnOfIsolation: who waits for a switch does not wait on when this node has lost the store.
func TestHeldRequestsLearnOfIsolation(t *testing.T) {
	r := newRig(t, nil, "eu")
	r.publish(halted(health.HaltPreparing))
	done := make(chan answer, 1)
	go func() {
		a, _ := r.do("GET", "/", nil)
		done <- a
	}()
	r.eventually("the request waits", func() bool { return r.metric("jurymast_proxy_held", "profile", "integration") == 1 })
	r.publish(halted(health.HaltIsolated))
	select {
	case a := <-done:
		if a.Response == nil || a.reason(t) != string(proxy.ReasonUnconfirmed) {
			t.Fatalf("%+v", a)
		}
	case <-time.After(4 * time.Second):
		t.Fatal("it still waits")
	}
}
