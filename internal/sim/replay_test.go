package sim_test

import (
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"jurymast/internal/engine"
	"jurymast/internal/health"
	"jurymast/internal/profile"
)

// told is one event as a machine heard it.
type told struct {
	ev  engine.Event
	now time.Time
}

// replica is a machine, two younger copies of it, and what it heard since they were made.
type replica struct {
	m, born, copied *engine.Profile
	all, late       []told
	rev             int64
}

// colony is the machines of a forest on one node, without a loop: what they tell each other is carried at once.
type colony struct {
	t    *rapid.T
	docs []*profile.Profile
	byID map[string]*replica
	now  time.Time
}

// TestReplayGivesEqualState: the same events at the same times give equal effects and an equal machine, from its birth
// and from any copy taken on the way; and stepping a machine changes nothing in its copies.
func TestReplayGivesEqualState(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := &colony{t: t, docs: anyForest(t), byID: map[string]*replica{}, now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
		start := engine.Start{Self: engine.Member{Name: "n1"}, Solo: rapid.Bool().Draw(t, "solo"), Lives: rapid.IntRange(0, 2).Draw(t, "lives")}
		for _, p := range c.docs {
			m := engine.NewProfile(start)
			c.byID[p.Name] = &replica{m: m, born: m.Clone(), copied: m.Clone()}
		}
		for _, p := range c.docs {
			c.step(p.Name, engine.Configured{Doc: p})
		}
		happen := c.anything()
		for range rapid.SampledFrom([]int{5, 20, 60}).Draw(t, "how many") {
			happen[rapid.IntRange(0, len(happen)-1).Draw(t, "what")](c.docs[rapid.IntRange(0, len(c.docs)-1).Draw(t, "to")])
		}
		for name, r := range c.byID {
			r.replay(t, name, r.born, r.all)
			r.replay(t, name, r.copied, r.late)
		}
	})
}

func (r *replica) replay(t *rapid.T, name string, from *engine.Profile, events []told) {
	for _, e := range events {
		from.Step(e.ev, e.now)
	}
	if !same(from, r.m) {
		t.Fatalf("%s: %d events replayed give another machine:\n%+v\n%+v", name, len(events), from, r.m)
	}
}

// same compares two machines. Their copies are compared: a list that is empty is not nil there.
func same(a, b *engine.Profile) bool { return reflect.DeepEqual(a.Clone(), b.Clone()) }

// step tells a machine, tells a copy the same, and carries what follows.
func (c *colony) step(name string, ev engine.Event) {
	r := c.byID[name]
	twin := r.m.Clone()
	out, again := r.m.Step(ev, c.now), twin.Step(ev, c.now)
	if !reflect.DeepEqual(out, again) || !same(r.m, twin) {
		c.t.Fatalf("%s: %T told to a copy gives other effects or another state:\n%+v\n%+v", name, ev, out, again)
	}
	r.all, r.late = append(r.all, told{ev, c.now}), append(r.late, told{ev, c.now})
	for _, e := range out {
		switch e := e.(type) {
		case engine.PublishView:
			for _, user := range c.docs {
				if builtOn(user, name) {
					c.step(user.Name, engine.LinkedSeen{Views: map[string]*health.View{name: e.View}})
				}
			}
		case engine.WriteDecision:
			switch rapid.SampledFrom([]string{"stored", "stored", "stored", "lost", "failed", "late"}).Draw(c.t, "write") {
			case "stored":
				r.rev = e.Prev + 1
				c.step(name, engine.DecisionSeen{Decision: e.Next, Rev: r.rev})
			case "lost":
				c.step(name, engine.DecisionFailed{Epoch: e.Next.Epoch, Lost: true})
			case "failed":
				c.step(name, engine.DecisionFailed{Epoch: e.Next.Epoch})
			}
		default:
		}
	}
}

func builtOn(p *profile.Profile, name string) bool {
	return slices.ContainsFunc(p.Endpoints, func(e profile.Endpoint) bool {
		c := e.Monitor.Calculated
		return e.Target.Profile == name || c != nil && slices.ContainsFunc(c.Of, func(of string) bool { return len(of) > len(name) && of[:len(name)+1] == name+"/" })
	})
}

