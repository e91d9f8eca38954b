package engine

import (
	"reflect"
	"slices"
	"time"

	"jurymast/internal/health"
	"jurymast/internal/profile"
	"jurymast/internal/steer"
)

// settle brings everything that follows from the state up to date: paces, verdicts, the view, and, on the leader, the
// decision. A decision a node alone has taken unwritten changes the view once more, hence the loop; it ends because
// the second round finds the decision standing.
func (p *Profile) settle(now time.Time, out *effects) {
	p.pace(now, out)
	p.noteEnds(now, out)
	v := p.build(now, out)
	for p.decide(v, now, out) {
		v = p.build(now, out)
	}
	p.publish(v, out)
}

// pace says how often each check runs, and not at all while its endpoint is switched off. Switched on again it is
// looked at from the beginning.
func (p *Profile) pace(now time.Time, out *effects) {
	off, again := p.disabled(now), false
	for i := range p.doc.Endpoints {
		e := &p.doc.Endpoints[i]
		t := p.local[e.Name]
		layer := health.LayerOf(p.orders, e.Name, now)
		pause := off || !e.Enabled || e.AlwaysServe || e.Stopped || (layer.Disabled && !layer.Probing)
		if t.paused && !pause {
			t.reset(now, "enabled: checking again")
			delete(p.verdicts, e.Name)
			again = true
		}
		t.paused = pause
		for _, l := range t.looks {
			every := t.wants(l)
			if every == 0 {
				every = never
			}
			if every != l.pace {
				l.pace = every
				out.add(SetPace{Endpoint: e.Name, Check: l.name, Every: max(0, every)})
			}
		}
	}
	if again {
		out.add(PublishVotes{p.ownVotes()})
	}
}

// never is the pace of a check that is paused, apart from 0, which is not told yet.
const never = time.Duration(-1)

func (p *Profile) disabled(now time.Time) bool {
	return !p.doc.Enabled || health.ProfileOrder(p.orders, health.DisableProfile, now) != nil
}

// build computes the view. A node that has lost the store and is not alone freezes its verdicts: it cannot know what
// the others see, and never fails over on its own view.
func (p *Profile) build(now time.Time, out *effects) *health.View {
	v := &health.View{
		Profile: p.doc, Decision: p.decision, Disabled: p.disabled(now),
		Held: health.ProfileOrder(p.orders, health.HoldProfile, now), Endpoints: make([]health.EndpointView, len(p.doc.Endpoints)),
		Orders: live(p.orders, now), Floor: p.floor, Reopens: p.reopens(now),
	}
	for i := range p.doc.Endpoints {
		cfg := &p.doc.Endpoints[i]
		ev := &v.Endpoints[i]
		*ev = health.EndpointView{Config: cfg, Votes: p.ballots(cfg), Layer: health.LayerOf(p.orders, cfg.Name, now)}
		ev.Unseen = len(ev.Votes) == 0
		if cfg.Target.Profile != "" {
			ev.Child = p.links[cfg.Target.Profile]
		}
		if s, ok := p.signals[cfg.Name]; ok && cfg.Monitor.External != nil {
			ev.Signal = &s
		}
	}
	for _, i := range p.inOrder() {
		ev := &v.Endpoints[i]
		ev.Parts = p.parts(v, ev.Config)
		ev.Verdict = p.verdict(ev, now, out)
		health.Resolve(p.doc, ev, v.Disabled, now)
	}
	p.freshen(v)
	v.Ready, v.Stale, v.Halt = p.ready, p.stale, p.halt()
	if p.strict() {
		v.Term = p.term
	}
	if v.Halt == health.HaltPreparing {
		v.Awaits = p.awaited()
	}
	return v
}

