package engine

import (
	"maps"
	"reflect"
	"slices"
	"time"

	"jurymast/internal/health"
	"jurymast/internal/profile"
)

// firstRound is how often an endpoint without a verdict is probed, at most.
const firstRound = time.Second

// Pauses after a decision could not be written: somebody was faster or the store was away; the store of a node alone
// cannot write.
const (
	retryWrite      = 200 * time.Millisecond
	retryUnwritable = 2 * time.Second
)

// Step is the whole brain of one profile: the same state, event and time give the same effects on every node. It owns
// p and changes it in place; nobody else holds it.
func (p *Profile) Step(ev Event, now time.Time) []Effect {
	var out effects
	if p.take(ev, now, &out) && p.doc != nil {
		p.settle(now, &out)
	}
	p.acknowledge(&out)
	return out
}

// take takes one event in. It reports whether anything can follow from it.
func (p *Profile) take(ev Event, now time.Time, out *effects) (follows bool) {
	switch e := ev.(type) {
	case Together:
		for _, one := range e.Events {
			follows = p.take(one, now, out) || follows
		}
		return follows
	case Configured:
		p.configure(e.Doc, now, out)
	case Observed:
		p.observe(e, now, out)
	case VotesSeen:
		if e.Votes == nil {
			delete(p.votes, e.Node)
		} else {
			p.votes[e.Node] = e.Votes
		}
	case MembersSeen:
		p.members = e.Members
	case OrdersSeen:
		p.orders, p.kept = e.Orders, false
	case LinkedSeen:
		maps.Copy(p.links, e.Views)
	case SignalsSeen:
		p.signals = e.Signals
	case DecisionSeen:
		p.noteFenced(e, now, out)
		p.adoptStored(e)
	case DecisionFailed:
		p.writeFailed(e, now)
	case RoleSeen:
		p.leader = e.Leader
	case StoreSeen:
		p.storeSeen(e, out)
	case AckSeen:
		p.acks[e.Node] = e.Epoch
	case Suspected:
		p.suspect(e, now, out)
		return false
	case DecisionGone:
		p.stored, p.storedRev, p.writing = 0, 0, false
		p.told, p.agreed = health.Decision{}, false
		p.floor, p.ahead = max(p.floor, p.decision.Epoch), p.decision.Epoch > 0 // written again under its own epoch
	case StoreFailed:
		p.storeFailed()
	case Recovered:
		p.recover(e)
	case Tick:
	}
	return true
}

type effects []Effect

func (x *effects) add(e Effect) { *x = append(*x, e) }

// configure takes a new document. An endpoint that is probed somewhere else is looked at from the beginning; a changed
// monitor keeps the verdict and counts anew, so that editing a path never puts a dead primary back into answers.
func (p *Profile) configure(doc *profile.Profile, now time.Time, out *effects) {
	old := p.doc
	p.doc = doc
	kept := make(map[string]*track, len(doc.Endpoints))
	for i := range doc.Endpoints {
		e := &doc.Endpoints[i]
		t := p.local[e.Name]
		if t == nil {
			t = newTrack(now)
		}
		t.equip(doc, e, p.self.Location, now)
		if old != nil {
			if was, _ := old.Endpoint(e.Name); was != nil {
				p.reconsider(t, was, e, now)
			}
		}
		kept[e.Name] = t
	}
	maps.DeleteFunc(p.verdicts, func(name string, _ health.Verdict) bool { return kept[name] == nil })
	links := linksOf(doc)
	maps.DeleteFunc(p.links, func(name string, _ *health.View) bool { return !slices.Contains(links, name) })
	p.local = kept
	out.add(PublishVotes{p.ownVotes()})
}

func (p *Profile) reconsider(t *track, was, is *profile.Endpoint, now time.Time) {
	same := sameMonitor(&was.Monitor, &is.Monitor)
	switch {
	case !sameProbed(was, is) || (is.Enabled && !was.Enabled) || (was.Stopped && !is.Stopped):
		t.reset(now, "origin, target or enabled changed: checking again")
		delete(p.verdicts, is.Name)
	case !same && p.doc.Azure():
		t.reset(now, "monitor changed: checking again")
		delete(p.verdicts, is.Name)
	case !same:
		t.recount()
	}
}

// sameMonitor: a probe asks the same and is counted by the same rule. How often it runs does not matter.
func sameMonitor(a, b *profile.Monitor) bool {
	x, y := *a, *b
	x.Interval, y.Interval = 0, 0
	return reflect.DeepEqual(x, y)
}

