package proxy_test

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"jurymast/internal/health"
	"jurymast/internal/profile"
	"jurymast/internal/proxy"
	"jurymast/internal/testbed"
)

// The main job: the primary dies under load, the engine needs 30 ms from the first signal to a decision.
func TestKilledUnderLoadNothingFails(t *testing.T) {
	r := newRig(t, nil)
	var once sync.Once
	var before atomic.Int64
	r.onSignal = func(s proxy.Signal) {
		if s.Endpoint == "eu" {
			once.Do(func() {
				time.AfterFunc(30*time.Millisecond, func() {
					before.Store(int64(r.origins[1].Total()))
					r.activate(1)
				})
			})
		}
	}
	const rate, total = 500, 600
	var wg sync.WaitGroup
	var mu sync.Mutex
	var failed []string
	took := make([]time.Duration, total)
	tick := time.NewTicker(time.Second / rate)
	defer tick.Stop()
	for i := range total {
		<-tick.C
		if i == total/2 {
			r.origins[0].Kill()
		}
		wg.Go(func() {
			start := time.Now()
			a, err := r.do("GET", fmt.Sprintf("/%d", i), nil)
			took[i] = time.Since(start)
			if err != nil || a.StatusCode != 200 {
				mu.Lock()
				failed = append(failed, fmt.Sprintf("%d: %v %v", i, a.body, err))
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if len(failed) > 0 {
		t.Fatalf("%d of %d failed: %v", len(failed), total, failed[:min(3, len(failed))])
	}
	if n := before.Load(); n != 0 {
		t.Errorf("the standby saw %d requests before the decision", n)
	}
	slices.Sort(took)
	t.Logf("slowest %v, median %v", took[total-1], took[total/2])
	if slowest := took[total-1]; slowest > time.Second { // the figure is measured elsewhere, this only catches a hang
		t.Errorf("slowest %v", slowest)
	}
	if got := r.metric("jurymast_proxy_requests_total", "reason", "OF", "endpoint", "us"); got == 0 {
		t.Error("no request survived the failover inside itself")
	}
}

func TestStandbyIsUntouchedWithoutDecision(t *testing.T) {
	r := newRig(t, func(_ *proxy.Options, p *profile.Profile) { p.Proxy.Hold.MaxWait = 80 * time.Millisecond })
	r.origins[0].Kill()
	for _, method := range []string{"GET", "POST"} {
		a := r.must(method, "/", nil)
		if a.StatusCode != 503 || a.reason(t) != "DU" || a.Header.Get("Retry-After") == "" {
			t.Errorf("%s: %d %s", method, a.StatusCode, a.body)
		}
	}
	if n := r.origins[1].Total(); n != 0 {
		t.Errorf("the standby saw %d requests", n)
	}
	if k := r.kinds(); len(k) == 0 || k[0] != "eu refused" {
		t.Errorf("signals %v", k)
	}
}

// An answer of our own to a body nobody has read leaves the client's connection fit for its next request.
func TestConnectionSurvivesAnUnreadBody(t *testing.T) {
	r := newRig(t, func(_ *proxy.Options, p *profile.Profile) { p.Proxy.Hold.MaxWait = 2 * time.Millisecond })
	r.origins[0].Kill()
	for i := range 200 {
		a, err := r.do("POST", "/", strings.NewReader(strings.Repeat("x", 1+i*100)))
		if err != nil {
			t.Fatalf("request %d on the same connection: %v", i, err)
		}
		if a.StatusCode != 503 {
			t.Errorf("%d %s", a.StatusCode, a.body)
		}
	}
}

// A restart is not felt: the same endpoint answers again before anything was decided.
func TestRestartIsHeldThrough(t *testing.T) {
	r := newRig(t, nil)
	r.must("GET", "/warm", nil)
	r.origins[0].Kill()
	time.AfterFunc(60*time.Millisecond, func() {
		if err := r.origins[0].Restart(); err != nil {
			t.Error(err)
		}
	})
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() {
			method := []string{"GET", "POST"}[i%2]
			a, err := r.do(method, "/", strings.NewReader("x"), "X-Id", fmt.Sprint("r", i))
			if err != nil || a.StatusCode != 200 || a.body != "eu" {
				t.Errorf("%s: %v %v", method, a.body, err)
			}
		})
	}
	wg.Wait()
	for i := range 50 {
		if n := r.origins[0].Processed(fmt.Sprint("r", i)); n != 1 {
			t.Errorf("request %d was processed %d times", i, n)
		}
	}
}

// Whatever the origin does, a POST is processed at most once, and once when the client was told 200.
func TestPostIsNeverDuplicated(t *testing.T) {
	r := newRig(t, func(_ *proxy.Options, p *profile.Profile) { p.Proxy.Hold.MaxWait = 300 * time.Millisecond })
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	dice := rand.New(rand.NewPCG(seed, 1))
	faults := []testbed.Fault{testbed.ResetUnread, testbed.ResetNoAnswer, testbed.CloseNoAnswer, testbed.ResetMidBody, testbed.CloseMidChunked, testbed.Junk, testbed.AnswerAndClose}
	pick := func() testbed.Fault {
		if dice.IntN(3) > 0 {
			return testbed.Fine
		}
		return faults[dice.IntN(len(faults))]
	}
	for _, o := range r.origins {
		o.Misbehave(func(*http.Request) testbed.Fault { return pick() })
		o.OnAccept(func() testbed.Fault {
			if dice.IntN(10) == 0 {
				return testbed.ResetUnread
			}
			return testbed.Fine
		})
	}
	r.origins[1].Misbehave(nil) // its dice would race with the first one's
	r.origins[1].OnAccept(nil)
	stop := make(chan struct{})
	var flips sync.WaitGroup
	flips.Go(func() { // the decision flips meanwhile
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for i := 0; ; i++ {
			select {
			case <-tick.C:
				r.activate(i % 2)
			case <-stop:
				return
			}
		}
	})
	const n = 600
	status := make([]int, n)
	var wg sync.WaitGroup
	lanes := make(chan struct{}, 16)
	for i := range n {
		lanes <- struct{}{}
		wg.Go(func() {
			defer func() { <-lanes }()
			var body io.Reader
			header := []string{"X-Id", fmt.Sprint(i)}
			switch i % 4 {
			case 0:
				body = strings.NewReader("small")
			case 1:
				body = strings.NewReader(strings.Repeat("large", 40_000))
			case 2:
				body = io.MultiReader(strings.NewReader("of unknown length"))
			case 3:
				header = append(header, "Idempotency-Key", "k") // net/http would repeat it by itself
			}
			if a, err := r.do("POST", "/", body, header...); err == nil {
				status[i] = a.StatusCode
			}
		})
	}
	wg.Wait()
	close(stop)
	flips.Wait()
	ok := 0
	for i := range n {
		count := r.origins[0].Processed(fmt.Sprint(i)) + r.origins[1].Processed(fmt.Sprint(i))
		if count > 1 || (status[i] == 200 && count != 1) {
			t.Errorf("POST %d: status %d, processed %d times", i, status[i], count)
		}
		if status[i] == 200 {
			ok++
		}
	}
	t.Logf("%d of %d got 200", ok, n)
	if ok < n/4 {
		t.Errorf("only %d of %d POSTs came through: the test proves little", ok, n)
	}
}

// One row per failure of proxy.md 6.2: what a GET and a POST get.
func TestReasonPerFailure(t *testing.T) {
	const once = "first request only"
	rows := []struct {
		fault        testbed.Fault
		when         string
		get, post    string
		signal       string
		getProcessed int
	}{
		{testbed.ResetUnread, once, "200 OS", "502 UN", "eu reset", 1},
		{testbed.ResetNoAnswer, once, "200 OS", "502 UN", "eu reset", 2},
		{testbed.CloseNoAnswer, once, "200 OS", "502 UN", "eu reset", 2},
		{testbed.ResetNoAnswer, "", "502 UN", "502 UN", "eu reset", 3},
		{testbed.Junk, "", "502 UJ", "502 UJ", "eu junk", 1},
		{testbed.Storm, "", "502 UJ", "502 UJ", "eu junk", 1},
		{testbed.Hang, "", "504 UF", "504 UF", "eu timeout", 1},
		{testbed.ResetMidBody, "", "broken UD", "broken UD", "eu broken", 1},
		{testbed.CloseMidChunked, "", "broken UD", "broken UD", "eu broken", 1},
	}
	for _, row := range rows {
		for _, method := range []string{"GET", "POST"} {
			t.Run(method+" "+string(row.fault)+" "+row.when, func(t *testing.T) {
				r := newRig(t, func(_ *proxy.Options, p *profile.Profile) { p.Proxy.Timeouts.Response = 150 * time.Millisecond })
				seen := 0
				r.origins[0].Misbehave(func(*http.Request) testbed.Fault {
					if seen++; seen > 1 && row.when == once {
						return testbed.Fine
					}
					return row.fault
				})
				var body io.Reader
				if method == "POST" {
					body = strings.NewReader("x")
				}
				a, err := r.do(method, "/", body)
				l := r.lines(1)[0]
				got := fmt.Sprint("broken ", l["reason"])
				if err == nil {
					got = fmt.Sprint(a.StatusCode, " ", l["reason"])
				}
				want, processed := row.get, row.getProcessed
				if method == "POST" {
					want, processed = row.post, min(1, row.getProcessed)
					if row.fault == testbed.ResetUnread {
						processed = 0
					}
				}
				if got != want {
					t.Errorf("got %s, want %s; log %v", got, want, l)
				}
				if n := r.origins[0].Total(); n != processed {
					t.Errorf("processed %d times, want %d", n, processed)
				}
				if k := r.kinds(); !slices.Contains(k, row.signal) {
					t.Errorf("signals %v, want %s", k, row.signal)
				}
				if r.origins[1].Total() != 0 {
					t.Error("the standby was used without a decision")
				}
			})
		}
	}
}

// Row g: waiting without a byte when the decision moves.
func TestWaitingRequestsMoveWithTheDecision(t *testing.T) {
	r := newRig(t, nil)
	r.origins[0].Misbehave(func(*http.Request) testbed.Fault { return testbed.Hang })
	type result struct {
		a   answer
		err error
	}
	get, post := make(chan result, 1), make(chan result, 1)
	go func() { a, err := r.do("GET", "/", nil); get <- result{a, err} }()
	go func() { a, err := r.do("POST", "/", strings.NewReader("x")); post <- result{a, err} }()
	r.eventually("both wait at eu", func() bool { return r.origins[0].Total() == 2 })
	r.activate(1)
	if g := <-get; g.err != nil || g.a.body != "us" {
		t.Fatalf("GET: %v %v", g.a.body, g.err)
	}
	select {
	case p := <-post:
		t.Fatalf("POST was answered %v %v, it may only wait", p.a.body, p.err)
	default:
	}
	r.origins[0].Kill()
	if p := <-post; p.err != nil || p.a.StatusCode != 502 || p.a.reason(t) != "UN" {
		t.Fatalf("POST: %v %v", p.a.body, p.err)
	}
	if n := r.origins[1].Total(); n != 1 {
		t.Errorf("us processed %d, the POST must not be among them", n)
	}
	if l := r.lines(2); !slices.ContainsFunc(l, func(l map[string]any) bool { return l["reason"] == "OF" && l["endpoint"] == "us" }) {
		t.Errorf("log %v", l)
	}
}

func TestHoldUntilThereIsADecision(t *testing.T) {
	states := map[string]struct {
		change func(*health.View)
		reason string
	}{
		"not ready":  {func(v *health.View) { v.Ready = false }, "HT"},
		"not agreed": {func(v *health.View) { v.Decision = health.Decision{} }, "HT"},
		"held":       {func(v *health.View) { v.Held = &health.Override{} }, "HT"},
		"disabled":   {func(v *health.View) { v.Disabled = true }, "DN"},
		"all down":   {func(v *health.View) { v.Endpoints[0].Tier, v.Endpoints[1].Tier = health.TierDown, health.TierDown }, "DN"},
		"none eligible": {func(v *health.View) {
			v.Endpoints[0].Tier, v.Endpoints[1].Tier = health.TierExcluded, health.TierExcluded
		}, "DN"},
		"active is down": {func(v *health.View) { v.Endpoints[0].Tier = health.TierDown }, "HT"},
	}
	for name, s := range states {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, func(_ *proxy.Options, p *profile.Profile) { p.Proxy.Hold.MaxWait = 50 * time.Millisecond })
			r.publish(s.change)
			if a := r.must("GET", "/", nil); a.StatusCode != 503 || a.reason(t) != s.reason {
				t.Errorf("%d %s, want 503 %s", a.StatusCode, a.body, s.reason)
			}
			r.edit(func(p *profile.Profile) { p.Proxy.Hold.MaxWait = 5 * time.Second })
			r.publish(s.change)
			done := make(chan answer, 1)
			go func() { done <- r.must("POST", "/", strings.NewReader("x")) }()
			r.eventually("held", func() bool { return r.metric("jurymast_proxy_held") == 1 })
			r.activate(1)
			if a := <-done; a.body != "us" {
				t.Errorf("got %s", a.body)
			}
			if l := r.lines(2); l[1]["reason"] != "OH" || l[1]["held_ms"] == 0.0 {
				t.Errorf("log %v", l[1])
			}
		})
	}
}

