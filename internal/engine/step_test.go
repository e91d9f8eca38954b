package engine_test

import (
	"reflect"
	"testing"
	"time"

	"jurymast/internal/engine"
	"jurymast/internal/health"
	"jurymast/internal/profile"
)

var t0 = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func doc(change func(*profile.Profile)) *profile.Profile {
	m := profile.Monitor{Interval: 10 * time.Second, ToleratedFailures: 1, RecoverySuccesses: 1}
	p := &profile.Profile{
		Name: "p", Enabled: true, Routing: profile.Priority, TTL: 30 * time.Second, TTLFloor: time.Second,
		Failback: profile.Failback{Mode: profile.FailbackAuto},
		Endpoints: []profile.Endpoint{
			{Name: "eu", Priority: 1, Enabled: true, Monitor: m, Target: profile.Target{Addrs: []string{"192.0.2.1"}}},
			{Name: "us", Priority: 2, Enabled: true, Monitor: m, Target: profile.Target{Addrs: []string{"192.0.2.2"}}},
		},
	}
	if change != nil {
		change(p)
	}
	return p
}

// bench drives one machine and answers its writes as a store would, unless full.
type bench struct {
	t    *testing.T
	p    *engine.Profile
	now  time.Time
	rev  int64
	have health.Decision
	full bool
	log  []engine.Effect
}

func start(t *testing.T, s engine.Start, d *profile.Profile) *bench {
	t.Helper()
	if s.Self.Name == "" {
		s.Self = engine.Member{Name: "n1"}
	}
	b := &bench{t: t, p: engine.NewProfile(s), now: t0}
	b.do(engine.Configured{Doc: d})
	if s.Solo {
		b.do(engine.RoleSeen{Leader: true}) // nobody else can have the chair
	}
	return b
}

func (b *bench) do(evs ...engine.Event) *bench {
	b.t.Helper()
	for len(evs) > 0 {
		replay := b.p.Clone()
		out := b.p.Step(evs[0], b.now)
		if again := replay.Step(evs[0], b.now); !reflect.DeepEqual(out, again) {
			b.t.Fatalf("replay of %T gives other effects:\n%+v\n%+v", evs[0], out, again)
		}
		b.log = append(b.log, out...)
		evs = evs[1:]
		for _, e := range out {
			if w, ok := e.(engine.WriteDecision); ok {
				evs = append(evs, b.store(w))
			}
		}
	}
	return b
}

func (b *bench) store(w engine.WriteDecision) engine.Event {
	switch {
	case b.full:
		return engine.DecisionFailed{Epoch: w.Next.Epoch}
	case w.Prev != b.rev:
		return engine.DecisionFailed{Epoch: w.Next.Epoch, Lost: true}
	}
	if w.Next.Epoch < b.have.Epoch {
		b.t.Fatalf("epoch goes back: %+v after %+v", w.Next, b.have)
	}
	b.rev++
	b.have = w.Next
	return engine.DecisionSeen{Decision: w.Next, Rev: b.rev}
}

func (b *bench) probe(endpoint string, results string) *bench {
	b.t.Helper()
	for _, r := range results {
		b.now = b.now.Add(time.Second)
		b.do(engine.Observed{Endpoint: endpoint, Obs: health.Observation{At: b.now, OK: r == 'g', Reason: string(r)}})
	}
	return b
}

func (b *bench) active(want string, epoch uint64) *bench {
	b.t.Helper()
	d := b.p.View().Decision
	if d.Active != want || d.Epoch != epoch {
		b.t.Fatalf("active %s epoch %d, want %s epoch %d", d.Active, d.Epoch, want, epoch)
	}
	return b
}

var connected = engine.StoreSeen{Reachable: true}

func TestOneFailoverAndBack(t *testing.T) {
	b := start(t, engine.Start{Solo: true}, doc(nil)).do(connected)
	if b.p.View().Ready {
		t.Fatal("ready before anything was looked at")
	}
	b.probe("us", "g").active("", 0)
	b.probe("eu", "g").active("eu", 1)
	b.probe("eu", "b").active("eu", 1)
	b.probe("eu", "b").active("us", 2)
	b.probe("eu", "g").active("eu", 3)
	if b.have.Epoch != 3 || b.have.Reason != "failback-auto" || b.have.By != "n1" {
		t.Fatalf("the store has %+v", b.have)
	}
}

