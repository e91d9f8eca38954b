package sim_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"jurymast/internal/engine"
	"jurymast/internal/health"
	"jurymast/internal/profile"
)

// TestFlapStorm: with hold_down, a primary that flaps as it likes is left at most once per hold_down, however few results
// a change takes and whichever way the profile returns; and when the storm is over it is active again in time.
func TestFlapStorm(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		s := newStage(t)
		m := &s.doc.Monitor
		m.ToleratedFailures, m.RecoverySuccesses = rapid.IntRange(0, 2).Draw(rt, "tolerated"), rapid.IntRange(1, 3).Draw(rt, "recovery")
		if size := rapid.IntRange(0, 5).Draw(rt, "window"); size > 0 {
			m.Window = profile.Window{Size: size, Need: rapid.IntRange(1, size).Draw(rt, "need")}
		}
		m.Interval = time.Duration(rapid.IntRange(1, 10).Draw(rt, "interval")) * second
		m.HoldDown = time.Duration(rapid.IntRange(1, 300).Draw(rt, "hold down")) * second
		s.doc.Failback = profile.Failback{Mode: rapid.SampledFrom([]profile.FailbackMode{profile.FailbackAuto, profile.FailbackDelayed}).Draw(rt, "failback")}
		if s.doc.Failback.Mode == profile.FailbackDelayed {
			s.doc.Failback.After = time.Duration(rapid.IntRange(0, 120).Draw(rt, "after")) * second
		}
		s.do([]string{"endpoints", "a", "b", "c"})

		var left []time.Time
		was := s.stored
		watch := func() {
			if s.stored.Epoch != was.Epoch && was.Active == "a" {
				left = append(left, s.now)
			}
			if s.stored.Epoch > was.Epoch+1 {
				rt.Fatalf("two decisions at once: %+v after %+v", s.stored, was)
			}
			was = s.stored
		}
		look := func(ok bool) {
			for _, e := range []string{"b", "c", "a"} { // the standbys are steady
				s.tell("n1", engine.Observed{Endpoint: e, Obs: health.Observation{At: s.now, OK: ok || e != "a", Reason: "seen"}})
				watch()
			}
			s.wait(m.Interval)
			watch()
		}
		look(true)
		if s.stored.Active != "a" {
			rt.Fatalf("begins with %+v", s.stored)
		}
		for range rapid.SampledFrom([]int{10, 50, 200}).Draw(rt, "probes") {
			look(rapid.Bool().Draw(rt, "ok"))
		}
		for i := 1; i < len(left); i++ {
			if gap := left[i].Sub(left[i-1]); gap < m.HoldDown {
				rt.Fatalf("left a at %v and %v later again; hold_down %v, failback %+v", left[i-1], gap, m.HoldDown, s.doc.Failback)
			}
		}
		for range health.RuleOf(m).Recovery + 1 {
			look(true)
		}
		s.wait(m.HoldDown + s.doc.Failback.After) // no further result is needed: time alone ends it
		if s.stored.Active != "a" {
			rt.Fatalf("the storm is over, and %s is active: %+v", s.stored.Active, s.stored)
		}
	})
}
