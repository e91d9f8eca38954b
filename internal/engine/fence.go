package engine

import (
	"fmt"
	"strings"
	"time"

	"jurymast/internal/health"
	"jurymast/internal/profile"
)

// A switch under fencing: strict, as the leader writes it and every node follows it. Each arrow is one write, by
// compare-and-swap; the epoch is the same on both sides of the last one.
//
//	                       another endpoint is elected                  every live node has acknowledged n+1
//	active X, epoch n ------------------------------> preparing Y, n+1 --------------------------------------> active Y, n+1
//	                                                     |      ^
//	                                                     '------'  another endpoint is elected: preparing Z, n+2
//
// A node sends under an active decision that the store has confirmed in this very session, and nothing under a preparing
// one. It acknowledges when what it had allowed before is sent. A node that does not answer stops by itself when its lease
// runs out, which is before the store removes it from the live ones. So when active Y is written, nobody sends to X.
//
// Acknowledgements and live nodes are both taken from the watch, in the order of the store: when this node's own
// acknowledgement has come back, so has every node that was there before the preparing decision was written. A node that
// comes later finds that decision and sends nothing.

func (p *Profile) strict() bool { return p.doc != nil && p.doc.Fencing == profile.Strict }

// halt says why this node may neither answer nor send by the decision it knows.
//
//	on_isolation: hold            never for want of the store: stale while it is out of reach
//	on_isolation: stop            while the store does not confirm this node's lease; a node alone never
//	fencing: strict               while the store does not confirm lease and decision, whatever the last good state says
//	a preparing decision          while it is one
func (p *Profile) halt() health.Halt {
	switch {
	case !p.reachable && (p.strict() || p.stops && !p.solo):
		if p.connected {
			return health.HaltIsolated
		}
		return health.HaltUnconfirmed
	case p.strict() && !p.agreed:
		return health.HaltUnconfirmed
	case p.decision.Phase == health.PhasePreparing:
		return health.HaltPreparing
	}
	return health.HaltNone
}

// staged makes two phases of what was elected.
//
//	another endpoint                                   preparing, under the new epoch
//	the store has lost the decision, or an older one   the same endpoint, preparing, under a new epoch: who knows what nodes
//	                                                   went by meanwhile
//	preparing, and everybody has acknowledged          active, under the same epoch
func (p *Profile) staged(next health.Decision, changed bool, now time.Time) (health.Decision, bool) {
	d := &p.decision
	preparing := d.Phase == health.PhasePreparing
	switch {
	case changed && next.Epoch != d.Epoch:
		if preparing {
			next.Previous = d.Previous // nobody has ever sent to what was only prepared
		}
		next.Phase = health.PhaseActive
		if p.strict() {
			next.Phase = health.PhasePreparing
		}
	case p.strict() && !p.agreed && d.Epoch > 0:
		next.Epoch, next.Phase = d.Epoch+1, health.PhasePreparing
		return next, true
	case preparing && p.agreed && len(p.awaited()) == 0:
		next.Phase, next.Since = health.PhaseActive, now.Round(0).UTC()
		return next, true
	}
	return next, changed
}

// awaited are the live nodes that have not acknowledged the decision in the store, in name order.
func (p *Profile) awaited() (out []string) {
	for _, m := range p.members {
		if p.acks[m.Name] != p.told.Epoch {
			out = append(out, m.Name)
		}
	}
	return out
}

// acknowledge tells the others, once per session, that this node has stopped. A node without the document has nothing to
// stop, and nobody shall wait for it.
func (p *Profile) acknowledge(out *effects) {
	if !p.reachable || p.told.Phase != health.PhasePreparing || p.acked == p.told.Epoch {
		return
	}
	if p.doc == nil || p.halt() != health.HaltNone {
		p.acked = p.told.Epoch
		out.add(Acknowledge{p.acked})
	}
}

// noteFenced tells the journal how long a switch took, and who had a part in it.
func (p *Profile) noteFenced(e DecisionSeen, now time.Time, out *effects) {
	was, is := &p.told, &e.Decision
	if !p.leader || p.doc == nil || e.Rev < p.storedRev || was.Epoch != is.Epoch ||
		was.Phase != health.PhasePreparing || is.Phase != health.PhaseActive {
		return
	}
	names := make([]string, len(p.members))
	for i := range p.members {
		names[i] = p.members[i].Name
	}
	out.add(Note{health.Entry{
		At: now, Node: p.self.Name, Kind: health.EntryFence, Profile: p.doc.Name, From: is.Previous, To: is.Active, Epoch: is.Epoch,
		Reason: fmt.Sprintf("no node sends to the old endpoint any more, %v after the decision", is.Since.Sub(was.Since).Round(time.Millisecond)),
		Note:   "acknowledged by " + strings.Join(names, ", "),
	}})
}
