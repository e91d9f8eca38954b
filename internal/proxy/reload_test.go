package proxy_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"jurymast/internal/profile"
	"jurymast/internal/proxy"
	"jurymast/internal/testbed"
)

func TestReloadUnderWaitingRequests(t *testing.T) {
	r := newRig(t, nil)
	r.must("GET", "/", nil) // leaves series and a pooled connection
	r.publish(func(v *healthView) { v.Ready = false })
	start := time.Now()
	held := make(chan answer, 1)
	go func() { held <- r.must("GET", "/", nil) }()
	r.eventually("held", func() bool { return r.metric("jurymast_proxy_held") == 1 })
	other := testProfile(r.origins[1])
	other.Name, other.Hostnames = "other", []string{"b.example"}
	r.documents(other)
	if a := <-held; a.StatusCode != 404 || a.reason(t) != "PR" {
		t.Errorf("the profile is gone: %s %s", a.Status, a.body)
	}
	if took := time.Since(start); took > 2*time.Second {
		t.Errorf("it waited %v for a profile that is gone", took)
	}
	if a := r.must("GET", "/", nil, "Host", "b.example"); a.body != "us" {
		t.Errorf("%s", a.body)
	}
	r.eventually("the series of the removed endpoint vanish", func() bool {
		return r.metric("jurymast_proxy_attempts_total", "endpoint", "eu") == 0
	})
}

// A pooled connection that the origin closes at the very moment of its reuse costs nobody anything.
func TestStaleConnections(t *testing.T) {
	r := newRig(t, func(_ *proxy.Options, p *profile.Profile) { p.Proxy.Retry.Budget = 100 })
	var mu sync.Mutex
	n := 0
	r.origins[0].Misbehave(func(*http.Request) testbed.Fault {
		mu.Lock()
		defer mu.Unlock()
		if n++; n%2 == 0 {
			return testbed.AnswerAndClose
		}
		return testbed.Fine
	})
	var wg sync.WaitGroup
	for lane := range 4 {
		wg.Go(func() {
			for i := range 250 {
				id := fmt.Sprint(lane, "-", i)
				method := "GET"
				var body io.Reader
				if i%2 == 1 {
					method, body = "POST", strings.NewReader("x")
				}
				a, err := r.do(method, "/", body, "X-Id", id)
				switch count := r.origins[0].Processed(id); {
				case err != nil:
					t.Errorf("%s: %v", method, err)
				case method == "GET" && a.StatusCode != 200:
					t.Errorf("GET: %s", a.body)
				case method == "POST" && (count > 1 || (a.StatusCode == 200) != (count == 1)):
					t.Errorf("POST: %d, processed %d times", a.StatusCode, count)
				}
			}
		})
	}
	wg.Wait()
}

// A body that is on its way when the decision moves arrives whole at the new active.
func TestBodyMovesWithTheDecision(t *testing.T) {
	o := origin(t, "us", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) }))
	r := newRig(t, func(_ *proxy.Options, p *profile.Profile) { p.Endpoints[1].Origin = o.URL() })
	r.origins[0].Misbehave(func(*http.Request) testbed.Fault { return testbed.Hang })
	pr, pw := io.Pipe()
	got := make(chan answer, 1)
	go func() { got <- r.must("PUT", "/", pr) }()
	_, _ = io.WriteString(pw, "first half, ")
	r.eventually("the attempt runs", func() bool { return r.metric("jurymast_proxy_inflight") == 1 })
	r.activate(1)
	_, _ = io.WriteString(pw, "second half")
	_ = pw.Close()
	if a := <-got; a.StatusCode != 200 || a.body != "first half, second half" {
		t.Errorf("%s %q", a.Status, a.body)
	}
}

func TestHTTP10Client(t *testing.T) {
	r := behind(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusEarlyHints)
		_, _ = io.WriteString(w, "a")
		_ = http.NewResponseController(w).Flush()
		_, _ = io.WriteString(w, "b")
	}, nil)
	got := raw(t, r.addr, "GET / HTTP/1.0\r\nHost: a.example\r\n\r\n")
	if !strings.HasPrefix(got, "HTTP/1.1 200") || !strings.HasSuffix(got, "\r\n\r\nab") || strings.Contains(got, "103") {
		t.Errorf("%q", got)
	}
}

// More requests than the budget allows fail instead of multiplying the load.
func TestRetryBudgetIsKept(t *testing.T) {
	r := newRig(t, func(_ *proxy.Options, p *profile.Profile) { p.Proxy.Retry.Budget = 0 })
	r.origins[0].Misbehave(func(*http.Request) testbed.Fault { return testbed.ResetNoAnswer })
	reasons := map[string]int{}
	start := time.Now()
	for range 60 {
		reasons[r.must("GET", "/", nil).reason(t)]++
	}
	seconds := int(time.Since(start)/time.Second) + 2
	if reasons["PB"] == 0 || r.origins[0].Total() > 60+10*seconds {
		t.Errorf("%v, %d attempts", reasons, r.origins[0].Total())
	}
}
