package api

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"jurymast/internal/health"
	"jurymast/internal/profile"
)

// orderRoutes take and show what operators order.
func (s *Server) orderRoutes(h huma.API) {
	huma.Register(h, operation(http.MethodGet, "/orders", "list-all-orders", "orders", "The orders in force over all profiles, open gates included"),
		func(context.Context, *struct{}) (*output[OrderList], error) {
			return &output[OrderList]{OrderList{orderStatuses(live(s.o.Orders.Orders(""), now()))}}, nil
		})
	huma.Register(h, operation(http.MethodPost, "/orders", "transact", "orders", "Order several things as one change", http.StatusNotFound, http.StatusConflict),
		func(ctx context.Context, in *transactInput) (*output[OrderResult], error) {
			r, err := s.transact(ctx, &in.Body)
			return answer(ctx, s, r, err)
		})
	huma.Register(h, operation(http.MethodDelete, "/orders/{id}", "end-whole-order", "orders", "End one order with all its targets", http.StatusNotFound, http.StatusConflict),
		func(ctx context.Context, in *endInput) (*output[OrderResult], error) {
			r, err := s.endOrder(ctx, "", in)
			return answer(ctx, s, r, err)
		})
	huma.Register(h, operation(http.MethodGet, "/safety", "list-safety", "orders", "The safety rules and how they stand"),
		func(context.Context, *struct{}) (*output[SafetyList], error) {
			return &output[SafetyList]{s.safety()}, nil
		})
	s.profileOrderRoutes(h)
}

func (s *Server) profileOrderRoutes(h huma.API) {
	huma.Register(h, operation(http.MethodGet, "/profiles/{name}/orders", "list-orders", "orders", "The orders in force", http.StatusNotFound),
		func(ctx context.Context, in *named) (*output[OrderList], error) {
			v := s.view(in.Name)
			if v == nil {
				return nil, problemOf(ctx, s.log, noProfile(in.Name))
			}
			return &output[OrderList]{OrderList{orderStatuses(live(s.o.Orders.Orders(v.Profile.Name), now()))}}, nil
		})
	huma.Register(h, operation(http.MethodPost, "/profiles/{name}/orders", "order", "orders", "Order something", http.StatusNotFound, http.StatusConflict),
		func(ctx context.Context, in *orderInput) (*output[OrderResult], error) {
			r, err := s.order(ctx, in)
			return answer(ctx, s, r, err)
		})
	huma.Register(h, operation(http.MethodDelete, "/profiles/{name}/orders/{id}", "end-order", "orders", "End one order where it names the profile", http.StatusNotFound, http.StatusConflict),
		func(ctx context.Context, in *endProfileInput) (*output[OrderResult], error) {
			r, err := s.endOrder(ctx, in.Name, &endInput{ID: in.ID, Note: in.Note, BreakGlass: in.BreakGlass})
			return answer(ctx, s, r, err)
		})
}

type transactInput struct{ Body TransactionRequest }

type orderInput struct {
	Name string `path:"name"`
	Body OrderRequest
}

type endInput struct {
	ID         string `path:"id"`
	Note       string `query:"note" maxLength:"1000"`
	BreakGlass bool   `query:"breakGlass" doc:"overrule min_usable, min_between and safety rules"`
}

type endProfileInput struct {
	Name       string `path:"name"`
	ID         string `path:"id"`
	Note       string `query:"note" maxLength:"1000"`
	BreakGlass bool   `query:"breakGlass" doc:"overrule min_usable, min_between and safety rules"`
}

// Bounds of one transaction. The note is kept far below what one write to the store can carry.
const (
	maxNote  = 1000
	maxSteps = 100
)

// order is a transaction of one step on one target.
func (s *Server) order(ctx context.Context, in *orderInput) (OrderResult, error) {
	b := &in.Body
	v := s.view(in.Name)
	if v == nil {
		return OrderResult{}, noProfile(in.Name)
	}
	return s.carry(ctx, asked{
		steps: []OrderStep{{Act: b.Act, Targets: []OrderTarget{{v.Profile.Name, b.Endpoint}}, For: b.For, KeepProbing: b.KeepProbing}},
		one:   true, note: b.Note, breakGlass: b.BreakGlass,
	}, planOrder)
}

