package steer

import (
	"slices"
	"time"

	"jurymast/internal/health"
	"jurymast/internal/profile"
)

// node is one profile of a plan.
type node struct {
	view   *health.View
	number int   // among the plan's nodes
	needs  Needs // of this one and all below

	closed closed
	order  []int         // endpoints by priority number, then by position
	tier   health.Tier   // of the candidates; TierDown: all down
	pool   []int         // endpoints the method chooses from, in order; all down: those that all_down lets in
	in     []bool        // endpoint is in pool
	out    bool          // some eligible endpoint is no candidate
	soon   time.Duration // when a better tier could displace the candidates; Unlimited when they are of the best

	leaf   []int   // endpoint -> leaf; -1: nested
	child  []*node // endpoint -> node of the nested profile; nil: none, or without a view yet. Nil when nothing is nested
	target int     // leaf of last resort; -1: none
	set    int     // multivalue: number of the set

	fixed   int     // priority: the choice, which no question changes
	rule    Rule    // of it
	agreed  bool    // it is the decision's active endpoint
	weights weights // weighted
	near    near    // performance
	codes   []int32 // geographic: code -> endpoint+1; nil: only the world is mapped
	world   int     // geographic: endpoint mapped to the world; -1: none
	without []int   // subnet: endpoints without ranges, in order
}

// closed says why a profile answers nothing, whatever the question is.
type closed struct {
	rule   Rule   // "": it is open
	says   string // for the trail
	result string
	nx     bool // NXDOMAIN
	ready  bool // there is nothing to answer; else there may be, and it must not be told now
	halted bool // not ready: not for want of verdicts
}

// halts are what a profile says that is halted.
var halts = map[health.Halt]closed{
	health.HaltIsolated:    {rule: RuleIsolated, says: "this node has lost the store and cannot confirm the decision", result: "halted", halted: true},
	health.HaltUnconfirmed: {rule: RuleUnconfirmed, says: "this node has not had the decision from the store yet", result: "halted", halted: true},
	health.HaltPreparing:   {rule: RulePreparing, says: "a switch waits until no node sends to the old endpoint", result: "halted", halted: true},
}

// Compile prepares a view. Profiles that are nested several times are prepared once.
func Compile(v *health.View) *Plan {
	c := compiler{plan: &Plan{}, seen: map[*health.View]*node{}}
	c.plan.root = c.node(v)
	return c.plan
}

type compiler struct {
	plan *Plan
	seen map[*health.View]*node // nil while one is under way: validation refuses loops, and here they lead nowhere
}

func (c *compiler) node(v *health.View) *node {
	if n, ok := c.seen[v]; ok {
		return n
	}
	c.seen[v] = nil
	n := &node{view: v, number: c.plan.nodes, order: ranked(v), target: -1, set: -1, fixed: -1, world: -1, soon: health.Unlimited}
	c.plan.nodes++
	c.leaves(n)
	c.children(n)
	n.close()
	if n.closed.rule == "" {
		n.choosable()
		c.method(n)
	}
	c.seen[v] = n
	return n
}

// leaves numbers the endpoints that are no profiles, and the target of last resort.
func (c *compiler) leaves(n *node) {
	v := n.view
	n.leaf = make([]int, len(v.Endpoints))
	for i := range v.Endpoints {
		if n.leaf[i] = -1; !v.Endpoints[i].Nested() {
			n.leaf[i] = len(c.plan.leaves)
			c.plan.leaves = append(c.plan.leaves, Leaf{View: v, Endpoint: i, Target: &v.Endpoints[i].Config.Target})
		}
	}
	if v.Profile.AllDown.Rule == profile.AllDownTarget {
		n.target = len(c.plan.leaves)
		c.plan.leaves = append(c.plan.leaves, Leaf{View: v, Endpoint: -1, Target: &v.Profile.AllDown.Target})
	}
}

func (c *compiler) children(n *node) {
	for i := range n.view.Endpoints {
		e := &n.view.Endpoints[i]
		if !e.Nested() {
			continue
		}
		if n.child == nil {
			n.child = make([]*node, len(n.view.Endpoints))
		}
		if e.Child != nil {
			n.child[i] = c.node(e.Child)
		}
		if n.child[i] != nil {
			n.needs |= n.child[i].needs
		}
	}
}

