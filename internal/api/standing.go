package api

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"jurymast/internal/health"
	"jurymast/internal/profile"
	"jurymast/internal/snapshot"
)

// world is what orders are judged by: documents, views and orders as this node knows them at one instant.
type world struct {
	docs *snapshot.Documents
	view func(name string) *health.View
	at   func(i int) *health.View // by place in docs, for those who look at all

	above map[string][]string // see parents
	book  OrderBook
	now   time.Time
}

// violation is one rule that the result of a transaction would break. Orders are judged by
//
//	min_between of every profile they touch, begin to begin
//	gates        of the safety rules, as they stand before
//	min_usable   of every profile they touch and of every profile above it
//	assertions   of the safety rules, over all profiles
//
// A profile that is below a number already is no reason to refuse, as long as it does not get worse.
type violation struct{ rule, text string }

func refusal(broken []violation) error {
	texts := make([]string, len(broken))
	for i := range broken {
		texts[i] = broken[i].text
	}
	return &RefusedError{CodeGuard, strings.Join(texts, "; ") + ", or break glass"}
}

// violations asks all rules.
func (a *asked) violations(p *orderPlan) []violation {
	touched := map[string]bool{}
	for _, list := range [][]health.Override{p.place, p.end} {
		for i := range list {
			if list[i].Profile != "" {
				touched[list[i].Profile] = true
			}
		}
	}
	out := slices.Concat(a.tooSoon(touched), a.gated(p))
	above := a.above
	judged := closure(touched, above)
	again := maps.Clone(touched)
	for i := range a.book.Orders {
		again[a.book.Orders[i].Profile] = true
	}
	for i, doc := range a.docs.Profiles { // the view may not have followed an order that was ended
		if v := a.at(i); v != nil && len(v.Orders) > 0 {
			again[doc.Name] = true
		}
	}
	again = closure(again, above)
	before, after := a.picture(live(a.book.Orders, a.now), again), a.picture(p.after, again)
	for _, name := range slices.Sorted(maps.Keys(judged)) {
		if v, bad := minUsable(before.view(name), after.view(name), touched[name], a.now); bad {
			out = append(out, v)
		}
	}
	return append(out, a.assertions(before, after)...)
}

// parents are, by profile, those that stand on it: they nest it, or calculate a verdict from its endpoints.
func parents(docs *snapshot.Documents) map[string][]string {
	out := map[string][]string{}
	for _, p := range docs.Profiles {
		for i := range p.Endpoints {
			if child := p.Endpoints[i].Target.Profile; child != "" {
				out[child] = append(out[child], p.Name)
			}
			if c := p.Endpoints[i].Monitor.Calculated; c != nil {
				for _, of := range c.Of {
					if other, _, far := strings.Cut(of, "/"); far && other != p.Name {
						out[other] = append(out[other], p.Name)
					}
				}
			}
		}
	}
	return out
}

// closure adds everything above.
func closure(names map[string]bool, above map[string][]string) map[string]bool {
	out := maps.Clone(names)
	todo := slices.Collect(maps.Keys(names))
	for len(todo) > 0 {
		name := todo[0]
		todo = todo[1:]
		for _, parent := range above[name] {
			if !out[parent] {
				out[parent] = true
				todo = append(todo, parent)
			}
		}
	}
	return out
}

// picture is every profile as it stands under some orders, children before what nests them.
type picture struct {
	w      *world
	orders map[string][]health.Override
	again  map[string]bool // profiles that are resolved anew; the others are as their views say
	done   map[string]*health.View
}

func (w *world) picture(orders []health.Override, again map[string]bool) *picture {
	p := &picture{w: w, orders: map[string][]health.Override{}, again: again, done: map[string]*health.View{}}
	for i := range orders {
		p.orders[orders[i].Profile] = append(p.orders[orders[i].Profile], orders[i])
	}
	return p
}

