package probe

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"jurymast/internal/health"
	"jurymast/internal/profile"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == asProgram {
		program(os.Args[2:])
		return
	}
	goleak.VerifyTestMain(m)
}

// target is a pretended endpoint: after takes this long, then OK or not. hang waits for the timeout.
type target struct {
	took time.Duration
	bad  bool
	hang bool
}

// world runs probes against targets by host name and keeps what was started and reported.
type world struct {
	t *testing.T
	s *Scheduler

	mu       sync.Mutex
	targets  map[string]target
	starts   map[string][]time.Time
	reports  []Report
	onReport func(Report)
}

func newWorld(t *testing.T, o Options) *world {
	t.Helper()
	w := &world{t: t, targets: map[string]target{}, starts: map[string][]time.Time{}}
	o.Run, o.Report = w.run, w.report
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	w.s = s
	return w
}

func (w *world) run(ctx context.Context, s Spec) Result {
	w.mu.Lock()
	host := s.Targets[0]
	tg := w.targets[host]
	w.starts[host] = append(w.starts[host], time.Now())
	w.mu.Unlock()
	start, class, reason := time.Now(), Class(""), "status 200"
	switch {
	case tg.hang:
		tg.took, class, reason = s.Timeout, ClassTimeout, "timeout"
	case tg.bad:
		class, reason = ClassConnect, "connection refused"
	}
	if !pause(ctx, tg.took) {
		class, reason = ClassCancelled, "cancelled"
	}
	return Result{Class: class, Obs: health.Observation{At: time.Now(), OK: class == "", Reason: reason, Latency: time.Since(start)}}
}

func (w *world) report(r Report) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.reports = append(w.reports, r)
	if w.onReport != nil {
		w.onReport(r)
	}
}

func (w *world) set(host string, tg target) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.targets[host] = tg
}

func (w *world) startsOf(host string) []time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]time.Time(nil), w.starts[host]...)
}

func (w *world) taken() []Report {
	w.mu.Lock()
	defer w.mu.Unlock()
	got := w.reports
	w.reports = nil
	return got
}

func (w *world) close() {
	if err := w.s.Close(); err != nil {
		w.t.Error(err)
	}
}

func checkFor(host string, interval, timeout time.Duration) Check {
	return Check{Profile: "p", Endpoint: host, Interval: interval, Spec: Spec{Protocol: profile.HTTP, Targets: []string{host}, Port: 80, Timeout: timeout}}
}

func times(n int, d time.Duration) time.Duration { return time.Duration(int64(n) * int64(d)) }

// comeAndGo lets others share a check for a while: their extra probes must not move the results of the first.
func comeAndGo(w *world, mine Check, interval time.Duration, seed uint64) {
	dice := rand.New(rand.NewPCG(seed, 34))
	for range 10 {
		time.Sleep(time.Duration(dice.Int64N(int64(interval))))
		set := []Check{mine}
		for i := range dice.IntN(4) {
			other := mine
			other.Profile, other.Endpoint = "other", fmt.Sprint(i)
			set = append(set, other)
		}
		w.s.Apply(set)
	}
}

