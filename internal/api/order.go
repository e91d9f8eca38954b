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

// asked is one order with all it is judged by.
type asked struct {
	req    OrderRequest
	view   *health.View
	orders []health.Override // of this profile; expired ones are not looked at
	by, id string
	now    time.Time
}

// orderPlan is what has to be written: place first, then end, so that an order that replaces another leaves no gap.
type orderPlan struct {
	place, end []health.Override
	message    string
}

// actRule is what a word of the API means.
//
//	disable    enable            endpoint or profile
//	drain      undrain           endpoint
//	force-up / force-down  force-off   endpoint; a new force replaces the old one
//	hold       resume            profile
//	failback                     profile; used up by the decision it causes
type actRule struct {
	onEndpoint, onProfile health.Act   // what is placed; 0: not allowed there (or nothing is placed)
	ends                  []health.Act // what is ended
	placing               bool
}

var actRules = map[string]actRule{
	"disable":    {onEndpoint: health.Disable, onProfile: health.DisableProfile, ends: []health.Act{health.Disable, health.DisableProfile}, placing: true},
	"enable":     {onEndpoint: health.Disable, onProfile: health.DisableProfile, ends: []health.Act{health.Disable, health.DisableProfile}},
	"drain":      {onEndpoint: health.Drain, ends: []health.Act{health.Drain}, placing: true},
	"undrain":    {onEndpoint: health.Drain, ends: []health.Act{health.Drain}},
	"force-up":   {onEndpoint: health.ForceUp, ends: []health.Act{health.ForceUp, health.ForceDown}, placing: true},
	"force-down": {onEndpoint: health.ForceDown, ends: []health.Act{health.ForceUp, health.ForceDown}, placing: true},
	"force-off":  {onEndpoint: health.ForceUp, ends: []health.Act{health.ForceUp, health.ForceDown}},
	"hold":       {onProfile: health.HoldProfile, ends: []health.Act{health.HoldProfile}, placing: true},
	"resume":     {onProfile: health.HoldProfile, ends: []health.Act{health.HoldProfile}},
	"failback":   {onProfile: health.FailbackNow, ends: []health.Act{health.FailbackNow}, placing: true},
}

// planOrder judges one order. It is pure: the guard looks at the view with the orders as they would be.
func planOrder(a asked) (orderPlan, error) {
	rule, act, err := a.rule()
	if err != nil {
		return orderPlan{}, err
	}
	until, err := a.until(rule)
	if err != nil {
		return orderPlan{}, err
	}
	if err := a.allowed(act, rule); err != nil {
		return orderPlan{}, err
	}
	var p orderPlan
	for i := range a.orders {
		if o := &a.orders[i]; o.Live(a.now) && o.Endpoint == a.req.Endpoint && slices.Contains(rule.ends, o.Act) {
			p.end = append(p.end, *o)
		}
	}
	if rule.placing {
		p.place = []health.Override{{
			ID: a.id, Act: act, Profile: a.view.Profile.Name, Endpoint: a.req.Endpoint, By: a.by, Note: a.req.Note, At: a.now, Until: until,
		}}
	}
	if !a.req.BreakGlass {
		if err := guard(a.view, a.orders, p, a.now); err != nil {
			return orderPlan{}, err
		}
	}
	p.message = a.describe(p)
	return p, nil
}

// rule finds what the word means for what it names.
func (a *asked) rule() (actRule, health.Act, error) {
	rule, ok := actRules[a.req.Act]
	if !ok {
		return rule, 0, badInput("act", "unknown act %q; allowed: disable, enable, drain, undrain, force-up, force-down, force-off, hold, resume, failback", a.req.Act)
	}
	if a.req.Endpoint == "" {
		if rule.onProfile == 0 {
			return rule, 0, badInput("endpoint", "%s is for one endpoint; name it", a.req.Act)
		}
		return rule, rule.onProfile, nil
	}
	if rule.onEndpoint == 0 {
		return rule, 0, badInput("endpoint", "%s is for the whole profile; leave the endpoint out", a.req.Act)
	}
	if a.view.Endpoint(a.req.Endpoint) == nil {
		return rule, 0, fmt.Errorf("endpoint %q of profile %q: %w", a.req.Endpoint, a.view.Profile.Name, ErrNotFound)
	}
	return rule, rule.onEndpoint, nil
}

