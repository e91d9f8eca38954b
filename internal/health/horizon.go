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
//	any voter suspect      one interval
//	checking               one interval
//	forced, unmonitored    unlimited, or the time left of the order
//	down                   recovery successes x interval
//	up but not answered    no recovery left, only what the failback policy adds
func horizons(p *profile.Profile, e *EndpointView, now time.Time) (horizon, recovery time.Duration) {
	horizon, recovery = Unlimited, Unlimited
	m := &e.Config.Monitor
	rule := RuleOf(m)
	step := m.Interval
	switch fixed := e.Config.AlwaysServe || e.Layer.Forced != Checking || !e.Config.Enabled; {
	case fixed:
		if e.Tier == TierUsable {
			recovery = 0
		}
	case e.Verdict.Status == Online:
		horizon, recovery = time.Duration(rule.Tolerated+1)*step, 0
	case e.Verdict.Status == Degraded:
		recovery = time.Duration(rule.Recovery) * step
		horizon = recovery
	default:
		horizon, recovery = step, step
	}
	if horizon != Unlimited && suspect(e.Votes) {
		horizon, recovery = min(horizon, step), min(recovery, step)
	}
	if e.Layer.Disabled || e.Layer.Drained {
		recovery = Unlimited // healthy or not, it stays out until the order ends
	}
	if !e.Layer.Ends.IsZero() {
		left := max(0, e.Layer.Ends.Sub(now))
		horizon, recovery = min(horizon, left), min(recovery, left)
	}
	return horizon, withFailback(p, e, recovery, now)
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