// close finds out whether the profile answers anything at all.
func (n *node) close() {
	v := n.view
	azure := v.Profile.Azure()
	switch {
	case v.Disabled:
		n.closed = closed{rule: RuleDisabled, says: "disabled profile answers nothing", nx: azure, ready: true}
	case v.Halt != health.HaltNone && (v.Halt != health.HaltPreparing || v.Ready):
		n.closed = halts[v.Halt]
	case !v.Ready:
		n.closed = closed{rule: RuleNotReady, says: "a missing verdict could change the answer", result: "not ready"}
	case len(v.Endpoints) == 0:
		n.closed = closed{rule: RuleNoEndpoint, says: "the profile has no endpoint", nx: azure, ready: true}
	case !slices.ContainsFunc(v.Endpoints, func(e health.EndpointView) bool { return e.Tier < health.TierExcluded }):
		n.closed = closed{rule: RuleStopped, says: "no endpoint may be answered", ready: true}
		if !slices.ContainsFunc(v.Endpoints, func(e health.EndpointView) bool { return e.Status != health.Disabled }) {
			n.closed = closed{rule: RuleDisabled, says: "every endpoint is disabled", nx: azure, ready: true}
		}
	}
	if n.closed.ready {
		n.closed.result = denial(n.closed.nx)
	}
	if n.closed.rule != "" {
		n.needs = 0
	}
}

// ranked lists the endpoints by priority number, then by position.
func ranked(v *health.View) []int {
	order := make([]int, len(v.Endpoints))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return v.Endpoints[a].Config.Priority - v.Endpoints[b].Config.Priority })
	return order
}

// candidates keeps of order those of the best tier, and names that tier. When nobody is better than TierDown it
// returns the eligible ones with TierDown.
func candidates(v *health.View, order []int) ([]int, health.Tier) {
	best := health.TierExcluded
	for _, i := range order {
		best = min(best, v.Endpoints[i].Tier)
	}
	if best == health.TierExcluded {
		return nil, best
	}
	return slices.DeleteFunc(slices.Clone(order), func(i int) bool { return v.Endpoints[i].Tier != best }), best
}

// choosable finds what the method chooses from.
func (n *node) choosable() {
	n.pool, n.tier = candidates(n.view, n.order)
	if n.down() && n.view.Profile.AllDown.Rule == profile.AllDownLastActive {
		n.pool = lastActive(n.view, n.pool)
	}
	n.in = make([]bool, len(n.view.Endpoints))
	for _, i := range n.pool {
		n.in[i] = true
	}
	for i := range n.view.Endpoints {
		e := &n.view.Endpoints[i]
		if e.Tier < health.TierExcluded && e.Tier != n.tier {
			n.out = true
		}
		if e.Tier != n.tier && n.tier > health.TierUsable {
			n.soon = min(n.soon, returns(e)) // the candidates are second choice: a better one displaces them
		}
	}
}

// down reports that no endpoint is better than down.
func (n *node) down() bool { return n.tier == health.TierDown }

func (c *compiler) method(n *node) {
	if n.down() && (n.view.Profile.AllDown.Rule == profile.AllDownNone || n.target >= 0) {
		n.needs = 0
		return
	}
	switch n.view.Profile.Routing {
	case profile.Weighted:
		n.compileWeighted()
	case profile.Performance:
		n.compilePerformance()
	case profile.Geographic:
		n.compileGeographic()
	case profile.Subnet:
		n.compileSubnet()
	case profile.Multivalue:
		n.compileMultivalue(c.plan)
	case profile.Priority:
		fallthrough
	default:
		n.compilePriority()
	}
}

// returns is the soonest time an endpoint that is out could be a candidate again. One that is switched off by
// configuration never does by itself.
func returns(e *health.EndpointView) time.Duration {
	off := !e.Config.Enabled || (e.Config.Stopped && e.Status == health.Stopped)
	if off && e.Layer.Ends.IsZero() {
		return health.Unlimited
	}
	return e.Recovery
}

// awaited reports that an endpoint that is no candidate is out for a time only, so that another one answers in its stead.
func awaited(e *health.EndpointView) bool {
	return e.Config.Enabled && (!e.Config.Stopped || e.Status != health.Stopped)
}

func (n *node) name(i int) string { return n.view.Endpoints[i].Config.Name }
