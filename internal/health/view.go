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
	Stale     bool           // taken from the last-good log, or the store is out of reach
	Orders    []Override     // live ones that name the profile
	Floor     uint64         // the next epoch is above it, whatever the store says; 0 on nodes that never decide unwritten
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
}

// Tier is an endpoint's standing: lower is better, Excluded is never chosen.
type Tier uint8

// The tiers of a choice. Candidates are the endpoints of the best tier that has any; a TierDown endpoint is only
// answered when there is no candidate at all.
const (
	TierUsable   Tier = iota + 1 // Online, Unmonitored, forced up
	TierChecking                 // no verdict yet
	TierDown                     // Degraded or forced down
	TierExcluded                 // disabled, drained, stopped
)

// Resolve computes status, tier and horizons of one endpoint from its configuration, verdict and orders.
func Resolve(p *profile.Profile, e *EndpointView, profileDisabled bool, now time.Time) {
	e.Status = statusOf(e, profileDisabled)
	e.Tier = tierOf(e)
	e.Horizon, e.Recovery = horizons(p, e, now)
}

func statusOf(e *EndpointView, profileDisabled bool) Status {
	switch {
	case !e.Config.Enabled || e.Layer.Disabled:
		return Disabled
	case profileDisabled:
		return Inactive
	case e.Config.AlwaysServe:
		return Unmonitored
	case e.Layer.Forced == Down:
		return Degraded
	case e.Layer.Forced == Up:
		return Online
	}
	return e.Verdict.Status
}

func tierOf(e *EndpointView) Tier {
	if e.Layer.Drained {
		return TierExcluded
	}
	switch e.Status {
	case Online, Unmonitored:
		return TierUsable
	case CheckingEndpoint:
		return TierChecking
	case Degraded:
		return TierDown
	case Disabled, Inactive, Stopped:
	}
	return TierExcluded
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