// TestD33DetectionBracket: a fault at a random moment turns the vote within [N*I + t, (N+1)*I + T], for random
// settings, and the whole bracket is used.
func TestD33DetectionBracket(t *testing.T) {
	lowest, highest := 1.0, 0.0
	for seed := range uint64(1000) {
		synctest.Test(t, func(t *testing.T) {
			dice := rand.New(rand.NewPCG(seed, 33))
			between := func(a, b time.Duration) time.Duration { return a + time.Duration(dice.Int64N(int64(b-a)+1)) }
			interval := between(100*time.Millisecond, time.Minute)
			timeout := between(interval/20, interval*9/10)
			rule := health.Rule{Tolerated: dice.IntN(6), Recovery: 1}
			fault := target{bad: true, took: between(0, timeout-1)}
			if dice.IntN(3) == 0 {
				fault = target{hang: true}
			}
			took := fault.took
			if fault.hang {
				took = timeout
			}
			w := newWorld(t, Options{Node: "n", Seed: seed})
			defer w.close()
			var tracker health.Tracker
			var downAt time.Time
			w.onReport = func(r Report) {
				if r.Endpoint != "a" {
					return
				}
				before := tracker.Opinion
				tracker.Step(rule, r.Obs)
				if tracker.Opinion == health.Down && before != health.Down {
					downAt = r.Obs.At
				}
			}
			set := []Check{checkFor("a", interval, timeout)}
			set[0].Shared = dice.IntN(2) == 0
			w.s.Apply(set)
			time.Sleep(2*interval + between(0, interval))
			if set[0].Shared {
				company, seed := sync.WaitGroup{}, dice.Uint64()
				company.Go(func() { comeAndGo(w, set[0], interval, seed) })
				defer company.Wait()
			}
			time.Sleep(between(0, interval))
			w.set("a", fault)
			broken := time.Now()
			n := rule.Tolerated
			low := times(n, interval) + took
			high := times(n+1, interval) + timeout
			time.Sleep(high + time.Second)
			synctest.Wait()
			w.mu.Lock()
			defer w.mu.Unlock()
			if detection := downAt.Sub(broken); downAt.IsZero() || detection < low || detection > high {
				t.Fatalf("seed %d: I %s T %s N %d t %s: detected after %s, want [%s, %s]", seed, interval, timeout, n, took, detection, low, high)
			}
			place := float64(downAt.Sub(broken)-low) / float64(interval)
			lowest, highest = min(lowest, place), max(highest, place)
		})
	}
	if lowest > 0.02 || highest < 0.98 {
		t.Errorf("detections lie in [%.3f, %.3f] of the interval: the ends were not reached", lowest, highest)
	}
}

func TestScheduleNeverDrifts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Options{})
		defer w.close()
		w.set("slow", target{hang: true})
		begin := time.Now()
		w.s.Apply([]Check{checkFor("fast", time.Second, 900*time.Millisecond), checkFor("slow", time.Second, 900*time.Millisecond)})
		time.Sleep(100 * time.Second)
		for _, host := range []string{"fast", "slow"} {
			at := w.startsOf(host)
			if len(at) < 100 || !at[0].Equal(begin) {
				t.Fatalf("%s: %d starts, first after %s", host, len(at), at[0].Sub(begin))
			}
			for i := 2; i < len(at); i++ { // the first probe is at once, the second finds its phase
				gap := at[i].Sub(at[i-1])
				if i > 2 && gap != time.Second {
					t.Fatalf("%s: start %d is %s after the one before", host, i, gap)
				}
			}
		}
	})
}

func TestPhasesSpreadEvenly(t *testing.T) {
	const n, buckets = 10000, 20
	interval := 30 * time.Second
	var count [buckets]int
	var moved time.Duration
	for i := range n {
		name := fmt.Sprintf("endpoint-%d", i)
		phase := phaseOf("n1", "p", name, interval, 1)
		if phase < 0 || phase >= interval {
			t.Fatalf("phase %s outside the interval", phase)
		}
		count[phase*buckets/interval]++
		again := phaseOf("n1", "p", name, interval, 2)
		d := (again - phase + interval + interval/2) % interval
		moved = max(moved, (d - interval/2).Abs())
		if phaseOf("n1", "p", name, interval, 1) != phase {
			t.Fatal("the same seed gives another phase")
		}
	}
	chi, want := 0.0, float64(n)/buckets
	for _, c := range count {
		chi += (float64(c) - want) * (float64(c) - want) / want
	}
	if chi > 43.8 { // 19 degrees of freedom, p = 0.001
		t.Errorf("phases are not even: chi-square %.1f, %v", chi, count)
	}
	if limit := interval * 4 / 100; moved > limit || moved < limit/2 {
		t.Errorf("dice move phases by up to %s, want at most %s and more than half of it", moved, limit)
	}
	if a, b := phaseOf("n1", "p", "e", interval, 1), phaseOf("n2", "p", "e", interval, 1); a == b {
		t.Error("two nodes share a phase")
	}
}