// transact is one change of any number of steps.
func (s *Server) transact(ctx context.Context, r *TransactionRequest) (OrderResult, error) {
	a := asked{steps: slices.Clone(r.Steps), lists: true, note: r.Note, breakGlass: r.BreakGlass}
	single := OrderStep{Act: r.Act, Select: r.Select, Targets: r.Targets, Gate: r.Gate}
	beside := r.Act != "" || r.Select != "" || len(r.Targets) > 0 || r.Gate != ""
	switch {
	case len(r.Steps) > 0 && beside:
		return OrderResult{}, badInput("steps", "stands beside act, select, targets or gate; write everything in steps, or one order without them")
	case len(r.Steps) > maxSteps:
		return OrderResult{}, badInput("steps", "%d steps; allowed: at most %d", len(r.Steps), maxSteps)
	case len(r.Steps) == 0:
		a.steps, a.one = []OrderStep{single}, true
	}
	lasts := false
	for i := range a.steps {
		rule := actRules[a.steps[i].Act]
		if a.one || rule.placing && a.steps[i].For == "" {
			a.steps[i].For = r.For
			lasts = lasts || rule.placing
		}
		if a.one || rule.placing && rule.onEndpoint == health.Disable {
			a.steps[i].KeepProbing = a.steps[i].KeepProbing || r.KeepProbing
		}
	}
	if r.For != "" && !lasts && !a.one {
		return OrderResult{}, badInput("for", "no step uses it: all of them end orders or say it themselves; leave the duration out")
	}
	return s.carry(ctx, a, planOrder)
}

// endOrder ends an order, of one profile or ("") with all its targets.
func (s *Server) endOrder(ctx context.Context, name string, in *endInput) (OrderResult, error) {
	if name != "" {
		v := s.view(name)
		if v == nil {
			return OrderResult{}, noProfile(name)
		}
		name = v.Profile.Name
	}
	return s.carry(ctx, asked{note: in.Note, breakGlass: in.BreakGlass}, func(a asked) (orderPlan, error) {
		p := orderPlan{after: live(a.book.Orders, a.now)}
		var end []health.Override
		for i := range p.after {
			if o := &p.after[i]; o.ID == in.ID && (name == "" || o.Profile == name) {
				end = append(end, *o)
			}
		}
		switch len(end) {
		case 0:
			what := fmt.Sprintf("order %q", in.ID)
			if name != "" {
				what += fmt.Sprintf(" of profile %q", name)
			}
			return orderPlan{}, fmt.Errorf("%s: %w", what, ErrNotFound)
		case 1:
			p.say("%s of %s: ended", end[0].Act, subjectOf(&end[0]))
		default:
			p.say("%s of %d targets: ended", end[0].Act, len(end))
		}
		p.change(nil, end)
		return p, a.finish(&p)
	})
}

func subjectOf(o *health.Override) string {
	if o.Gate != "" {
		return o.Gate
	}
	return targetOf(o).String()
}

// carry judges and writes one transaction. One at a time here; the store's own comparison keeps other nodes from
// breaking a rule together with this one.
func (s *Server) carry(ctx context.Context, a asked, plan func(asked) (orderPlan, error)) (OrderResult, error) {
	if len(a.note) > maxNote {
		return OrderResult{}, badInput("note", "%d bytes; allowed: at most %d", len(a.note), maxNote)
	}
	a.note, a.by = printable(a.note, maxNote), actorOf(ctx)
	select {
	case s.ordering <- struct{}{}:
		defer func() { <-s.ordering }()
	case <-ctx.Done():
		return OrderResult{}, ctx.Err()
	}
	id, err := newID(now())
	if err != nil {
		return OrderResult{}, err
	}
	a.id = id
	write, cancel := bounded(ctx)
	defer cancel()
	var p orderPlan
	err = s.o.Orders.Transact(write, func(book OrderBook) (OrderChange, error) {
		a.world = s.world(book)
		var err error
		if p, err = plan(a); err != nil {
			return OrderChange{}, err
		}
		return OrderChange{Place: p.place, End: p.end, Begun: p.begun, By: p.actor(a.by), Note: a.note, Reason: p.reason()}, nil
	})
	if err != nil {
		return OrderResult{}, err
	}
	return resultOf(&p), nil
}

