package probe

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// sharedCheck is a check of host by another endpoint of another profile.
func sharedCheck(profile, host string, interval time.Duration) Check {
	c := checkFor(host, interval, interval*9/10)
	c.Profile, c.Endpoint, c.Shared = profile, "e", true
	return c
}

// heard are the moments of results after begin, by profile.
func heard(reports []Report, begin time.Time) map[string][]time.Duration {
	out := map[string][]time.Duration{}
	for _, r := range reports {
		out[r.Profile] = append(out[r.Profile], r.Obs.At.Sub(begin))
	}
	return out
}

func TestIdenticalChecksRunOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg := prometheus.NewRegistry()
		w := newWorld(t, Options{Registerer: reg})
		defer w.close()
		begin := time.Now()
		const interval = 10 * time.Second
		a, b, slow := sharedCheck("a", "h", interval), sharedCheck("b", "h", interval), sharedCheck("slow", "h", 2*interval)
		alone := sharedCheck("alone", "h", interval)
		alone.Shared = false
		slow.Spec = a.Spec
		w.s.Apply([]Check{a, b})
		time.Sleep(20*interval + time.Second)
		got := heard(w.taken(), begin)
		if n := len(w.startsOf("h")); n < 20 || n > 22 || len(got["a"]) != n || !slices.Equal(got["a"], got["b"]) {
			t.Errorf("%d probes, results %v", n, got)
		}
		if runs, seen := total(t, reg, "jurymast_probe_runs_total"), total(t, reg, "jurymast_probe_observations_total"); seen != 2*runs || int(runs) != len(got["a"]) {
			t.Errorf("%v runs and %v observations counted, want %d and twice that", runs, seen, len(got["a"]))
		}

		// Another interval, and a check that wants no company, are runs of their own.
		before := len(w.startsOf("h"))
		w.s.Apply([]Check{a, b, slow, alone})
		time.Sleep(time.Millisecond)
		if n := len(w.startsOf("h")) - before; n != 2 {
			t.Errorf("%d more probes at once, want 2", n)
		}
		if got := heard(w.taken(), begin); len(got) != 2 || len(got["slow"]) != 1 || len(got["alone"]) != 1 {
			t.Errorf("results %v, want one for each of the new ones", got)
		}

		// What nobody uses any more ends at once, also while it hangs.
		w.set("h", target{hang: true})
		w.s.Apply([]Check{a, b})
		time.Sleep(interval)
		w.taken()
		w.s.Apply([]Check{b})
		time.Sleep(2 * interval)
		if got := heard(w.taken(), begin); len(got) != 1 || len(got["b"]) < 2 {
			t.Errorf("results %v, want those of b alone, which go on", got)
		}
		w.s.Apply(nil)
		n := len(w.startsOf("h"))
		time.Sleep(5 * interval)
		if len(w.startsOf("h")) != n || len(w.taken()) != 0 {
			t.Error("a check that nobody uses still runs")
		}
		if len(w.s.shared) != 0 || len(w.s.endpoints) != 0 || len(w.s.agenda) != 0 {
			t.Errorf("left behind: %d shared, %d endpoints, %d planned", len(w.s.shared), len(w.s.endpoints), len(w.s.agenda))
		}
	})
}

func total(t *testing.T, reg *prometheus.Registry, name string) (sum float64) {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			for _, m := range f.GetMetric() {
				sum += m.GetCounter().GetValue()
			}
		}
	}
	return sum
}

// TestNewcomers hear something at once; the results of those who were there stay an interval apart.
func TestNewcomers(t *testing.T) {
	for _, hang := range []bool{false, true} {
		t.Run(fmt.Sprint("hang ", hang), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, Options{})
				defer w.close()
				const interval = 10 * time.Second
				a, b := sharedCheck("a", "h", interval), sharedCheck("b", "h", interval)
				w.s.Apply([]Check{a})
				time.Sleep(5 * interval)
				grid := w.startsOf("h")[3]
				time.Sleep(time.Until(grid.Add(5*interval + 9*time.Second + time.Millisecond))) // between two probes
				w.taken()
				w.set("h", target{hang: hang})
				joined := time.Now()
				w.s.Apply([]Check{a, b})
				time.Sleep(3*interval + time.Millisecond)
				got := heard(w.taken(), grid)
				took := time.Duration(0)
				if hang {
					took = 9 * time.Second
				}
				for i, at := range got["a"] {
					if want := times(6+i, interval) + took; at != want {
						t.Errorf("result %d of a at %s, want %s", i, at, want)
					}
				}
				starts := w.startsOf("h")
				if i := slices.IndexFunc(starts, joined.Equal); i < 0 {
					t.Errorf("nothing started when b came: %v", starts)
				}
				want := len(got["a"])
				if !hang {
					want++ // the one at once; a hung one is given up for the regular probe
				}
				if len(got["b"]) != want {
					t.Errorf("b heard %v, a %v", got["b"], got["a"])
				}
			})
		})
	}
}

