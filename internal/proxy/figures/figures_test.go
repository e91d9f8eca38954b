package figures_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"jurymast/internal/proxy/figures"
)

var words = figures.Options{
	Reasons: []string{"OK", "OF", "UN", "DN", "PR"}, Kinds: []string{"refused", "reset"}, Attempts: []string{"ok", "connect", "lost"},
	Retries: []string{"lost", "connect"}, Holds: []string{"released", "timeout"}, Rules: []string{"bare-lf"},
}

// scrape gathers all: "name{label=value,...}" -> value; a histogram gives _count, _sum and its buckets.
func scrape(t testing.TB, f *figures.Figures) map[string]float64 {
	t.Helper()
	reg := prometheus.NewPedanticRegistry()
	reg.MustRegister(f)
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	faults, err := promlint.NewWithMetricFamilies(families).Lint()
	if err != nil || len(faults) > 0 {
		t.Errorf("the metrics are not as they should be: %v %v", faults, err)
	}
	out := map[string]float64{}
	for _, family := range families {
		name := strings.TrimPrefix(family.GetName(), "jurymast_proxy_")
		for _, m := range family.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, l.GetName()+"="+l.GetValue())
			}
			at := ""
			if len(labels) > 0 {
				at = "{" + strings.Join(labels, ",") + "}"
			}
			h := m.GetHistogram()
			if h == nil {
				out[name+at] = m.GetCounter().GetValue() + m.GetGauge().GetValue()
				continue
			}
			out[name+"_count"+at] = float64(h.GetSampleCount())
			out[name+"_sum"+at] = h.GetSampleSum()
			for _, b := range h.GetBucket() {
				out[fmt.Sprint(name, "_le_", b.GetUpperBound(), at)] = float64(b.GetCumulativeCount())
			}
		}
	}
	return out
}

func expect(t *testing.T, got map[string]float64, want map[string]float64) {
	t.Helper()
	for name, v := range want {
		if g, ok := got[name]; !ok || g != v {
			t.Errorf("%s is %v (there: %t), want %v", name, g, ok, v)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(got)) {
		if _, ok := want[name]; !ok {
			t.Errorf("%s = %v is not expected", name, got[name])
		}
	}
}

func TestAllFigures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := words
		o.LogDropped = func() uint64 { return 3 }
		o.Origins = func(tell func(figures.Origin)) {
			tell(figures.Origin{Addr: "eu:443", Idle: 2, Busy: 1, Stale: 4, Dials: map[string]uint64{"ok": 9}})
		}
		f := figures.New(o)
		s := f.Shard()
		p := f.Profile("shop")
		eu, us := p.Endpoint("eu"), p.Endpoint("us")
		s.Begin()
		s.Begin()
		s.End()
		for range 9 {
			eu.Attempt(s, "ok")
			if eu.Done(s, 200, "OK") {
				p.Observe(s, 4*time.Millisecond, 3*time.Millisecond)
			}
		}
		eu.Attempt(s, "lost")
		us.Attempt(s, "what")
		us.Done(s, 502, "UN")
		us.Done(s, 700, "OK")
		us.Done(s, 0, "what")
		us.Done(s, 200, "OF")
		p.Endpoint("").Done(s, 503, "DN")
		f.None().Done(s, 404, "PR")
		eu.Signal("refused")
		eu.Signal("what")
		p.Retry("lost")
		p.Retry("what")
		p.Moved()
		p.Cut()
		p.Tunnel(1)
		f.Panic()
		f.Rejected("bare-lf")
		f.Rejected("GET /secret")
		p.Observe(s, 2*time.Minute, 0)
		var first, second, third figures.Wait
		p.Wait(&first, time.Now())
		time.Sleep(2 * time.Second)
		p.Wait(&second, time.Now())
		time.Sleep(time.Second)
		p.Wait(&third, time.Now())
		p.Waited(&second, "released")
		want := map[string]float64{
			"inflight": 1, "panics_total": 1, "log_dropped_total": 3,
			"requests_total{class=2xx,endpoint=eu,profile=shop,reason=OK}":     9,
			"requests_total{class=5xx,endpoint=us,profile=shop,reason=UN}":     1,
			"requests_total{class=other,endpoint=us,profile=shop,reason=OK}":   1,
			"requests_total{class=none,endpoint=us,profile=shop,reason=other}": 1,
			"requests_total{class=2xx,endpoint=us,profile=shop,reason=OF}":     1,
			"requests_total{class=5xx,endpoint=,profile=shop,reason=DN}":       1,
			"requests_total{class=4xx,endpoint=,profile=,reason=PR}":           1,
			"attempts_total{endpoint=eu,profile=shop,result=ok}":               9,
			"attempts_total{endpoint=eu,profile=shop,result=lost}":             1,
			"attempts_total{endpoint=us,profile=shop,result=other}":            1,
			"passive_signals_total{endpoint=eu,kind=refused,profile=shop}":     1,
			"passive_signals_total{endpoint=eu,kind=other,profile=shop}":       1,
			"retries_total{cause=lost,profile=shop}":                           1,
			"retries_total{cause=other,profile=shop}":                          1,
			"requests_moved_total{profile=shop}":                               1,
			"requests_cut_total{profile=shop}":                                 1,
			"tunnels{profile=shop}":                                            1,
			"held{profile=shop}":                                               2,
			"held_oldest_seconds{profile=shop}":                                3,
			"hold_total{profile=shop,result=released}":                         1,
			"rejected_total{rule=bare-lf}":                                     1,
			"rejected_total{rule=other}":                                       1,
			"pool_connections{origin=eu:443,state=idle}":                       2,
			"pool_connections{origin=eu:443,state=busy}":                       1,
			"pool_stale_total{origin=eu:443}":                                  4,
			"pool_dials_total{origin=eu:443,result=ok}":                        9,
			"request_seconds_count{profile=shop}":                              3,
			"request_seconds_sum{profile=shop}":                                120.008,
			"first_byte_seconds_count{profile=shop}":                           2,
			"first_byte_seconds_sum{profile=shop}":                             0.006,
		}
		for _, le := range []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60} {
			n := 2.0
			if le < .004 {
				n = 0
			}
			want[fmt.Sprint("request_seconds_le_", le, "{profile=shop}")] = n
			want[fmt.Sprint("first_byte_seconds_le_", le, "{profile=shop}")] = n
			if le == .0025 {
				want[fmt.Sprint("first_byte_seconds_le_", le, "{profile=shop}")] = 0
			}
		}
		expect(t, scrape(t, f), want)

		p.Waited(&first, "timeout")
		p.Waited(&third, "timeout")
		got := scrape(t, f)
		if got["held{profile=shop}"] != 0 || got["held_oldest_seconds{profile=shop}"] != 0 || got["hold_total{profile=shop,result=timeout}"] != 2 {
			t.Errorf("after the waiting: %v", got)
		}
	})
}

