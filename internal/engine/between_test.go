package engine_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"jurymast/internal/engine"
	"jurymast/internal/geo"
	"jurymast/internal/health"
	"jurymast/internal/profile"
	"jurymast/internal/snapshot"
	"jurymast/internal/steer"
)

type storing struct {
	mu    sync.Mutex
	l     *engine.Loop
	wrote []health.Decision
	notes []health.Entry
	held  bool
	pubs  int
	views int
}

func (s *storing) Carry(name string, e engine.Effect) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch e := e.(type) {
	case engine.WriteDecision:
		s.wrote = append(s.wrote, e.Next)
		if !s.held {
			s.l.Post(name, engine.DecisionSeen{Decision: e.Next, Rev: e.Prev + 1})
		}
	case engine.Note:
		s.notes = append(s.notes, e.Entry)
	}
}
func (*storing) Blind(bool) {}
func (s *storing) Published(v []*health.View, _ bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pubs++
	s.views += len(v)
}

func live(t *testing.T, up bool, test func(l *engine.Loop, hub *snapshot.Hub, s *storing)) {
	synctest.Test(t, func(t *testing.T) {
		hub, s := snapshot.NewHub(), &storing{}
		l := engine.New(engine.Options{Start: engine.Start{Self: engine.Member{Name: "n1"}, Solo: true}, Hub: hub, Carrier: s, Logger: slog.New(slog.DiscardHandler)})
		s.l = l
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { defer close(ended); l.Run(ctx) }()
		if up {
			l.PostAll(engine.StoreSeen{Reachable: true})
			l.PostAll(engine.RoleSeen{Leader: true})
		}
		test(l, hub, s)
		stop()
		<-ended
	})
}

var mon = profile.Monitor{Interval: 10 * time.Second, RecoverySuccesses: 1}

func leafy(name string) *profile.Profile {
	return &profile.Profile{
		Name: name, Enabled: true, Routing: profile.Weighted, TTL: 30 * time.Second, TTLFloor: time.Second, Checking: profile.CheckingSecond,
		Endpoints: []profile.Endpoint{{Name: "e", Priority: 1, Weight: 1, Enabled: true, Monitor: mon, Target: profile.Target{Addrs: []string{"192.0.2.1"}}}},
	}
}

func parentOf(name string, mode profile.FailbackMode, kids ...string) *profile.Profile {
	p := &profile.Profile{Name: name, Enabled: true, Routing: profile.Priority, TTL: 30 * time.Second, TTLFloor: time.Second, Failback: profile.Failback{Mode: mode}}
	for i, k := range kids {
		p.Endpoints = append(p.Endpoints, profile.Endpoint{Name: fmt.Sprintf("to%d", i+1), Priority: i + 1, Enabled: true, MinChild: 1, Weight: 1, Target: profile.Target{Profile: k}, Monitor: mon})
	}
	return p
}

func use(t *testing.T, l *engine.Loop, hub *snapshot.Hub, rec map[string]engine.Recovered, ps ...*profile.Profile) {
	prepared, err := hub.Prepare(&snapshot.Documents{Generation: 1, Profiles: ps})
	if err != nil {
		t.Fatal(err)
	}
	l.Replace(engine.Replacement{Prepared: prepared, Recovered: rec})
	synctest.Wait()
}

// Nested target moved to another healthy profile
func TestNestedTargetMoved(t *testing.T) {
	live(t, true, func(l *engine.Loop, hub *snapshot.Hub, s *storing) {
		a, b, c := leafy("a"), leafy("b"), leafy("c")
		use(t, l, hub, nil, a, b, c, parentOf("p", profile.FailbackManual, "a", "b"))
		for _, n := range []string{"a", "b", "c"} {
			l.Post(n, seen("e", true))
		}
		synctest.Wait()
		t.Log(hub.Load().View("p").Decision)
		use(t, l, hub, nil, a, b, c, parentOf("p", profile.FailbackManual, "c", "b"))
		synctest.Wait()
		d := hub.Load().View("p").Decision
		if d.Active != "to1" {
			t.Errorf("pointing to1 to another healthy profile moved the decision: %+v", d)
		}
	})
}