func TestFollowerWaitsForTheLeader(t *testing.T) {
	b := start(t, engine.Start{}, doc(nil)).do(connected, engine.RoleSeen{Leader: false})
	b.probe("eu", "gbb").probe("us", "g").active("", 0)
	b.do(engine.DecisionSeen{Decision: health.Decision{Active: "us", Epoch: 5}, Rev: 9}).active("us", 5)
	b.do(engine.DecisionSeen{Decision: health.Decision{Active: "eu", Epoch: 4}, Rev: 7}).active("us", 5) // reordered
	b.rev = 9
	b.do(engine.RoleSeen{Leader: true}).active("us", 5)
}

// A node that has lost the store keeps verdicts and decision, marks them stale, and does not fail over on its own.
func TestIsolatedNodeFreezes(t *testing.T) {
	two := engine.MembersSeen{Members: []engine.Member{{Name: "n1"}, {Name: "n2"}}}
	votes := map[string]health.Vote{"eu": {Opinion: health.Up}, "us": {Opinion: health.Up}}
	b := start(t, engine.Start{}, doc(nil)).do(connected, two, engine.VotesSeen{Node: "n2", Votes: votes}, engine.RoleSeen{Leader: true})
	b.probe("us", "g").probe("eu", "g").active("eu", 1)
	b.do(engine.StoreSeen{Reachable: false}, engine.RoleSeen{Leader: false}).probe("eu", "bbbb").active("eu", 1)
	v := b.p.View()
	if !v.Stale || v.Endpoints[0].Verdict.Status != health.Online {
		t.Fatalf("stale %v, verdict %v; want stale and Online", v.Stale, v.Endpoints[0].Verdict.Status)
	}
	b.do(connected)
	if b.p.View().Stale {
		t.Fatal("still stale although the store is back and everything was looked at")
	}
}

// The disk is full, the primary dies: a node alone switches all the same, and writes when it can.
func TestAloneWithAFullDisk(t *testing.T) {
	b := start(t, engine.Start{Solo: true}, doc(nil)).do(connected).probe("eu", "g").probe("us", "g").active("eu", 1)
	b.full = true
	b.probe("eu", "bb").active("us", 3) // 2 was tried: its outcome is unknown
	b.probe("eu", "g").active("eu", 4)
	if b.have.Epoch != 1 {
		t.Fatalf("the store has %+v", b.have)
	}
	var alarms int
	for _, e := range b.log {
		if n, ok := e.(engine.Note); ok && n.Entry.Kind == health.EntryAlarm {
			alarms++
		}
	}
	if alarms != 2 {
		t.Fatalf("%d alarms, want one per unwritten decision", alarms)
	}
	b.full = false
	b.now = b.p.Due(b.now)
	b.do(engine.Tick{})
	if b.have.Epoch != 4 || b.have.Active != "eu" {
		t.Fatalf("the store has %+v, want epoch 4 after the disk has room", b.have)
	}
	b.probe("eu", "bb").active("us", 5)
}

// life starts a machine that knows the stored decision, as after n lives that did not end in order.
func life(t *testing.T, n int, stored health.Decision, rev int64, d *profile.Profile) *bench {
	t.Helper()
	b := start(t, engine.Start{Solo: true, Lives: n}, d)
	b.rev, b.have = rev, stored
	return b.do(engine.DecisionSeen{Decision: stored, Rev: rev}, connected)
}

// A life after a crash whose own store does not write goes on switching: the block is skipped once, not per switch.
func TestUncleanLifeWithAFullDiskGoesOnSwitching(t *testing.T) {
	b := life(t, 1, health.Decision{Active: "eu", Epoch: 7, By: "n1"}, 3, doc(nil)).probe("eu", "g").probe("us", "g")
	b.full = true
	b.probe("eu", "bb").probe("eu", "g").probe("eu", "bb")
	if d := b.p.View().Decision; d.Active != "us" || d.Epoch > 7+2*engine.OfflineEpochs {
		t.Fatalf("active %s epoch %d", d.Active, d.Epoch)
	}
}

