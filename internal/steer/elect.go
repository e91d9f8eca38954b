package steer

import (
	"fmt"
	"time"

	"jurymast/internal/health"
	"jurymast/internal/profile"
)

// Reasons of a switch, as they stand in the journal, events, explain and metrics.
const (
	ReasonInitial         = "initial"
	ReasonConfig          = "config"
	ReasonQuorum          = "probe-quorum"
	ReasonOverride        = "operator-override"
	ReasonDrain           = "drain"
	ReasonFailbackAuto    = "failback-auto"
	ReasonFailbackDelayed = "failback-delayed"
	ReasonFailbackManual  = "failback-manual"

	ReasonFailbackNewSessions = "failback-new-sessions"
)

// Elect says what the leader has to write now: changed is false when the decision stands. The epoch grows by one
// with every new active endpoint; a change of Pending alone keeps it. Takeover from an active that is no candidate
// ignores every failback rule. failback is the operator's order to return, or nil.
//
//	no decision          -> the best candidate, once no missing verdict can change it      initial
//	active left config   -> the best candidate                                             config
//	active no candidate  -> the best candidate                        probe-quorum | operator-override | drain
//	better one usable    -> it, as the failback mode says                                  failback-*
//	verdict unconfirmed  -> no evidence: neither a takeover nor a return follows from it
//	nobody usable        -> the decision stands: it does not move among the dead
//
// An endpoint that is only checked or held down is taken over to when nothing better is there, but never returned to.
// Under failback for new sessions the return comes at once, and the decision names the endpoint that keeps its sessions.
func Elect(v *health.View, failback *health.Override, now time.Time) (next health.Decision, changed bool) {
	d := v.Decision
	if v.Profile.Routing != profile.Priority || v.Disabled || !v.Ready {
		return d, false
	}
	order := ranked(v)
	cand, tier := candidates(v, order)
	if len(cand) == 0 || tier == health.TierDown {
		return d, false
	}
	best := cand[0]
	active := v.Endpoint(d.Active)
	switch {
	case d.Epoch == 0:
		return switchTo(v, best, ReasonInitial, now), true
	case active == nil:
		return switchTo(v, best, ReasonConfig, now), true
	case active.Tier != tier:
		reason := takeoverReason(active)
		if reason == ReasonQuorum && active.Verdict.Stale {
			return d, false // taken over from an earlier life, and nobody has looked yet
		}
		return switchTo(v, best, reason, now), true
	case d.Active == nameOf(v, best) || tier != health.TierUsable:
		return tidied(v)
	case unconfirmed(&v.Endpoints[best]):
		return d, false
	}
	return goBack(v, best, failback, now)
}

// Settled reports that nothing is open on which a return could depend: an order to return that changes nothing now has
// nothing to return to.
func Settled(v *health.View) bool {
	if !v.Ready {
		return false
	}
	for i := range v.Endpoints {
		if e := &v.Endpoints[i]; e.Tier == health.TierUsable && unconfirmed(e) {
			return false
		}
	}
	return true
}

// goBack applies the failback policy: a better endpoint is usable, the active one lives.
func goBack(v *health.View, best int, order *health.Override, now time.Time) (health.Decision, bool) {
	d := v.Decision
	if d.Pending != nameOf(v, best) {
		d.Pending, d.PendingSince = nameOf(v, best), wall(anchor(&v.Endpoints[best], now))
	}
	switch f := v.Profile.Failback; {
	case order != nil:
		return keeping(v, switchTo(v, best, ReasonFailbackManual, now)), true
	case f.Mode == profile.FailbackAuto:
		return switchTo(v, best, ReasonFailbackAuto, now), true
	case f.Mode == profile.FailbackNewSessions:
		return keeping(v, switchTo(v, best, ReasonFailbackNewSessions, now)), true
	case f.Mode == profile.FailbackDelayed && !now.Before(d.PendingSince.Add(f.After)):
		return switchTo(v, best, ReasonFailbackDelayed, now), true
	}
	return d, d != v.Decision
}

// anchor is when the endpoint became fit to return: when its verdict became Online, else now.
func anchor(e *health.EndpointView, now time.Time) time.Time {
	if e.Verdict.Status == health.Online && !e.Verdict.Since.After(now) {
		return e.Verdict.Since
	}
	return now
}

// wall is the time as the store keeps it, so that a decision compares equal before and after it was written.
func wall(t time.Time) time.Time { return t.Round(0).UTC() }

// FailbackDue is when a delayed failback becomes due by itself, zero when none is waiting.
func FailbackDue(v *health.View) time.Time {
	if v.Decision.Pending == "" || v.Profile.Failback.Mode != profile.FailbackDelayed {
		return time.Time{}
	}
	return v.Decision.PendingSince.Add(v.Profile.Failback.After)
}

// unconfirmed: the endpoint counts as usable only by a verdict that nobody confirms now.
func unconfirmed(e *health.EndpointView) bool {
	return e.Verdict.Stale && e.Layer.Forced != health.Up && e.Status != health.Unmonitored
}

// keeping names the endpoint that is left behind, when the profile returns for new sessions only.
func keeping(v *health.View, next health.Decision) health.Decision {
	if v.Profile.Failback.Mode == profile.FailbackNewSessions {
		next.Keeps = v.Decision.Active
	}
	return next
}

// tidied forgets what no longer holds, without a new epoch: a pending return, and the endpoint that keeps its sessions
// when that one is down, out or gone. A drained one keeps them.
func tidied(v *health.View) (health.Decision, bool) {
	d, changed := withoutPending(v)
	if d.Keeps == "" {
		return d, changed
	}
	if e := v.Endpoint(d.Keeps); e != nil && (e.Status == health.Online || e.Status == health.Unmonitored || e.Status == health.CheckingEndpoint) {
		return d, changed
	}
	d.Keeps = ""
	return d, true
}

// withoutPending forgets a pending return when its endpoint is down, out or gone. One that is only being looked at,
// after a restart or an edit, keeps the time it has served.
func withoutPending(v *health.View) (health.Decision, bool) {
	d := v.Decision
	if e := v.Endpoint(d.Pending); d.Pending == "" || (e != nil && e.Tier == health.TierChecking) {
		return d, false
	}
	d.Pending, d.PendingSince = "", time.Time{}
	return d, true
}

func switchTo(v *health.View, to int, reason string, now time.Time) health.Decision {
	e := &v.Endpoints[to]
	evidence := fmt.Sprintf("%s is %s: %s", e.Config.Name, e.Status, e.Verdict.Reason)
	if was := v.Endpoint(v.Decision.Active); was != nil {
		evidence = fmt.Sprintf("%s is %s: %s; ", was.Config.Name, was.Status, was.Verdict.Reason) + evidence
	}
	return health.Decision{
		Active: e.Config.Name, Epoch: v.Decision.Epoch + 1, Since: wall(now),
		Reason: reason, Previous: v.Decision.Active, Evidence: evidence,
	}
}

func takeoverReason(active *health.EndpointView) string {
	switch {
	case active.Layer.Drained:
		return ReasonDrain
	case active.Layer.Disabled, active.Layer.Forced == health.Down:
		return ReasonOverride
	case !active.Config.Enabled, active.Config.Stopped:
		return ReasonConfig
	}
	return ReasonQuorum
}

func nameOf(v *health.View, i int) string { return v.Endpoints[i].Config.Name }
