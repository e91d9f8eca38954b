package profile

import "time"

const day = 24 * time.Hour

func validateTiming(r *report, a *at, m *Monitor) {
	r.lasts(a.child("interval"), m.Interval, 100*time.Millisecond, day)
	place := a.child("timeout")
	switch {
	case m.Timeout <= 0:
		r.errorf(place, "%s is out of range; allowed: above 0s, at most 0.9 x interval", m.Timeout)
	case m.Interval > 0 && m.Interval <= day && m.Timeout/9 > m.Interval/10:
		r.errorf(place, "%s is more than 0.9 x interval (%s), so probes would overlap; write at most %s or a longer interval", short(m.Timeout), short(m.Interval), short(m.Interval/10*9))
	}
	if fast := m.IntervalFast; fast != 0 && (fast < 100*time.Millisecond || fast > m.Interval) {
		r.errorf(a.child("interval_fast"), "%s is out of range; allowed: 100ms to the interval, which is %s", short(fast), short(m.Interval))
	}
	r.lasts(a.child("hold_down"), m.HoldDown, 0, day)
	within := func(a *at, v time.Duration) {
		if v < 0 || v > m.Timeout {
			r.errorf(a, "%s is out of range; allowed: 0s to the timeout, which is %s", short(v), short(m.Timeout))
		}
	}
	within(a.child("max_latency"), m.MaxLatency)
	parts := a.child("timeouts")
	within(parts.child("connect"), m.Timeouts.Connect)
	within(parts.child("status"), m.Timeouts.Status)
	within(parts.child("body"), m.Timeouts.Body)
	r.between(a.child("tolerated_failures"), m.ToleratedFailures, 0, 100)
	r.between(a.child("recovery_successes"), m.RecoverySuccesses, 1, 100)
	validateWindow(r, a, m.Window)
	r.between(a.child("message_quota"), m.MessageQuota, 0, 1_000_000_000)
}

func validateWindow(r *report, a *at, w Window) {
	place := a.child("window")
	if place.given() && a.has("tolerated_failures") {
		r.errorf(a.child("tolerated_failures"), "has no effect beside window in line %d, which wins; remove one of them", place.line)
	}
	switch {
	case w.Size == 0 && w.Need == 0 && !place.has("size"):
	case w.Size < 1 || w.Size > 64:
		r.errorf(place.child("size"), "%d is out of range; allowed: 1 to 64 results", w.Size)
	case w.Need < 1 || w.Need > w.Size:
		r.errorf(place.child("need"), "%d is out of range; allowed: 1 to the size, which is %d", w.Need, w.Size)
	}
}