// Epochs of an earlier life that never reached the store are not used again, over any number of crashes, and neither
// when one of them ended in order but its successor starts from what it had kept.
func TestEpochsAreNeverUsedTwiceOverCrashes(t *testing.T) {
	stored := health.Decision{Active: "eu", Epoch: 7, By: "n1"}
	used := map[uint64]string{}
	note := func(b *bench) {
		t.Helper()
		d := b.p.View().Decision
		if was, ok := used[d.Epoch]; ok && was != d.Active {
			t.Fatalf("epoch %d names %s and %s", d.Epoch, was, d.Active)
		}
		used[d.Epoch] = d.Active
	}
	var last *health.View
	for lives := range 4 {
		b := start(t, engine.Start{Solo: true, Lives: lives}, doc(nil))
		b.full, b.rev, b.have = true, 3, stored
		if last != nil && lives == 3 { // this one kept a last good state, without its decisions
			b.do(engine.Recovered{Floor: last.Floor})
		}
		b.do(engine.DecisionSeen{Decision: stored, Rev: 3}, connected).probe("eu", "g").probe("us", "g")
		for range 2 + lives {
			b.probe("eu", "bb")
			note(b)
			b.probe("eu", "g")
			note(b)
		}
		last = b.p.View()
	}
	// in order, in between: no lives to skip, but the floor that was kept
	b := start(t, engine.Start{Solo: true}, doc(nil)).do(engine.Recovered{Floor: last.Floor + engine.OfflineEpochs, Decision: last.Decision})
	b.rev, b.have = 3, stored
	b.do(engine.DecisionSeen{Decision: stored, Rev: 3}, connected).probe("us", "g").probe("eu", "g").probe("eu", "bb")
	note(b)
}

// A write that timed out may have been applied: its epoch is not given to another endpoint.
func TestUnknownOutcomeTakesItsEpoch(t *testing.T) {
	three := doc(func(p *profile.Profile) {
		ap := p.Endpoints[1]
		ap.Name, ap.Priority = "ap", 3
		p.Endpoints = append(p.Endpoints, ap)
	})
	b := start(t, engine.Start{Solo: true}, three).do(connected).probe("eu", "g").probe("us", "g").probe("ap", "g")
	b.full = true
	b.probe("eu", "bb")
	late := health.Decision{Active: "us", Epoch: 2}
	b.probe("us", "bb")
	if d := b.p.View().Decision; d.Active != "ap" || d.Epoch <= 2 {
		t.Fatalf("%+v", d)
	}
	before := b.p.View().Decision
	b.rev, b.have = b.rev+1, late
	b.do(engine.DecisionSeen{Decision: late, Rev: b.rev})
	if b.p.View().Decision != before {
		t.Fatalf("the late write took over: %+v", b.p.View().Decision)
	}
}

// Alone, with a store that does not open at all in this life: it decides from its last good state, or from nothing.
func TestAloneWithoutAStoreDecides(t *testing.T) {
	b := start(t, engine.Start{Solo: true, Lives: 1}, doc(nil)).do(engine.RoleSeen{}, engine.Recovered{
		Ready: true, Decision: health.Decision{Active: "eu", Epoch: 4},
		Verdicts: map[string]health.Verdict{"eu": {Status: health.Online}, "us": {Status: health.Online}},
	})
	b.probe("us", "g").probe("eu", "bb").active("eu", 4) // the store may still come
	b.do(engine.StoreFailed{})
	if d := b.p.View().Decision; d.Active != "us" || d.Epoch <= 4+engine.OfflineEpochs {
		t.Fatalf("%+v", d)
	}
	empty := start(t, engine.Start{Solo: true}, doc(nil)).do(engine.RoleSeen{}, engine.StoreFailed{}).probe("eu", "g")
	if v := empty.p.View(); !v.Ready || v.Decision.Active != "eu" {
		t.Fatalf("ready %v, %+v", v.Ready, v.Decision)
	}
	empty.do(connected, engine.RoleSeen{Leader: true})
	if empty.have.Active != "eu" {
		t.Fatalf("the store came and has %+v", empty.have)
	}
}

