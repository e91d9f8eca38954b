package health

import (
	"time"

	"jurymast/internal/profile"
)

// Decision is the agreed active endpoint of a priority profile. Epoch only grows; only the leader writes it.
type Decision struct {
	Active   string    `json:"active"`
	Epoch    uint64    `json:"epoch"`
	Since    time.Time `json:"since"`
	Reason   string    `json:"reason"`             // reason code of the switch, e.g. probe-quorum
	Previous string    `json:"previous,omitempty"` // active before
	Evidence string    `json:"evidence,omitempty"` // what the leader saw
	By       string    `json:"by,omitempty"`       // node that wrote it
	Keeps    string    `json:"keeps,omitempty"`    // failback for new sessions only: the endpoint that keeps the sessions it has
	Phase    Phase     `json:"phase,omitempty"`    // fencing: strict only: written as preparing first, with the same epoch

	// Pending is a better endpoint that is healthy again while failback waits. The leader writes it without a new
	// epoch, so that the time survives restarts and changes of leader.
	Pending      string    `json:"pending,omitempty"`
	PendingSince time.Time `json:"pendingSince,omitzero"`
}

// View is one profile as it stands: what steer decides on and what status and explain show. It is immutable once
// published.
type View struct {
	Profile   *profile.Profile
	Endpoints []EndpointView // in the profile's order
	Decision  Decision       // Epoch 0: none yet
	Disabled  bool           // by configuration or order
	Held      *Override      // the proxy holds
	Ready     bool           // no missing verdict can change the answer
	Halt      Halt           // why nothing is answered and nothing sent, whatever the rest says
	Awaits    []string       // HaltPreparing: live nodes that have not acknowledged yet
	Term      uint64         // fencing: strict: session with the store that Decision was had in; a send asks whether it still lives
	Stale     bool           // taken from the last-good log, or the store is out of reach
	Orders    []Override     // live ones that name the profile
	Floor     uint64         // the next epoch is above it, whatever the store says; 0 on nodes that never decide unwritten
	Reopens   time.Duration  // when an order that disables the profile ends by itself; 0: not
	Revision  uint64         // grows with every change of this profile on this node
}

// EndpointView is one endpoint of a view.
type EndpointView struct {
	Config   *profile.Endpoint
	Verdict  Verdict  // the votes merged: the real state
	Votes    []Ballot // in node order
	Layer    Layer    // what was ordered
	Status   Status   // monitor status shown
	Tier     Tier     // standing in the choice
	Horizon  time.Duration
	Recovery time.Duration // soonest time a Degraded or excluded endpoint could be a candidate again; Unlimited: not by itself
	Return   time.Duration // priority: soonest time the decision could come back to it, failback policy included

	Unseen bool    // probed, but not by any live node: nobody's verdict is to be waited for
	Child  *View   // nested endpoint: the profile it stands for; nil otherwise, and while that has no view yet
	Parts  []Part  // calculated check: what it is calculated from
	Signal *Signal // external check: the last signal; nil: none ever
	Weight uint32  // thousandths of the configured weight that count now: less than 1000 x weight while a ramp is under way
}

// Nested reports that the endpoint stands for another profile.
func (e *EndpointView) Nested() bool { return e.Config.Target.Profile != "" }

// Tier is an endpoint's standing: lower is better, Excluded is never chosen.
type Tier uint8

// The tiers of a choice. Candidates are the endpoints of the best tier that has any; a TierDown endpoint is only
// answered when there is no candidate at all.
const (
	TierUsable   Tier = iota + 1 // Online, Unmonitored, forced up
	TierChecking                 // no verdict yet; with checking: serve they are TierUsable
	TierHeld                     // Degraded, probes pass, held down
	TierDown                     // Degraded or forced down
	TierExcluded                 // disabled, drained, stopped
)