// noteEnds tells the journal of orders whose time is over: who placed them has not ended them, the clock has.
func (p *Profile) noteEnds(now time.Time, out *effects) {
	if p.view == nil || !p.leader && !p.solo {
		return
	}
	for i := range p.view.Orders {
		o := &p.view.Orders[i]
		standing := slices.ContainsFunc(p.orders, func(is health.Override) bool { return is.ID == o.ID }) // else somebody ended it
		if standing && !o.Live(now) {
			out.add(Note{health.Entry{
				At: now, Node: p.self.Name, Kind: health.EntryAct, Profile: p.doc.Name, Endpoint: o.Endpoint,
				From: o.Act.String(), To: "ended", Reason: "its time is over", By: o.By, Note: o.Note,
			}})
		}
	}
}

// reopens is when a profile that an order has switched off goes on by itself.
func (p *Profile) reopens(now time.Time) time.Duration {
	o := health.ProfileOrder(p.orders, health.DisableProfile, now)
	if o == nil || o.Until.IsZero() || !p.doc.Enabled {
		return 0
	}
	return o.Until.Sub(now)
}

// live keeps the orders that still hold; nil for none.
func live(orders []health.Override, now time.Time) (out []health.Override) {
	for i := range orders {
		if orders[i].Live(now) {
			out = append(out, orders[i])
		}
	}
	return out
}

// verdict brings the verdict of one endpoint up to date. A paused one is frozen: what is seen meanwhile is shown in the
// votes and counts for nothing.
func (p *Profile) verdict(ev *health.EndpointView, now time.Time, out *effects) health.Verdict {
	endpoint := ev.Config.Name
	prev := p.verdicts[endpoint]
	switch {
	case p.frozen():
		prev.Stale = true
		return prev
	case ev.Layer.Paused && prev.Status != health.CheckingEndpoint:
		return prev // without a verdict there is nothing to freeze
	}
	next := p.judge(ev, prev, now)
	p.verdicts[endpoint] = next
	news := p.ready || prev.Status != health.CheckingEndpoint || next.Status != health.Online
	if news && next.Status != prev.Status && (p.leader || p.solo) {
		out.add(Note{health.Entry{
			At: now, Node: p.self.Name, Kind: health.EntryVerdict, Profile: p.doc.Name, Endpoint: endpoint,
			From: prev.Status.String(), To: next.Status.String(), Reason: next.Reason,
		}})
	}
	return next
}

// judge finds the verdict in the way the endpoint is monitored.
func (p *Profile) judge(ev *health.EndpointView, prev health.Verdict, now time.Time) health.Verdict {
	m := &ev.Config.Monitor
	var next health.Verdict
	switch {
	case ev.Nested():
		return health.NestedVerdict(ev, prev, now)
	case m.Assume != profile.AssumeNothing:
		next = health.Assumed(m.Assume, prev, now)
	case m.Calculated != nil:
		next = health.CalculatedVerdict(m.Calculated, ev.Parts, prev, now)
	case m.External != nil && ev.Signal == nil && !p.connected && !prev.Since.IsZero():
		prev.Stale = true // of an earlier life; the signals are not told yet
		return prev
	case m.External != nil:
		next = health.SignalVerdict(m.External, ev.Signal, prev, now)
	default:
		next = health.Quorum(p.doc.Quorum, ev.Votes, prev, now)
	}
	return health.HoldDown(prev, next, m.HoldDown, now)
}

// frozen: this node had the store, or needs it, and cannot reach it, and is not alone.
func (p *Profile) frozen() bool { return !p.solo && !p.reachable }

// ballots are the votes of the live nodes in name order; this node's own are taken from memory, not from the store.
// Nodes that do not probe the endpoint have none.
func (p *Profile) ballots(e *profile.Endpoint) []health.Ballot {
	if e.Target.Profile != "" || !e.Monitor.Probed() {
		return nil
	}
	endpoint := e.Name
	out := make([]health.Ballot, 0, len(p.members))
	for _, m := range p.members {
		if !from(e, m.Location) {
			continue
		}
		b := health.Ballot{Node: m.Name, Location: m.Location, Blind: m.Blind}
		if m.Name == p.self.Name {
			b.Vote = p.local[endpoint].Vote
		} else if v, ok := p.votes[m.Name][endpoint]; ok {
			b.Vote = v
		}
		out = append(out, b)
	}
	return out
}