// Stale link: p nests a, then c while a dies, then a again
func TestStaleLink(t *testing.T) {
	live(t, true, func(l *engine.Loop, hub *snapshot.Hub, s *storing) {
		a, b, c := leafy("a"), leafy("b"), leafy("c")
		use(t, l, hub, nil, a, b, c, parentOf("p", profile.FailbackAuto, "a", "b"))
		for _, n := range []string{"a", "b", "c"} {
			l.Post(n, seen("e", true))
		}
		synctest.Wait()
		use(t, l, hub, nil, a, b, c, parentOf("p", profile.FailbackAuto, "c", "b"))
		l.Post("a", seen("e", false))
		l.Post("c", seen("e", false))
		synctest.Wait()
		t.Log(hub.Load().View("p").Decision)
		s.wrote = nil
		use(t, l, hub, nil, a, b, c, parentOf("p", profile.FailbackAuto, "a", "b"))
		synctest.Wait()
		for _, w := range s.wrote {
			t.Errorf("decision on an old view of a: %s epoch %d %s, %s", w.Active, w.Epoch, w.Reason, w.Evidence)
		}
	})
}

// Restart of a solo node with an external endpoint
func TestExternalRestart(t *testing.T) {
	live(t, false, func(l *engine.Loop, hub *snapshot.Hub, s *storing) {
		p := leafy("p")
		p.Routing = profile.Priority
		p.Endpoints[0].Monitor.External = &profile.External{TTL: time.Minute, OnSilence: profile.SilenceDown}
		p.Endpoints = append(p.Endpoints, profile.Endpoint{Name: "f", Priority: 2, Weight: 1, Enabled: true, Monitor: mon, Target: profile.Target{Addrs: []string{"192.0.2.2"}}})
		old := time.Now().Add(-time.Hour)
		use(t, l, hub, map[string]engine.Recovered{"p": {Ready: true, Decision: health.Decision{Active: "e", Epoch: 3}, Verdicts: map[string]health.Verdict{
			"e": {Status: health.Online, Since: old, Reason: "signal: up"}, "f": {Status: health.Online, Since: old},
		}}}, p)
		v := hub.Load().View("p")
		ans := steer.Decide(v, steer.Client{}, nil, nil)
		t.Logf("before the store: e %v stale %v; answer leaf %d", v.Endpoints[0].Status, v.Endpoints[0].Verdict.Stale, ans.Pick.Leaf)
		if v.Endpoints[0].Status != health.Online {
			t.Errorf("flip to %v: %s", v.Endpoints[0].Status, v.Endpoints[0].Verdict.Reason)
		}
		l.Post("p", engine.SignalsSeen{Signals: map[string]health.Signal{"e": {Profile: "p", Endpoint: "e", State: health.Up, At: time.Now(), Until: time.Now().Add(time.Minute)}}})
		l.PostAll(engine.StoreSeen{Reachable: true})
		l.PostAll(engine.RoleSeen{Leader: true})
		synctest.Wait()
		for _, n := range s.notes {
			t.Logf("note %s %s: %s -> %s (%s)", n.Kind, n.Endpoint, n.From, n.To, n.Reason)
		}
		v = hub.Load().View("p")
		if !v.Endpoints[0].Verdict.Since.Equal(old) {
			t.Errorf("since moved to %v", v.Endpoints[0].Verdict.Since)
		}
	})
}

// Restart with nested and calculated and hold_down: notes and since
func TestNestedRestart(t *testing.T) {
	live(t, false, func(l *engine.Loop, hub *snapshot.Hub, s *storing) {
		a, p := leafy("a"), parentOf("p", profile.FailbackAuto, "a")
		p.Endpoints = append(p.Endpoints, profile.Endpoint{
			Name: "calc", Priority: 2, Weight: 1, Enabled: true, Target: profile.Target{Addrs: []string{"192.0.2.9"}},
			Monitor: profile.Monitor{Interval: time.Second, HoldDown: time.Hour, Calculated: &profile.Calculated{Of: []string{"a/e"}, AtLeast: 1}},
		})
		old := time.Now().Add(-time.Minute)
		on := health.Verdict{Status: health.Online, Since: old}
		use(t, l, hub, map[string]engine.Recovered{
			"a": {Ready: true, Verdicts: map[string]health.Verdict{"e": on}},
			"p": {Ready: true, Decision: health.Decision{Active: "to1", Epoch: 3}, Verdicts: map[string]health.Verdict{"to1": on, "calc": {Status: health.Degraded, Held: true, Since: old}}},
		}, p, a)
		v := hub.Load().View("p")
		for i := range v.Endpoints {
			e := &v.Endpoints[i]
			t.Logf("%s %v since %v held %v stale %v", e.Config.Name, e.Status, e.Verdict.Since.Sub(old), e.Verdict.Held, e.Verdict.Stale)
		}
		for _, n := range s.notes {
			t.Errorf("note %s %s/%s: %s -> %s (%s)", n.Kind, n.Profile, n.Endpoint, n.From, n.To, n.Reason)
		}
		if v.Endpoints[1].Status != health.Degraded {
			t.Error("hold_down of a calculated endpoint is lost by a restart")
		}
	})
}

