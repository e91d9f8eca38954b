package proxy

import (
	"sync/atomic"

	"jurymast/internal/health"
	"jurymast/internal/profile"
	"jurymast/internal/proxy/figures"
	"jurymast/internal/snapshot"
	"jurymast/internal/steer"
)

// outlook is where a profile's requests may go under one view. It is made once per published view.
type outlook struct {
	settings *profile.Proxy // nil only when the profile is gone
	all      choice         // of every request; with a plan only whether there is anything to choose from
	plan     *steer.Plan    // nil: the choice is the same for everybody
	leaves   []choice       // by number in the plan
	fates    map[destination]fate
	fenced   map[destination]uint64 // fencing: strict: the session with the store that must still live at a send
	halted   bool                   // by the view, not by an operator: what waits is told so, see review
	strict   bool                   // the profile itself
}

// choice is where a request may go, or why it may go nowhere.
type choice struct {
	ok       bool
	gone     bool   // waiting is of no use: the profile is not carried any more, or not by a node that has lost the store
	profile  string // that the endpoint belongs to: the one asked for, or one nested in it
	name     string // of the endpoint there
	endpoint string // as people read it: NAME, in a nested profile PROFILE/NAME
	dest     destination
	epoch    uint64 // of the first decision on the way to the endpoint, 0 without one
	keeps    string // endpoint that keeps what it has after a failback for new sessions
	why      string // !ok: said to the client
	reason   Reason // !ok: the code when waiting was in vain
	link     *found
}

// found is the link of a choice, once a request has looked for it.
type found struct {
	at     atomic.Pointer[link]
	counts atomic.Pointer[figures.Endpoint]
}

// fate is what becomes of requests at a destination.
type fate uint8

const (
	fateNone fate = iota // waiting requests move, tunnels end
	fateKept             // no new requests; what runs there goes on
	fateOpen             // requests may be sent
)

// place is one endpoint in a tree of views.
type place struct {
	view     *health.View
	endpoint int
}

// survey walks a tree of views: which endpoints may get requests, as far as every level says so.
type survey struct {
	root   *health.View
	at     map[place]standing
	keeps  string
	seen   [health.TierExcluded + 1]bool // tiers of the endpoints
	agreed bool                          // some endpoint is the agreed one on all levels
}

// standing is how an endpoint stands in the whole tree.
type standing struct {
	fate   fate
	agreed bool // every priority level above has decided for it
	epoch  uint64
	fenced bool   // some level has fencing: strict
	term   uint64 // of the oldest session of those levels
}

// fence takes in that a level is strict.
func (st *standing) fence(term uint64) {
	if !st.fenced || term < st.term {
		st.term = term
	}
	st.fenced = true
}

func (s *survey) walk(v *health.View, above standing) {
	for i := range v.Endpoints {
		e := &v.Endpoints[i]
		here := above
		if v.Profile.Fencing == profile.Strict {
			here.fence(v.Term)
		}
		if v.Profile.Routing == profile.Priority {
			here.followDecision(v, e.Config.Name)
		}
		here.fate = min(here.fate, fateOf(e))
		if d := &v.Decision; here.fate == fateKept && e.Config.Name == d.Keeps && d.Keeps != d.Active {
			s.keeps = s.label(v, i)
		}
		switch {
		case e.Child != nil:
			if e.Child.Held != nil || e.Child.Halt != health.HaltNone {
				here.fate = min(here.fate, fateKept)
			}
			s.walk(e.Child, here)
		case !e.Nested():
			s.note(v, i, here)
		}
	}
}

// followDecision applies a priority level: only the active endpoint is open, one that keeps its sessions goes on.
func (st *standing) followDecision(v *health.View, name string) {
	if st.epoch == 0 {
		st.epoch = v.Decision.Epoch
	}
	switch name {
	case v.Decision.Active:
	case v.Decision.Keeps:
		st.agreed, st.fate = false, min(st.fate, fateKept)
	default:
		st.agreed, st.fate = false, fateNone
	}
}

// fateOf is what an endpoint's own standing allows. A drained one finishes what it has.
func fateOf(e *health.EndpointView) fate {
	switch {
	case e.Tier < health.TierDown:
		return fateOpen
	case e.Layer.Drained && (e.Status == health.Online || e.Status == health.Unmonitored || e.Status == health.CheckingEndpoint):
		return fateKept
	}
	return fateNone
}

func (s *survey) note(v *health.View, i int, st standing) {
	e := &v.Endpoints[i]
	s.seen[min(e.Tier, health.TierExcluded)] = true
	s.agreed = s.agreed || st.agreed
	if was, ok := s.at[place{v, i}]; ok && was.fate > st.fate { // the same profile in two places of the tree
		return
	}
	s.at[place{v, i}] = st
}

func (s *survey) label(v *health.View, i int) string {
	if v == s.root {
		return v.Endpoints[i].Config.Name
	}
	return v.Profile.Name + "/" + v.Endpoints[i].Config.Name
}

