package engine_test

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"jurymast/internal/engine"
	"jurymast/internal/health"
	"jurymast/internal/profile"
	"jurymast/internal/snapshot"
)

// nestedDocs is a tower: p0 stands on p1, that on p2, and so on; the last one has two probed endpoints.
func nestedDocs(levels int) *snapshot.Documents {
	d := &snapshot.Documents{Generation: 1}
	for i := range levels {
		p := &profile.Profile{
			Name: fmt.Sprintf("p%d", i), Enabled: true, Routing: profile.Weighted, TTL: 30 * time.Second, TTLFloor: time.Second,
			Checking: profile.CheckingSecond,
		}
		names := []string{"a", "b"}
		for j, name := range names {
			e := profile.Endpoint{Name: name, Priority: j + 1, Weight: 1, Enabled: true, MinChild: 1}
			switch {
			case i < levels-1 && j == 0:
				e.Target = profile.Target{Profile: fmt.Sprintf("p%d", i+1)}
			case i < levels-1:
				e.Target, e.Stopped = profile.Target{Addrs: []string{"192.0.2.200"}}, true
			default:
				e.Target = profile.Target{Addrs: []string{fmt.Sprintf("192.0.2.%d", j)}}
			}
			e.Monitor = profile.Monitor{Interval: 10 * time.Second, RecoverySuccesses: 1}
			p.Endpoints = append(p.Endpoints, e)
		}
		d.Profiles = append(d.Profiles, p)
	}
	return d
}

// recorder is a carrier that counts the publishes and what they made visible.
type recorder struct {
	mu        sync.Mutex
	published [][]*health.View
	wanted    []string // endpoints that decisions to be written name
}

func (r *recorder) Carry(_ string, e engine.Effect) {
	if w, ok := e.(engine.WriteDecision); ok {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.wanted = append(r.wanted, w.Next.Active)
	}
}
func (*recorder) Blind(bool) {}
func (r *recorder) Published(views []*health.View, _ bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.published = append(r.published, views)
}

// inLoop runs a test against a real loop in a bubble.
func inLoop(t *testing.T, docs *snapshot.Documents, test func(l *engine.Loop, hub *snapshot.Hub, r *recorder, steps map[string]int)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		hub, r := snapshot.NewHub(), &recorder{}
		var mu sync.Mutex
		steps := map[string]int{}
		l := engine.New(engine.Options{
			Start: engine.Start{Self: engine.Member{Name: "n1"}, Solo: true}, Hub: hub, Carrier: r, Logger: slog.New(slog.DiscardHandler),
			Trace: func(name string, _ engine.Event, _ time.Time, _ []engine.Effect) {
				mu.Lock()
				defer mu.Unlock()
				steps[name]++
			},
		})
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			l.Run(ctx)
		}()
		l.PostAll(engine.StoreSeen{Reachable: true})
		l.PostAll(engine.RoleSeen{Leader: true})
		prepared, err := hub.Prepare(docs)
		if err != nil {
			t.Fatal(err)
		}
		l.Replace(engine.Replacement{Prepared: prepared})
		synctest.Wait()
		test(l, hub, r, steps)
		stop()
		<-ended
	})
}

func seen(endpoint string, ok bool) engine.Event {
	return engine.Observed{Endpoint: endpoint, Obs: health.Observation{At: time.Now(), OK: ok, Reason: "seen"}}
}

func TestHealthClimbsTenLevelsInOneChange(t *testing.T) {
	const levels = 10
	inLoop(t, nestedDocs(levels), func(l *engine.Loop, hub *snapshot.Hub, r *recorder, steps map[string]int) {
		last := fmt.Sprintf("p%d", levels-1)
		top := func() health.Status { return hub.Load().View("p0").Endpoints[0].Status }
		l.Post(last, seen("a", true))
		l.Post(last, seen("b", true))
		synctest.Wait()
		if top() != health.Online {
			t.Fatalf("top is %v after the leaves came up", top())
		}
		clear(steps)
		r.published = nil
		l.Post(last, seen("a", false))
		synctest.Wait()
		l.Post(last, seen("b", false))
		synctest.Wait()
		if top() != health.Degraded {
			t.Fatalf("top is %v after all leaves fell", top())
		}
		for i := range levels {
			if n := steps[fmt.Sprintf("p%d", i)]; n > 2 {
				t.Errorf("p%d took %d steps for two changes below it", i, n)
			}
		}
		if len(r.published) != 2 {
			t.Fatalf("%d publishes for two changes", len(r.published))
		}
		if n := len(r.published[1]); n != levels {
			t.Fatalf("the fall made %d views visible together, want all %d", n, levels)
		}
	})
}