// What an earlier life saw is no evidence: neither a return nor a takeover follows before somebody has looked.
func TestNothingFollowsFromUnconfirmedVerdicts(t *testing.T) {
	delayed := doc(func(p *profile.Profile) {
		p.Failback = profile.Failback{Mode: profile.FailbackDelayed, After: time.Minute}
	})
	stored := health.Decision{Active: "us", Epoch: 2, Pending: "eu", PendingSince: t0.Add(-time.Hour)}
	b := start(t, engine.Start{Solo: true}, delayed).do(engine.Recovered{Ready: true, Decision: stored, Verdicts: map[string]health.Verdict{
		"eu": {Status: health.Online, Since: t0.Add(-time.Hour)}, "us": {Status: health.Online, Since: t0.Add(-time.Hour)},
	}})
	b.rev, b.have = 1, stored
	b.do(engine.DecisionSeen{Decision: stored, Rev: 1}, connected).active("us", 2)
	b.probe("us", "g").active("us", 2).probe("eu", "g").active("eu", 3)
}

// The delay of a failback that has begun goes on over a restart without a last good state.
func TestPendingReturnSurvivesChecking(t *testing.T) {
	delayed := doc(func(p *profile.Profile) {
		p.Failback = profile.Failback{Mode: profile.FailbackDelayed, After: 10 * time.Minute}
	})
	stored := health.Decision{Active: "us", Epoch: 2, Pending: "eu", PendingSince: t0.Add(-9 * time.Minute)}
	b := life(t, 0, stored, 1, delayed).probe("us", "g").probe("eu", "g")
	if got := b.p.View().Decision.PendingSince; !got.Equal(stored.PendingSince) {
		t.Fatalf("pending since %v, want %v", got, stored.PendingSince)
	}
}

// A decision that only the last good state knows reaches the store, also when nothing follows from it any more.
func TestRecoveredDecisionIsWritten(t *testing.T) {
	b := start(t, engine.Start{Solo: true, Lives: 1}, doc(nil)).do(engine.Recovered{Ready: true, Decision: health.Decision{Active: "eu", Epoch: 9}})
	b.do(connected, engine.RoleSeen{Leader: true}).probe("eu", "g").probe("us", "g").active("eu", 9)
	if b.have.Epoch != 9 || b.have.Active != "eu" {
		t.Fatalf("the store has %+v", b.have)
	}
}

// A used up block stands still only while the store cannot write.
func TestUsedUpBlockIsWrittenWhenTheDiskHasRoom(t *testing.T) {
	b := start(t, engine.Start{Solo: true}, doc(nil)).do(connected).probe("eu", "g").probe("us", "g")
	b.full = true
	for range engine.OfflineEpochs {
		b.probe("eu", "bb").probe("eu", "g")
	}
	stuck := b.p.View().Decision
	b.full = false
	for range 3 {
		b.probe("eu", "bb").probe("eu", "g")
	}
	if b.have.Epoch <= stuck.Epoch {
		t.Fatalf("the store has %+v, stuck at %+v", b.have, stuck)
	}
}

func TestOrdersOfAnEarlierLifeHoldUntilTheStoreSpeaks(t *testing.T) {
	held := health.Override{ID: "1", Act: health.DisableProfile, Profile: "p", By: "ops", At: t0}
	b := start(t, engine.Start{Solo: true}, doc(nil)).do(engine.Recovered{Ready: true, Orders: []health.Override{held}})
	if !b.p.View().Disabled {
		t.Fatal("a disabled profile is answered again after a restart")
	}
	b.do(connected) // without OrdersSeen: the store has none, they were ended meanwhile
	if b.p.View().Disabled {
		t.Fatal("an order that is gone still holds")
	}
}

func TestEditedMonitorCountsAnew(t *testing.T) {
	path := func(to string, interval time.Duration) *profile.Profile {
		return doc(func(p *profile.Profile) { p.Endpoints[0].Monitor.Path, p.Endpoints[0].Monitor.Interval = to, interval })
	}
	b := start(t, engine.Start{Solo: true}, path("/a", time.Second)).do(connected).probe("eu", "g").probe("us", "g").probe("eu", "b")
	b.do(engine.Configured{Doc: path("/b", time.Second)}).probe("eu", "b").active("eu", 1)
	b.do(engine.Configured{Doc: path("/b", time.Minute)}).probe("eu", "b").active("us", 2) // another interval is the same probe
}

