package steer

import (
	"time"

	"jurymast/internal/geo"
	"jurymast/internal/health"
	"jurymast/internal/profile"
)

// question is one question on its way through the profiles of a plan.
type question struct {
	client *Client
	dice   Dice
	trail  *Trail
}

func (q *question) draw() uint64 {
	if q.dice == nil {
		return 0
	}
	return q.dice()
}

// choice is what a routing method chose.
type choice struct {
	endpoint int // -1: a set, the target of last resort, or nothing
	leaf     int // the target of last resort; -1: none
	set      int // -1: none
	start    uint64
	rule     Rule
	serving  Serving
	agreed   bool
	nx       bool
	soon     time.Duration // when something better could take its place
	scope    uint8
}

func chosen(endpoint int, rule Rule) choice {
	return choice{endpoint: endpoint, leaf: -1, set: -1, rule: rule, serving: ServingPreferred, agreed: true, soon: health.Unlimited}
}

func nothing(rule Rule) choice {
	return choice{endpoint: -1, leaf: -1, set: -1, rule: rule, serving: ServingNone, soon: health.Unlimited}
}

// Pick answers one question. With a nil trail it does not allocate. What the plan does not need of the client may be
// left zero, and dice nil.
func (p *Plan) Pick(c *Client, dice Dice, trail *Trail) Pick {
	q := question{client: c, dice: dice, trail: trail}
	if trail != nil {
		trail.nested = ""
		trail.client(p.root, c)
	}
	return p.root.pick(&q)
}

func (n *node) pick(q *question) Pick {
	v := n.view
	if q.trail != nil {
		q.trail.profile(n)
	}
	out := Pick{Leaf: -1, Set: -1, Stale: v.Stale}
	if n.closed.rule != "" {
		out.Rule, out.Serving, out.NX = n.closed.rule, ServingNone, n.closed.nx
		if !v.Disabled && n.closed.ready {
			q.trail.candidates(v, n.order, n.tier)
		}
		q.trail.add("profile", n.closed.says, "", n.closed.result)
		if !n.closed.ready {
			if out.Serving = ServingNotReady; n.closed.halted {
				out.Serving = ServingHalted
			}
			return out
		}
		out.TTL = n.ttl(q, ServingNone, n.ordersEnd())
		return out
	}
	q.trail.candidates(v, n.order, n.tier)
	ch := n.choose(q)
	out.Rule, out.Serving, out.Agreed, out.NX, out.Scope = ch.rule, ch.serving, ch.agreed, ch.nx, ch.scope
	out.Set, out.Start = ch.set, ch.start
	soon := ch.soon
	if ch.endpoint >= 0 {
		e := &v.Endpoints[ch.endpoint]
		q.trail.horizon(e.Config.Name, "its verdict can flip", e.Horizon)
		soon = min(soon, e.Horizon)
	}
	out.TTL = n.ttl(q, ch.serving, soon)
	switch {
	case ch.leaf >= 0:
		out.Leaf = ch.leaf
	case ch.endpoint >= 0:
		if out.Leaf = n.leaf[ch.endpoint]; out.Leaf < 0 {
			return n.descend(q, ch.endpoint, out)
		}
	}
	return out
}

// descend lets the nested profile choose, and merges both choices.
func (n *node) descend(q *question, endpoint int, out Pick) Pick {
	sub := Pick{Leaf: -1, Set: -1, Rule: RuleNotReady, Serving: ServingNotReady}
	if c := n.child[endpoint]; c != nil {
		above := q.trail.enter(c.view.Profile.Name)
		sub = c.pick(q)
		q.trail.leave(above)
	} else {
		q.trail.add("profile", "the nested profile has no view yet", n.view.Endpoints[endpoint].Config.Target.Profile, "not ready")
	}
	out.Leaf, out.Set, out.Start = sub.Leaf, sub.Set, sub.Start
	if sub.Serving.worse(out.Serving) {
		out.Serving = sub.Serving
		if sub.Serving.worse(ServingFallback) {
			out.Rule = sub.Rule
		}
	}
	out.TTL = min(out.TTL, sub.TTL)
	out.Agreed = out.Agreed && sub.Agreed
	out.Stale = out.Stale || sub.Stale
	out.NX = sub.NX && n.view.Profile.Azure()
	out.Scope = max(out.Scope, sub.Scope)
	if q.trail != nil {
		if sub.Serving == ServingNone {
			q.trail.add("choice", "the nested profile answers nothing", n.name(endpoint), denial(out.NX))
		}
		q.trail.add("ttl", "the minimum over "+n.view.Profile.Name+" and what is nested in it", "", out.TTL.String())
	}
	return out
}

