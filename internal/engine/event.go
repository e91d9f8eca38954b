package engine

import (
	"time"

	"jurymast/internal/health"
	"jurymast/internal/profile"
)

// Event is something that happened to one profile. Times inside events are wall times of the node that saw it.
type Event interface{ event() }

// The events of a profile's machine.
type (
	// Configured gives the profile a new document.
	Configured struct{ Doc *profile.Profile }
	// Observed is the result of one probe of this node.
	Observed struct {
		Endpoint string
		Check    string // "" for an endpoint with one check
		Obs      health.Observation
	}
	// LinkedSeen are new views of profiles this one is built on: nested ones, and those a calculated check looks at.
	LinkedSeen struct{ Views map[string]*health.View }
	// SignalsSeen are all external signals about the profile's endpoints, by endpoint.
	SignalsSeen struct{ Signals map[string]health.Signal }
	// VotesSeen are the votes of another node as the store has them; nil when they are gone.
	VotesSeen struct {
		Node  string
		Votes map[string]health.Vote
	}
	// MembersSeen is the list of live nodes, this one included, in name order.
	MembersSeen struct{ Members []Member }
	// OrdersSeen are all overrides that name the profile.
	OrdersSeen struct{ Orders []health.Override }
	// DecisionSeen is the decision as the store has it, with its revision.
	DecisionSeen struct {
		Decision health.Decision
		Rev      int64
	}
	// DecisionFailed answers a WriteDecision that did not succeed. Lost: the store refused because somebody was
	// faster, and DecisionSeen will follow; else the store could not write.
	DecisionFailed struct {
		Epoch uint64
		Lost  bool
	}
	// RoleSeen says whether this node leads.
	RoleSeen struct{ Leader bool }
	// StoreSeen says whether the store confirms this node's lease, and the number of the session.
	StoreSeen struct {
		Reachable bool
		Term      uint64
	}
	// AckSeen: a live node sends nothing by a decision older than Epoch any more, as the store has it.
	AckSeen struct {
		Node  string
		Epoch uint64
	}
	// Suspected is a passive failure seen by a front here, or by another node (Asked).
	Suspected struct {
		Endpoint, Kind string
		Asked          bool
	}
	// DecisionGone: somebody removed the stored decision. What this node knows of epochs stays.
	DecisionGone struct{}
	// StoreFailed: no session with the store could be begun, or one broke. A node alone need not wait for it.
	StoreFailed struct{}
	// Recovered is the last good state of an earlier life, served stale until it is confirmed.
	Recovered struct {
		Verdicts map[string]health.Verdict
		Decision health.Decision
		Orders   []health.Override
		Floor    uint64
		Ready    bool
	}
	// Tick is the time that Due asked for.
	Tick struct{}
	// Together are several events that came at once: all are taken in before anything follows from them.
	Together struct{ Events []Event }
)

func (Configured) event()     {}
func (Observed) event()       {}
func (LinkedSeen) event()     {}
func (SignalsSeen) event()    {}
func (VotesSeen) event()      {}
func (MembersSeen) event()    {}
func (OrdersSeen) event()     {}
func (DecisionSeen) event()   {}
func (DecisionFailed) event() {}
func (RoleSeen) event()       {}
func (StoreSeen) event()      {}
func (AckSeen) event()        {}
func (Suspected) event()      {}
func (DecisionGone) event()   {}
func (StoreFailed) event()    {}
func (Recovered) event()      {}
func (Tick) event()           {}
func (Together) event()       {}

// Member is one live node.
type Member struct {
	Name, Location string
	Blind          bool
}

// Effect is something the edges have to do for a profile.
type Effect interface{ effect() }

// The effects of a profile's machine.
type (
	// PublishView makes a new view visible to the fronts. Material: verdicts, decision or orders changed, so the
	// last-good log wants it; else only counters did.
	PublishView struct {
		View     *health.View
		Material bool
	}
	// PublishVotes writes this node's votes of the profile.
	PublishVotes struct{ Votes map[string]health.Vote }
	// WriteDecision writes by compare-and-swap against the revision Prev; 0: no decision was written yet.
	WriteDecision struct {
		Next health.Decision
		Prev int64
	}
	// ProbeNow asks for a confirm run of up to Runs probes whose failures span at least Span; Ask: other voters too.
	ProbeNow struct {
		Endpoint string
		Runs     int
		Span     time.Duration
		Ask      bool
	}
	// SetPace changes how often a check of an endpoint runs; 0 pauses it.
	SetPace struct {
		Endpoint string
		Check    string // as in Observed
		Every    time.Duration
	}
	// Acknowledge says that this node sends nothing by a decision older than Epoch any more. It is carried when the view
	// that stops it is published.
	Acknowledge struct{ Epoch uint64 }
	// EndOrder removes an order that is used up.
	EndOrder struct{ ID string }
	// Note appends to the journal.
	Note struct{ Entry health.Entry }
)

func (PublishView) effect()   {}
func (PublishVotes) effect()  {}
func (WriteDecision) effect() {}
func (ProbeNow) effect()      {}
func (SetPace) effect()       {}
func (Acknowledge) effect()   {}
func (EndOrder) effect()      {}
func (Note) effect()          {}
