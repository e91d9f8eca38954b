package api

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"jurymast/internal/health"
	"jurymast/internal/profile"
	"jurymast/internal/steer"
)

// Bounds of an order's life.
const (
	maxOrder     = 30 * 24 * time.Hour
	failbackLife = 5 * time.Minute // an order to return that finds no taker must not surprise anybody later
)

// asked is one transaction with all it is judged by.
type asked struct {
	world

	steps      []OrderStep
	lists      bool // an unknown target is answered with those there are
	one        bool // the request itself is the step: mistakes are placed in its own fields
	note       string
	breakGlass bool
	by, id     string
}

// orderPlan is what has to be written, as one change.
type orderPlan struct {
	place, end []health.Override
	skipped    []string          // selected, but it cannot be done there
	broken     []violation       // rules that were overruled
	after      []health.Override // all live orders as they would be
	begun      map[string]time.Time
	said       []string // what each step did
}

func (p *orderPlan) say(format string, args ...any) {
	p.said = append(p.said, fmt.Sprintf(format, args...))
}

// actRule is what a word of the API means.
//
//	disable    enable            endpoint or profile; disable-profile, enable-profile: profiles, also by selector
//	drain      undrain           endpoint
//	pause      unpause           endpoint
//	force-up / force-down  force-off   endpoint; a new force replaces the old one
//	hold       resume            profile
//	failback                     profile; used up by the decision it causes
//	open-gate  close-gate        a gate of the safety rules
type actRule struct {
	onEndpoint, onProfile health.Act   // what is placed; 0: not allowed there (or nothing is placed)
	ends                  []health.Act // what is ended
	placing, gate         bool
}

var actRules = map[string]actRule{
	"disable":         {onEndpoint: health.Disable, onProfile: health.DisableProfile, ends: []health.Act{health.Disable, health.DisableProfile}, placing: true},
	"enable":          {onEndpoint: health.Disable, onProfile: health.DisableProfile, ends: []health.Act{health.Disable, health.DisableProfile}},
	"disable-profile": {onProfile: health.DisableProfile, ends: []health.Act{health.DisableProfile}, placing: true},
	"enable-profile":  {onProfile: health.DisableProfile, ends: []health.Act{health.DisableProfile}},
	"drain":           {onEndpoint: health.Drain, ends: []health.Act{health.Drain}, placing: true},
	"undrain":         {onEndpoint: health.Drain, ends: []health.Act{health.Drain}},
	"pause":           {onEndpoint: health.Pause, ends: []health.Act{health.Pause}, placing: true},
	"unpause":         {onEndpoint: health.Pause, ends: []health.Act{health.Pause}},
	"force-up":        {onEndpoint: health.ForceUp, ends: []health.Act{health.ForceUp, health.ForceDown}, placing: true},
	"force-down":      {onEndpoint: health.ForceDown, ends: []health.Act{health.ForceUp, health.ForceDown}, placing: true},
	"force-off":       {onEndpoint: health.ForceUp, ends: []health.Act{health.ForceUp, health.ForceDown}},
	"hold":            {onProfile: health.HoldProfile, ends: []health.Act{health.HoldProfile}, placing: true},
	"resume":          {onProfile: health.HoldProfile, ends: []health.Act{health.HoldProfile}},
	"failback":        {onProfile: health.FailbackNow, ends: []health.Act{health.FailbackNow}, placing: true},
	"open-gate":       {ends: []health.Act{health.OpenGate}, placing: true, gate: true},
	"close-gate":      {ends: []health.Act{health.OpenGate}, gate: true},
}

const actWords = "disable, enable, drain, undrain, pause, unpause, force-up, force-down, force-off, hold, resume, failback, disable-profile, enable-profile, open-gate, close-gate"

// planOrder judges one transaction. It is pure: the rules look at everything as it would be when all of it is done.
func planOrder(a asked) (orderPlan, error) {
	p := orderPlan{after: live(a.book.Orders, a.now)}
	for i := range a.steps {
		text, err := a.step(&p, i)
		if err != nil {
			return orderPlan{}, err
		}
		p.said = append(p.said, text)
	}
	return p, a.finish(&p)
}