// view is one profile in the picture, or nil.
func (p *picture) view(name string) *health.View {
	if v, ok := p.done[name]; ok {
		return v
	}
	v := p.w.view(name)
	p.done[name] = v // profiles that nest each other end here
	if v == nil || !p.again[name] {
		return v
	}
	next, orders := *v, p.orders[name]
	next.Orders, next.Endpoints = orders, slices.Clone(v.Endpoints)
	next.Disabled = !v.Profile.Enabled || health.ProfileOrder(orders, health.DisableProfile, p.w.now) != nil
	for i := range next.Endpoints {
		e := &next.Endpoints[i]
		e.Layer = health.LayerOf(orders, e.Config.Name, p.w.now)
		if e.Nested() && p.again[e.Config.Target.Profile] {
			e.Child = p.view(e.Config.Target.Profile)
		}
		health.Resolve(v.Profile, e, next.Disabled, p.w.now)
	}
	p.calculate(&next)
	p.done[name] = &next
	return &next
}

// calculate takes the verdicts that follow from other endpoints anew. Those that follow from each other settle in as many
// rounds as there are of them.
func (p *picture) calculate(v *health.View) {
	for range v.Endpoints {
		changed := false
		for i := range v.Endpoints {
			e := &v.Endpoints[i]
			if e.Config.Monitor.Calculated == nil || e.Layer.Paused {
				continue
			}
			was := e.Verdict.Status
			e.Verdict = health.CalculatedVerdict(e.Config.Monitor.Calculated, p.parts(v, e.Config.Monitor.Calculated.Of), e.Verdict, p.w.now)
			health.Resolve(v.Profile, e, v.Disabled, p.w.now)
			changed = changed || e.Verdict.Status != was
		}
		if !changed {
			return
		}
	}
}

// parts are endpoints as ENDPOINT of the same profile or PROFILE/ENDPOINT.
func (p *picture) parts(v *health.View, of []string) []health.Part {
	out := make([]health.Part, len(of))
	for i, text := range of {
		out[i].Name = text
		e := v.Endpoint(text)
		if other, name, far := strings.Cut(text, "/"); e == nil && far {
			from := v
			if other != v.Profile.Name {
				from = p.view(other)
			}
			if from != nil {
				e = from.Endpoint(name)
			}
		}
		if e != nil {
			out[i].Known, out[i].Status = true, e.Status
		}
	}
	return out
}

// standing counts the endpoints that are usable, and those that may be answered at all. An order over the whole profile
// does not count: who disables a profile means that nothing is answered, it is no accident.
func standing(v *health.View, now time.Time) (usable, eligible int) {
	if v == nil {
		return 0, 0
	}
	for i := range v.Endpoints {
		e := v.Endpoints[i]
		if disabled := !v.Profile.Enabled; disabled != v.Disabled {
			health.Resolve(v.Profile, &e, disabled, now)
		}
		switch e.Tier {
		case health.TierUsable:
			usable++
			eligible++
		case health.TierChecking, health.TierHeld, health.TierDown:
			eligible++
		case health.TierExcluded:
		}
	}
	return usable, eligible
}

// minUsable refuses fewer usable endpoints than the profile demands, and to take away the last one that could be answered
// at all. touched: an order names the profile itself, not only one below it.
func minUsable(before, after *health.View, touched bool, now time.Time) (violation, bool) {
	if after == nil || after.Profile.MinUsable == 0 {
		return violation{}, false
	}
	name, need := after.Profile.Name, after.Profile.MinUsable
	was, couldBe := standing(before, now)
	left, answerable := standing(after, now)
	fewer := left < need && left < was
	nothing := left == 0 && was == 0 && answerable == 0 && couldBe > 0
	if !fewer && !nothing {
		return violation{}, false
	}
	text := fmt.Sprintf("no usable endpoint of profile %q would be left (%d now, at least %d must stay)", name, was, need)
	if left > 0 {
		text = fmt.Sprintf("profile %q would have %s left (%d now, min_usable is %d)", name, counted(left, "usable endpoint"), was, need)
	}
	if !touched {
		text += ", because it stands on what is ordered below it"
	}
	return violation{"min_usable of profile " + name, text + "; enable another one first"}, true
}