// Somebody wiped the decision: it is written again under the epoch this node knows.
func TestRemovedDecisionIsWrittenAgain(t *testing.T) {
	b := start(t, engine.Start{Solo: true}, doc(nil)).do(connected).probe("eu", "g").probe("us", "g").probe("eu", "bb").active("us", 2)
	b.rev, b.have = 0, health.Decision{}
	b.do(engine.DecisionGone{})
	if b.have.Active != "us" || b.have.Epoch != 2 {
		t.Fatalf("the store has %+v", b.have)
	}
	b.probe("eu", "g").active("eu", 3)
}

// After an unclean end nobody knows whether the block of unwritten epochs was used: it is skipped, once.
func TestUncleanLifeSkipsItsBlock(t *testing.T) {
	b := start(t, engine.Start{Solo: true, Lives: 1}, doc(nil))
	b.rev = 3
	b.do(engine.DecisionSeen{Decision: health.Decision{Active: "eu", Epoch: 7, By: "n1"}, Rev: 3}, connected)
	b.probe("eu", "g").probe("us", "g").active("eu", 7)
	b.probe("eu", "bb").active("us", 8+engine.OfflineEpochs)
	b.probe("eu", "g").active("eu", 9+engine.OfflineEpochs)
}

func TestRecoveredStateServesStaleUntilLookedAt(t *testing.T) {
	b := start(t, engine.Start{Solo: true}, doc(nil))
	b.do(engine.Recovered{Ready: true, Decision: health.Decision{Active: "us", Epoch: 4}, Verdicts: map[string]health.Verdict{
		"eu": {Status: health.Degraded, Since: t0}, "us": {Status: health.Online, Since: t0},
	}})
	if v := b.p.View(); !v.Stale || !v.Ready || v.Decision.Active != "us" {
		t.Fatalf("stale %v ready %v active %s", v.Stale, v.Ready, v.Decision.Active)
	}
	b.do(engine.DecisionSeen{Decision: health.Decision{Active: "us", Epoch: 4}, Rev: 1}, connected)
	b.rev = 1
	b.probe("us", "g").active("us", 4)
	if !b.p.View().Stale {
		t.Fatal("fresh although eu was not looked at")
	}
	b.probe("eu", "bb").active("us", 4)
	if b.p.View().Stale {
		t.Fatal("stale although everything was looked at")
	}
}

// A restart without a last good state must not switch just because the standby was probed first.
func TestRestartDoesNotSwitchBeforeTheActiveWasLookedAt(t *testing.T) {
	b := start(t, engine.Start{Solo: true}, doc(nil))
	b.rev = 1
	b.do(engine.DecisionSeen{Decision: health.Decision{Active: "eu", Epoch: 1}, Rev: 1}, connected)
	b.probe("us", "g").active("eu", 1).probe("eu", "g").active("eu", 1)
}

func TestEditedPathKeepsTheVerdictNewOriginDoesNot(t *testing.T) {
	b := start(t, engine.Start{Solo: true}, doc(nil)).do(connected).probe("eu", "gbb").probe("us", "g").active("us", 2)
	b.do(engine.Configured{Doc: doc(func(p *profile.Profile) { p.Endpoints[0].Monitor.Path = "/other" })})
	if s := b.p.View().Endpoints[0].Status; s != health.Degraded {
		t.Fatalf("an edited path put eu to %v", s)
	}
	origin := func(p *profile.Profile) { p.Endpoints[0].Origin = "http://192.0.2.9" }
	b.do(engine.Configured{Doc: doc(origin)})
	if s := b.p.View().Endpoints[0].Status; s != health.CheckingEndpoint {
		t.Fatalf("a new origin left eu at %v", s)
	}
	b.probe("eu", "g").active("eu", 3).do(engine.Configured{Doc: doc(func(p *profile.Profile) {
		origin(p)
		p.Endpoints[0].Target.Addrs = []string{"192.0.2.77"} // the origin is what is probed
	})}).active("eu", 3)
	if s := b.p.View().Endpoints[0].Status; s != health.Online {
		t.Fatalf("another target beside the same origin put eu to %v", s)
	}
}

