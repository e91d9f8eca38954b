package sim_test

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"jurymast/internal/engine"
	"jurymast/internal/health"
	"jurymast/internal/profile"
	"jurymast/internal/snapshot"
)

const second = time.Second

// anyForest draws profiles that are built on those behind them, up to ten levels high: nested endpoints, calculated
// checks within a profile and across, and every kind of leaf.
func anyForest(t *rapid.T) (docs []*profile.Profile) {
	n := rapid.SampledFrom([]int{1, 2, 3, 5, 8, 10}).Draw(t, "profiles")
	sizes := rapid.SliceOfN(rapid.SampledFrom([]int{1, 2, 3, 4}), n, n).Draw(t, "sizes")
	for i := range n {
		p := &profile.Profile{
			Name: fmt.Sprintf("p%d", i), Enabled: rapid.IntRange(0, 15).Draw(t, "enabled") > 0, TTL: 30 * second, TTLFloor: second,
			Routing:  rapid.SampledFrom([]profile.Routing{profile.Weighted, profile.Priority}).Draw(t, "routing"),
			Checking: rapid.SampledFrom([]profile.CheckingRule{profile.CheckingSecond, profile.CheckingServe}).Draw(t, "checking"),
			Failback: profile.Failback{Mode: profile.FailbackAuto},
		}
		if rapid.IntRange(0, 4).Draw(t, "grouped") == 0 {
			p.GroupThreshold = rapid.SampledFrom([]float64{0.3, 0.5, 1}).Draw(t, "share")
		}
		for j := range sizes[i] {
			e := profile.Endpoint{
				Name: fmt.Sprintf("e%d", j), Priority: j + 1, Weight: rapid.IntRange(0, 3).Draw(t, "weight"), Enabled: true,
				Target: profile.Target{Addrs: rapid.SampledFrom([][]string{{"192.0.2.1"}, {"2001:db8::1"}, {"192.0.2.1", "2001:db8::1"}}).Draw(t, "target")},
				Monitor: profile.Monitor{
					Interval: 10 * second, ToleratedFailures: rapid.IntRange(0, 1).Draw(t, "tolerated"), RecoverySuccesses: rapid.IntRange(1, 2).Draw(t, "recovery"),
				},
			}
			anyKind(t, &e, p, i, sizes)
			p.Endpoints = append(p.Endpoints, e)
		}
		docs = append(docs, p)
	}
	return docs
}

// anyKind makes something of an endpoint of profile i.
func anyKind(t *rapid.T, e *profile.Endpoint, p *profile.Profile, i int, sizes []int) {
	kinds := []string{"probed", "probed", "probed", "checks", "external", "assumed", "always", "stopped", "disabled", "calculated", "calculated"}
	if i+1 < len(sizes) && len(p.Endpoints) < 2 {
		kinds = append(kinds, "nested", "nested", "nested", "nested", "nested", "nested")
	}
	m := &e.Monitor
	switch rapid.SampledFrom(kinds).Draw(t, "kind") {
	case "checks":
		for k := range rapid.IntRange(2, 3).Draw(t, "checks") {
			m.Checks = append(m.Checks, profile.Check{Name: fmt.Sprint(k), Monitor: *m})
			m.Checks[k].Monitor.Checks = nil
		}
		m.Combine = rapid.SampledFrom([]profile.Combine{{Rule: profile.CombineAll}, {Rule: profile.CombineAny}, {Rule: profile.CombineAtLeast, N: 2}}).Draw(t, "combine")
	case "external":
		m.External = &profile.External{TTL: 20 * second, OnSilence: rapid.SampledFrom([]profile.OnSilence{profile.SilenceDown, profile.SilenceUp, profile.SilenceLast}).Draw(t, "silence")}
	case "assumed":
		m.Assume = rapid.SampledFrom([]profile.Assume{profile.AssumeUp, profile.AssumeDown}).Draw(t, "assume")
	case "always":
		e.AlwaysServe = true
	case "stopped":
		e.Stopped = true
	case "disabled":
		e.Enabled = false
	case "calculated":
		if of := anyOf(t, len(p.Endpoints), i, sizes); len(of) > 0 {
			m.Calculated = &profile.Calculated{Of: of, AtLeast: rapid.IntRange(0, len(of)+1).Draw(t, "at least")}
		}
	case "nested":
		far := min(rapid.SampledFrom([]int{1, 1, 1, 2, 3}).Draw(t, "far"), len(sizes)-1-i)
		e.Target = profile.Target{Profile: fmt.Sprintf("p%d", i+far)}
		e.MinChild = rapid.IntRange(0, 3).Draw(t, "min child")
		e.MinChildIPv4 = rapid.SampledFrom([]int{0, 0, 1}).Draw(t, "min ipv4")
		e.MinChildIPv6 = rapid.SampledFrom([]int{0, 0, 1}).Draw(t, "min ipv6")
	}
}

