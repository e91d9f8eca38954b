package engine

import (
	"container/heap"
	"context"
	"log/slog"
	"math"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"jurymast/internal/health"
	"jurymast/internal/snapshot"
)

// Carrier carries the effects of profiles to the edges. It must not block: the loop waits for nobody.
type Carrier interface {
	// Carry does one effect of one profile.
	Carry(profile string, e Effect)
	// Blind tells that this node's own sight changed.
	Blind(blind bool)
	// Published tells which views a publish made visible; material as in PublishView.
	Published(views []*health.View, material bool)
}

// Options of a Loop.
type Options struct {
	Start   Start
	Hub     *snapshot.Hub
	Carrier Carrier
	Logger  *slog.Logger
	// Trace, when set, sees every step of every machine: what it was told, when, and what it wanted done.
	Trace func(profile string, ev Event, now time.Time, out []Effect)
}

// Status is what the node as a whole is in, for readers outside the loop.
type Status struct {
	Leader    bool
	Reachable bool // the store confirms our lease
	Term      uint64
	Blind     bool
	Members   []Member
}

// Loop owns all machines. One goroutine runs it; Post and its kin may be called from anywhere and never block.
type Loop struct {
	o       Options
	mu      sync.Mutex
	inbox   []message
	wake    chan struct{}
	status  atomic.Pointer[Status]
	node    *Node
	byName  map[string]*machine
	dues    dueHeap
	changed map[string]PublishView
	failed  bool // the store has failed since it was last reachable
	stopped []stopped

	busy []*machine // those for which something has come in this burst

	network network
	told    map[string]map[string]*health.View // what is still to be told: user -> profile -> its new view
	later   map[string][]Event                 // events of profiles built on others, until those are up to date
}

// stopped is an acknowledgement that waits for its view to be published.
type stopped struct {
	profile string
	ack     Acknowledge
}

type message struct {
	profile string // "" with ev: all profiles
	ev      Event
	replace *Replacement
}

// Replacement is a new generation of documents that everybody has accepted. Commit runs in the loop at the moment of
// the change, before effects of the new documents are carried; nothing in it may fail.
type Replacement struct {
	Prepared  *snapshot.Prepared
	Recovered map[string]Recovered // last good states of an earlier life, visible together with the documents
	Commit    func()
}

type machine struct {
	*Profile
	name string
	due  time.Time
	pos  int // in the heap, -1: not in it
	came []Event
}

// New makes a loop; Run starts it.
func New(o Options) *Loop {
	l := &Loop{o: o, wake: make(chan struct{}, 1), node: NewNode(), byName: map[string]*machine{}, changed: map[string]PublishView{}, told: map[string]map[string]*health.View{}, later: map[string][]Event{}}
	l.status.Store(&Status{Members: []Member{o.Start.Self}})
	return l
}

// Post queues an event of one profile.
func (l *Loop) Post(profile string, ev Event) { l.put(message{profile: profile, ev: ev}) }

// PostTogether queues one event for each of several profiles, so that what follows from all of them is published as one
// change.
func (l *Loop) PostTogether(events map[string]Event) {
	together := make([]message, 0, len(events))
	for name, ev := range events {
		together = append(together, message{profile: name, ev: ev})
	}
	l.put(together...)
}

// PostAll queues an event of the node: MembersSeen, RoleSeen, StoreSeen. Later profiles hear it too.
func (l *Loop) PostAll(ev Event) { l.put(message{ev: ev}) }

// Replace queues a new generation of documents.
func (l *Loop) Replace(r Replacement) { l.put(message{replace: &r}) }

// Unwritten reports that some decision is not in the store yet; ask when Run has returned.
func (l *Loop) Unwritten() bool {
	for _, m := range l.byName {
		if m.Unwritten() {
			return true
		}
	}
	return false
}

// Status is the node's state as of the last event.
func (l *Loop) Status() Status { return *l.status.Load() }