func TestOrdersAreALayer(t *testing.T) {
	b := start(t, engine.Start{Solo: true}, doc(nil)).do(connected).probe("eu", "g").probe("us", "g").active("eu", 1)
	o := health.Override{ID: "1", Act: health.ForceDown, Profile: "p", Endpoint: "eu", By: "ops", At: b.now, Until: b.now.Add(time.Minute)}
	b.do(engine.OrdersSeen{Orders: []health.Override{o}}).active("us", 2)
	if e := b.p.View().Endpoints[0]; e.Verdict.Status != health.Online || e.Status != health.Degraded {
		t.Fatalf("real %v shown %v: an order is no write into the verdict", e.Verdict.Status, e.Status)
	}
	for range 100 {
		due := b.p.Due(b.now)
		if due.IsZero() {
			break
		}
		b.now = due
		b.do(engine.Tick{})
	}
	b.active("eu", 3)
	if b.now.Before(o.Until) {
		t.Fatal("returned before the order ended")
	}
}

func TestDisabledEndpointIsNotProbedAndComesBackThroughChecking(t *testing.T) {
	b := start(t, engine.Start{Solo: true}, doc(nil)).do(connected).probe("eu", "g").probe("us", "g")
	b.log = nil
	b.do(engine.OrdersSeen{Orders: []health.Override{{ID: "1", Act: health.Disable, Profile: "p", Endpoint: "eu"}}}).active("us", 2)
	if !hasEffect(b.log, engine.SetPace{Endpoint: "eu", Every: 0}) {
		t.Fatalf("probes go on: %+v", b.log)
	}
	b.do(engine.OrdersSeen{})
	if s := b.p.View().Endpoints[0].Status; s != health.CheckingEndpoint {
		t.Fatalf("enabled again it is %v", s)
	}
	b.active("us", 2).probe("eu", "g").active("eu", 3)
}

func TestPassiveFailureAsksForAConfirmRunOnce(t *testing.T) {
	b := start(t, engine.Start{Solo: true}, doc(nil)).do(connected).probe("eu", "g").probe("us", "g")
	b.log = nil
	b.do(engine.Suspected{Endpoint: "eu", Kind: "refused"}, engine.Suspected{Endpoint: "eu", Kind: "refused"})
	want := engine.ProbeNow{Endpoint: "eu", Runs: 2, Span: 10 * time.Millisecond}
	if len(b.log) != 1 || !hasEffect(b.log, want) {
		t.Fatalf("got %+v, want one %+v", b.log, want)
	}
	b.active("eu", 1) // a signal is no vote
}

func TestManualFailbackByOrder(t *testing.T) {
	manual := doc(func(p *profile.Profile) { p.Failback.Mode = profile.FailbackManual })
	b := start(t, engine.Start{Solo: true}, manual).do(connected).probe("eu", "g").probe("us", "g").probe("eu", "bbg").active("us", 2)
	if b.have.Pending != "eu" || b.have.Epoch != 2 {
		t.Fatalf("the store does not know that failback is pending: %+v", b.have)
	}
	b.log = nil
	b.do(engine.OrdersSeen{Orders: []health.Override{{ID: "f", Act: health.FailbackNow, Profile: "p", By: "ops", At: b.now}}}).active("eu", 3)
	if !hasEffect(b.log, engine.EndOrder{ID: "f"}) {
		t.Fatalf("the order is not used up: %+v", b.log)
	}
}

func hasEffect(log []engine.Effect, want engine.Effect) bool {
	for _, e := range log {
		if reflect.DeepEqual(e, want) {
			return true
		}
	}
	return false
}

// At the start of a session the role comes after the store. A node alone must not take that moment for a full disk.
func TestAloneWaitsForItsChair(t *testing.T) {
	b := start(t, engine.Start{Solo: true}, doc(nil)).do(engine.RoleSeen{}, connected)
	b.probe("eu", "g").probe("us", "g").active("", 0)
	for _, e := range b.log {
		if n, ok := e.(engine.Note); ok && n.Entry.Kind == health.EntryAlarm {
			t.Fatalf("alarm without a reason: %+v", n.Entry)
		}
	}
	b.do(engine.RoleSeen{Leader: true}).active("eu", 1)
}