// sameProbed: the verdict is about the same place. With an origin that is what is probed, and another target changes
// nothing about it; without one the target is.
func sameProbed(a, b *profile.Endpoint) bool {
	if a.Origin != "" || b.Origin != "" {
		return a.Origin == b.Origin
	}
	return a.Target.Host == b.Target.Host && a.Target.Profile == b.Target.Profile && slices.Equal(a.Target.Addrs, b.Target.Addrs)
}

// observe counts one probe result; a changed vote is published.
func (p *Profile) observe(e Observed, now time.Time, out *effects) {
	if p.doc == nil {
		return
	}
	cfg, _ := p.doc.Endpoint(e.Endpoint)
	t := p.local[e.Endpoint]
	if cfg == nil || t == nil || t.paused {
		return // a late result of an endpoint that is gone or switched off
	}
	l := t.look(e.Check)
	if l == nil {
		return // of a check that is gone
	}
	before := t.Vote
	if !t.step(l, cfg.Monitor.Combine, e.Obs) {
		return
	}
	if t.Opinion != before.Opinion {
		if t.Opinion == health.Down {
			t.confirm.reset()
		}
		// That a newcomer is up is no news: after a start it would be as many entries as there are endpoints.
		news := before.Opinion != health.Checking || t.Opinion != health.Up
		if news && !health.LayerOf(p.orders, e.Endpoint, now).Paused {
			out.add(Note{health.Entry{
				At: now, Node: p.self.Name, Kind: health.EntryVote, Profile: p.doc.Name, Endpoint: e.Endpoint,
				From: before.Opinion.String(), To: t.Opinion.String(), Reason: t.Reason,
			}})
		}
	}
	out.add(PublishVotes{p.ownVotes()})
}

func (p *Profile) ownVotes() map[string]health.Vote {
	votes := make(map[string]health.Vote, len(p.local))
	for name, t := range p.local {
		if len(t.looks) > 0 {
			votes[name] = t.Vote
		}
	}
	return votes
}

// suspect turns a passive failure into a confirm run. It is no vote.
func (p *Profile) suspect(e Suspected, now time.Time, out *effects) {
	if p.doc == nil {
		return
	}
	cfg, _ := p.doc.Endpoint(e.Endpoint)
	t := p.local[e.Endpoint]
	if cfg == nil || t == nil || t.paused || len(t.looks) == 0 || t.Opinion == health.Down {
		return
	}
	if !t.confirm.allow(now, cfg.Monitor.Interval) {
		return
	}
	out.add(ProbeNow{Endpoint: e.Endpoint, Runs: t.runs(), Span: ConfirmSpan(p.doc), Ask: !e.Asked && len(p.members) > 1})
}

// ConfirmSpan is how long failures of a confirm run must last at least: a restart of 20 ms must not log everybody off
// where state lives in the instance.
func ConfirmSpan(p *profile.Profile) time.Duration {
	if p.Fencing == profile.Strict || (p.Proxy != nil && p.Proxy.Sessions != nil) {
		return time.Second
	}
	return 10 * time.Millisecond
}

// recover takes over the last good state of an earlier life. Strict profiles wait for lease and epoch instead.
func (p *Profile) recover(e Recovered) {
	if p.doc == nil || p.doc.Fencing == profile.Strict || p.connected {
		return
	}
	for name, v := range e.Verdicts {
		if ep, _ := p.doc.Endpoint(name); ep != nil {
			v.Stale = true
			p.verdicts[name] = v
		}
	}
	if e.Decision.Epoch > p.decision.Epoch {
		p.decision, p.ahead, p.agreed = e.Decision, p.solo, false // the store may never have got it; if it has, it will say so
	}
	if p.solo {
		p.floor = max(p.floor, e.Floor, e.Decision.Epoch+p.skip)
	}
	if len(p.orders) == 0 {
		p.orders, p.kept = e.Orders, true
	}
	p.ready, p.stale = p.ready || e.Ready, true
}

// storeFailed lets a node alone go on without a store it has never seen in this life: from its last good state, or
// from nothing.
func (p *Profile) storeFailed() { p.failed = p.solo }

func (p *Profile) storeSeen(e StoreSeen, out *effects) {
	reachable := e.Reachable
	back := reachable && !p.reachable
	p.reachable, p.term, p.acked = reachable, e.Term, 0
	if !reachable {
		clear(p.acks) // the next session tells those that count
	}
	p.connected = p.connected || reachable
	if reachable && p.kept {
		p.orders, p.kept = nil, false // the store knows none: they were ended while we were away
	}
	if back {
		p.writing, p.retryAt = false, time.Time{}
		out.add(PublishVotes{p.ownVotes()})
	}
}
