package probe

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

func TestConfirmTimings(t *testing.T) {
	ms := func(n ...int) (all []time.Duration) {
		for _, v := range n {
			all = append(all, time.Duration(v)*time.Millisecond)
		}
		return all
	}
	for _, tc := range []struct {
		name    string
		target  target
		timeout time.Duration
		n       int
		span    time.Duration
		starts  []time.Duration
		reports []time.Duration
	}{
		{"refused", target{bad: true}, time.Second, 3, 0, ms(0, 5, 10), ms(0, 5, 10)},
		{"refused after 20 ms", target{bad: true, took: 20 * time.Millisecond}, time.Second, 3, 0, ms(0, 25, 50), ms(20, 45, 70)},
		{"hung, short timeout", target{hang: true}, 150 * time.Millisecond, 3, 0, ms(0, 50, 100), ms(150, 200, 250)},
		{"hung costs about one timeout", target{hang: true}, 10 * time.Second, 3, 0, ms(0, 100, 200), ms(10000, 10100, 10200)},
		{"stateless span", target{bad: true}, time.Second, 3, 10 * time.Millisecond, ms(0, 5, 10), ms(0, 5, 10)},
		{"sessions: a restart of 20 ms must not log everybody off", target{bad: true}, time.Second, 3, time.Second, ms(0, 500, 1000), ms(0, 500, 1000)},
		{"hung with a span", target{hang: true}, 300 * time.Millisecond, 3, time.Second, ms(0, 500, 1000), ms(300, 800, 1300)},
		{"one failure is enough, at once", target{bad: true}, time.Second, 1, 0, ms(0), ms(0)},
		{"one failure is enough, but not before the span", target{bad: true}, time.Second, 1, time.Second, ms(0, 1000), ms(1000)},
		{"success ends the run", target{took: 3 * time.Millisecond}, time.Second, 3, time.Second, ms(0), ms(3)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, Options{})
				defer w.close()
				w.s.Apply([]Check{checkFor("a", time.Hour, tc.timeout)})
				time.Sleep(time.Millisecond)
				w.taken()
				w.set("a", tc.target)
				begin := time.Now()
				if !w.s.Confirm("p", "a", "", tc.n, tc.span) || w.s.Confirm("p", "a", "", tc.n, tc.span) {
					t.Fatal("one run starts, a second beside it does not")
				}
				time.Sleep(30 * time.Second)
				var starts, reports []time.Duration
				for _, at := range w.startsOf("a")[1:] {
					starts = append(starts, at.Sub(begin))
				}
				for _, r := range w.taken() {
					if !r.Confirm {
						t.Errorf("a scheduled result in between: %+v", r)
					}
					reports = append(reports, r.Obs.At.Sub(begin))
				}
				if fmt.Sprint(starts) != fmt.Sprint(tc.starts) || fmt.Sprint(reports) != fmt.Sprint(tc.reports) {
					t.Errorf("starts %v, reports %v; want %v and %v", starts, reports, tc.starts, tc.reports)
				}
				if !w.s.Confirm("p", "a", "", 1, 0) {
					t.Error("the next run does not start")
				}
				time.Sleep(30 * time.Second)
			})
		})
	}
}

func TestConfirmEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Options{})
		defer w.close()
		a := checkFor("a", 10*time.Second, 9*time.Second)
		w.s.Apply([]Check{a})
		time.Sleep(time.Millisecond)
		w.taken()
		if w.s.Confirm("p", "none", "", 1, 0) || w.s.Confirm("p", "a", "", 0, 0) {
			t.Error("a run for nothing started")
		}

		// The second probe succeeds while the first still hangs: the first is cancelled and not reported.
		w.set("a", target{hang: true})
		w.s.Confirm("p", "a", "", 3, 0)
		time.Sleep(50 * time.Millisecond)
		w.set("a", target{})
		time.Sleep(time.Second)
		if got := w.taken(); len(got) != 1 || !got[0].Obs.OK || !got[0].Confirm {
			t.Errorf("reports %+v, want the success alone", got)
		}

		// A byte seen on the data path ends the run without a result; the schedule goes on.
		w.set("a", target{hang: true})
		w.s.Confirm("p", "a", "", 3, 0)
		time.Sleep(50 * time.Millisecond)
		if !w.s.EndConfirm("p", "a", "") {
			t.Error("there was a run to end")
		}
		w.set("a", target{})
		synctest.Wait()
		if w.s.EndConfirm("p", "a", "") {
			t.Error("the run is still there")
		}
		time.Sleep(20 * time.Second)
		got := w.taken()
		if n := len(got); n < 2 || got[n-1].Obs.At.Sub(got[n-2].Obs.At) != 10*time.Second {
			t.Errorf("scheduled results %+v, want them ten seconds apart", got)
		}
		for _, r := range got {
			if r.Confirm {
				t.Errorf("an ended run reported %+v", r)
			}
		}

		// A changed Spec ends the run, too.
		w.set("a", target{hang: true})
		w.s.Confirm("p", "a", "", 3, 0)
		time.Sleep(50 * time.Millisecond)
		w.set("a", target{})
		a.Spec.Path = "/new"
		w.s.Apply([]Check{a})
		time.Sleep(time.Second)
		if got := w.taken(); len(got) != 1 || got[0].Confirm || got[0].Key != a.Spec.Key() {
			t.Errorf("after the change: %+v", got)
		}
	})
}

// TestConfirmHoldsTheSchedule: a scheduled probe that comes due during the run starts when the run has ended, so that
// it cannot shorten the span.
func TestConfirmHoldsTheSchedule(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Options{})
		defer w.close()
		w.s.Apply([]Check{checkFor("a", 200*time.Millisecond, 100*time.Millisecond)})
		time.Sleep(time.Second)
		w.taken()
		w.set("a", target{bad: true})
		begin := time.Now()
		w.s.Confirm("p", "a", "", 3, time.Second)
		time.Sleep(1010 * time.Millisecond)
		got := w.taken()
		if len(got) < 4 || !got[2].Confirm || got[2].Obs.At.Sub(begin) != time.Second || got[3].Confirm {
			t.Errorf("reports %+v, want three of the run over one second, then the schedule", got)
		}
	})
}