// finish asks the rules, and remembers when the transaction began.
func (a *asked) finish(p *orderPlan) error {
	if len(p.place) == 0 && len(p.end) == 0 {
		return nil
	}
	p.broken = a.violations(p)
	if len(p.broken) > 0 && !a.breakGlass {
		return refusal(p.broken)
	}
	for i := range p.place {
		p.place[i].By = p.actor(a.by)
	}
	p.begun = a.begins(p)
	return nil
}

// step adds one step to the plan and words it.
func (a *asked) step(p *orderPlan, i int) (string, error) {
	s := &a.steps[i]
	rule, ok := actRules[s.Act]
	if !ok {
		return "", badInput(a.field(i, "act"), "unknown act %q; allowed: %s", s.Act, actWords)
	}
	if s.KeepProbing && (rule.onEndpoint != health.Disable || !rule.placing) {
		return "", badInput(a.field(i, "keepProbing"), "%s has nothing to do with probes; only disable of endpoints takes it", s.Act)
	}
	if rule.gate {
		return a.gateStep(p, i, rule)
	}
	if s.Gate != "" {
		return "", badInput(a.field(i, "gate"), "%s has nothing to do with gates; only open-gate and close-gate name one", s.Act)
	}
	targets, err := a.targets(i, rule)
	if err != nil {
		return "", err
	}
	until, err := a.until(i, rule)
	if err != nil {
		return "", err
	}
	targets, skipped, err := a.possible(s, rule, targets)
	if err != nil {
		return "", err
	}
	p.skipped = append(p.skipped, skipped...)
	var end, place []health.Override
	there := byTarget(p.after)
	for n, t := range targets {
		for _, o := range there[t] {
			if slices.Contains(rule.ends, o.Act) {
				end = append(end, o)
			}
		}
		if rule.placing {
			act := rule.on(t)
			place = append(place, health.Override{
				ID: a.orderID(i, n, act), Act: act, Profile: t.Profile, Endpoint: t.Endpoint, By: a.by, Note: a.note, At: a.now, Until: until,
				KeepProbing: s.KeepProbing && act == health.Disable,
			})
		}
	}
	p.change(place, end)
	return describe(s, targets, place, end) + a.idle(s, targets, place), nil
}

// on is the act that a target is ordered.
func (r *actRule) on(t OrderTarget) health.Act {
	if t.Endpoint == "" {
		return r.onProfile
	}
	return r.onEndpoint
}

// gateStep opens or closes one gate.
func (a *asked) gateStep(p *orderPlan, i int, rule actRule) (string, error) {
	s := &a.steps[i]
	if s.Select != "" || len(s.Targets) > 0 {
		return "", badInput(a.field(i, "select"), "%s is for a gate; name it in gate and leave targets and select out", s.Act)
	}
	known := gateNames(a.docs)
	if s.Gate == "" || rule.placing && !slices.Contains(known, s.Gate) {
		return "", badInput(a.field(i, "gate"), "%q is no gate of a safety rule; %s", s.Gate, someOf("gates", known))
	}
	until, err := a.until(i, rule)
	if err != nil {
		return "", err
	}
	var end, place []health.Override
	for _, o := range p.after {
		if o.Act == health.OpenGate && o.Gate == s.Gate {
			end = append(end, o)
		}
	}
	if rule.placing {
		place = []health.Override{{ID: a.orderID(i, 0, health.OpenGate), Act: health.OpenGate, Gate: s.Gate, By: a.by, Note: a.note, At: a.now, Until: until}}
	}
	p.change(place, end)
	return words(s, s.Gate, place, end), nil
}