// Pause placed before the first verdict (a node that joins)
func TestPauseBeforeFirstVerdict(t *testing.T) {
	live(t, true, func(l *engine.Loop, hub *snapshot.Hub, s *storing) {
		p := leafy("p")
		use(t, l, hub, nil, p)
		l.Post("p", engine.OrdersSeen{Orders: []health.Override{{ID: "1", Act: health.Pause, Profile: "p", Endpoint: "e", At: time.Now()}}})
		l.Post("p", seen("e", true))
		synctest.Wait()
		if v := hub.Load().View("p"); !v.Ready {
			t.Errorf("paused before its first verdict: %v, ready %v", v.Endpoints[0].Status, v.Ready)
		}
	})
}

// Pause of a nested endpoint
func TestPauseNested(t *testing.T) {
	live(t, true, func(l *engine.Loop, hub *snapshot.Hub, s *storing) {
		a, b := leafy("a"), leafy("b")
		use(t, l, hub, nil, a, b, parentOf("p", profile.FailbackAuto, "a", "b"))
		l.Post("a", seen("e", true))
		l.Post("b", seen("e", true))
		synctest.Wait()
		l.Post("p", engine.OrdersSeen{Orders: []health.Override{{ID: "1", Act: health.Pause, Profile: "p", Endpoint: "to1", At: time.Now()}}})
		synctest.Wait()
		l.Post("a", seen("e", false))
		synctest.Wait()
		v := hub.Load().View("p")
		if v.Endpoints[0].Status != health.Online || v.Decision.Active != "to1" {
			t.Errorf("paused, yet %v (verdict %v), decision %+v", v.Endpoints[0].Status, v.Endpoints[0].Verdict.Status, v.Decision)
		}
	})
}

// One act over a parent's and a child's endpoint
func TestTogetherWithParent(t *testing.T) {
	live(t, true, func(l *engine.Loop, hub *snapshot.Hub, s *storing) {
		a, b, c := leafy("a"), leafy("b"), leafy("c")
		use(t, l, hub, nil, a, b, c, parentOf("p", profile.FailbackManual, "a", "b", "c"))
		for _, n := range []string{"a", "b", "c"} {
			l.Post(n, seen("e", true))
		}
		dis := func(p, e string) engine.Event {
			return engine.OrdersSeen{Orders: []health.Override{{ID: "1", Act: health.Drain, Profile: p, Endpoint: e, At: time.Now()}}}
		}
		synctest.Wait()
		l.Post("a", dis("a", "e"))
		synctest.Wait()
		t.Log(hub.Load().View("p").Decision.Active)
		bad := 0
		for range 20 {
			s.wrote = nil
			// swap: the drain on a/e ends, one on p/to2 begins
			l.PostTogether(map[string]engine.Event{"a": engine.OrdersSeen{}, "p": dis("p", "to2")})
			synctest.Wait()
			if d := hub.Load().View("p").Decision; d.Active != "to1" {
				bad++
				t.Logf("went to %s, epoch %d %s: %s", d.Active, d.Epoch, d.Reason, d.Evidence)
			}
			l.Post("p", engine.OrdersSeen{})
			l.Post("a", dis("a", "e"))
			synctest.Wait()
			l.Post("c", dis("c", "e"))
			synctest.Wait()
			l.Post("c", engine.OrdersSeen{})
			synctest.Wait()
		}
		if bad > 0 {
			t.Errorf("%d of 20 swaps acted on a state in between", bad)
		}
	})
}

// Calculated endpoint not decided: is the profile ready?
func TestCalculatedNotDecided(t *testing.T) {
	live(t, true, func(l *engine.Loop, hub *snapshot.Hub, s *storing) {
		a := leafy("a")
		p := leafy("p")
		p.Routing, p.Failback.Mode = profile.Priority, profile.FailbackManual
		p.Endpoints[0].Monitor.Calculated = &profile.Calculated{Of: []string{"a/e"}, AtLeast: 1}
		p.Endpoints = append(p.Endpoints, profile.Endpoint{Name: "f", Priority: 2, Weight: 1, Enabled: true, Monitor: mon, Target: profile.Target{Addrs: []string{"192.0.2.2"}}})
		use(t, l, hub, nil, a, p)
		l.Post("p", seen("f", true))
		synctest.Wait()
		l.Post("a", seen("e", true))
		synctest.Wait()
		if d := hub.Load().View("p").Decision; d.Active != "e" {
			t.Errorf("first decision %+v, although e had no verdict yet", d)
		}
	})
}

