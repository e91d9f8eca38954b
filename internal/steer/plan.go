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

// Dice returns uniformly distributed random bits; a method that draws calls it once per question. Nil is always 0.
type Dice func() uint64

// Serving says in one word what is really answered, beside the monitor status.
type Serving string

// The words of Serving, from good to bad. Of a nested answer the worst on the path counts.
const (
	ServingPreferred Serving = "preferred"
	ServingPartial   Serving = "partial"   // the right answer, while some eligible endpoint is no candidate
	ServingFallback  Serving = "fallback"  // a lower priority, another region, a less specific place
	ServingAllDown   Serving = "all-down"  // an answer without a usable endpoint
	ServingNotReady  Serving = "not-ready" // first verdicts are missing: SERVFAIL, 503
	ServingHalted    Serving = "halted"    // the decision is not confirmed, or a fenced switch is under way: SERVFAIL, 503
	ServingNone      Serving = "none"      // nothing to answer: NODATA, or NXDOMAIN
)

// worse orders the words.
func (s Serving) worse(t Serving) bool { return s.rank() > t.rank() }

func (s Serving) rank() int {
	switch s {
	case ServingPartial:
		return 1
	case ServingFallback:
		return 2
	case ServingAllDown:
		return 3
	case ServingNotReady:
		return 4
	case ServingHalted:
		return 5
	case ServingNone:
		return 6
	case ServingPreferred:
	}
	return 0
}

// Rule is the reason of a choice, a word for metrics and explain. There is a fixed small list of them.
type Rule string

// The rules.
const (
	RuleDecision       Rule = "decision"        // priority: the agreed active endpoint
	RuleLowestNumber   Rule = "lowest-number"   // priority: the best candidate, there is no decision for it
	RuleWeight         Rule = "weight"          // weighted: dice
	RuleSticky         Rule = "sticky"          // weighted: the client's network
	RuleLatency        Rule = "latency"         // performance: the operator's table
	RuleMeasured       Rule = "measured"        // performance: what the node nearest to the client measured
	RuleDistance       Rule = "distance"        // performance: great-circle distance
	RuleRegion         Rule = "region"          // performance: several endpoints are equally near, the client's network chose
	RuleNoLocation     Rule = "no-location"     // performance: nothing is known of the client
	RuleGeo            Rule = "geo"             // geographic: the most specific mapped endpoint
	RuleGeoClimb       Rule = "geo-climb"       // geographic: a less specific one, the mapped one is no candidate
	RuleGeoAnyway      Rule = "geo-anyway"      // geographic: the mapped one although it is no candidate
	RuleSubnet         Rule = "subnet"          // the client's address is in a range of the endpoint
	RuleSubnetFallback Rule = "subnet-fallback" // subnet: an endpoint without ranges
	RuleSubnetAnyway   Rule = "subnet-anyway"   // subnet: the mapped one although it is no candidate
	RuleMultivalue     Rule = "multivalue"
	RuleAllDown        Rule = "all-down"    // every eligible endpoint counts as Online, or nothing is answered
	RuleLastActive     Rule = "last-active" // all down: those that fell last
	RuleLastResort     Rule = "last-resort" // all down: the fixed target
	RuleDisabled       Rule = "disabled"    // the profile, or every endpoint
	RuleNoEndpoint     Rule = "no-endpoint"
	RuleNoMapping      Rule = "no-mapping" // geographic, subnet: no endpoint is mapped to the client
	RuleStopped        Rule = "stopped"    // what would be answered is off
	RuleNotReady       Rule = "not-ready"
	RuleIsolated       Rule = "isolated"    // this node has lost the store, and must not go by an old decision
	RuleUnconfirmed    Rule = "unconfirmed" // this node has not had the decision from the store yet
	RulePreparing      Rule = "preparing"   // a fenced switch waits for all nodes
)

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

// Answers reports that the pick leads to something.
func (p *Pick) Answers() bool { return p.Leaf >= 0 || p.Set >= 0 }

// Plan is a view, and those of all profiles nested in it, made ready for questions. It is immutable.
//
// The leaves of the profile itself come first: of a profile without nested endpoints, leaf i is endpoint i. Its target
// of last resort, when there is one, follows them.
type Plan struct {
	root   *node
	leaves []Leaf
	sets   []Set
	nodes  int // profiles in it, each once
}

// Needs is what the profile and all nested in it look at.
func (p *Plan) Needs() Needs { return p.root.needs }

// Leaves are all an answer can lead to. The slice is the plan's.
func (p *Plan) Leaves() []Leaf { return p.leaves }

// Sets are the sets of all multivalue profiles in the plan. The slice is the plan's.
func (p *Plan) Sets() []Set { return p.sets }

// Answer is where a question goes, in the form for those who ask about one view, once.
type Answer struct {
	Plan    *Plan
	Pick    Pick
	Order   []int         // numbers of Plan.Leaves, the picked one first, then the others in the order of preference
	TTL     time.Duration // whole seconds
	Serving Serving
	Agreed  bool // Order[0] is the decision's active endpoint: the proxy may send to it
	Stale   bool
}

// Decide answers one question about a profile. trail may be nil; with one, every step is written into it.
func Decide(v *health.View, c Client, dice Dice, trail *Trail) Answer {
	p := Compile(v)
	pick := p.Pick(&c, dice, trail)
	return Answer{
		Plan: p, Pick: pick, Order: p.Order(&c, pick, nil),
		TTL: pick.TTL, Serving: pick.Serving, Agreed: pick.Agreed, Stale: pick.Stale,
	}
}