// change does a step in the plan. What an earlier step has placed is not ended but never placed.
func (p *orderPlan) change(place, end []health.Override) {
	gone := make(map[string]map[OrderTarget]bool, len(end))
	for i := range end {
		if gone[end[i].ID] == nil {
			gone[end[i].ID] = map[OrderTarget]bool{}
		}
		gone[end[i].ID][targetOf(&end[i])] = true
	}
	is := func(o health.Override) bool { return gone[o.ID][targetOf(&o)] }
	unplaced := map[string]bool{}
	for i := range p.place {
		if is(p.place[i]) {
			unplaced[p.place[i].ID] = true
		}
	}
	for i := range end {
		if !unplaced[end[i].ID] {
			p.end = append(p.end, end[i])
		}
	}
	p.place = append(slices.DeleteFunc(p.place, is), place...)
	p.after = append(slices.DeleteFunc(p.after, is), place...)
}

// orderID: the targets of one step share an id, except for failbacks, each of which is used up by itself.
func (a *asked) orderID(step, target int, act health.Act) string {
	id := a.id
	if step > 0 {
		id = fmt.Sprintf("%s-%d", id, step+1)
	}
	if act == health.FailbackNow && target > 0 {
		id = fmt.Sprintf("%s.%d", id, target+1)
	}
	return id
}

// field is the place of a mistake.
func (a *asked) field(step int, name string) string {
	if a.one {
		return name
	}
	return fmt.Sprintf("steps[%d].%s", step, name)
}

func (a *asked) until(i int, rule actRule) (time.Time, error) {
	s := &a.steps[i]
	switch {
	case s.For == "" && s.Act == "failback":
		return a.now.Add(failbackLife), nil
	case s.For == "":
		return time.Time{}, nil
	case !rule.placing:
		return time.Time{}, badInput(a.field(i, "for"), "%s ends orders and lasts for ever; leave the duration out", s.Act)
	}
	d, err := time.ParseDuration(s.For)
	if err != nil || d <= 0 || d > maxOrder {
		return time.Time{}, badInput(a.field(i, "for"), "%q; allowed: a duration above 0 and up to 720h (30 days), for example 30m", s.For)
	}
	return a.now.Add(d), nil
}

// possible refuses what could not do what it says. Of what a selector has chosen it is left out; when nothing is left, the
// first reason is the answer.
func (a *asked) possible(s *OrderStep, rule actRule, targets []OrderTarget) (out []OrderTarget, skipped []string, err error) {
	for _, t := range targets {
		why := a.allowed(rule, t)
		switch {
		case why == nil:
			out = append(out, t)
		case s.Select == "":
			return nil, nil, why
		default:
			skipped = append(skipped, why.Error())
			if err == nil {
				err = why
			}
		}
	}
	if len(out) == 0 {
		return nil, nil, err
	}
	return out, skipped, nil
}

// allowed refuses orders that could not do what they say.
func (a *asked) allowed(rule actRule, t OrderTarget) error {
	act, v := rule.on(t), a.view(t.Profile)
	switch {
	case act == health.FailbackNow:
		return canFailBack(v, a.now)
	case rule.placing:
	case act == health.Disable && !v.Endpoint(t.Endpoint).Config.Enabled:
		return refused("endpoint %q of profile %q is disabled by its document (enabled: false), not by an order; change the document", t.Endpoint, t.Profile)
	case act == health.DisableProfile && !v.Profile.Enabled:
		return refused("profile %q is disabled by its document (enabled: false), not by an order; change the document", t.Profile)
	}
	return nil
}

// canFailBack asks the rule of the leader itself.
func canFailBack(v *health.View, now time.Time) error {
	next, changed := steer.Elect(v, &health.Override{Act: health.FailbackNow}, now)
	switch {
	case v.Profile.Routing != profile.Priority:
		return refused("profile %q is not routed by priority; there is no active endpoint to return from", v.Profile.Name)
	case v.Disabled:
		return refused("profile %q is disabled; enable it first", v.Profile.Name)
	case !v.Ready || v.Decision.Epoch == 0:
		return refused("profile %q has no decision yet; wait until it is ready", v.Profile.Name)
	case changed && next.Epoch != v.Decision.Epoch && next.Reason == steer.ReasonFailbackManual:
		return nil
	case changed && next.Epoch != v.Decision.Epoch:
		return refused("%q is about to become active by itself (%s)", next.Active, next.Reason)
	}
	better := betterThan(v)
	if len(better) == 0 {
		return refused("%q is the preferred endpoint and it is active already", v.Decision.Active)
	}
	var text strings.Builder
	for _, e := range better {
		fmt.Fprintf(&text, "; %s is %s (%s)", e.Config.Name, e.Status, exclusionOf(e))
	}
	return refused("no better endpoint than %q is usable%s", v.Decision.Active, text.String())
}