func TestApply(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg := prometheus.NewRegistry()
		w := newWorld(t, Options{Registerer: reg})
		defer w.close()
		a, b := checkFor("a", 10*time.Second, 9*time.Second), checkFor("b", 10*time.Second, 9*time.Second)
		w.set("b", target{hang: true})
		w.s.Apply([]Check{a, b})
		time.Sleep(time.Second)
		if got := w.taken(); len(got) != 1 || got[0].Endpoint != "a" || got[0].Key != a.Spec.Key() || got[0].Confirm {
			t.Fatalf("after one second: %+v", got)
		}
		if n := series(t, reg); n != 1 {
			t.Errorf("%d series of runs, want 1", n)
		}
		// b is under way: its Spec changes, its late result must not come; a is unchanged and keeps its schedule.
		b.Spec.Path = "/other"
		w.set("b", target{})
		w.s.Apply([]Check{a, b})
		time.Sleep(time.Millisecond)
		if got := w.taken(); len(got) != 1 || got[0].Endpoint != "b" || got[0].Key != b.Spec.Key() || !got[0].Obs.OK {
			t.Fatalf("after the change: %+v", got)
		}
		if n := len(w.startsOf("a")); n != 1 {
			t.Errorf("a was probed %d times, want 1: it did not change", n)
		}
		w.set("b", target{hang: true})
		time.Sleep(30 * time.Second)
		w.taken()
		w.s.Apply([]Check{a})
		n := len(w.startsOf("b"))
		time.Sleep(30 * time.Second)
		if len(w.startsOf("b")) != n {
			t.Error("b is probed after its removal")
		}
		for _, r := range w.taken() {
			if r.Endpoint == "b" {
				t.Errorf("b is reported after its removal: %+v", r)
			}
		}
		if n := series(t, reg); n != 1 {
			t.Errorf("%d series of runs, want those of a alone", n)
		}
		// A shorter interval holds from the last start.
		last := w.startsOf("a")
		a.Interval = 2 * time.Second
		a.Spec.Timeout = 9 * time.Second
		w.s.Apply([]Check{a})
		time.Sleep(2100 * time.Millisecond)
		if now := w.startsOf("a"); len(now) == len(last) {
			t.Error("the shorter interval is not in force")
		}
		w.s.Apply(nil)
		synctest.Wait()
		if n := series(t, reg); n != 0 {
			t.Errorf("%d series of runs without endpoints", n)
		}
	})
}

func series(t *testing.T, reg *prometheus.Registry) int {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "jurymast_probe_observations_total" {
			return len(f.GetMetric())
		}
	}
	return 0
}

func TestSetPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Options{})
		defer w.close()
		w.set("a", target{bad: true})
		w.s.Apply([]Check{checkFor("a", 30*time.Second, 10*time.Second)})
		w.s.SetPace("p", "a", "", time.Second)
		w.s.SetPace("p", "unknown", "", time.Second)
		time.Sleep(5*time.Second + time.Millisecond)
		if at := w.startsOf("a"); len(at) != 6 || at[5].Sub(at[0]) != 5*time.Second {
			t.Errorf("starts %v, want six, one second apart", at)
		}
		c := checkFor("a", 30*time.Second, 10*time.Second)
		c.Spec.Path = "/changed" // keeps the pace
		w.s.Apply([]Check{c})
		time.Sleep(2500 * time.Millisecond)
		if n := len(w.startsOf("a")); n != 9 {
			t.Errorf("%d starts after the change, want 9", n)
		}
		w.set("a", target{hang: true}) // a hung probe is never doubled: the next starts when it ends
		time.Sleep(31 * time.Second)
		at := w.startsOf("a")
		if n := len(at); n < 11 || at[n-1].Sub(at[n-2]) != 10*time.Second {
			t.Errorf("starts %v, want hung ones ten seconds apart", at)
		}
		w.set("a", target{})
		time.Sleep(11 * time.Second)
		w.s.SetPace("p", "a", "", 0)
		n := len(w.startsOf("a"))
		time.Sleep(61 * time.Second)
		if at = w.startsOf("a"); len(at)-n < 2 || len(at)-n > 3 || at[len(at)-1].Sub(at[len(at)-2]) != 30*time.Second {
			t.Errorf("%d starts in 61 s after the pace ended: %v", len(at)-n, at[n:])
		}
	})
}

