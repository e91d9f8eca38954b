package steer

import (
	"fmt"
	"slices"

	"jurymast/internal/health"
	"jurymast/internal/profile"
)

// compilePriority chooses: no question changes what a priority profile answers.
//
//	the decision's active is a candidate -> it
//	it is not, or there is no decision   -> the candidate with the lowest number, until the leader decides
//	it is not, with fencing: strict      -> it all the same: nobody is sent elsewhere before the leader decides
//	all down                             -> the preferred one, or the active one as the failback mode says
func (n *node) compilePriority() {
	_, active := n.view.Profile.Endpoint(n.view.Decision.Active)
	n.fixed, n.rule = n.pool[0], RuleLowestNumber
	if active >= 0 && n.in[active] && (!n.down() || n.keepsActive()) {
		n.fixed, n.rule = active, RuleDecision
	}
	if active >= 0 && n.view.Profile.Fencing == profile.Strict {
		n.fixed, n.rule = active, RuleDecision
	}
	n.agreed = n.fixed == active
	n.needs = n.childNeeds(n.fixed)
}

func (n *node) childNeeds(i int) Needs {
	if n.child != nil && n.child[i] != nil {
		return n.child[i].needs
	}
	return 0
}

func (n *node) priority(q *question) choice {
	v := n.view
	ch := chosen(n.fixed, n.rule)
	ch.agreed = n.agreed
	if n.order[0] != n.fixed {
		ch.serving = ServingFallback
	}
	if q.trail != nil && !n.down() {
		active := v.Decision.Active
		switch e := v.Endpoint(active); {
		case n.rule == RuleDecision && !n.in[n.fixed]:
			q.trail.add("choice", "fencing: the active endpoint is no candidate, and stays until the leader decides", fmt.Sprintf("epoch %d, %s", v.Decision.Epoch, v.Decision.Reason), active)
		case n.rule == RuleDecision:
			q.trail.add("choice", "the decision's active endpoint is a candidate", fmt.Sprintf("epoch %d, %s", v.Decision.Epoch, v.Decision.Reason), active)
		case e != nil:
			q.trail.add("choice", "the active endpoint is no candidate: lowest number until the leader decides", active, n.name(n.fixed))
		default:
			q.trail.add("choice", "no decision yet: lowest number", "", n.name(n.fixed))
		}
	}
	if !n.in[n.fixed] {
		ch.soon, ch.serving = 0, ServingPartial
	}
	for _, i := range n.order {
		if i == n.fixed || n.down() {
			break
		}
		r := v.Endpoints[i].Return
		q.trail.horizon(n.name(i), "a better endpoint can return", r)
		ch.soon = min(ch.soon, r)
	}
	return ch
}

// rankPriority appends the candidates, the choice first.
func (n *node) rankPriority(buf []int) []int {
	buf = append(buf, n.fixed)
	for _, i := range n.pool {
		if i != n.fixed {
			buf = append(buf, i)
		}
	}
	return buf
}

// Ready reports that no missing verdict can change what is answered. An endpoint without a verdict is one that is
// still looked at, whatever checking: serve lets it do meanwhile.
//
// Priority: with a decision, its active endpoint must have been looked at, and a usable one is enough. Else, going down
// the priority order, an endpoint that is usable is met before any without a verdict; or every verdict is in.
// All other methods: every endpoint that is probed has a verdict.
func Ready(v *health.View) bool {
	if !isPriority(v) {
		return !slices.ContainsFunc(v.Endpoints, func(e health.EndpointView) bool { return Undecided(&e) })
	}
	if active := v.Endpoint(v.Decision.Active); active != nil && active.Tier != health.TierExcluded {
		if Undecided(active) {
			return false
		}
		if active.Tier == health.TierUsable {
			return true
		}
	}
	for _, i := range ranked(v) {
		e := &v.Endpoints[i]
		switch {
		case Undecided(e):
			return false
		case e.Tier == health.TierUsable:
			return true
		}
	}
	return true
}

// Undecided reports that a verdict is missing that will come. A nested profile that is ready has all of its own; what
// no node probes has nothing to wait for.
func Undecided(e *health.EndpointView) bool {
	if e.Status != health.CheckingEndpoint || e.Layer.Drained {
		return false
	}
	if e.Nested() {
		return e.Child == nil || !e.Child.Ready
	}
	if e.Config.Monitor.Calculated != nil {
		return slices.ContainsFunc(e.Parts, func(p health.Part) bool { return p.Coming })
	}
	return e.Config.Monitor.Probed() && !e.Unseen
}