// Resolve computes status, tier, weight and horizons of one endpoint from its configuration, verdict, child and orders.
func Resolve(p *profile.Profile, e *EndpointView, profileDisabled bool, now time.Time) {
	e.Status = statusOf(e, profileDisabled)
	e.Tier = tierOf(p, e)
	e.Weight = ramped(p, e, now)
	e.Horizon, e.Recovery = horizons(e, now)
	e.Return = withFailback(p, e, e.Recovery, now)
}

// statusOf is the endpoint's monitor status, first match wins:
//
//	enabled: false, or disabled by order  -> Disabled
//	profile disabled                      -> Inactive
//	forced by order                       -> Online, Degraded
//	nested                                -> from the child profile, see nestedStatus
//	always_serve, or assume: up           -> Unmonitored
//	stopped                               -> Stopped
//	the verdict                           -> CheckingEndpoint, Online, Degraded
func statusOf(e *EndpointView, profileDisabled bool) Status {
	switch {
	case !e.Config.Enabled || e.Layer.Disabled:
		return Disabled
	case profileDisabled:
		return Inactive
	case e.Layer.Forced == Down:
		return Degraded
	case e.Layer.Forced == Up:
		return Online
	case e.Nested():
		if status := nestedStatus(e); status == Stopped || !frozen(e) {
			return status
		}
		return e.Verdict.Status
	case e.Config.AlwaysServe, e.Config.Monitor.Assume == profile.AssumeUp:
		return Unmonitored
	case e.Config.Stopped:
		return Stopped
	}
	return e.Verdict.Status
}

// frozen: an order pauses the endpoint, and there is a verdict to hold on to.
func frozen(e *EndpointView) bool { return e.Layer.Paused && e.Verdict.Status != CheckingEndpoint }

func tierOf(p *profile.Profile, e *EndpointView) Tier {
	if e.Layer.Drained {
		return TierExcluded
	}
	switch e.Status {
	case Online, Unmonitored:
		return TierUsable
	case CheckingEndpoint:
		if p.Checking == profile.CheckingServe {
			return TierUsable
		}
		return TierChecking
	case Degraded:
		if e.Verdict.Held && e.Layer.Forced != Down {
			return TierHeld
		}
		return TierDown
	case Disabled, Inactive, Stopped:
	}
	return TierExcluded
}

// maxWeight is the largest weight there is; validation refuses more.
const maxWeight = 1000

// ramped is the weight that counts now, in thousandths: with restore_ramp it grows linearly from the recovery on.
func ramped(p *profile.Profile, e *EndpointView, now time.Time) uint32 {
	full := uint32(min(max(0, e.Config.Weight), maxWeight)) * 1000
	gone := now.Sub(e.Verdict.Since)
	if full == 0 || p.RestoreRamp <= 0 || gone < 0 || gone >= p.RestoreRamp || !e.Verdict.Recovered || e.Status != Online {
		return full
	}
	return max(1, uint32(float64(full)*float64(gone)/float64(p.RestoreRamp)))
}

// ProfileStatus is the profile's monitor status from its endpoints' (traffic-manager status rules, first match):
// disabled; any Degraded; any Online or Unmonitored; any CheckingEndpoint; else Inactive.
func (v *View) ProfileStatus() string {
	if v.Disabled {
		return "Disabled"
	}
	var seen [Unmonitored + 1]bool
	for i := range v.Endpoints {
		seen[v.Endpoints[i].Status] = true
	}
	switch {
	case seen[Degraded]:
		return "Degraded"
	case seen[Online] || seen[Unmonitored]:
		return "Online"
	case seen[CheckingEndpoint]:
		return "CheckingEndpoints"
	}
	return "Inactive"
}

// Endpoint finds an endpoint of the view by name, or nil.
func (v *View) Endpoint(name string) *EndpointView {
	for i := range v.Endpoints {
		if v.Endpoints[i].Config.Name == name {
			return &v.Endpoints[i]
		}
	}
	return nil
}
