package steer

import (
	"net/netip"
	"time"

	"jurymast/internal/geo"
	"jurymast/internal/health"
	"jurymast/internal/profile"
)

// Needs says which facts about the client and the question a plan looks at. What it does not need may be left zero.
type Needs uint8

// The facts.
const (
	NeedAddr  Needs = 1 << iota // Client.Addr and Bits
	NeedPlace                   // Client.Place
	NeedRow                     // Client.Row
	NeedDice                    // dice
)

// Client is what is known of who asks.
type Client struct {
	Addr  netip.Addr // of the ECS subnet when there is one, else the source
	Bits  int        // how many leading bits of Addr are told: the ECS source prefix length, else all
	ECS   bool
	Place geo.Place // where Addr is; zero: unknown
	Row   *geo.Row  // latencies from there, nil: none known
}

// Leaf is one thing an answer can lead to: an endpoint of the profile or of one nested in it, or the target of last resort.
type Leaf struct {
	View     *health.View    // of the profile the leaf belongs to
	Endpoint int             // number in View.Endpoints; -1: the target of all_down
	Target   *profile.Target // a host name or addresses, never a profile
}

// Name is the endpoint's name, or "all_down.target".
func (l *Leaf) Name() string {
	if l.Endpoint < 0 {
		return "all_down.target"
	}
	return l.View.Endpoints[l.Endpoint].Config.Name
}

// Set is the candidates of a multivalue profile, of which an answer takes a window.
type Set struct {
	Leaves []int // numbers in Plan.Leaves, in the profile's order
	Max    int   // records of the asked type per answer
}

// Pick is the choice for one question.
type Pick struct {
	Leaf    int           // number in Plan.Leaves; -1: a set, or nothing to answer
	Set     int           // number in Plan.Sets; -1: one leaf, or nothing to answer
	Start   uint64        // set only: the window begins at the (Start mod n)-th of n addresses of the asked type
	TTL     time.Duration // whole seconds
	Serving Serving
	Rule    Rule
	Agreed  bool  // priority on every level: the leaf is the decision's active endpoint
	Stale   bool  // some view on the path is not confirmed
	NX      bool  // nothing to answer, and the profile wants NXDOMAIN where the name may be denied
	Scope   uint8 // leading bits of the client's address that the choice depended on; 0: none
}
