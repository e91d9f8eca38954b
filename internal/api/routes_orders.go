package api

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"jurymast/internal/health"
)

// orderRoutes take and show what operators order.
func (s *Server) orderRoutes(h huma.API) {
	huma.Register(h, operation(http.MethodGet, "/profiles/{name}/orders", "list-orders", "orders", "The orders in force", http.StatusNotFound),
		func(ctx context.Context, in *named) (*output[OrderList], error) {
			if s.view(in.Name) == nil {
				return nil, problemOf(ctx, s.log, noProfile(in.Name))
			}
			return &output[OrderList]{OrderList{orderStatuses(s.liveOrders(in.Name, now()))}}, nil
		})
	huma.Register(h, operation(http.MethodPost, "/profiles/{name}/orders", "order", "orders", "Order something", http.StatusNotFound, http.StatusConflict),
		func(ctx context.Context, in *orderInput) (*output[OrderResult], error) {
			r, err := s.order(ctx, in)
			return answer(ctx, s, r, err)
		})
	huma.Register(h, operation(http.MethodDelete, "/profiles/{name}/orders/{id}", "end-order", "orders", "End one order", http.StatusNotFound, http.StatusConflict),
		func(ctx context.Context, in *endInput) (*output[OrderResult], error) {
			r, err := s.endOrder(ctx, in)
			return answer(ctx, s, r, err)
		})
}

type orderInput struct {
	Name string `path:"name"`
	Body OrderRequest
}

type endInput struct {
	Name       string `path:"name"`
	ID         string `path:"id"`
	Note       string `query:"note" maxLength:"1000"`
	BreakGlass bool   `query:"breakGlass" doc:"do it although no usable endpoint would be left"`
}

// maxNote keeps one order far below what one write to the store can carry.
const maxNote = 1000

func (s *Server) order(ctx context.Context, in *orderInput) (OrderResult, error) {
	if len(in.Body.Note) > maxNote {
		return OrderResult{}, badInput("note", "%d bytes; allowed: at most %d", len(in.Body.Note), maxNote)
	}
	in.Body.Note = printable(in.Body.Note, maxNote)
	at := now()
	id, err := newID(at)
	if err != nil {
		return OrderResult{}, err
	}
	return s.carry(ctx, in.Name, in.Body.Note, func(v *health.View) (orderPlan, error) {
		return planOrder(asked{req: in.Body, view: v, orders: s.o.Orders.Orders(in.Name), by: actorOf(ctx), id: id, now: at})
	})
}

func (s *Server) endOrder(ctx context.Context, in *endInput) (OrderResult, error) {
	note := printable(in.Note, maxNote)
	return s.carry(ctx, in.Name, note, func(v *health.View) (orderPlan, error) {
		at := now()
		orders := s.liveOrders(in.Name, at)
		i := slices.IndexFunc(orders, func(o health.Override) bool { return o.ID == in.ID })
		if i < 0 {
			return orderPlan{}, fmt.Errorf("order %q of profile %q: %w", in.ID, in.Name, ErrNotFound)
		}
		p := orderPlan{end: orders[i : i+1], message: fmt.Sprintf("%s of %s: ended", orders[i].Act, subjectOf(&orders[i]))}
		if !in.BreakGlass {
			return p, guard(v, orders, p, at)
		}
		return p, nil
	})
}

func subjectOf(o *health.Override) string {
	if o.Endpoint == "" {
		return o.Profile
	}
	return o.Profile + "/" + o.Endpoint
}

// carry judges and writes one order. One at a time: the guard has to see what the order before did. Another node may
// still take an order at the same instant; the guard is for people, not for races between them.
func (s *Server) carry(ctx context.Context, name, note string, plan func(*health.View) (orderPlan, error)) (OrderResult, error) {
	select {
	case s.ordering <- struct{}{}:
		defer func() { <-s.ordering }()
	case <-ctx.Done():
		return OrderResult{}, ctx.Err()
	}
	v := s.view(name)
	if v == nil {
		return OrderResult{}, noProfile(name)
	}
	p, err := plan(v)
	if err != nil {
		return OrderResult{}, err
	}
	write, cancel := bounded(ctx)
	defer cancel()
	if len(p.place) > 0 {
		if err := s.o.Orders.Place(write, p.place...); err != nil {
			return OrderResult{}, err
		}
	}
	if len(p.end) > 0 {
		if err := s.o.Orders.End(write, actorOf(ctx), note, p.end...); err != nil {
			return OrderResult{}, err
		}
	}
	s.awaitOrders(ctx, name, p)
	return OrderResult{Placed: overrideStatuses(p.place), Ended: overrideStatuses(p.end), Message: p.message}, nil
}

// awaitOrders gives the store's watch a moment, so that who orders and then looks sees the order. A failback may be
// used up before anybody saw it.
func (s *Server) awaitOrders(ctx context.Context, name string, p orderPlan) {
	deadline := time.NewTimer(time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !settled(s.o.Orders.Orders(name), p) {
		select {
		case <-tick.C:
		case <-deadline.C:
			return
		case <-ctx.Done():
			return
		}
	}
}

func settled(orders []health.Override, p orderPlan) bool {
	has := func(id string) bool {
		return slices.ContainsFunc(orders, func(o health.Override) bool { return o.ID == id })
	}
	for i := range p.place {
		if p.place[i].Act != health.FailbackNow && !has(p.place[i].ID) {
			return false
		}
	}
	return !slices.ContainsFunc(p.end, func(o health.Override) bool { return has(o.ID) })
}

func (s *Server) liveOrders(name string, at time.Time) []health.Override {
	return slices.DeleteFunc(slices.Clone(s.o.Orders.Orders(name)), func(o health.Override) bool { return !o.Live(at) })
}

func overrideStatuses(list []health.Override) []OverrideStatus {
	out := make([]OverrideStatus, len(list))
	for i := range list {
		out[i] = *overrideOf(&list[i])
	}
	return out
}

func orderStatuses(list []health.Override) []OrderStatus {
	out := make([]OrderStatus, len(list))
	for i := range list {
		out[i] = OrderStatus{*overrideOf(&list[i]), list[i].Profile, list[i].Endpoint}
	}
	return out
}

// newID sorts by time and collides with nobody: milliseconds in hexadecimal, then 64 random bits.
func newID(at time.Time) (string, error) {
	var dice [8]byte
	if _, err := rand.Read(dice[:]); err != nil {
		return "", err
	}
	return fmt.Sprintf("%012x-%s", at.UnixMilli(), hex.EncodeToString(dice[:])), nil
}