func TestHoldFullAndClientGone(t *testing.T) {
	r := newRig(t, func(_ *proxy.Options, p *profile.Profile) { p.Proxy.Hold.MaxRequests = 1 })
	r.publish(func(v *health.View) { v.Ready = false })
	ctx, cancel := context.WithCancel(context.Background())
	gone := make(chan error, 1)
	go func() {
		req, _ := http.NewRequestWithContext(ctx, "GET", "http://a.example/", nil)
		resp, err := r.client.Do(req)
		if err == nil {
			resp.Body.Close()
		}
		gone <- err
	}()
	r.eventually("held", func() bool { return r.metric("jurymast_proxy_held") == 1 })
	if a := r.must("GET", "/", nil); a.StatusCode != 503 || a.reason(t) != "HF" {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
	cancel()
	if err := <-gone; err == nil {
		t.Error("the cancelled request was answered")
	}
	r.eventually("the place is free", func() bool { return r.metric("jurymast_proxy_held") == 0 })
	l := r.lines(2)
	if !slices.ContainsFunc(l, func(l map[string]any) bool { return l["reason"] == "CA" && l["status"] == 499.0 }) {
		t.Errorf("log %v", l)
	}
	if k := r.kinds(); len(k) != 0 {
		t.Errorf("an endpoint was charged for a client's cancel: %v", k)
	}
	r.activate(0)
	if n := r.origins[0].Total(); n != 0 {
		t.Error("a request was sent for a client that had left")
	}
}

func TestCancelWhileWaitingForTheOrigin(t *testing.T) {
	r := newRig(t, nil)
	r.origins[0].Misbehave(func(*http.Request) testbed.Fault { return testbed.Hang })
	ctx, cancel := context.WithCancel(context.Background())
	req, _ := http.NewRequestWithContext(ctx, "GET", "http://a.example/", nil)
	go func() {
		r.eventually("it hangs", func() bool { return r.origins[0].Total() == 1 })
		cancel()
	}()
	if resp, err := r.client.Do(req); err == nil {
		resp.Body.Close()
		t.Fatal("answered")
	}
	if l := r.lines(1)[0]; l["reason"] != "CA" {
		t.Errorf("log %v", l)
	}
	for _, k := range r.kinds() {
		if k != "eu stall" {
			t.Errorf("charged: %s", k)
		}
	}
}

func TestHangIsSignalledAsStall(t *testing.T) {
	r := newRig(t, func(_ *proxy.Options, p *profile.Profile) { p.Proxy.Timeouts.Response = time.Second })
	r.origins[0].Misbehave(func(*http.Request) testbed.Fault { return testbed.Hang })
	stalled := make(chan struct{})
	var once sync.Once
	r.mu.Lock()
	r.onSignal = func(s proxy.Signal) {
		if s.Kind == proxy.KindStall {
			once.Do(func() { close(stalled); r.activate(1) })
		}
	}
	r.mu.Unlock()
	a := r.must("GET", "/", nil)
	if a.body != "us" {
		t.Fatalf("got %d %s, signals %v", a.StatusCode, a.body, r.kinds())
	}
	<-stalled
}