// look says where requests may go under this view. A priority profile has one agreed endpoint, or none yet; the other
// methods choose per request among the endpoints that every level of the tree allows.
func look(v *health.View) *outlook {
	if v.Profile.Proxy == nil {
		return nil
	}
	plan := steer.Compile(v)
	s := &survey{root: v, at: map[place]standing{}}
	s.walk(v, standing{fate: fateOpen, agreed: true})
	o := &outlook{
		settings: v.Profile.Proxy, fates: map[destination]fate{}, fenced: map[destination]uint64{},
		halted: v.Halt != health.HaltNone, strict: v.Profile.Fencing == profile.Strict,
	}
	o.all = choice{profile: v.Profile.Name, epoch: v.Decision.Epoch, reason: ReasonHoldTime, keeps: s.keeps}
	for at, st := range s.at {
		if d, err := destinationOf(at.view.Endpoints[at.endpoint].Config); err == nil && d.none == "" {
			o.fates[d] = max(o.fates[d], st.fate)
			if term, known := o.fenced[d]; st.fenced && (!known || st.term < term) {
				o.fenced[d] = st.term
			}
		}
	}
	for i := range plan.Leaves() {
		o.leaves = append(o.leaves, s.leaf(&plan.Leaves()[i]))
	}
	if plan.Needs() == 0 && len(plan.Sets()) == 0 {
		o.settle(v, plan)
	} else {
		o.plan = plan
		o.anything(v, s)
	}
	return o
}

// leaf is the choice of one leaf of the plan.
func (s *survey) leaf(l *steer.Leaf) choice {
	if l.Endpoint < 0 {
		return choice{why: "the target of last resort is for DNS answers only", reason: ReasonNoEndpoint}
	}
	e := &l.View.Endpoints[l.Endpoint]
	st := s.at[place{l.View, l.Endpoint}]
	c := choice{
		profile: l.View.Profile.Name, name: e.Config.Name, endpoint: s.label(l.View, l.Endpoint), epoch: st.epoch, keeps: s.keeps,
		reason: ReasonHoldTime, link: &found{},
	}
	dest, err := destinationOf(e.Config)
	if err != nil {
		dest.none = err.Error()
	}
	c.dest = dest
	switch {
	case !st.agreed:
		c.why = "the nodes have not agreed on an active endpoint yet"
	case st.fate != fateOpen:
		c.why, c.reason = "endpoint "+c.endpoint+" may not be used now", ReasonNoEndpoint
	case dest.none != "":
		c.why, c.reason = "endpoint "+c.endpoint+" cannot be proxied: "+dest.none, ReasonNoEndpoint
	default:
		c.ok = true
	}
	return c
}

// settle makes the choice that is the same for every request.
func (o *outlook) settle(v *health.View, plan *steer.Plan) {
	c := &o.all
	if v.Held != nil {
		c.why = "an operator holds this profile"
		return
	}
	p := plan.Pick(&steer.Client{}, nil, nil)
	switch why, reason := nowhere(&p); {
	case why != "":
		c.why, c.reason, c.gone = why, reason, p.Rule == steer.RuleIsolated
	case p.Leaf < 0 || p.Leaf >= len(o.leaves):
		c.why = "the nodes have not agreed on an active endpoint yet"
	default:
		*c = o.leaves[p.Leaf]
	}
}

// nowhere says why a pick leads to no endpoint that a request should be sent to, "" when it does.
func nowhere(p *steer.Pick) (why string, reason Reason) {
	switch p.Serving {
	case steer.ServingNotReady:
		return "the first health verdicts are missing", ReasonHoldTime
	case steer.ServingHalted:
		return halted(p.Rule)
	case steer.ServingNone:
		return "every endpoint, or the whole profile, is switched off", ReasonNoEndpoint
	case steer.ServingAllDown:
		return "all endpoints are down", ReasonNoEndpoint
	case steer.ServingPreferred, steer.ServingPartial, steer.ServingFallback:
	}
	return "", ""
}

// halted says why nothing is sent although there may be an active endpoint.
func halted(rule steer.Rule) (why string, reason Reason) {
	if rule == steer.RuleIsolated {
		return "this node has lost the store and cannot confirm which endpoint is active", ReasonUnconfirmed
	}
	if rule == steer.RulePreparing {
		return "a switch waits until no node sends to the old endpoint any more", ReasonHoldTime
	}
	return "this node has not confirmed yet which endpoint is active", ReasonUnconfirmed
}

// anything says whether there is an endpoint to choose at all.
func (o *outlook) anything(v *health.View, s *survey) {
	c := &o.all
	for i := range o.leaves {
		c.ok = c.ok || o.leaves[i].ok
	}
	switch {
	case v.Held != nil:
		c.ok, c.why = false, "an operator holds this profile"
	case !v.Ready && !v.Disabled:
		c.ok, c.why = false, "the first health verdicts are missing"
	case c.ok:
	case v.Disabled:
		c.why, c.reason = "the profile is switched off", ReasonNoEndpoint
	case !s.agreed && (s.seen[health.TierUsable] || s.seen[health.TierChecking] || s.seen[health.TierHeld]):
		c.why = "the nodes have not agreed on an active endpoint yet"
	case s.seen[health.TierDown]:
		c.why, c.reason = "all endpoints are down", ReasonNoEndpoint
	default:
		c.why, c.reason = "every endpoint is switched off, or cannot be proxied", ReasonNoEndpoint
	}
}

// openOnes are the destinations that may get requests.
func (o *outlook) openOnes() (out []destination) {
	for d, f := range o.fates {
		if f == fateOpen {
			out = append(out, d)
		}
	}
	return out
}

// outlookOf is the current outlook of a route, never nil.
func outlookOf(s *snapshot.Snapshot, slot snapshot.Slot, r *route) *outlook {
	if part := s.Part(r.index); part != nil {
		if o, ok := part.Compiled(slot).(*outlook); ok && o != nil {
			return o
		}
	}
	return &outlook{settings: r.profile.Proxy, all: choice{
		profile: r.profile.Name, why: "the first health verdicts are missing", reason: ReasonHoldTime,
	}}
}