// anything is all that can happen to a profile.
func (c *colony) anything() []func(p *profile.Profile) {
	t := c.t
	endpoint := func(p *profile.Profile) *profile.Endpoint {
		return &p.Endpoints[rapid.IntRange(0, len(p.Endpoints)-1).Draw(t, "endpoint")]
	}
	life := func() time.Time { return c.now.Add(time.Duration(rapid.IntRange(1, 60).Draw(t, "life")) * second) }
	observe := func(p *profile.Profile) {
		e, check := endpoint(p), ""
		if n := len(e.Monitor.Checks); n > 0 {
			check = e.Monitor.Checks[rapid.IntRange(0, n-1).Draw(t, "check")].Name
		}
		c.step(p.Name, engine.Observed{Endpoint: e.Name, Check: check, Obs: health.Observation{At: c.now, OK: rapid.Bool().Draw(t, "ok"), Reason: "seen"}})
	}
	return []func(p *profile.Profile){
		observe, observe, observe, observe,
		func(*profile.Profile) {
			c.now = life()
			for _, p := range c.docs {
				c.step(p.Name, engine.Tick{})
			}
		},
		func(p *profile.Profile) {
			signals := map[string]health.Signal{}
			for range rapid.IntRange(0, 2).Draw(t, "signals") {
				e := endpoint(p)
				signals[e.Name] = health.Signal{Profile: p.Name, Endpoint: e.Name, State: rapid.SampledFrom([]health.Opinion{health.Up, health.Down}).Draw(t, "state"), At: c.now, Until: life()}
			}
			c.step(p.Name, engine.SignalsSeen{Signals: signals})
		},
		func(p *profile.Profile) { c.step(p.Name, engine.OrdersSeen{Orders: c.orders(p, endpoint, life)}) },
		func(p *profile.Profile) {
			votes := map[string]health.Vote{}
			for i := range p.Endpoints {
				votes[p.Endpoints[i].Name] = health.Vote{Opinion: rapid.SampledFrom([]health.Opinion{health.Checking, health.Up, health.Down}).Draw(t, "vote"), Since: c.now}
			}
			c.step(p.Name, engine.VotesSeen{Node: "n2", Votes: votes})
		},
		func(p *profile.Profile) {
			members := []engine.Member{{Name: "n1", Blind: rapid.Bool().Draw(t, "blind")}, {Name: "n2"}}
			c.step(p.Name, engine.MembersSeen{Members: members[:rapid.IntRange(1, 2).Draw(t, "members")]})
		},
		func(p *profile.Profile) { c.step(p.Name, engine.RoleSeen{Leader: rapid.Bool().Draw(t, "leads")}) },
		func(p *profile.Profile) {
			c.step(p.Name, engine.StoreSeen{Reachable: rapid.IntRange(0, 3).Draw(t, "reachable") > 0})
		},
		func(p *profile.Profile) { c.step(p.Name, engine.StoreFailed{}) },
		func(p *profile.Profile) { c.step(p.Name, engine.DecisionGone{}) },
		func(p *profile.Profile) {
			c.step(p.Name, engine.Suspected{Endpoint: endpoint(p).Name, Kind: "refused", Asked: rapid.Bool().Draw(t, "asked")})
		},
		func(p *profile.Profile) {
			e := endpoint(p)
			c.step(p.Name, engine.Recovered{
				Verdicts: map[string]health.Verdict{e.Name: {Status: health.Online, Since: c.now}}, Floor: 7, Ready: true,
				Decision: health.Decision{Active: e.Name, Epoch: uint64(rapid.IntRange(0, 5).Draw(t, "epoch")), Since: c.now},
				Orders:   c.orders(p, endpoint, life),
			})
		},
		func(p *profile.Profile) {
			d := health.Decision{Active: endpoint(p).Name, Epoch: uint64(rapid.IntRange(1, 9).Draw(t, "epoch")), Since: c.now}
			c.step(p.Name, engine.DecisionSeen{Decision: d, Rev: c.byID[p.Name].rev + int64(rapid.IntRange(-1, 2).Draw(t, "rev"))})
		},
		func(p *profile.Profile) {
			c.step(p.Name, engine.Together{Events: []engine.Event{
				engine.OrdersSeen{Orders: c.orders(p, endpoint, life)},
				engine.RoleSeen{Leader: rapid.Bool().Draw(t, "leads")},
				engine.Observed{Endpoint: endpoint(p).Name, Obs: health.Observation{At: c.now, OK: rapid.Bool().Draw(t, "ok"), Reason: "seen"}},
			}})
		},
		c.edit,
		func(p *profile.Profile) {
			r := c.byID[p.Name]
			r.copied, r.late = r.m.Clone(), nil
		},
	}
}

func (c *colony) orders(p *profile.Profile, endpoint func(*profile.Profile) *profile.Endpoint, life func() time.Time) (out []health.Override) {
	for i := range rapid.IntRange(0, 3).Draw(c.t, "orders") {
		o := health.Override{
			ID: fmt.Sprint(i), Profile: p.Name, Endpoint: endpoint(p).Name, At: c.now, KeepProbing: rapid.Bool().Draw(c.t, "keep probing"),
			Act: rapid.SampledFrom([]health.Act{
				health.Disable, health.Pause, health.Drain, health.ForceDown, health.ForceUp, health.DisableProfile, health.HoldProfile, health.FailbackNow,
			}).Draw(c.t, "act"),
		}
		if o.Act == health.DisableProfile || o.Act == health.HoldProfile || o.Act == health.FailbackNow {
			o.Endpoint = ""
		}
		if rapid.Bool().Draw(c.t, "ends") {
			o.Until = life()
		}
		out = append(out, o)
	}
	return out
}

// edit gives a profile a new document in which one endpoint is monitored otherwise, moved, or switched on or off.
func (c *colony) edit(p *profile.Profile) {
	next := *p
	next.Endpoints = slices.Clone(p.Endpoints)
	e := &next.Endpoints[rapid.IntRange(0, len(p.Endpoints)-1).Draw(c.t, "edited")]
	switch rapid.SampledFrom([]string{"monitor", "hold down", "origin", "enabled"}).Draw(c.t, "edit") {
	case "monitor":
		e.Monitor.ToleratedFailures++
	case "hold down":
		e.Monitor.HoldDown = time.Duration(rapid.IntRange(0, 60).Draw(c.t, "hold")) * second
	case "origin":
		e.Origin = "http://192.0.2.9"
	case "enabled":
		e.Enabled = !e.Enabled
	}
	c.step(p.Name, engine.Configured{Doc: &next})
}