func (l *Loop) put(m ...message) {
	l.mu.Lock()
	l.inbox = append(l.inbox, m...)
	l.mu.Unlock()
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// Run handles events until ctx ends. Everything that has queued up meanwhile is handled as one burst and published
// once.
func (l *Loop) Run(ctx context.Context) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		if len(l.dues) > 0 {
			timer.Reset(max(0, time.Until(l.dues[0].due)))
		} else {
			timer.Reset(time.Hour)
		}
		select {
		case <-ctx.Done():
			return
		case <-l.wake:
		case <-timer.C:
		}
		l.burst()
	}
}

func (l *Loop) burst() {
	l.mu.Lock()
	inbox := l.inbox
	l.inbox = nil
	l.mu.Unlock()
	for i := range inbox {
		l.fence("an event", func() { l.handle(&inbox[i]) })
	}
	l.fence("events", l.flush)
	for now := time.Now(); len(l.dues) > 0 && !l.dues[0].due.After(now); {
		m := l.dues[0]
		l.schedule(m, time.Time{}) // its step says when it is due again
		l.deliver(m, Tick{}, now)
	}
	l.tell(time.Now())
	l.fence("publishing", func() { l.publish(nil) })
}

// fence keeps a panic of whoever compiles, commits or carries from ending the node: what it was doing is lost and logged,
// the snapshot before stays.
func (l *Loop) fence(what string, f func()) {
	defer func() {
		if r := recover(); r != nil {
			l.o.Logger.Error("panic in the loop; what it was doing is lost", "doing", what, "panic", r, "stack", string(debug.Stack()))
		}
	}()
	f()
}

func (l *Loop) handle(m *message) {
	switch {
	case m.replace != nil:
		l.flush()
		l.replace(m.replace, time.Now())
	case m.profile != "":
		p := l.machine(m.profile)
		if o, ok := m.ev.(Observed); ok {
			l.look(p, o)
		}
		if len(p.came) == 0 {
			l.busy = append(l.busy, p)
		}
		p.came = append(p.came, m.ev)
	default:
		l.flush()
		now := time.Now()
		l.noteStatus(m.ev)
		for _, p := range l.byName {
			l.deliver(p, m.ev, now)
		}
	}
}

// flush gives every machine what has come for it in this burst, all at once.
func (l *Loop) flush() {
	now := time.Now()
	busy := l.busy
	l.busy = nil
	for _, m := range busy {
		ev := m.came[0]
		if len(m.came) > 1 {
			ev = Together{m.came}
		}
		m.came = nil
		l.deliver(m, ev, now)
	}
}

// deliver gives a machine an event: at once, or, to a profile that is built on others, when those have taken all theirs.
func (l *Loop) deliver(m *machine, ev Event, now time.Time) {
	if l.network.level[m.name] > 0 {
		l.later[m.name] = append(l.later[m.name], ev)
		return
	}
	l.step(m, ev, now)
}

// look feeds the node machine.
func (l *Loop) look(p *machine, o Observed) {
	if p.doc == nil {
		return
	}
	t := p.local[o.Endpoint]
	if t == nil || t.paused {
		return
	}
	k := t.look(o.Check)
	if k == nil || !l.node.Observe(p.name, o.Endpoint, o.Check, sight(k, o.Obs), k.monitor.Interval) {
		return
	}
	s := l.Status()
	s.Blind = l.node.Blind()
	l.status.Store(&s)
	l.o.Logger.Warn("own sight changed", "blind", s.Blind)
	l.o.Carrier.Blind(s.Blind)
}

// sight is what a result says about this node's eyes: an inverted check is glad of what it does not see.
func sight(l *look, o health.Observation) health.Observation {
	o.OK = o.OK != l.monitor.Invert
	return o
}

func (l *Loop) noteStatus(ev Event) {
	s := l.Status()
	switch e := ev.(type) {
	case MembersSeen:
		s.Members = e.Members
	case RoleSeen:
		s.Leader = e.Leader
	case StoreSeen:
		s.Reachable, s.Term = e.Reachable, e.Term
		l.failed = l.failed && !e.Reachable
	case StoreFailed:
		l.failed = true
	default:
	}
	l.status.Store(&s)
}

