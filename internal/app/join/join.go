// Package join is the seam between the brain and the cluster: it turns what the store says into the engine's events and
// the engine's effects into writes. The node and the simulation are joined by the same code. It decides nothing.
package join

import (
	"jurymast/internal/cluster"
	"jurymast/internal/engine"
)

// Tell posts a change in the store to the loop. It reports false for events that are not the engine's business:
// documents and the journal.
func Tell(loop *engine.Loop, self engine.Member, ev cluster.Event) bool {
	switch e := ev.(type) {
	case cluster.Members:
		loop.PostAll(engine.MembersSeen{Members: members(e.Nodes, self)})
	case cluster.Votes:
		loop.Post(e.Profile, engine.VotesSeen{Node: e.Node, Votes: e.Votes})
	case cluster.Orders:
		events := make(map[string]engine.Event, len(e.Of))
		for name, orders := range e.Of {
			events[name] = engine.OrdersSeen{Orders: orders}
		}
		loop.PostTogether(events) // a switch over several profiles is published as one
	case cluster.Signals:
		loop.Post(e.Profile, engine.SignalsSeen{Signals: e.Signals})
	case cluster.Decision:
		loop.Post(e.Profile, engine.DecisionSeen{Decision: e.Decision, Rev: e.Rev})
	case cluster.DecisionFailed:
		loop.Post(e.Profile, engine.DecisionFailed{Epoch: e.Epoch, Lost: e.Lost})
	case cluster.Role:
		loop.PostAll(engine.RoleSeen{Leader: e.Leader})
	case cluster.Reachable:
		loop.PostAll(engine.StoreSeen{Reachable: e.Reachable, Term: e.Term})
	case cluster.Acknowledged:
		loop.Post(e.Profile, engine.AckSeen{Node: e.Node, Epoch: e.Epoch})
	case cluster.DecisionGone:
		loop.Post(e.Profile, engine.DecisionGone{})
	case cluster.SessionFailed:
		loop.PostAll(engine.StoreFailed{})
	case cluster.Asked:
		loop.Post(e.Profile, engine.Suspected{Endpoint: e.Endpoint, Kind: "asked", Asked: true})
	default:
		return false
	}
	return true
}

// Write carries an effect that goes to the store. It reports false for the others.
func Write(c *cluster.Cluster, profile string, effect engine.Effect) bool {
	switch e := effect.(type) {
	case engine.PublishVotes:
		c.PublishVotes(profile, e.Votes)
	case engine.WriteDecision:
		c.WriteDecision(profile, e.Next, e.Prev)
	case engine.Acknowledge:
		c.Acknowledge(profile, e.Epoch)
	case engine.EndOrder:
		c.EndOrder(e.ID)
	case engine.Note:
		c.Note(e.Entry)
	default:
		return false
	}
	return true
}

// members always has this node among the live ones: it is alive, whatever the store says at the moment.
func members(nodes []cluster.NodeRecord, self engine.Member) []engine.Member {
	out := make([]engine.Member, 0, len(nodes)+1)
	seen := false
	for _, n := range nodes {
		if !seen && n.Name > self.Name {
			out, seen = append(out, self), true
		}
		seen = seen || n.Name == self.Name
		out = append(out, engine.Member{Name: n.Name, Location: n.Location, Blind: n.Blind})
	}
	if !seen {
		out = append(out, self)
	}
	return out
}