// Orders over several profiles that come together are one change: a parent never acts on what is in between.
func TestOrdersTogetherAreOneChange(t *testing.T) {
	docs := &snapshot.Documents{Generation: 1}
	m := profile.Monitor{Interval: 10 * time.Second, RecoverySuccesses: 1}
	child := func(name string) *profile.Profile {
		return &profile.Profile{
			Name: name, Enabled: true, Routing: profile.Weighted, TTL: 30 * time.Second,
			Endpoints: []profile.Endpoint{{Name: "e", Priority: 1, Weight: 1, Enabled: true, AlwaysServe: true, Monitor: m, Target: profile.Target{Addrs: []string{"192.0.2.1"}}}},
		}
	}
	parent := &profile.Profile{Name: "parent", Enabled: true, Routing: profile.Priority, TTL: 30 * time.Second, Failback: profile.Failback{Mode: profile.FailbackManual}}
	for i, c := range []string{"one", "two", "three"} {
		parent.Endpoints = append(parent.Endpoints, profile.Endpoint{Name: c, Priority: i + 1, Enabled: true, MinChild: 1, Target: profile.Target{Profile: c}, Monitor: m})
		docs.Profiles = append(docs.Profiles, child(c))
	}
	docs.Profiles = append(docs.Profiles, parent)
	inLoop(t, docs, func(l *engine.Loop, hub *snapshot.Hub, r *recorder, _ map[string]int) {
		off := func(p string) []health.Override {
			return []health.Override{{ID: "1", Act: health.Disable, Profile: p, Endpoint: "e", At: time.Now()}}
		}
		l.Post("two", engine.OrdersSeen{Orders: off("two")})
		l.Post("parent", engine.DecisionSeen{Decision: health.Decision{Active: "one", Epoch: 4}, Rev: 9})
		synctest.Wait()
		for range 50 { // map order is chance: no order of the events may show
			r.published = nil
			l.PostTogether(map[string]engine.Event{"one": engine.OrdersSeen{Orders: off("one")}, "two": engine.OrdersSeen{}})
			synctest.Wait()
			v := hub.Load().View("parent")
			if v.Endpoint("one").Status != health.Stopped || v.Endpoint("two").Status != health.Online {
				t.Fatalf("one is %v, two is %v", v.Endpoint("one").Status, v.Endpoint("two").Status)
			}
			if len(r.published) != 1 {
				t.Fatalf("%d publishes for one change", len(r.published))
			}
			l.PostTogether(map[string]engine.Event{"one": engine.OrdersSeen{}, "two": engine.OrdersSeen{Orders: off("two")}})
			synctest.Wait()
		}
		if !slices.Contains(r.wanted, "two") || slices.Contains(r.wanted, "three") {
			t.Fatalf("decisions for %q were to be written, want two and never three", r.wanted)
		}
	})
}

func TestSeveralChecksBecomeOneVote(t *testing.T) {
	d := doc(func(p *profile.Profile) {
		for _, name := range []string{"web", "login"} {
			p.Endpoints[0].Monitor.Checks = append(p.Endpoints[0].Monitor.Checks, profile.Check{
				Name: name, Monitor: profile.Monitor{Interval: 10 * time.Second, IntervalFast: time.Second, RecoverySuccesses: 1},
			})
		}
	})
	b := start(t, engine.Start{}, d)
	of := func(check string, ok bool) engine.Event {
		return engine.Observed{Endpoint: "eu", Check: check, Obs: health.Observation{At: b.now, OK: ok, Reason: check + " said so"}}
	}
	vote := func() health.Opinion { return b.p.View().Endpoints[0].Votes[0].Opinion }
	for _, s := range []struct {
		ev   engine.Event
		want health.Opinion
	}{
		{of("web", true), health.Checking},
		{of("login", true), health.Up},
		{of("unknown", false), health.Up},
		{of("login", false), health.Down},
		{of("web", false), health.Down},
		{of("login", true), health.Down},
		{of("web", true), health.Up},
	} {
		if b.do(s.ev); vote() != s.want {
			t.Fatalf("after %+v the vote is %v, want %v", s.ev, vote(), s.want)
		}
	}
	if !hasEffect(b.log, engine.SetPace{Endpoint: "eu", Check: "web", Every: time.Second}) {
		t.Fatal("a check without a verdict is not probed at its fast pace")
	}
	if !hasEffect(b.log, engine.SetPace{Endpoint: "eu", Check: "web", Every: 10 * time.Second}) {
		t.Fatal("a check with a verdict does not go back to its own pace")
	}
}

// Nodes elsewhere neither probe nor vote: their missing votes must not hold anything up.
func TestVantagePointsElsewhereDoNotVote(t *testing.T) {
	d := doc(func(p *profile.Profile) { p.Endpoints[0].Monitor.Vantage = []string{"eu"} })
	b := start(t, engine.Start{Self: engine.Member{Name: "n1", Location: "us"}}, d)
	b.do(engine.MembersSeen{Members: []engine.Member{{Name: "n1", Location: "us"}, {Name: "n2", Location: "eu"}}})
	b.do(engine.VotesSeen{Node: "n2", Votes: map[string]health.Vote{"eu": {Opinion: health.Down, Reason: "refused"}}})
	v := b.p.View()
	if e := v.Endpoints[0]; len(e.Votes) != 1 || e.Votes[0].Node != "n2" {
		t.Fatalf("votes %+v, want n2's alone", e.Votes)
	}
	if len(v.Endpoints[1].Votes) != 2 {
		t.Fatalf("us has %d votes, want both", len(v.Endpoints[1].Votes))
	}
}
