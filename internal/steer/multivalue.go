package steer

import (
	"fmt"
	"slices"
)

// compileMultivalue makes the set of all candidates, in the profile's order so that windows over it stay the same.
func (n *node) compileMultivalue(p *Plan) {
	var leaves []int
	for i := range n.view.Endpoints {
		if n.in[i] && n.leaf[i] >= 0 { // validation refuses nested endpoints here
			leaves = append(leaves, n.leaf[i])
			n.soon = min(n.soon, n.view.Endpoints[i].Horizon)
		}
	}
	n.needs = 0
	if len(leaves) == 0 {
		return
	}
	n.set = len(p.sets)
	p.sets = append(p.sets, Set{Leaves: leaves, Max: max(1, n.view.Profile.MaxReturn)})
	if len(leaves) > 1 || len(p.leaves[leaves[0]].Target.Addrs) > 1 {
		n.needs = NeedDice
	}
}

func (n *node) multivalue(q *question) choice {
	if n.set < 0 {
		return nothing(RuleNoEndpoint)
	}
	ch := chosen(-1, RuleMultivalue)
	ch.set, ch.soon, ch.serving = n.set, n.soon, n.servingOf(false)
	if n.needs&NeedDice != 0 {
		ch.start = q.draw()
	}
	if q.trail != nil {
		q.trail.horizon("all candidates", "the first verdict can flip", n.soon)
		var names []string
		for i := range n.view.Endpoints {
			if n.in[i] {
				names = append(names, n.name(i))
			}
		}
		q.trail.add("choice", fmt.Sprintf("a window of at most %d records of the asked type, its start at random", max(1, n.view.Profile.MaxReturn)), listed(names), counted(len(names)))
	}
	return ch
}

// rankMultivalue appends the candidates, beginning where the window of first does.
func (n *node) rankMultivalue(first Pick, buf []int) []int {
	from := len(buf)
	for i := range n.view.Endpoints {
		if n.in[i] {
			buf = append(buf, i)
		}
	}
	if k := len(buf) - from; k > 1 && first.Set == n.set {
		rotate(buf[from:], int(first.Start%uint64(k))) //nolint:gosec // G115: below k
	}
	return buf
}

func rotate(list []int, by int) {
	slices.Reverse(list[:by])
	slices.Reverse(list[by:])
	slices.Reverse(list)
}