func (n *node) choose(q *question) choice {
	if n.down() {
		if ch, done := n.instead(q); done {
			return ch
		}
	}
	var ch choice
	switch n.view.Profile.Routing {
	case profile.Weighted:
		ch = n.weighted(q)
	case profile.Performance:
		ch = n.performance(q)
	case profile.Geographic:
		ch = n.geographic(q)
	case profile.Subnet:
		ch = n.subnet(q)
	case profile.Multivalue:
		ch = n.multivalue(q)
	case profile.Priority:
		fallthrough
	default:
		ch = n.priority(q)
	}
	if n.down() && ch.serving != ServingNone {
		n.allDown(q, &ch)
	}
	return ch
}

// walk looks at endpoints from the most to the least fitting one: the codes of a client's place, a range and what
// stands in for it. Of the candidates the one of the best tier wins, and of those the most fitting.
type walk struct {
	first  int // the most fitting endpoint; -1: none is mapped
	best   int // the candidate; -1: none
	anyway int // the most fitting that may be answered at all; -1: none
	tier   health.Tier
	soon   time.Duration // when one of the more fitting ones could be a candidate
	seen   time.Duration
}

func startWalk() walk {
	return walk{first: -1, best: -1, anyway: -1, tier: health.TierDown, soon: health.Unlimited, seen: health.Unlimited}
}

func (w *walk) visit(n *node, i int) {
	e := &n.view.Endpoints[i]
	if w.first < 0 {
		w.first = i
	}
	tier := e.Tier
	if n.in[i] {
		tier = min(tier, n.tier)
		if n.down() {
			tier = health.TierUsable // all down: as if it were Online
		}
	}
	if tier < w.tier {
		w.best, w.tier, w.soon = i, tier, w.seen
	}
	if w.anyway < 0 && tier < health.TierExcluded {
		w.anyway = i
	}
	w.seen = min(w.seen, returns(e))
}

// absent reports that an endpoint takes no part in a matching: the client counts as not mapped to it.
func (n *node) absent(i int) bool {
	e := &n.view.Endpoints[i]
	return e.Status == health.Disabled || (e.Layer.Drained && !n.view.Profile.Climb)
}

// path lists, step by step, the endpoints that fit a client of a geographic or subnet profile, the most fitting first.
type path struct {
	n    *node
	hit  int // endpoint whose range contains the client; -1: none
	next int // 0: the hit; then 1 + place in n.without
	code geo.Code
	end  bool
	soon time.Duration // when one that was passed over, because it takes no part now, could take part again
}

// absent passes an endpoint over that takes no part, and keeps in mind when it could again.
func (p *path) absent(i int) bool {
	if !p.n.absent(i) {
		return false
	}
	p.soon = min(p.soon, returns(&p.n.view.Endpoints[i]))
	return true
}

// step is the next endpoint, or -1 at the end: ranged when the client is in a range of it, else mapped to code.
func (p *path) step() (endpoint int, code geo.Code, ranged bool) {
	if p.next == 0 {
		p.next++
		if p.hit >= 0 && !p.absent(p.hit) {
			p.end = !p.n.view.Profile.Climb
			return p.hit, 0, true
		}
	}
	if p.n.view.Profile.Routing == profile.Subnet {
		return p.stepWithout(), 0, false
	}
	endpoint, code = p.stepCode()
	return endpoint, code, false
}

func (p *path) stepWithout() int {
	for !p.end && p.next-1 < len(p.n.without) {
		p.next++
		if i := p.n.without[p.next-2]; !p.absent(i) {
			return i
		}
	}
	return -1
}

func (p *path) stepCode() (int, geo.Code) {
	for !p.end {
		at := p.code
		up, ok := at.Parent()
		p.code, p.end = up, !ok
		if i := p.n.mapped(at); i >= 0 && !p.absent(i) {
			p.end = p.end || !p.n.view.Profile.Climb
			return i, at
		}
	}
	return -1, 0
}