func TestSharedPaceAndConfirm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Options{})
		defer w.close()
		const interval = 60 * time.Second
		a, b := sharedCheck("a", "h", interval), sharedCheck("b", "h", interval)
		w.s.Apply([]Check{a, b})
		time.Sleep(3 * interval)
		rate := func() int {
			n := len(w.startsOf("h"))
			time.Sleep(interval)
			return len(w.startsOf("h")) - n
		}
		for _, step := range []struct {
			profile string
			pace    time.Duration
			want    int
		}{{"a", 10 * time.Second, 6}, {"b", 5 * time.Second, 12}, {"a", 0, 12}, {"a", 20 * time.Second, 12}, {"b", 0, 3}, {"a", 0, 1}} {
			w.s.SetPace(step.profile, "e", "", step.pace)
			if n := rate(); n < step.want-1 || n > step.want+1 || (step.want < 4 && n > step.want+1) {
				t.Errorf("after %s asked for %s: %d probes a minute, want %d", step.profile, step.pace, n, step.want)
			}
		}
		w.s.SetPace("b", "e", "", 5*time.Second)
		w.s.Apply([]Check{a}) // the one in a hurry leaves
		if n := rate(); n > 2 {
			t.Errorf("%d probes a minute for somebody who left", n)
		}

		w.s.Apply([]Check{a, b})
		time.Sleep(time.Second)
		w.taken()
		w.set("h", target{bad: true})
		if !w.s.Confirm("b", "e", "", 2, 0) || w.s.Confirm("a", "e", "", 2, 0) {
			t.Error("one run for all that share the check")
		}
		time.Sleep(time.Second)
		for _, r := range w.taken() {
			if !r.Confirm || r.Asked != (r.Profile == "b") {
				t.Errorf("report %+v", r)
			}
			w.reports = append(w.reports, Report{Profile: r.Profile})
		}
		if got := heard(w.taken(), time.Now()); len(got["a"]) != 2 || len(got["b"]) != 2 {
			t.Errorf("results %v, want two for each", got)
		}
	})
}

// TestSeveralChecksOfAnEndpoint: names tell them apart, and what is asked of the endpoint holds for all.
func TestSeveralChecksOfAnEndpoint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Options{})
		defer w.close()
		web, db := checkFor("web", 10*time.Second, time.Second), checkFor("db", time.Minute, time.Second)
		web.Endpoint, web.Name, db.Endpoint, db.Name = "e", "web", "e", "db"
		w.s.Apply([]Check{web, db})
		time.Sleep(30 * time.Second)
		names := map[string]int{}
		for _, r := range w.taken() {
			names[r.Check]++
		}
		if names["web"] < 3 || names["db"] < 1 || names["db"] > 2 || len(names) != 2 {
			t.Errorf("results %v", names)
		}
		w.set("web", target{bad: true})
		w.set("db", target{bad: true})
		if w.s.Confirm("p", "e", "none", 2, 0) || !w.s.Confirm("p", "e", "db", 2, 0) || !w.s.Confirm("p", "e", "", 2, 0) {
			t.Error("one for db, then one for web")
		}
		time.Sleep(time.Second)
		names = map[string]int{}
		for _, r := range w.taken() {
			if r.Confirm {
				names[r.Check]++
			}
		}
		if names["web"] != 2 || names["db"] != 2 {
			t.Errorf("confirmed %v, want two each", names)
		}
		w.set("db", target{hang: true})
		w.s.Confirm("p", "e", "db", 2, 0)
		time.Sleep(time.Millisecond)
		if w.s.EndConfirm("p", "e", "web") || !w.s.EndConfirm("p", "e", "") {
			t.Error("only db had a run to end")
		}
		n := len(w.startsOf("db"))
		w.s.SetPace("p", "e", "db", time.Second)
		time.Sleep(10 * time.Second)
		if got := len(w.startsOf("db")) - n; got < 8 {
			t.Errorf("%d probes of db in 10 s at the pace of one second", got)
		}
		w.s.Apply([]Check{db})
		n = len(w.startsOf("web"))
		time.Sleep(time.Minute)
		if len(w.startsOf("web")) != n {
			t.Error("web is probed after its removal")
		}
	})
}