// anyOf lists what a calculated check looks at: earlier endpoints of its profile, and any of profiles behind it.
func anyOf(t *rapid.T, j, i int, sizes []int) (of []string) {
	var all []string
	for k := range j {
		all = append(all, fmt.Sprintf("e%d", k))
	}
	for q := i + 1; q < len(sizes); q++ {
		for k := range sizes[q] {
			all = append(all, fmt.Sprintf("p%d/e%d", q, k))
		}
	}
	if len(all) > 0 {
		of = rapid.SliceOfNDistinct(rapid.SampledFrom(all), 1, min(3, len(all)), rapid.ID[string]).Draw(t, "of")
	}
	return of
}

// act is one thing that happens to a forest.
type act struct {
	kind  string // probe, signal, order, end, wait, edit
	at    []spot // endpoints
	ok    []bool
	order health.Act
	keep  bool
	life  time.Duration // of an order or signal, or how long to wait
	which int           // order to end
}

type spot struct{ p, e, check string }

func anyActs(t *rapid.T, docs []*profile.Profile) []act {
	var spots []spot
	for _, p := range docs {
		for i := range p.Endpoints {
			e := &p.Endpoints[i]
			spots = append(spots, spot{p.Name, e.Name, ""})
			for _, c := range e.Monitor.Checks {
				spots = append(spots, spot{p.Name, e.Name, c.Name})
			}
		}
	}
	one := rapid.Custom(func(t *rapid.T) act {
		a := act{kind: rapid.SampledFrom([]string{"probe", "probe", "probe", "probe", "signal", "signal", "order", "order", "end", "wait", "edit"}).Draw(t, "act")}
		a.at = rapid.SliceOfN(rapid.SampledFrom(spots), 1, 8).Draw(t, "at")
		for range a.at {
			a.ok = append(a.ok, rapid.IntRange(0, 2).Draw(t, "ok") > 0)
		}
		a.order = rapid.SampledFrom([]health.Act{health.Disable, health.Drain, health.ForceDown, health.ForceUp, health.DisableProfile, health.Pause}).Draw(t, "order")
		a.keep = rapid.Bool().Draw(t, "keep probing")
		a.life = time.Duration(rapid.IntRange(1, 40).Draw(t, "life")) * second
		a.which = rapid.IntRange(0, 20).Draw(t, "which")
		return a
	})
	n := rapid.SampledFrom([]int{3, 10, 30, 50}).Draw(t, "how many") // a drawn length would be short
	return rapid.SliceOfN(one, n, n).Draw(t, "acts")
}

// grove is a forest in the real loop.
type grove struct {
	forest
	hub    *snapshot.Hub
	loop   *engine.Loop
	mu     sync.Mutex
	broken string
	acts   int
	gone   []*profile.Profile // taken out of the documents
	gen    uint64

	decided map[string]int // decisions of the last act
}

// Carry is the store of a grove: it takes every decision.
func (g *grove) Carry(name string, e engine.Effect) {
	if w, ok := e.(engine.WriteDecision); ok {
		g.mu.Lock()
		g.decided[name]++
		g.mu.Unlock()
		g.loop.Post(name, engine.DecisionSeen{Decision: w.Next, Rev: w.Prev + 1})
	}
}

func (*grove) Blind(bool) {}

// Published looks at every snapshot ever published: each parent was computed from just the children published with it.
func (g *grove) Published([]*health.View, bool) {
	s := g.hub.Load()
	for _, doc := range g.docs {
		for i := range doc.Endpoints {
			e := &s.View(doc.Name).Endpoints[i]
			if name := doc.Endpoints[i].Target.Profile; name != "" {
				if e.Child != s.View(name) {
					g.fail("%s/%s was published with another %s than the one it rests on", doc.Name, e.Config.Name, name)
				} else if want := nestedFrom(e.Config, factsOf(&g.forest, e.Child)); e.Layer.Forced == health.Checking && !e.Layer.Paused && e.Status != health.Disabled && e.Status != health.Inactive && e.Status != want {
					g.fail("%s/%s was published %v; from its child, published with it, follows %v", doc.Name, e.Config.Name, e.Status, want)
				}
			}
			for _, part := range e.Parts {
				owner, name, far := strings.Cut(part.Name, "/")
				if !far {
					owner, name = doc.Name, part.Name
				}
				if is := s.View(owner).Endpoint(name).Status; !part.Known || part.Status != is {
					g.fail("%s/%s was calculated from %s %v, published with it is %v", doc.Name, e.Config.Name, part.Name, part.Status, is)
				}
			}
		}
	}
}

