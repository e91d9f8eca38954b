package preflight

import (
	"math/rand/v2"
	"testing"
	"time"

	"jurymast/internal/profile"
)

const second = time.Second

func monitorOf(interval, timeout time.Duration, tolerated int) profile.Monitor {
	return profile.Monitor{Interval: interval, Timeout: timeout, ToleratedFailures: tolerated, RecoverySuccesses: 1}
}

// TestPredictIsThePublishedTable: the settings people know, with the figures the documentation gives for them.
func TestPredictIsThePublishedTable(t *testing.T) {
	for _, c := range []struct {
		interval, timeout time.Duration
		tolerated         int
		ttl               time.Duration
		min, max, visible time.Duration
	}{
		{30 * second, 10 * second, 3, 0, 90 * second, 130 * second, 130 * second},
		{30 * second, 10 * second, 2, second, 60 * second, 100 * second, 101 * second},
		{10 * second, 5 * second, 1, second, 10 * second, 25 * second, 26 * second},
		{10 * second, 5 * second, 0, 0, 0, 15 * second, 15 * second},
		{second, 300 * time.Millisecond, 1, second, second, 2300 * time.Millisecond, 3300 * time.Millisecond},
	} {
		m := monitorOf(c.interval, c.timeout, c.tolerated)
		b := Predict(&m, c.ttl)
		if b.DetectMin != c.min || b.DetectMax != c.max || b.UserVisible != c.visible {
			t.Errorf("%s/%s/%d, ttl %s: %s ... %s, visible %s; want %s ... %s, %s",
				c.interval, c.timeout, c.tolerated, c.ttl, b.DetectMin, b.DetectMax, b.UserVisible, c.min, c.max, c.visible)
		}
	}
}

func TestPredictWithFurtherRules(t *testing.T) {
	fast := monitorOf(10*second, 3*second, 2)
	fast.IntervalFast = second
	window := monitorOf(10*second, 5*second, 9)
	window.Window = profile.Window{Size: 5, Need: 3}
	held := monitorOf(second, 500*time.Millisecond, 0)
	held.RecoverySuccesses, held.HoldDown = 3, time.Minute
	checks := monitorOf(30*second, 10*second, 2)
	checks.Checks = []profile.Check{{Monitor: monitorOf(10*second, 5*second, 1)}, {Monitor: monitorOf(300*second, 10*second, 0)}}
	signals := profile.Monitor{External: &profile.External{TTL: time.Minute, OnSilence: profile.SilenceDown}}
	deaf := profile.Monitor{External: &profile.External{TTL: time.Minute, OnSilence: profile.SilenceUp}}
	for name, c := range map[string]struct {
		m        profile.Monitor
		min, max time.Duration
		recover  time.Duration
	}{
		"interval_fast": {fast, 2 * second, 10*second + 2*3*second + 3*second, 13 * second},
		"window":        {window, 20 * second, 35 * second, 35 * second},
		"hold_down":     {held, 0, 1500 * time.Millisecond, time.Minute},
		"checks":        {checks, 0, 310 * second, 310 * second},
		"signals":       {signals, 0, time.Minute, Unbounded},
		"deaf":          {deaf, 0, Unbounded, Unbounded},
		"assume":        {profile.Monitor{Assume: profile.AssumeUp}, 0, Unbounded, Unbounded},
	} {
		b := Predict(&c.m, second)
		if b.DetectMin != c.min || b.DetectMax != c.max || b.RecoverMax != c.recover {
			t.Errorf("%s: %s ... %s, recover %s; want %s ... %s, %s", name, b.DetectMin, b.DetectMax, b.RecoverMax, c.min, c.max, c.recover)
		}
		if b.DetectMax == Unbounded && (b.UserVisible != Unbounded || b.SiteLoss(second) != Unbounded) {
			t.Errorf("%s: an unbounded detection has the bounds %s, %s", name, b.UserVisible, b.SiteLoss(second))
		}
	}
}

func TestBracketOfSeveralNodesAndOfALostLeader(t *testing.T) {
	m := monitorOf(10*second, 5*second, 1)
	b := Predict(&m, 0)
	if got := b.Agreed(&m, 1); got != 25*second+Propagation {
		t.Errorf("one voter: %s", got)
	}
	if got := b.Agreed(&m, 2); got != 35*second+Propagation {
		t.Errorf("two voters: %s", got)
	}
	if got := b.SiteLoss(3 * second); got != 28*second+Election+Propagation {
		t.Errorf("lost leader: %s", got)
	}
}

// TestMeasuredDetectionLiesInTheBracket walks probes through random settings by hand: a deliberately simple second
// implementation.
func TestMeasuredDetectionLiesInTheBracket(t *testing.T) {
	dice := rand.New(rand.NewPCG(1, 2))
	upTo := func(d time.Duration) time.Duration { return time.Duration(dice.Int64N(int64(d) + 1)) }
	for range 2000 {
		interval := 100*time.Millisecond + upTo(30*second)
		timeout := interval/10 + upTo(interval/10*8)
		m := monitorOf(interval, timeout, dice.IntN(6))
		if dice.IntN(2) == 0 {
			m.IntervalFast = interval/20 + upTo(interval/2)
		}
		fails, next := upTo(timeout), upTo(interval) // time a failing probe takes; the first probe after the fault
		at := next
		for range m.ToleratedFailures {
			if m.IntervalFast > 0 {
				at += max(m.IntervalFast, fails)
			} else {
				at += interval
			}
		}
		at += fails
		b := Predict(&m, 0)
		if at < b.DetectMin || at > b.DetectMax {
			t.Fatalf("%s/%s/%d fast %s: a probe that takes %s, the first after %s: down after %s, outside %s ... %s",
				interval, timeout, m.ToleratedFailures, m.IntervalFast, fails, next, at, b.DetectMin, b.DetectMax)
		}
	}
}
