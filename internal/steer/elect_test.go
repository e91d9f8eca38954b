package steer_test

import (
	"testing"
	"time"

	"jurymast/internal/health"
	"jurymast/internal/profile"
	"jurymast/internal/steer"
)

// Under failback for new sessions the return is at once, and the one left behind keeps its sessions until it is gone.
func TestNewSessionsKeepTheOneLeftBehind(t *testing.T) {
	now := t0.Add(2 * time.Hour)
	newSessions := func(v *health.View) { v.Profile.Failback.Mode = profile.FailbackNewSessions }
	d, changed := steer.Elect(build(profile.Priority, states("uu"), active("b"), newSessions), nil, now)
	if !changed || d.Active != "a" || d.Keeps != "b" || d.Reason != steer.ReasonFailbackNewSessions || d.Epoch != 8 {
		t.Fatalf("got %+v", d)
	}
	kept := func(v *health.View) { v.Decision = d }
	for word, keeps := range map[string]string{"uu": "b", "uc": "b", "ur": "b", "um": "b", "ud": "", "ux": "", "uo": "", "uh": "", "u": ""} {
		next, _ := steer.Elect(build(profile.Priority, states(word), newSessions, kept), nil, now)
		if next.Keeps != keeps || next.Epoch != d.Epoch || next.Active != "a" {
			t.Errorf("%s: keeps %q epoch %d active %s, want %q in the same epoch", word, next.Keeps, next.Epoch, next.Active, keeps)
		}
	}
	if again, changed := steer.Elect(build(profile.Priority, states("uu"), newSessions, kept), nil, now); changed {
		t.Errorf("nothing new, but %+v", again)
	}
	if next, _ := steer.Elect(build(profile.Priority, states("du"), newSessions, kept), nil, now); next.Active != "b" || next.Keeps != "" {
		t.Errorf("the next switch clears it: %+v", next)
	}
	order := &health.Override{Act: health.FailbackNow, By: "ops"}
	if d, _ := steer.Elect(build(profile.Priority, states("uu"), active("b"), newSessions), order, now); d.Active != "a" || d.Reason != steer.ReasonFailbackManual || d.Keeps != "b" {
		t.Errorf("ordered: %+v", d)
	}
}

func TestElectHeldDown(t *testing.T) {
	now := t0.Add(2 * time.Hour)
	for _, c := range []struct{ name, word, active, want string }{
		{"taken over to when nothing better is there", "dh", "a", "b"},
		{"not while something better is", "dhu", "a", "c"},
		{"not returned to", "hu", "b", "b"},
		{"the active one stays while all are held", "hh", "b", "b"},
		{"a held active gives way to a usable one", "hu", "a", "b"},
	} {
		d, _ := steer.Elect(build(profile.Priority, states(c.word), active(c.active)), nil, now)
		if d.Active != c.want {
			t.Errorf("%s: active %s, want %s", c.name, d.Active, c.want)
		}
	}
	if d, _ := steer.Elect(build(profile.Priority, states("ou"), active("a")), nil, now); d.Reason != steer.ReasonConfig {
		t.Errorf("stopped by configuration: %s", d.Reason)
	}
}

func TestReadyWaitsForVerdictsThatWillCome(t *testing.T) {
	serve := func(v *health.View) { v.Profile.Checking = profile.CheckingServe }
	external := func(v *health.View) {
		v.Profile.Endpoints[0].Monitor.External = &profile.External{OnSilence: profile.SilenceLast}
	}
	unready := build(profile.Weighted, states("c"), func(v *health.View) { v.Ready = false })
	cases := []struct {
		name string
		view *health.View
		want bool
	}{
		{"weighted: all in", build(profile.Weighted, states("udh")), true},
		{"weighted: one is missing", build(profile.Weighted, states("uuc")), false},
		{"weighted: disabled, drained, stopped and always served ones do not count", build(profile.Weighted, states("uxsom")), true},
		{"checking: serve makes nobody ready early", build(profile.Weighted, states("uc"), serve), false},
		{"priority, checking: serve", build(profile.Priority, states("cu"), serve), false},
		{"priority, checking: serve, the active one", build(profile.Priority, states("uc"), serve, active("b")), false},
		{"priority: the first is usable", build(profile.Priority, states("uc"), serve), true},
		{"a signal may never come", build(profile.Weighted, states("cu"), external), true},
		{"nested, not ready", build(profile.Weighted, []ep{{state: 'u', child: unready}, {state: 'u'}}), false},
		{"nested, ready", build(profile.Weighted, []ep{{state: 'u', child: build(profile.Weighted, states("u"))}, {state: 'u'}}), true},
		{"nested, no view yet", build(profile.Weighted, states("uu"), func(v *health.View) { v.Profile.Endpoints[0].Target = profile.Target{Profile: "x"} }), false},
	}
	for _, c := range cases {
		if got := steer.Ready(c.view); got != c.want {
			t.Errorf("%s: ready %v", c.name, got)
		}
	}
}