// factsOf takes the facts of a child from what was published.
func factsOf(f *forest, v *health.View) facts {
	out := facts{disabled: v.Disabled, ready: v.Ready, serve: v.Profile.Checking == profile.CheckingServe, share: v.Profile.GroupThreshold}
	for i := range v.Endpoints {
		e := &v.Endpoints[i]
		one := fact{status: e.Status, drained: e.Layer.Drained, weight: max(1, e.Config.Weight)}
		one.v4, one.v6 = f.families(e.Config)
		out.ends = append(out.ends, one)
	}
	return out
}

// alarm makes a failure of every error the loop logs: it logs none but panics.
type alarm struct {
	fail func(format string, args ...any)
}

func (a alarm) Write(line []byte) (int, error) {
	a.fail("%s", line)
	return len(line), nil
}

func (g *grove) fail(format string, args ...any) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.broken == "" {
		g.broken = fmt.Sprintf(format, args...)
	}
}

func (g *grove) failed() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.broken
}

// TestStatusFollowsFromTheLeaves: whatever happens in whatever order, every status of every profile is what a naive
// computation from the leaves gives; and no snapshot in between shows a parent that disagrees with its children. Whether a
// child is ready is taken from the snapshot: it depends on decisions.
func TestStatusFollowsFromTheLeaves(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		docs := anyForest(rt)
		if ps := profile.CheckTogether(docs); len(ps) > 0 {
			rt.Fatal(ps)
		}
		acts := anyActs(rt, docs)
		broken := ""
		synctest.Test(t, func(t *testing.T) { broken = grow(t, docs, acts) })
		if broken != "" {
			rt.Fatal(broken)
		}
	})
}

// grow plays the acts and tells the first thing that is wrong.
func grow(t *testing.T, docs []*profile.Profile, acts []act) string {
	g := &grove{hub: snapshot.NewHub(), decided: map[string]int{}}
	g.forest = forest{docs: docs, results: map[string]string{}, signals: map[string]health.Signal{}, off: map[string]bool{}, last: map[string]health.Status{}}
	g.ready = func(name string) bool { return g.hub.Load().View(name).Ready }
	g.loop = engine.New(engine.Options{
		Start: engine.Start{Self: engine.Member{Name: "n1"}, Solo: true}, Hub: g.hub, Carrier: g,
		Logger: slog.New(slog.NewTextHandler(alarm{g.fail}, &slog.HandlerOptions{Level: slog.LevelError})),
	})
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		g.loop.Run(ctx)
	}()
	defer func() {
		stop()
		<-done
	}()
	g.loop.PostAll(engine.StoreSeen{Reachable: true})
	g.loop.PostAll(engine.RoleSeen{Leader: true})
	g.replace(docs)
	synctest.Wait()
	g.consider(time.Now())
	for i, a := range acts {
		g.begin()
		g.do(a)
		synctest.Wait()
		if name, n := g.mostDecided(); n > 1 && a.kind != "wait" && (a.kind != "probe" || len(a.at) == 1) {
			return fmt.Sprintf("act %d, %+v: %d decisions of %s", i, a, n, name)
		}
		g.consider(time.Now())
		if what := g.failed(); what != "" {
			return fmt.Sprintf("act %d, %+v: %s", i, a, what)
		}
		if what := g.differs(g.hub.Load().View, time.Now()); what != "" {
			return fmt.Sprintf("act %d, %+v: %s", i, a, what)
		}
	}
	return ""
}

// begin forgets the decisions so far.
func (g *grove) begin() {
	g.mu.Lock()
	defer g.mu.Unlock()
	clear(g.decided)
}

// mostDecided is the profile that has decided most often since; nothing in between should have made it.
func (g *grove) mostDecided() (name string, most int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for p, n := range g.decided {
		if n > most {
			name, most = p, n
		}
	}
	return name, most
}