// freshen settles ready (which stays until the profile is switched off) and stale.
func (p *Profile) freshen(v *health.View) {
	switch {
	case v.Disabled:
		p.ready, p.stale = true, p.frozen()
		return
	case p.view != nil && p.view.Disabled && !p.stale:
		p.ready = false // switched on again: nobody has looked yet
	}
	known := (p.connected || p.failed) && !p.frozen()
	if known && steer.Ready(v) {
		p.ready = true
	}
	if p.frozen() {
		p.stale = p.stale || p.connected
		return
	}
	if p.stale && known && p.lookedAtAll() {
		p.stale = false
	}
}

func (p *Profile) lookedAtAll() bool {
	for _, t := range p.local {
		if !t.paused && !t.looked() {
			return false
		}
	}
	return true
}

// decide lets the leader write what follows from the view. It reports true when the decision changed at once, which
// only happens on a node alone whose store cannot write.
func (p *Profile) decide(v *health.View, now time.Time, out *effects) bool {
	alone := p.solo && !p.strict() && (p.unwritable || !p.reachable)
	if (!p.connected && !p.failed) || (!p.leader && !alone) || p.frozen() {
		return false
	}
	order := health.ProfileOrder(p.orders, health.FailbackNow, now)
	next, changed := steer.Elect(v, order, now)
	if next, changed = p.staged(next, changed, now); !changed {
		if order != nil && !p.writing && steer.Settled(v) {
			out.add(EndOrder{order.ID}) // done, or nothing to return to
		}
		p.catchUp(now, out)
		return false
	}
	next.By = p.self.Name
	if next.Epoch != v.Decision.Epoch {
		next.Epoch = max(next.Epoch, p.floor+1)
	}
	if alone && p.adoptUnwritten(next, now, out) {
		return true
	}
	if p.reachable && !p.writing && !now.Before(p.retryAt) {
		p.write(next, out)
	}
	return false
}

func (p *Profile) write(next health.Decision, out *effects) {
	p.writing, p.tried = true, max(p.tried, next.Epoch)
	out.add(WriteDecision{Next: next, Prev: p.storedRev})
}

// catchUp writes a decision that was taken unwritten.
func (p *Profile) catchUp(now time.Time, out *effects) {
	if p.ahead && !p.strict() && p.reachable && !p.writing && !now.Before(p.retryAt) {
		p.write(p.decision, out)
	}
}

// adoptUnwritten follows a decision that cannot be written: a node alone must not stand still because its disk does. A
// write that timed out may have been applied, so its epoch is taken.
func (p *Profile) adoptUnwritten(next health.Decision, now time.Time, out *effects) bool {
	if next.Epoch != p.decision.Epoch {
		next.Epoch = max(next.Epoch, p.tried+1)
	}
	if next.Epoch > max(p.floor, p.stored)+OfflineEpochs {
		return false // the block is used up; better stand than use an epoch twice
	}
	if next.Epoch != p.decision.Epoch {
		out.add(Note{health.Entry{
			At: now, Node: p.self.Name, Kind: health.EntryAlarm, Profile: p.doc.Name, From: p.decision.Active, To: next.Active,
			Epoch: next.Epoch, Reason: "decision taken although the store cannot write; it is written when the store is back",
		}})
	}
	p.decision, p.ahead, p.agreed = next, true, false
	return true
}

// adoptStored follows the decision of the store unless this node, alone, is ahead of it.
func (p *Profile) adoptStored(e DecisionSeen) {
	if e.Rev < p.storedRev {
		return // reordered
	}
	p.storedRev, p.told = e.Rev, e.Decision
	p.writing, p.unwritable = false, false
	if p.solo && !p.connected {
		p.floor = max(p.floor, e.Decision.Epoch+p.skip)
	}
	p.stored, p.tried = max(p.stored, e.Decision.Epoch), max(p.tried, e.Decision.Epoch)
	if p.agreed = e.Decision.Epoch >= p.decision.Epoch; p.agreed {
		p.decision, p.ahead = e.Decision, false
	} else {
		p.ahead = p.solo
	}
}

