package health

import (
	"time"

	"jurymast/internal/profile"
)

// Unlimited is a horizon without an end: the state cannot change by itself.
const Unlimited = time.Duration(1<<63 - 1)

// horizons says how soon the endpoint's standing can change: Horizon for what is answered now, Recovery for what is
// out. Both follow from published votes alone, so every node computes the same.
//
//	up, clean              (tolerated+1) x interval
//	any voter suspect      one interval, or one interval_fast
//	checking               one interval
//	forced, unmonitored    unlimited, or the time left of the order
//	down                   recovery successes x interval
//	held down              the rest of hold_down
//	nested, calculated     what follows from the endpoints behind it
//	external               the life of the signal
//	up but not answered    no recovery left
func horizons(e *EndpointView, now time.Time) (horizon, recovery time.Duration) {
	m := &e.Config.Monitor
	switch fixed := e.Config.AlwaysServe || e.Config.Stopped || e.Layer.Forced != Checking || !e.Config.Enabled || m.Assume != profile.AssumeNothing || frozen(e); {
	case fixed:
		horizon, recovery = Unlimited, Unlimited
	case e.Nested():
		horizon, recovery = nestedHorizons(e)
	case m.Calculated != nil:
		horizon, recovery = calculatedHorizons(e)
	case m.External != nil:
		horizon, recovery = m.External.TTL, m.External.TTL
		if s := e.Signal; s != nil && now.Before(s.Until) {
			horizon = min(horizon, s.Until.Sub(now))
		}
	default:
		horizon, recovery = probedHorizons(e)
	}
	if e.Verdict.Held && !e.Layer.Paused {
		recovery = max(0, e.Verdict.Since.Add(m.HoldDown).Sub(now))
	}
	if e.Tier == TierUsable {
		recovery = 0
	}
	if e.Layer.Disabled || e.Layer.Drained {
		recovery = Unlimited // healthy or not, it stays out until the order ends
	}
	if !e.Layer.Ends.IsZero() {
		left := max(0, e.Layer.Ends.Sub(now))
		horizon, recovery = min(horizon, left), min(recovery, left)
	}
	return horizon, recovery
}

// probedHorizons follow from how often the endpoint is probed. Of several checks the fastest counts.
func probedHorizons(e *EndpointView) (horizon, recovery time.Duration) {
	horizon, recovery = Unlimited, Unlimited
	m := &e.Config.Monitor
	one := []profile.Check{{Monitor: *m}}
	if len(m.Checks) > 0 {
		one = m.Checks
	}
	for i := range one {
		m := &one[i].Monitor
		rule, step := RuleOf(m), m.Interval
		fast := step
		if m.IntervalFast > 0 {
			fast = m.IntervalFast
		}
		h, r := fast, fast
		switch e.Verdict.Status {
		case Online:
			h = step + time.Duration(rule.Tolerated)*fast
		case Degraded:
			r = step + time.Duration(rule.Recovery-1)*fast
			h = r
		case CheckingEndpoint, Disabled, Inactive, Stopped, Unmonitored: // of these a verdict knows the first alone
		}
		if suspect(e.Votes) {
			h, r = min(h, fast), min(r, fast)
		}
		horizon, recovery = min(horizon, h), min(recovery, r)
	}
	return horizon, recovery
}

// calculatedHorizons are the soonest of the endpoints it is calculated from.
func calculatedHorizons(e *EndpointView) (horizon, recovery time.Duration) {
	horizon = Unlimited
	for _, p := range e.Parts {
		horizon = min(horizon, p.Change)
	}
	return horizon, horizon
}

// withFailback adds what the failback policy adds to a recovery before it can change an answer. An endpoint that is
// up already has served part of a delay.
func withFailback(p *profile.Profile, e *EndpointView, recovery time.Duration, now time.Time) time.Duration {
	if recovery == Unlimited || p.Routing != profile.Priority {
		return recovery
	}
	switch p.Failback.Mode {
	case profile.FailbackManual:
		return Unlimited
	case profile.FailbackDelayed:
		if e.Verdict.Status == Online {
			return max(recovery, p.Failback.After-now.Sub(e.Verdict.Since))
		}
		return recovery + p.Failback.After
	case profile.FailbackAuto, profile.FailbackNewSessions:
	}
	return recovery
}

func suspect(votes []Ballot) bool {
	for i := range votes {
		if votes[i].Suspect && !votes[i].Blind {
			return true
		}
	}
	return false
}
