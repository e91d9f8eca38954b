package engine_test

import (
	"slices"
	"testing"
	"time"

	"jurymast/internal/engine"
	"jurymast/internal/health"
	"jurymast/internal/profile"
)

func fenced(p *profile.Profile) { p.Fencing, p.Proxy = profile.Strict, &profile.Proxy{} }

func inSession(term uint64) engine.StoreSeen { return engine.StoreSeen{Reachable: true, Term: term} }

// acked is the epoch that was acknowledged last, 0 for none; it forgets what came before.
func (b *bench) acked() (epoch uint64) {
	for _, e := range b.log {
		if a, ok := e.(engine.Acknowledge); ok {
			epoch = a.Epoch
		}
	}
	b.log = nil
	return epoch
}

func (b *bench) stands(active string, epoch uint64, phase health.Phase, halt health.Halt) *bench {
	b.t.Helper()
	v := b.p.View()
	if d := v.Decision; d.Active != active || d.Epoch != epoch || d.Phase != phase || v.Halt != halt {
		b.t.Fatalf("active %s epoch %d phase %q halt %q, want %s %d %q %q", d.Active, d.Epoch, d.Phase, v.Halt, active, epoch, phase, halt)
	}
	return b
}

// TestFencedSwitch walks the chart of fence.go: every live node counts, and exactly this epoch.
func TestFencedSwitch(t *testing.T) {
	members := engine.MembersSeen{Members: []engine.Member{{Name: "n1"}, {Name: "n2"}}}
	b := start(t, engine.Start{}, doc(fenced)).do(members, inSession(4), engine.RoleSeen{Leader: true})
	b.probe("eu", "g").stands("eu", 1, health.PhasePreparing, health.HaltPreparing)
	if got := b.acked(); got != 1 {
		t.Fatalf("acknowledged %d", got)
	}
	if w := b.p.View().Awaits; !slices.Equal(w, []string{"n1", "n2"}) {
		t.Errorf("waits for %v", w)
	}
	b.do(engine.AckSeen{Node: "n1", Epoch: 1}).stands("eu", 1, health.PhasePreparing, health.HaltPreparing)
	b.do(engine.AckSeen{Node: "n2", Epoch: 9}).stands("eu", 1, health.PhasePreparing, health.HaltPreparing)
	b.do(engine.AckSeen{Node: "n3", Epoch: 1}).stands("eu", 1, health.PhasePreparing, health.HaltPreparing)
	b.do(engine.AckSeen{Node: "n2", Epoch: 1}).stands("eu", 1, health.PhaseActive, health.HaltNone)
	if v := b.p.View(); v.Term != 4 || v.Awaits != nil {
		t.Errorf("term %d, waits for %v", v.Term, v.Awaits)
	}
	other := map[string]health.Vote{"eu": {Opinion: health.Down}, "us": {Opinion: health.Up}}
	b.do(engine.VotesSeen{Node: "n2", Votes: other}).probe("us", "g").probe("eu", "bb").stands("us", 2, health.PhasePreparing, health.HaltPreparing)
	b.do(engine.AckSeen{Node: "n1", Epoch: 2})
	b.do(engine.MembersSeen{Members: members.Members[:1]}).stands("us", 2, health.PhaseActive, health.HaltNone) // n2's lease ran out
	if d := b.p.View().Decision; d.Previous != "eu" {
		t.Errorf("previous is %q", d.Previous)
	}
	b.do(engine.RoleSeen{}, engine.StoreSeen{Term: 4}).stands("us", 2, health.PhaseActive, health.HaltIsolated)
}

// TestFencedFollower acknowledges once per session, and what it remembers counts for nothing.
func TestFencedFollower(t *testing.T) {
	last := health.Decision{Active: "us", Epoch: 7}
	preparing := health.Decision{Active: "us", Epoch: 5, Phase: health.PhasePreparing, Previous: "eu"}
	b := start(t, engine.Start{}, doc(fenced))
	b.do(engine.Recovered{Ready: true, Decision: last, Verdicts: map[string]health.Verdict{"us": {Status: health.Online}}})
	b.stands("", 0, health.PhaseActive, health.HaltUnconfirmed)
	if b.p.View().Ready {
		t.Error("ready by the last good state")
	}
	b.do(engine.DecisionSeen{Decision: preparing, Rev: 3})
	if got := b.acked(); got != 0 {
		t.Fatalf("acknowledged %d out of session", got)
	}
	b.do(inSession(1)).stands("us", 5, health.PhasePreparing, health.HaltPreparing)
	if got := b.acked(); got != 5 {
		t.Fatalf("acknowledged %d", got)
	}
	b.probe("us", "g")
	if got := b.acked(); got != 0 {
		t.Fatalf("acknowledged %d again", got)
	}
	b.do(engine.StoreSeen{Term: 1}, inSession(2))
	if got := b.acked(); got != 5 {
		t.Fatalf("acknowledged %d in a new session", got)
	}
	active := preparing
	active.Phase = health.PhaseActive
	b.do(engine.DecisionSeen{Decision: active, Rev: 4}).stands("us", 5, health.PhaseActive, health.HaltNone)
	b.do(engine.DecisionSeen{Decision: preparing, Rev: 3}).stands("us", 5, health.PhaseActive, health.HaltNone) // reordered
	b.do(engine.DecisionGone{}).stands("us", 5, health.PhaseActive, health.HaltUnconfirmed)
	older := health.Decision{Active: "eu", Epoch: 1}
	b.do(engine.DecisionSeen{Decision: older, Rev: 9}).stands("us", 5, health.PhaseActive, health.HaltUnconfirmed)
}

// TestNodeWithoutTheDocumentAcknowledges: nobody shall wait for a node that has nothing to stop.
func TestNodeWithoutTheDocumentAcknowledges(t *testing.T) {
	p := engine.NewProfile(engine.Start{Self: engine.Member{Name: "n1"}})
	now := time.Now()
	p.Step(inSession(1), now)
	out := p.Step(engine.DecisionSeen{Decision: health.Decision{Active: "us", Epoch: 2, Phase: health.PhasePreparing}, Rev: 1}, now)
	if len(out) != 1 || out[0] != (engine.Acknowledge{Epoch: 2}) {
		t.Errorf("effects %+v", out)
	}
}

// TestFencedAloneNeverDecidesUnwritten, whatever has become of its store.
func TestFencedAloneNeverDecidesUnwritten(t *testing.T) {
	b := start(t, engine.Start{Solo: true}, doc(fenced)).do(inSession(1)).probe("eu", "g").do(engine.AckSeen{Node: "n1", Epoch: 1}).probe("us", "g")
	b.full = true
	b.probe("eu", "bb").stands("eu", 1, health.PhaseActive, health.HaltNone)
	b.do(engine.StoreSeen{}, engine.StoreFailed{}).probe("eu", "b").stands("eu", 1, health.PhaseActive, health.HaltIsolated)
	if b.p.Unwritten() {
		t.Error("a decision is unwritten")
	}
}