func (p *Profile) writeFailed(e DecisionFailed, now time.Time) {
	p.writing = false
	p.retryAt = now.Add(retryWrite)
	if !e.Lost && p.solo {
		p.unwritable = true
		p.retryAt = now.Add(retryUnwritable)
	}
}

// publish hands out the view when it differs from the last one.
func (p *Profile) publish(v *health.View, out *effects) {
	if p.view != nil {
		v.Revision = p.view.Revision
		if reflect.DeepEqual(v, p.view) {
			return
		}
	}
	material := p.view == nil || materialChange(p.view, v)
	v.Revision++
	p.view = v
	out.add(PublishView{View: v, Material: material})
}

func materialChange(a, b *health.View) bool {
	if a.Profile != b.Profile || a.Decision != b.Decision || a.Ready != b.Ready || a.Stale != b.Stale || a.Halt != b.Halt ||
		a.Disabled != b.Disabled || a.Floor != b.Floor || len(a.Endpoints) != len(b.Endpoints) || !slices.Equal(a.Orders, b.Orders) {
		return true
	}
	for i := range a.Endpoints {
		if a.Endpoints[i].Verdict.Status != b.Endpoints[i].Verdict.Status || a.Endpoints[i].Tier != b.Endpoints[i].Tier ||
			a.Endpoints[i].Status != b.Endpoints[i].Status {
			return true
		}
	}
	return false
}

// Due is when Step wants a Tick although nothing happens: an order ends, a failback is due, a write may be tried again,
// or a TTL has to shrink towards a known end. Zero: never.
func (p *Profile) Due(now time.Time) time.Time {
	var due time.Time
	soonest := func(t time.Time) {
		if !t.IsZero() && t.After(now) && (due.IsZero() || t.Before(due)) {
			due = t
		}
	}
	if p.doc == nil {
		return due
	}
	for i := range p.orders {
		soonest(shrinking(p.orders[i].Until, p.doc.TTL, now))
	}
	for name := range p.signals {
		soonest(shrinking(p.signals[name].Until, p.doc.TTL, now))
	}
	soonest(p.dueByHealth(now))
	if p.view != nil {
		soonest(shrinking(steer.FailbackDue(p.view), p.doc.TTL, now))
	}
	if !p.writing {
		soonest(p.retryAt)
	}
	return due
}

// dueByHealth is when a verdict is no longer held down, or the next step of a recovered endpoint's weight.
func (p *Profile) dueByHealth(now time.Time) (due time.Time) {
	for i := range p.doc.Endpoints {
		e := &p.doc.Endpoints[i]
		var at time.Time
		switch v := p.verdicts[e.Name]; {
		case v.Held:
			at = shrinking(v.Since.Add(e.Monitor.HoldDown), p.doc.TTL, now)
		case v.Recovered && v.Status == health.Online && now.Before(v.Since.Add(p.doc.RestoreRamp)):
			at = now.Add(max(time.Second, p.doc.RestoreRamp/rampSteps))
		}
		if !at.IsZero() && (due.IsZero() || at.Before(due)) {
			due = at
		}
	}
	return due
}

// rampSteps is in how many steps a recovered endpoint's weight grows, at most one per second.
const rampSteps = 20

// shrinking is end itself while it is further away than ttl, and every second once TTLs have to count down to it.
func shrinking(end time.Time, ttl time.Duration, now time.Time) time.Time {
	switch left := end.Sub(now); {
	case end.IsZero() || left <= 0:
		return time.Time{}
	case left > ttl:
		return end.Add(-ttl)
	default:
		return now.Add(min(left, time.Second))
	}
}