// TestPanicIsAFailure, and a probe that this node could not make is none.
func TestPanicIsAFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		var got []Report
		calls := 0
		s, err := New(Options{
			Logger: slog.New(slog.NewTextHandler(&out, nil)),
			Report: func(r Report) {
				got = append(got, r)
				panic("receiver")
			},
			Run: func(context.Context, Spec) Result {
				switch calls++; calls {
				case 1:
					panic("boom")
				case 2:
					return Result{Class: ClassLocal, Obs: health.Observation{Reason: "too many open files"}}
				}
				return Result{Obs: health.Observation{OK: true}}
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		s.Apply([]Check{checkFor("a", time.Second, time.Second/2)})
		time.Sleep(3500 * time.Millisecond)
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if len(got) < 3 || got[0].Obs.OK || got[0].Obs.Reason != "probe panicked" || got[0].Result.Class != ClassPanic || !got[1].Obs.OK {
			t.Errorf("reports %+v", got)
		}
		if !strings.Contains(out.String(), "boom") || strings.Count(out.String(), "could not run on this node") != 1 || !strings.Contains(out.String(), "receiver of a probe report panicked") {
			t.Errorf("log %q", out.String())
		}
	})
}

// TestHungTargetsDoNotDelayHealthyOnes: a thousand targets hang for nearly their whole interval; 20 healthy ones are
// still probed every interval, both with slots for all and with far too few.
func TestHungTargetsDoNotDelayHealthyOnes(t *testing.T) {
	const interval = 10 * time.Second
	for _, slots := range []int{0, 400} {
		t.Run(fmt.Sprint(slots), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, Options{MaxInFlight: slots})
				defer w.close()
				var set []Check
				for i := range 20 { // known to be healthy before the others come
					set = append(set, checkFor(fmt.Sprintf("good%d", i), interval, 9*time.Second))
				}
				w.s.Apply(set)
				for i := range 1000 {
					host := fmt.Sprintf("hung%d", i)
					w.set(host, target{hang: true})
					set = append(set, checkFor(host, interval, 9*time.Second))
				}
				set = append(set, checkFor("new", interval, 9*time.Second)) // comes last and is healthy
				begin := time.Now()
				time.Sleep(time.Second)
				w.s.Apply(set)
				time.Sleep(10 * interval)
				for i := range 20 {
					at := w.startsOf(fmt.Sprintf("good%d", i))
					for j := 1; j < len(at); j++ {
						if gap := at[j].Sub(at[j-1]); gap > interval+young {
							t.Fatalf("a healthy target waited %s", gap)
						}
					}
					if len(at) < 10 {
						t.Fatalf("a healthy target was probed %d times in ten intervals", len(at))
					}
				}
				first := w.startsOf("new")
				limit := time.Second + 3*time.Second // every hung one leaves its busy slot after 250 ms
				if slots != 0 {
					limit = 3 * interval // 1,000 unknown targets on 350 slots of 9 s each come first
				}
				if len(first) == 0 || first[0].Sub(begin) > limit {
					t.Errorf("the new healthy target was first probed %v after the start, want within %s", first, limit)
				}
				for i := range 1000 {
					if len(w.startsOf(fmt.Sprintf("hung%d", i))) == 0 {
						t.Fatalf("hung%d was never probed", i)
					}
				}
			})
		})
	}
}

func TestCloseEndsAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Options{})
		w.set("a", target{hang: true})
		w.s.Apply([]Check{checkFor("a", time.Minute, 50*time.Second)})
		w.s.Confirm("p", "a", "", 3, 0)
		time.Sleep(time.Second)
		begin := time.Now()
		w.close()
		if took := time.Since(begin); took != 0 {
			t.Errorf("Close took %s", took)
		}
		w.s.Apply([]Check{checkFor("b", time.Minute, time.Second)})
		time.Sleep(time.Minute)
		if len(w.taken()) != 0 || len(w.startsOf("b")) != 0 {
			t.Error("something ran or was reported after Close")
		}
		w.close()
	})
	if _, err := New(Options{}); err == nil {
		t.Error("a scheduler without a receiver must be refused")
	}
}

// BenchmarkIdle measures what ten thousand waiting checks cost.
func BenchmarkIdle(b *testing.B) {
	const n = 10000
	for b.Loop() {
		set := make([]Check, n)
		for i := range set {
			set[i] = checkFor(fmt.Sprintf("host%d.example", i), time.Hour, time.Second)
		}
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		s, err := New(Options{
			Report: func(Report) {},
			Run:    func(context.Context, Spec) Result { return Result{Obs: health.Observation{OK: true}} },
		})
		if err != nil {
			b.Fatal(err)
		}
		s.Apply(set)
		for range 200 { // the first round
			runtime.Gosched()
			time.Sleep(time.Millisecond)
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/n, "B/check")
		b.ReportMetric(float64(runtime.NumGoroutine()), "goroutines")
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