func counted(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// assertions are the safety rules that count usable endpoints over all profiles.
func (a *asked) assertions(before, after *picture) []violation {
	var out []violation
	for _, s := range a.docs.Safety {
		if s.Assert == nil {
			continue
		}
		was, left := before.usable(s.Assert.Of), after.usable(s.Assert.Of)
		if left < s.Assert.AtLeast && left < was {
			out = append(out, violation{"safety rule " + s.Name, fmt.Sprintf("safety rule %q: %s would be left of %s (%d now, at least %d must stay); enable another one first",
				s.Name, counted(left, "usable endpoint"), s.Assert.Of, was, s.Assert.AtLeast)})
		}
	}
	return out
}

// usable counts the usable endpoints that a selector matches.
func (p *picture) usable(selector string) int {
	sel, err := profile.ParseSelector(selector)
	if err != nil {
		return 0 // documents are checked before they are used
	}
	n := 0
	for _, doc := range p.w.docs.Profiles {
		var v *health.View
		for i := range doc.Endpoints {
			if !sel.Match(doc, &doc.Endpoints[i]) {
				continue
			}
			if v == nil {
				v = p.view(doc.Name)
			}
			if v == nil {
				break
			}
			if e := v.Endpoint(doc.Endpoints[i].Name); e != nil && e.Tier == health.TierUsable {
				n++
			}
		}
	}
	return n
}

// gated are the safety rules whose gate is closed for what the plan touches. A gate has to be open before: one
// transaction cannot open it and go through.
func (a *asked) gated(p *orderPlan) []violation {
	var out []violation
	for _, s := range a.docs.Safety {
		if s.Gate == "" || a.gateOpen(s.Gate) != nil || !a.touches(p, s.Of) {
			continue
		}
		out = append(out, violation{"safety rule " + s.Name, fmt.Sprintf("safety rule %q: gate %q is closed; open it first", s.Name, s.Gate)})
	}
	return out
}

// gateOpen is the live order that keeps a gate open, or nil.
func (w *world) gateOpen(name string) *health.Override {
	for i := range w.book.Orders {
		if o := &w.book.Orders[i]; o.Act == health.OpenGate && o.Gate == name && o.Live(w.now) {
			return o
		}
	}
	return nil
}

// touches: the plan places or ends an order on something that the selector matches, "" on anything. An order over a
// profile touches all its endpoints.
func (a *asked) touches(p *orderPlan, selector string) bool {
	sel, err := profile.ParseSelector(selector)
	if err != nil && selector != "" {
		return false // documents are checked before they are used
	}
	for _, list := range [][]health.Override{p.place, p.end} {
		for i := range list {
			o := &list[i]
			v := a.view(o.Profile)
			if o.Act == health.OpenGate || v == nil {
				continue
			}
			if selector == "" || o.Endpoint == "" && sel.Match(v.Profile, &profile.Endpoint{}) {
				return true
			}
			for j := range v.Profile.Endpoints {
				e := &v.Profile.Endpoints[j]
				if (o.Endpoint == "" || o.Endpoint == e.Name) && sel.Match(v.Profile, e) {
					return true
				}
			}
		}
	}
	return false
}

// tooSoon are the profiles whose last transaction began less than min_between ago. A clock that runs ahead elsewhere
// makes nobody wait longer than that.
func (a *asked) tooSoon(touched map[string]bool) []violation {
	var out []violation
	for _, name := range slices.Sorted(maps.Keys(touched)) {
		v := a.view(name)
		began, known := a.book.Begun[name]
		if v == nil || !known {
			continue
		}
		if left := v.Profile.MinBetween - max(0, a.now.Sub(began)); left > 0 {
			out = append(out, violation{"min_between of profile " + name, fmt.Sprintf("the last change of profile %q began less than %v ago (min_between); wait %v",
				name, v.Profile.MinBetween, left.Round(100*time.Millisecond))})
		}
	}
	return out
}

// begins are the times to remember: now for what is touched, and those before while they count.
func (a *asked) begins(p *orderPlan) map[string]time.Time {
	out := map[string]time.Time{}
	for name, at := range a.book.Begun {
		if v := a.view(name); v != nil && a.now.Sub(at) < v.Profile.MinBetween {
			out[name] = at
		}
	}
	for _, list := range [][]health.Override{p.place, p.end} {
		for i := range list {
			if v := a.view(list[i].Profile); v != nil && v.Profile.MinBetween > 0 {
				out[list[i].Profile] = a.now
			}
		}
	}
	return out
}