// One request in eight of each kind is a sample, the first one among them: services with little traffic have figures.
func TestSamples(t *testing.T) {
	f := figures.New(words)
	e, s := f.Profile("shop").Endpoint("eu"), f.Shard()
	for _, reason := range []string{"OK", "OF"} {
		n := 0
		for i := range 80 {
			if e.Done(s, 200, reason) {
				n++
			} else if i == 0 {
				t.Errorf("the first %s is none", reason)
			}
		}
		if n != 10 {
			t.Errorf("%s: %d of 80", reason, n)
		}
	}
}

// Under load every scrape is a state that could be, and the last one has all.
func TestScrapesUnderLoad(t *testing.T) {
	const workers, each = 8, 1000
	f := figures.New(words)
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			s, p := f.Shard(), f.Profile("shop")
			eu := p.Endpoint("eu")
			for i := range each {
				s.Begin()
				eu.Attempt(s, "ok")
				if i%10 == 0 {
					eu.Attempt(s, "lost")
					eu.Done(s, 502, "UN")
				} else if eu.Done(s, 200, "OK") {
					p.Observe(s, time.Millisecond, time.Millisecond)
				}
				var w figures.Wait
				p.Wait(&w, time.Now())
				p.Waited(&w, "released")
				s.End()
			}
		})
	}
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	const ok, un = "requests_total{class=2xx,endpoint=eu,profile=shop,reason=OK}", "requests_total{class=5xx,endpoint=eu,profile=shop,reason=UN}"
	before := map[string]float64{}
	for run := true; run; {
		select {
		case <-done:
			run = false
		default:
		}
		now := scrape(t, f)
		for name, v := range before {
			if strings.Contains(name, "_total") && now[name] < v {
				t.Fatalf("%s went from %v to %v", name, v, now[name])
			}
		}
		before = now
	}
	if before[ok] != workers*each*9/10 || before[un] != workers*each/10 || before["inflight"] != 0 || before["held{profile=shop}"] != 0 ||
		before["hold_total{profile=shop,result=released}"] != workers*each || before["attempts_total{endpoint=eu,profile=shop,result=ok}"] != workers*each {
		t.Errorf("%v", before)
	}
}

