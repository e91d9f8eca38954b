package steer

import (
	"slices"

	"jurymast/internal/health"
	"jurymast/internal/profile"
)

// keepsActive: while all are down, a profile that does not return by itself stays with its active endpoint.
func (n *node) keepsActive() bool {
	p := n.view.Profile
	return p.AllDown.Rule == profile.AllDownLastActive || p.Fencing == profile.Strict ||
		p.Failback.Mode == profile.FailbackDelayed || p.Failback.Mode == profile.FailbackManual
}

// lastActive keeps of the eligible endpoints those that were answered before the last one fell: the decision's active
// one, else those that fell last.
func lastActive(v *health.View, eligible []int) []int {
	if isPriority(v) {
		return eligible
	}
	last := slices.MaxFunc(eligible, func(a, b int) int { return v.Endpoints[a].Verdict.Since.Compare(v.Endpoints[b].Verdict.Since) })
	since := v.Endpoints[last].Verdict.Since
	return slices.DeleteFunc(slices.Clone(eligible), func(i int) bool { return !v.Endpoints[i].Verdict.Since.Equal(since) })
}

// instead answers what all_down names instead of running the method; done is false when the method runs.
func (n *node) instead(q *question) (ch choice, done bool) {
	switch {
	case n.target >= 0:
		ch = chosen(-1, RuleLastResort)
		ch.leaf, ch.serving, ch.agreed = n.target, ServingAllDown, false
		if q.trail != nil {
			q.trail.add("choice", "all down: all_down names a target of last resort", "", n.view.Profile.AllDown.Target.String())
		}
		return ch, true
	case n.view.Profile.AllDown.Rule == profile.AllDownNone:
		ch = nothing(RuleAllDown)
		ch.soon = 0
		q.trail.add("choice", "all down: all_down says none", "", "NODATA")
		return ch, true
	}
	return ch, false
}

// allDown marks what a method has chosen among the dead.
func (n *node) allDown(q *question, ch *choice) {
	ch.serving, ch.rule = ServingAllDown, RuleAllDown
	ch.agreed = ch.agreed && isPriority(n.view)
	says := "all down: every eligible endpoint counts as Online, no decision is written"
	if n.view.Profile.AllDown.Rule == profile.AllDownLastActive {
		ch.rule = RuleLastActive
		says = "all down: the ones answered before the last one fell count as Online, no decision is written"
	}
	if q.trail == nil {
		return
	}
	result := counted(len(n.pool))
	if ch.endpoint >= 0 {
		result = n.name(ch.endpoint)
	}
	q.trail.add("choice", says, "", result)
}

func isPriority(v *health.View) bool {
	return v.Profile.Routing == profile.Priority || v.Profile.Routing == ""
}