// machine finds or makes the machine of a profile. Votes and decisions may arrive before its document.
func (l *Loop) machine(name string) *machine {
	m := l.byName[name]
	if m == nil {
		m = &machine{Profile: NewProfile(l.o.Start), name: name, pos: -1}
		l.byName[name] = m
		s, now := l.Status(), time.Now()
		l.step(m, MembersSeen{s.Members}, now)
		l.step(m, RoleSeen{s.Leader}, now)
		l.step(m, StoreSeen{s.Reachable, s.Term}, now)
		if l.failed {
			l.step(m, StoreFailed{}, now)
		}
	}
	return m
}

// replace swaps the documents. From here nothing can fail: everything fallible was prepared.
func (l *Loop) replace(r *Replacement, now time.Time) {
	l.tell(now)
	l.publish(nil) // what belongs to the old documents
	if r.Commit != nil {
		r.Commit()
	}
	l.network = networkOf(r.Prepared.Docs.Profiles)
	named := make(map[string]bool, len(r.Prepared.Docs.Profiles))
	for _, doc := range r.Prepared.Docs.Profiles {
		named[doc.Name] = true
		m := l.machine(doc.Name)
		var came []Event
		if m.doc != doc {
			came = append(came, Configured{doc})
		}
		if last, ok := r.Recovered[doc.Name]; ok {
			came = append(came, last)
		}
		if came != nil {
			l.deliver(m, Together{came}, now)
		}
	}
	l.markMissing()
	l.tell(now)
	for _, doc := range r.Prepared.Docs.Profiles {
		l.changed[doc.Name] = PublishView{View: l.byName[doc.Name].View(), Material: true}
	}
	for name, m := range l.byName {
		if !named[name] {
			m.Unconfigure()
			l.schedule(m, time.Time{})
			delete(l.changed, name)
		}
	}
	l.publish(r.Prepared)
	l.node.Forget(func(p, e, check string) bool {
		m := l.byName[p]
		if m == nil || m.doc == nil {
			return false
		}
		t := m.local[e]
		return t != nil && t.look(check) != nil
	})
}

// step runs one machine behind a fence: a panic in one profile is logged and its event lost, the others go on.
func (l *Loop) step(m *machine, ev Event, now time.Time) {
	defer func() {
		if r := recover(); r != nil {
			l.o.Logger.Error("a profile's step panicked; its event is lost", "profile", m.name, "event", ev, "panic", r, "stack", string(debug.Stack()))
			l.schedule(m, now.Add(time.Second))
		}
	}()
	out := m.Step(ev, now)
	if l.o.Trace != nil {
		l.o.Trace(m.name, ev, now, out)
	}
	for _, e := range out {
		switch e := e.(type) {
		case PublishView:
			e.Material = e.Material || l.changed[m.name].Material
			l.logTransition(m.name, e.View)
			l.changed[m.name] = e
			l.mark(m.name, e.View)
		case Acknowledge:
			l.stopped = append(l.stopped, stopped{m.name, e})
		case SetPace:
			if e.Every == 0 { // not looked at any more: it says nothing about our sight
				l.node.ForgetOne(m.name, e.Endpoint, e.Check)
			}
			l.o.Carrier.Carry(m.name, e)
		default:
			l.o.Carrier.Carry(m.name, e)
		}
	}
	if m.pos < 0 || m.due.After(now) { // what is due already gets its tick in this burst
		l.schedule(m, m.Due(now))
	}
}

// mark notes a new view for the profiles built on this one.
func (l *Loop) mark(name string, v *health.View) {
	if v == nil {
		return
	}
	for _, user := range l.network.users[name] {
		l.note(user, name, v)
	}
}

func (l *Loop) note(user, name string, v *health.View) {
	if l.told[user] == nil {
		l.told[user] = map[string]*health.View{}
	}
	l.told[user][name] = v
}

// markMissing notes the views that profiles with new links have not been told.
func (l *Loop) markMissing() {
	for user, links := range l.network.links {
		m := l.byName[user]
		for _, name := range links {
			if below := l.byName[name]; m != nil && below != nil && below.view != nil && m.links[name] != below.view {
				l.note(user, name, below.view)
			}
		}
	}
}