// What the configuration no longer has is not told; late exchanges do not bring it back, and a new one begins at nothing.
func TestRemovedOnes(t *testing.T) {
	var has atomic.Pointer[map[string]bool]
	conf := func(names ...string) {
		m := map[string]bool{}
		for _, n := range names {
			m[n] = true
		}
		has.Store(&m)
	}
	o := words
	o.Live = func() func(profile, endpoint string) bool {
		m := *has.Load()
		return func(profile, endpoint string) bool { return m[profile+"/"+endpoint] }
	}
	f := figures.New(o)
	s := f.Shard()
	conf("shop/", "shop/eu", "shop/us", "mail/", "mail/eu")
	shop := f.Profile("shop")
	eu, us, mail := shop.Endpoint("eu"), shop.Endpoint("us"), f.Profile("mail").Endpoint("eu")
	shop.Endpoint("").Done(s, 503, "DN")
	series := func() (out []string) {
		for name, v := range scrape(t, f) {
			if strings.HasPrefix(name, "requests_total") {
				out = append(out, fmt.Sprint(name[len("requests_total{class=2xx,endpoint="):strings.Index(name, ",reason")], " ", v))
			}
		}
		slices.Sort(out)
		return out
	}
	check := func(want ...string) {
		t.Helper()
		if got := series(); !slices.Equal(got, want) {
			t.Errorf("%q, want %q", got, want)
		}
	}
	eu.Done(s, 200, "OK")
	us.Done(s, 200, "OK")
	mail.Done(s, 200, "OK")
	check(",profile=shop 1", "eu,profile=mail 1", "eu,profile=shop 1", "us,profile=shop 1")

	conf("shop/", "shop/us")
	check(",profile=shop 1", "us,profile=shop 1")
	eu.Done(s, 200, "OK")
	mail.Done(s, 200, "OK")
	check(",profile=shop 1", "us,profile=shop 1")

	conf("shop/", "shop/eu", "shop/us")
	check(",profile=shop 1", "us,profile=shop 1") // nobody has asked for eu again, so nothing counts there
	f.Profile("shop").Endpoint("eu").Done(s, 200, "OK")
	check(",profile=shop 1", "eu,profile=shop 1", "us,profile=shop 1")
}

// Who asks for an endpoint while a configuration is prepared may be scraped before it comes into force.
func TestAskedForBeforeItIsInForce(t *testing.T) {
	var live atomic.Bool
	o := words
	o.Live = func() func(profile, endpoint string) bool {
		return func(string, string) bool { return live.Load() }
	}
	f := figures.New(o)
	e := f.Profile("shop").Endpoint("eu")
	scrape(t, f)
	live.Store(true)
	e.Done(f.Shard(), 200, "OK")
	if n := scrape(t, f)["requests_total{class=2xx,endpoint=eu,profile=shop,reason=OK}"]; n != 1 {
		t.Errorf("%v", n)
	}
}

// Tunnels and waiting requests of a profile that is gone are told until they end.
func TestWhatOutlivesItsProfile(t *testing.T) {
	var gone atomic.Bool
	o := words
	o.Live = func() func(profile, endpoint string) bool {
		return func(string, string) bool { return !gone.Load() }
	}
	f := figures.New(o)
	p := f.Profile("shop")
	p.Tunnel(1)
	gone.Store(true)
	for range 3 {
		f.Sweep()
		if got := scrape(t, f); got["tunnels{profile=shop}"] != 1 || len(got) != 3 { // and inflight, panics_total
			t.Errorf("%v", got)
		}
	}
	p.Tunnel(-1)
	for range 2 {
		if got := scrape(t, f); len(got) != 2 {
			t.Errorf("%v", got)
		}
	}
	gone.Store(false)
	if f.Profile("shop") == p {
		t.Error("it is not forgotten")
	}
}

// A scrape that does not come to its end keeps no request waiting, not even one that looks for its profile (case 30).
func TestSlowScrape(t *testing.T) {
	f := figures.New(words)
	f.Profile("shop").Endpoint("eu").Done(f.Shard(), 200, "OK")
	to, done := make(chan prometheus.Metric), make(chan struct{})
	go func() { defer close(done); f.Collect(to) }()
	<-to // and no more for now
	s := f.Shard()
	for _, name := range []string{"shop", "mail"} {
		p := f.Profile(name)
		for _, endpoint := range []string{"", "eu", "us"} {
			p.Endpoint(endpoint).Done(s, 502, "UN")
			p.Endpoint(endpoint).Signal("refused")
		}
		var w figures.Wait
		p.Wait(&w, time.Now())
		p.Waited(&w, "released")
	}
	go func() {
		for range to { // the rest
		}
	}()
	<-done
	close(to)
}

// Configurations come and go while requests end and somebody scrapes.
func TestReloadsUnderLoad(t *testing.T) {
	var round atomic.Int64
	o := words
	o.Live = func() func(profile, endpoint string) bool {
		now := fmt.Sprint("e", round.Load()%3)
		return func(_, endpoint string) bool { return endpoint == "" || endpoint == now }
	}
	f := figures.New(o)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			s := f.Shard()
			for range 2000 {
				e := f.Profile("shop").Endpoint(fmt.Sprint("e", round.Load()%3))
				e.Attempt(s, "connect")
				e.Done(s, 200, "OK")
			}
		})
	}
	for range 50 {
		round.Add(1)
		if n := len(scrape(t, f)); n > 20 {
			t.Errorf("%d series", n)
		}
	}
	wg.Wait()
}

func TestCountingDoesNotAllocate(t *testing.T) {
	f := figures.New(words)
	p := f.Profile("shop")
	e, s := p.Endpoint("eu"), f.Shard()
	var w figures.Wait
	now := time.Now()
	if n := testing.AllocsPerRun(1000, func() {
		s.Begin()
		e.Attempt(s, "ok")
		e.Attempt(s, "connect")
		e.Done(s, 200, "OK")
		e.Done(s, 502, "UN")
		p.Observe(s, time.Second, time.Second)
		p.Wait(&w, now)
		p.Waited(&w, "released")
		s.End()
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