// TTL against orders with an end
func TestTTLOrders(t *testing.T) {
	live(t, true, func(l *engine.Loop, hub *snapshot.Hub, s *storing) {
		p := leafy("p")
		p.Endpoints[0].AlwaysServe = true
		use(t, l, hub, nil, p, geoDoc())
		l.Post("p", engine.OrdersSeen{Orders: []health.Override{{ID: "1", Act: health.DisableProfile, Profile: "p", At: time.Now(), Until: time.Now().Add(40 * time.Second)}}})
		l.Post("g", engine.OrdersSeen{Orders: []health.Override{{ID: "1", Act: health.Disable, Profile: "g", Endpoint: "de", At: time.Now(), Until: time.Now().Add(40 * time.Second)}}})
		synctest.Wait()
		time.Sleep(35 * time.Second)
		synctest.Wait()
		a := steer.Decide(hub.Load().View("p"), steer.Client{}, nil, nil)
		if a.TTL > 5*time.Second {
			t.Errorf("disable-profile ends in 5s, negative ttl %v", a.TTL)
		}
		c := steer.Client{Addr: netip.MustParseAddr("192.0.2.1")}
		c.Place.Code, c.Place.Known = mustCode("DE"), true
		a = steer.Decide(hub.Load().View("g"), c, nil, nil)
		if a.TTL > 5*time.Second {
			t.Errorf("disable of the mapped endpoint ends in 5s, ttl %v (%s)", a.TTL, a.Pick.Rule)
		}
	})
}

func mustCode(s string) geo.Code { c, _ := geo.ParseCode(s); return c }

func geoDoc() *profile.Profile {
	p := leafy("g")
	p.Routing, p.Climb = profile.Geographic, true
	p.Endpoints[0].Name, p.Endpoints[0].Geo, p.Endpoints[0].AlwaysServe = "de", []string{"DE"}, true
	w := p.Endpoints[0]
	w.Name, w.Geo = "world", []string{"WORLD"}
	p.Endpoints = append(p.Endpoints, w)
	return p
}

// Operator's failback while the better one is unconfirmed
func TestFailbackOrderKept(t *testing.T) {
	b := start(t, engine.Start{Solo: true}, doc(func(p *profile.Profile) { p.Failback.Mode = profile.FailbackManual }))
	on := health.Verdict{Status: health.Online, Since: t0.Add(-time.Hour)}
	b.do(engine.Recovered{Ready: true, Decision: health.Decision{Active: "us", Epoch: 4}, Verdicts: map[string]health.Verdict{"eu": on, "us": on}})
	b.do(engine.DecisionSeen{Decision: health.Decision{Active: "us", Epoch: 4}, Rev: 1})
	b.rev = 1
	b.do(engine.OrdersSeen{Orders: []health.Override{{ID: "7", Act: health.FailbackNow, Profile: "p", At: t0}}})
	b.do(connected)
	if hasEffect(b.log, engine.EndOrder{ID: "7"}) {
		t.Error("the order to return is used up although nothing was done")
	}
	b.probe("us", "g").probe("eu", "g")
	t.Log(b.p.View().Decision)
}

// Vantage or kind away and back: what is voted
func TestVoteLeftOver(t *testing.T) {
	d := func(v ...string) *profile.Profile {
		return doc(func(p *profile.Profile) { p.Endpoints[0].Monitor.Vantage = v })
	}
	b := start(t, engine.Start{Self: engine.Member{Name: "n1", Location: "us"}}, d()).do(connected)
	b.do(engine.MembersSeen{Members: []engine.Member{{Name: "n1", Location: "us"}}})
	b.probe("us", "g").probe("eu", "bb")
	b.do(engine.Configured{Doc: d("eu")})
	b.now = b.now.Add(time.Hour)
	b.log = nil
	b.do(engine.Configured{Doc: d()})
	for _, e := range b.log {
		if v, ok := e.(engine.PublishVotes); ok && v.Votes["eu"].Opinion != health.Checking {
			t.Errorf("votes %+v without having looked for an hour", v.Votes["eu"])
		}
	}
}

// Nobody at the vantage point: the profile must not be silent for ever
func TestNobodyAtVantage(t *testing.T) {
	b := start(t, engine.Start{Self: engine.Member{Name: "n1", Location: "us"}}, doc(func(p *profile.Profile) { p.Endpoints[0].Monitor.Vantage = []string{"mars"} })).do(connected, engine.RoleSeen{Leader: true})
	b.probe("us", "g")
	v := b.p.View()
	if !v.Ready {
		t.Errorf("silent for ever: eu %v, us %v", v.Endpoints[0].Status, v.Endpoints[1].Status)
	}
}