func exclusionOf(e *health.EndpointView) string {
	if !e.Config.Enabled {
		return byDocument
	}
	if e.Layer.Shown != nil {
		return fmt.Sprintf("%s by %s", e.Layer.Shown.Act, e.Layer.Shown.By)
	}
	return e.Verdict.Reason
}

func betterThan(v *health.View) []*health.EndpointView {
	var out []*health.EndpointView
	active := v.Endpoint(v.Decision.Active)
	for i := range v.Endpoints {
		if active != nil && v.Endpoints[i].Config.Priority < active.Config.Priority {
			out = append(out, &v.Endpoints[i])
		}
	}
	return out
}

// describe words what one step does.
func describe(s *OrderStep, targets []OrderTarget, place, end []health.Override) string {
	what := targets[0].String()
	if len(targets) > 1 {
		profiles := map[string]bool{}
		for _, t := range targets {
			profiles[t.Profile] = true
		}
		what = counted(len(targets), "endpoint") + " of " + counted(len(profiles), "profile")
		if targets[0].Endpoint == "" {
			what = counted(len(targets), "profile")
		}
	}
	return words(s, what, place, end)
}

// byDocument is why an order cannot bring an endpoint in.
const byDocument = "disabled by its document (enabled: false)"

// idle says of orders on endpoints that their documents disable that nothing comes of them for now.
func (a *asked) idle(s *OrderStep, targets []OrderTarget, place []health.Override) string {
	var out []string
	for _, t := range targets {
		if v := a.view(t.Profile); len(place) > 0 && v != nil && t.Endpoint != "" && !v.Endpoint(t.Endpoint).Config.Enabled {
			out = append(out, t.String())
		}
	}
	if len(out) == 0 {
		return ""
	}
	const most = 3
	names := strings.Join(out[:min(most, len(out))], ", ")
	if more := len(out) - most; more > 0 {
		names += fmt.Sprintf(" and %d more", more)
	}
	return fmt.Sprintf(", but %s: %s; %s has no effect until the document enables it", names, byDocument, s.Act)
}

func words(s *OrderStep, what string, place, end []health.Override) string {
	switch {
	case len(place) == 0 && len(end) == 0:
		return fmt.Sprintf("%s %s: nothing to end, no such order is in force", s.Act, what)
	case len(place) == 0:
		return fmt.Sprintf("%s %s: done", s.Act, what)
	case s.Act == "failback":
		return fmt.Sprintf("failback %s: ordered, the leader carries it out", what)
	case place[0].Until.IsZero():
		return fmt.Sprintf("%s %s: in force until it is ended", s.Act, what)
	}
	return fmt.Sprintf("%s %s: in force until %s", s.Act, what, place[0].Until.UTC().Format(time.RFC3339))
}

func badInput(field, format string, args ...any) error {
	return &InvalidError{profile.Problems{{Path: field, Message: fmt.Sprintf(format, args...)}}}
}

// live are the orders that hold, in a list of its own.
func live(orders []health.Override, now time.Time) []health.Override {
	return slices.DeleteFunc(slices.Clone(orders), func(o health.Override) bool { return !o.Live(now) })
}

func targetOf(o *health.Override) OrderTarget { return OrderTarget{o.Profile, o.Endpoint} }

func byTarget(orders []health.Override) map[OrderTarget][]health.Override {
	out := make(map[OrderTarget][]health.Override, len(orders))
	for i := range orders {
		t := targetOf(&orders[i])
		out[t] = append(out[t], orders[i])
	}
	return out
}
