package engine_test

import (
	"testing"
	"time"

	"jurymast/internal/engine"
	"jurymast/internal/health"
	"jurymast/internal/profile"
)

// A ramp, a hold and an order want ticks while they last, and none afterwards.
func TestTicksEnd(t *testing.T) {
	b := start(t, engine.Start{Solo: true}, doc(func(p *profile.Profile) {
		p.RestoreRamp = time.Minute
		p.Endpoints[0].Monitor.HoldDown = 30 * time.Second
	})).do(connected)
	b.probe("us", "g").probe("eu", "gbb").probe("eu", "g")
	b.do(engine.OrdersSeen{Orders: []health.Override{
		{ID: "7", Act: health.Drain, Profile: "p", Endpoint: "us", At: b.now, Until: b.now.Add(time.Minute)},
		{ID: "8", Act: health.Pause, Profile: "p", Endpoint: "us", At: b.now, Until: b.now.Add(time.Minute)},
	}})
	began, ticks := b.now, 0
	for due := b.p.Due(b.now); !due.IsZero(); due = b.p.Due(b.now) {
		if ticks++; ticks > 300 {
			t.Fatalf("still ticking %v later", b.now.Sub(began))
		}
		b.now = due
		b.do(engine.Tick{})
	}
	if last := b.now.Sub(began); ticks == 0 || last < time.Minute || last > 2*time.Minute {
		t.Fatalf("%d ticks, the last after %v", ticks, last)
	}
}

// A node that has lost the store freezes what is nested as well.
func TestIsolatedNodeFreezesNested(t *testing.T) {
	two := engine.MembersSeen{Members: []engine.Member{{Name: "n1"}, {Name: "n2"}}}
	up := engine.VotesSeen{Node: "n2", Votes: map[string]health.Vote{"eu": {Opinion: health.Up}, "us": {Opinion: health.Up}}}
	child := start(t, engine.Start{}, doc(nil)).do(connected, two, up)
	parent := start(t, engine.Start{}, doc(func(p *profile.Profile) {
		p.Name = "parent"
		p.Endpoints[0].Target, p.Endpoints[0].MinChild = profile.Target{Profile: "p"}, 1
	})).do(connected, two, engine.RoleSeen{Leader: true})
	tell := func() { parent.do(engine.LinkedSeen{Views: map[string]*health.View{"p": child.p.View()}}) }
	child.probe("eu", "g").probe("us", "g")
	tell()
	parent.active("eu", 1)
	for _, b := range []*bench{child, parent} {
		b.do(engine.StoreSeen{})
	}
	child.probe("eu", "bbbb").probe("us", "bbbb")
	tell()
	e := parent.active("eu", 1).p.View().Endpoints[0]
	if e.Status != health.Online || !e.Verdict.Stale {
		t.Fatalf("alone, the nested endpoint is %v, stale %v", e.Status, e.Verdict.Stale)
	}
}

// The end of an order that was placed for a time is told once, and only once.
func TestTheEndOfAnOrderIsTold(t *testing.T) {
	b := start(t, engine.Start{Solo: true}, doc(nil))
	b.do(engine.OrdersSeen{Orders: []health.Override{{ID: "1", Act: health.Drain, Profile: "p", Endpoint: "eu", By: "ops", At: b.now, Until: b.now.Add(5 * time.Second)}}})
	b.now = b.now.Add(6 * time.Second)
	b.do(engine.Tick{}, engine.Tick{})
	told := 0
	for _, e := range b.log {
		if n, ok := e.(engine.Note); ok && n.Entry.Kind == health.EntryAct && n.Entry.From == "drain" && n.Entry.To == "ended" && n.Entry.By == "ops" {
			told++
		}
	}
	if told != 1 {
		t.Fatalf("told %d times", told)
	}
}