// tell carries new views upwards, the lowest level first. A profile hears of all changes below it together with its own
// events, so that nothing in between is ever acted upon.
func (l *Loop) tell(now time.Time) {
	for len(l.told)+len(l.later) > 0 {
		for _, name := range l.lowest() {
			var came []Event
			if views := l.told[name]; views != nil {
				came = append(came, LinkedSeen{views})
			}
			came = append(came, l.later[name]...)
			delete(l.told, name)
			delete(l.later, name)
			if m := l.byName[name]; m != nil {
				l.step(m, Together{came}, now)
			}
		}
	}
}

// lowest lists, in name order, who is to be told something on the lowest level there is.
func (l *Loop) lowest() []string {
	var out []string
	least := math.MaxInt
	add := func(name string) {
		switch level := l.network.level[name]; {
		case level < least:
			least, out = level, []string{name}
		case level == least:
			out = append(out, name)
		}
	}
	for name := range l.told {
		add(name)
	}
	for name := range l.later {
		if l.told[name] == nil {
			add(name)
		}
	}
	slices.Sort(out)
	return out
}

// logTransition writes one line per change of the active endpoint.
func (l *Loop) logTransition(name string, v *health.View) {
	old := l.o.Hub.Load().View(name)
	if c, ok := l.changed[name]; ok {
		old = c.View
	}
	if v.Decision.Epoch != 0 && (old == nil || old.Decision.Epoch != v.Decision.Epoch || old.Decision.Phase != v.Decision.Phase) {
		d := v.Decision
		log := l.o.Logger.With("profile", name, "active", d.Active, "previous", d.Previous, "epoch", d.Epoch, "reason", d.Reason, "evidence", d.Evidence, "by", d.By)
		if d.Phase == health.PhasePreparing {
			log.Info("switch to another endpoint is being prepared")
		} else {
			log.Info("active endpoint")
		}
	}
}

// publish makes what has changed visible, and then says what follows from that. When a front panics meanwhile, nothing is
// acknowledged: it may still go by the old view.
func (l *Loop) publish(prepared *snapshot.Prepared) {
	acks := l.stopped
	l.stopped = nil
	l.show(prepared)
	for _, s := range acks {
		l.o.Carrier.Carry(s.profile, s.ack)
	}
}

func (l *Loop) show(prepared *snapshot.Prepared) {
	if prepared == nil && len(l.changed) == 0 {
		return
	}
	views := make([]*health.View, 0, len(l.changed))
	material := prepared != nil
	for _, c := range l.changed {
		if c.View != nil {
			views = append(views, c.View)
			material = material || c.Material
		}
	}
	clear(l.changed)
	l.o.Hub.Publish(prepared, views...)
	l.o.Carrier.Published(views, material)
}

// Unconfigure forgets the document and all evidence, but keeps what the store said: the profile may come back.
func (p *Profile) Unconfigure() {
	p.doc, p.view, p.ready, p.stale = nil, nil, false, false
	p.local, p.verdicts = map[string]*track{}, map[string]health.Verdict{}
	p.links = map[string]*health.View{} // they grow old while nobody tells
}

func (l *Loop) schedule(m *machine, due time.Time) {
	m.due = due
	switch {
	case due.IsZero() && m.pos >= 0:
		heap.Remove(&l.dues, m.pos)
	case due.IsZero():
	case m.pos >= 0:
		heap.Fix(&l.dues, m.pos)
	default:
		heap.Push(&l.dues, m)
	}
}

// dueHeap orders machines by when they want a Tick.
type dueHeap []*machine

func (h dueHeap) Len() int           { return len(h) }
func (h dueHeap) Less(i, j int) bool { return h[i].due.Before(h[j].due) }
func (h dueHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].pos, h[j].pos = i, j
}

// Push is for container/heap.
func (h *dueHeap) Push(x any) {
	m := x.(*machine) //nolint:errcheck,forcetypeassert // only machines are pushed
	m.pos = len(*h)
	*h = append(*h, m)
}

// Pop is for container/heap.
func (h *dueHeap) Pop() any {
	old := *h
	m := old[len(old)-1]
	m.pos = -1
	*h = old[:len(old)-1]
	return m
}