func (a *asked) until(rule actRule) (time.Time, error) {
	switch {
	case a.req.For == "" && a.req.Act == "failback":
		return a.now.Add(failbackLife), nil
	case a.req.For == "":
		return time.Time{}, nil
	case !rule.placing:
		return time.Time{}, badInput("for", "%s ends orders and lasts for ever; leave the duration out", a.req.Act)
	}
	d, err := time.ParseDuration(a.req.For)
	if err != nil || d <= 0 || d > maxOrder {
		return time.Time{}, badInput("for", "%q; allowed: a duration above 0 and up to 720h (30 days), for example 30m", a.req.For)
	}
	return a.now.Add(d), nil
}

// allowed refuses orders that could not do what they say.
func (a *asked) allowed(act health.Act, rule actRule) error {
	if act == health.FailbackNow {
		return a.canFailBack()
	}
	if rule.placing {
		return nil
	}
	switch act {
	case health.Disable:
		if !a.view.Endpoint(a.req.Endpoint).Config.Enabled {
			return refused("endpoint %q is disabled by its document (enabled: false), not by an order; change the document", a.req.Endpoint)
		}
	case health.DisableProfile:
		if !a.view.Profile.Enabled {
			return refused("profile %q is disabled by its document (enabled: false), not by an order; change the document", a.view.Profile.Name)
		}
	case health.Drain, health.ForceDown, health.ForceUp, health.HoldProfile, health.FailbackNow:
	}
	return nil
}

// canFailBack asks the rule of the leader itself.
func (a *asked) canFailBack() error {
	v := a.view
	next, changed := steer.Elect(v, &health.Override{Act: health.FailbackNow}, a.now)
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

// guard refuses a plan that takes the last usable endpoint away, or the last one that could be answered at all.
func guard(v *health.View, orders []health.Override, p orderPlan, now time.Time) error {
	usable, eligible := standing(v, orders, now)
	after := slices.Concat(orders, p.place)
	after = slices.DeleteFunc(after, func(o health.Override) bool {
		return slices.ContainsFunc(p.end, func(e health.Override) bool { return e.ID == o.ID })
	})
	left, answerable := standing(v, after, now)
	if left > 0 || usable == 0 && (answerable > 0 || eligible == 0) {
		return nil
	}
	return &RefusedError{CodeGuard, fmt.Sprintf("no usable endpoint of profile %q would be left (%d now, at least 1 must stay); enable another one first, or break glass", v.Profile.Name, usable)}
}

// standing counts the endpoints that are usable, and those that may be answered at all, under the given orders. An order
// over the whole profile does not count: who disables a profile means that nothing is answered, it is no accident.
func standing(v *health.View, orders []health.Override, now time.Time) (usable, eligible int) {
	disabled := !v.Profile.Enabled
	for i := range v.Endpoints {
		e := v.Endpoints[i]
		e.Layer = health.LayerOf(orders, e.Config.Name, now)
		health.Resolve(v.Profile, &e, disabled, now)
		switch {
		case disabled || e.Tier == health.TierExcluded:
		case e.Tier == health.TierUsable:
			usable++
			eligible++
		default:
			eligible++
		}
	}
	return usable, eligible
}

func (a *asked) describe(p orderPlan) string {
	what := a.view.Profile.Name
	if a.req.Endpoint != "" {
		what += "/" + a.req.Endpoint
	}
	switch {
	case len(p.place) == 0 && len(p.end) == 0:
		return fmt.Sprintf("%s %s: nothing to end, no such order is in force", a.req.Act, what)
	case len(p.place) == 0:
		return fmt.Sprintf("%s %s: done", a.req.Act, what)
	case a.req.Act == "failback":
		return fmt.Sprintf("failback %s: ordered, the leader carries it out", what)
	case p.place[0].Until.IsZero():
		return fmt.Sprintf("%s %s: in force until it is ended", a.req.Act, what)
	}
	return fmt.Sprintf("%s %s: in force until %s", a.req.Act, what, p.place[0].Until.UTC().Format(time.RFC3339))
}

func badInput(field, format string, args ...any) error {
	return &InvalidError{profile.Problems{{Path: field, Message: fmt.Sprintf(format, args...)}}}
}