// world is everything orders are judged by, at this instant.
func (s *Server) world(book OrderBook) world {
	snap := s.o.Hub.Load()
	if s.above.docs != snap.Documents() { // one order at a time, see ordering
		s.above.docs, s.above.parents = snap.Documents(), parents(snap.Documents())
	}
	return world{
		docs: snap.Documents(), book: book, now: now(), above: s.above.parents,
		view: func(name string) *health.View { return viewAt(snap, indexOf(snap, name)) },
		at:   func(i int) *health.View { return viewAt(snap, i) },
	}
}

// actor is who ordered; that glass was broken is part of it, wherever it is shown. Who asked for it and did not need it
// has broken nothing.
func (p *orderPlan) actor(by string) string {
	if len(p.broken) == 0 {
		return by
	}
	return by + " (break-glass)"
}

// reason is what the journal says about glass that was broken.
func (p *orderPlan) reason() string {
	if len(p.broken) == 0 {
		return ""
	}
	return "break-glass: " + strings.Join(ruleNames(p.broken), ", ")
}

func ruleNames(broken []violation) []string {
	out := make([]string, len(broken))
	for i := range broken {
		out[i] = broken[i].rule
	}
	return out
}

func resultOf(p *orderPlan) OrderResult {
	r := OrderResult{Placed: orderStatuses(p.place), Ended: orderStatuses(p.end), Skipped: p.skipped, Message: strings.Join(p.said, "; ")}
	if len(p.said) > 1 {
		r.Steps = p.said
	}
	if len(p.broken) > 0 {
		r.Broken = ruleNames(p.broken)
		r.Message += "; glass was broken: " + strings.Join(r.Broken, ", ")
	}
	return r
}

func orderStatuses(list []health.Override) []OrderStatus {
	out := make([]OrderStatus, len(list))
	for i := range list {
		out[i] = OrderStatus{*overrideOf(&list[i]), list[i].Profile, list[i].Endpoint}
	}
	return out
}

// safety lists the safety rules and says how they stand.
func (s *Server) safety() SafetyList {
	w := s.world(OrderBook{Orders: s.o.Orders.Orders("")})
	pic := w.picture(live(w.book.Orders, w.now), nil)
	list := SafetyList{Safety: []SafetyListing{}}
	for _, d := range s.ofKind(profile.KindSafety) {
		one := SafetyListing{Document: d}
		i := slices.IndexFunc(w.docs.Safety, func(rule *profile.Safety) bool { return rule.Name == d.Name })
		if i >= 0 {
			one.Status = safetyOf(w.docs.Safety[i], &w, pic)
		}
		list.Safety = append(list.Safety, one)
	}
	return list
}

func safetyOf(rule *profile.Safety, w *world, pic *picture) *SafetyStatus {
	if rule.Assert == nil {
		open := overrideOf(w.gateOpen(rule.Gate))
		return &SafetyStatus{Gate: rule.Gate, Of: rule.Of, Open: open, Holds: open != nil}
	}
	usable := pic.usable(rule.Assert.Of)
	return &SafetyStatus{Of: rule.Assert.Of, AtLeast: rule.Assert.AtLeast, Usable: &usable, Holds: usable >= rule.Assert.AtLeast}
}

// newID sorts by time and collides with nobody: milliseconds in hexadecimal, then 64 random bits.
func newID(at time.Time) (string, error) {
	var dice [8]byte
	if _, err := rand.Read(dice[:]); err != nil {
		return "", err
	}
	return fmt.Sprintf("%012x-%s", at.UnixMilli(), hex.EncodeToString(dice[:])), nil
}
