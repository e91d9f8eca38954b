package cluster

import (
	"jurymast/internal/health"
)

// Event is a change in the store that somebody acts on.
type Event interface{ event() }

// The events. A session begins with the whole state as events, then InSession with Reachable true.
type (
	// Members are the live nodes in name order, this one included.
	Members struct{ Nodes []NodeRecord }
	// Votes of another node about one profile; nil: gone.
	Votes struct {
		Node, Profile string
		Votes         map[string]health.Vote
	}
	// Orders tell, for every profile that one change touched, all overrides that name it, in id order; none: nil. What
	// was ordered together is told together.
	Orders struct{ Of map[string][]health.Override }
	// Signals are all that somebody outside says about the endpoints of one profile, by endpoint.
	Signals struct {
		Profile string
		Signals map[string]health.Signal
	}
	// Decision as stored.
	Decision struct {
		Profile  string
		Decision health.Decision
		Rev      int64
	}
	// DecisionFailed: a write of this node was refused (Lost) or could not be done.
	DecisionFailed struct {
		Profile string
		Epoch   uint64
		Lost    bool
	}
	// DecisionGone: the stored decision was removed, by hand or because the store was wiped or restored. The next write
	// has to be made against revision 0; what is known of its epoch stays known.
	DecisionGone struct{ Profile string }
	// SessionFailed: a session with the store could not be begun, or ended with an error. Another try follows.
	SessionFailed struct{ Err error }
	// Acknowledged: a node sends nothing by a decision older than Epoch any more. It counts while the node lives.
	Acknowledged struct {
		Profile, Node string
		Epoch         uint64
	}
	// Role of this node.
	Role struct{ Leader bool }
	// Reachable: the store confirms this node's lease. Term numbers the sessions of this life; Confirmed knows it.
	Reachable struct {
		Reachable bool
		Term      uint64
	}
	// Documents are a new generation, as stored.
	Documents struct{ Set DocumentSet }
	// Asked: another node saw a passive failure and asks everybody to look.
	Asked struct{ Profile, Endpoint string }
	// Appended to the journal, by any node.
	Appended struct{ Entry health.Entry }
)

func (Members) event()        {}
func (Votes) event()          {}
func (Orders) event()         {}
func (Signals) event()        {}
func (Decision) event()       {}
func (DecisionFailed) event() {}
func (DecisionGone) event()   {}
func (SessionFailed) event()  {}
func (Acknowledged) event()   {}
func (Role) event()           {}
func (Reachable) event()      {}
func (Documents) event()      {}
func (Asked) event()          {}
func (Appended) event()       {}

// NodeRecord is what a live node says of itself under its lease.
type NodeRecord struct {
	Name      string   `json:"name"`
	Location  string   `json:"location,omitempty"`
	Addresses []string `json:"addresses,omitempty"` // where its probes come from
	Blind     bool     `json:"blind,omitempty"`
	Version   string   `json:"version,omitempty"`
	Instance  string   `json:"instance"` // identifies the data directory, so that a name is not used twice

	Seals   []string `json:"seals,omitempty"`   // ids of the seal keys it has
	Cookies string   `json:"cookies,omitempty"` // mark of the cookie secrets it uses, see package roll

	Zones map[string]string `json:"zones,omitempty"` // by zone, mark of the keys everything is signed with, see package signing
}