// do lets one thing happen, to the loop and to the forest.
func (g *grove) do(a act) {
	now := time.Now()
	a.at = slices.DeleteFunc(slices.Clone(a.at), func(s spot) bool { return g.doc(s.p) == nil })
	if len(a.at) == 0 && a.kind != "wait" {
		return
	}
	switch a.kind {
	case "edit":
		g.edit(a)
	case "wait":
		for end := now.Add(a.life); time.Now().Before(end); {
			time.Sleep(second)
			synctest.Wait()
			g.consider(time.Now())
		}
	case "probe":
		for i, s := range a.at { // one burst
			p := g.doc(s.p)
			if !hasCheck(p, s) || !g.alone(a.at[:i], s) {
				continue
			}
			e, _ := p.Endpoint(s.e)
			g.seen(p, e, s.check, a.ok[i], now)
			g.loop.Post(s.p, engine.Observed{Endpoint: s.e, Check: s.check, Obs: health.Observation{At: now, OK: a.ok[i], Reason: "seen"}})
		}
	case "signal":
		s := a.at[0]
		one := health.Signal{Profile: s.p, Endpoint: s.e, State: health.Down, At: now, Until: now.Add(a.life)}
		if a.ok[0] {
			one.State = health.Up
		}
		g.signals[s.p+"/"+s.e] = one
		mine := map[string]health.Signal{}
		for _, other := range g.signals {
			if other.Profile == s.p {
				mine[other.Endpoint] = other
			}
		}
		g.loop.Post(s.p, engine.SignalsSeen{Signals: mine})
	case "order":
		g.acts++
		for _, s := range a.at[:min(3, len(a.at))] { // one order over several
			o := health.Override{ID: strconv.Itoa(g.acts), Act: a.order, Profile: s.p, Endpoint: s.e, At: now, KeepProbing: a.keep && a.order == health.Disable}
			if a.order == health.DisableProfile {
				o.Endpoint = ""
			}
			if a.life < 30*second {
				o.Until = now.Add(a.life)
			}
			g.orders = append(g.orders, o)
		}
		g.tellOrders()
	case "end":
		id := strconv.Itoa(a.which)
		g.orders = slices.DeleteFunc(g.orders, func(o health.Override) bool { return o.ID == id })
		g.tellOrders()
	}
}

// alone: of one burst an endpoint gets one result, and while something is paused the burst has one: whether what came in
// between counts for a memory is nobody's promise.
func (g *grove) alone(before []spot, s spot) bool {
	paused := slices.ContainsFunc(g.orders, func(o health.Override) bool { return o.Act == health.Pause })
	return !slices.ContainsFunc(before, func(b spot) bool { return paused || b.p == s.p && b.e == s.e })
}

func (g *grove) doc(name string) *profile.Profile {
	if i := slices.IndexFunc(g.docs, func(p *profile.Profile) bool { return p.Name == name }); i >= 0 {
		return g.docs[i]
	}
	return nil
}

// replace gives the loop a new generation of documents.
func (g *grove) replace(docs []*profile.Profile) {
	g.gen++
	g.docs = docs
	prepared, err := g.hub.Prepare(&snapshot.Documents{Generation: g.gen, Profiles: docs})
	if err != nil {
		g.fail("%v", err)
		return
	}
	g.loop.Replace(engine.Replacement{Prepared: prepared})
}

// edit changes one document, takes one out that none is built on, or brings it back.
func (g *grove) edit(a act) {
	was := g.doc(a.at[0].p)
	is := *was
	is.Endpoints = slices.Clone(was.Endpoints)
	e, _ := is.Endpoint(a.at[0].e)
	switch a.which % 5 {
	case 0:
		is.Enabled = !is.Enabled
	case 1:
		e.Enabled = !e.Enabled
	case 2:
		e.Stopped = !e.Stopped && e.Target.Profile == ""
	case 3:
		e.MinChild = (e.MinChild + 1) % 4
	case 4:
		switch {
		case len(g.gone) > 0:
			docs := append(slices.Clone(g.gone), g.docs...)
			g.gone = nil
			g.replace(docs)
		case len(g.docs) > 1 && !slices.ContainsFunc(g.docs, func(p *profile.Profile) bool { return builtOn(p, was.Name) }):
			g.takeOut(was)
		}
		return
	}
	docs := slices.Clone(g.docs)
	docs[slices.Index(docs, was)] = &is
	g.replace(docs)
}

// takeOut removes a document, and what is known and ordered of it.
func (g *grove) takeOut(p *profile.Profile) {
	g.orders = slices.DeleteFunc(g.orders, func(o health.Override) bool { return o.Profile == p.Name })
	g.tellOrders()
	synctest.Wait()
	g.forget(p)
	g.gone = append(g.gone, p)
	g.replace(slices.DeleteFunc(slices.Clone(g.docs), func(q *profile.Profile) bool { return q == p }))
}

// hasCheck: results of checks an endpoint does not have are not sent.
func hasCheck(p *profile.Profile, s spot) bool {
	e, _ := p.Endpoint(s.e)
	m := &e.Monitor
	if e.Target.Profile != "" || !m.Probed() {
		return false
	}
	return s.check == "" && len(m.Checks) == 0 || slices.ContainsFunc(m.Checks, func(c profile.Check) bool { return c.Name == s.check })
}

func (g *grove) tellOrders() {
	events := map[string]engine.Event{}
	for _, p := range g.docs {
		mine := slices.DeleteFunc(slices.Clone(g.orders), func(o health.Override) bool { return o.Profile != p.Name })
		events[p.Name] = engine.OrdersSeen{Orders: mine}
	}
	g.loop.PostTogether(events)
}
