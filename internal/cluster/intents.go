package cluster

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"jurymast/internal/health"
	"jurymast/internal/store"
)

// Book is what operators have ordered, as this node knows it.
type Book struct {
	Orders []health.Override    // in id order; one per target, and orders of one act share their id. Expired ones are among them
	Begun  map[string]time.Time // when the last change began, of the profiles that somebody asked to remember
}

// OrderChange is one change of orders: all of it happens or nothing.
type OrderChange struct {
	Place, End []health.Override
	Begun      map[string]time.Time // replaces that of the book; keep it small
	By, Note   string               // who ends, and why; what is placed says so itself
	Reason     string               // kept with every journal entry
}

// intent is one key below intent/: one act of an operator, however many targets it names. It is never changed in place.
type intent struct {
	list []health.Override            // one per target, in the order's own order
	of   map[string][]health.Override // the same by profile
}

// intentRecord is an intent as stored. With one target it has the shape of the override itself.
type intentRecord struct {
	health.Override
	Targets []targetRecord `json:"targets,omitempty"`
}

type targetRecord struct {
	Profile  string `json:"profile"`
	Endpoint string `json:"endpoint,omitempty"`
}

// intentsRecord is the key that every change of orders writes and is conditional on, so that two nodes that take
// orders at the same instant cannot both judge by what was before.
type intentsRecord struct {
	Node  string               `json:"node"`
	Begun map[string]time.Time `json:"begun,omitempty"`
}

// Bounds of a change of orders.
const (
	transactTries  = 16
	journalTargets = 1000 // above it the journal has one entry per order, not one per target
)

// Transact changes orders by compare-and-swap. judge sees the book and says what to do, or why not; it is asked again
// when somebody else was faster. It returns when this node has seen the change, or a second later.
func (c *Cluster) Transact(ctx context.Context, judge func(Book) (OrderChange, error)) error {
	for range transactTries {
		s, book, intents, rev := c.book()
		if s == nil {
			return fmt.Errorf("%w: %s", store.ErrUnavailable, c.Trouble())
		}
		change, err := judge(book)
		if err != nil || len(change.Place) == 0 && len(change.End) == 0 {
			return err
		}
		written, ok, err := c.commitOrders(ctx, rev, intents, change)
		switch {
		case err != nil:
			return err
		case ok:
			_ = c.awaitIntents(ctx, s, time.Second, func(seen int64) bool { return seen >= written }) // it is written; who looks too early looks again
			return nil
		}
		if err := c.awaitIntents(ctx, s, newerWithin, func(seen int64) bool { return seen != rev }); err != nil {
			return err
		}
	}
	return fmt.Errorf("%w: others changed orders %d times in a row meanwhile; nothing was changed, try again", store.ErrUnavailable, transactTries)
}

// book is a consistent copy of what is known; the session is nil while out of reach.
func (c *Cluster) book() (*session, Book, map[string]intent, int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.session == nil {
		return nil, Book{}, nil, 0
	}
	b := Book{Orders: c.st.ordersOf(""), Begun: maps.Clone(c.st.begun)}
	return c.session, b, maps.Clone(c.st.intents), c.st.intentsRev
}

// awaitIntents waits until the watch has shown a change of orders that done accepts.
func (c *Cluster) awaitIntents(ctx context.Context, s *session, within time.Duration, done func(rev int64) bool) error {
	limit := time.NewTimer(within)
	defer limit.Stop()
	for {
		c.mu.Lock()
		seen, over := c.st.intentsRev, c.session != s
		c.mu.Unlock()
		switch {
		case done(seen):
			return nil
		case over:
			return fmt.Errorf("%w: the session ended while orders were changed; look before you try again", store.ErrUnavailable)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-limit.C:
			return fmt.Errorf("%w: somebody else changed orders, but for %v the store has not shown how; nothing was changed, try again", store.ErrUnavailable, within)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// commitOrders writes a change, with its journal entries as far as they fit, in one commit.
func (c *Cluster) commitOrders(ctx context.Context, rev int64, intents map[string]intent, change OrderChange) (int64, bool, error) {
	val, err := json.Marshal(intentsRecord{Node: c.o.Node.Name, Begun: change.Begun})
	if err != nil {
		return 0, false, err
	}
	ops := []store.Op{store.Put(keyIntents, val)}
	placed, err := placing(change.Place)
	if err != nil {
		return 0, false, err
	}
	ended, err := ending(intents, change.End)
	if err != nil {
		return 0, false, err
	}
	ops = slices.Concat(ops, placed, ended)
	if len(ops) > store.MaxOps {
		return 0, false, fmt.Errorf("%d orders would be placed or ended at once, at most %d are possible; select fewer: %w", len(ops)-1, store.MaxOps-1, store.ErrTooLarge)
	}
	entries := c.orderEntries(change)
	now := len(ops) + len(entries)
	for i := range entries {
		ops = append(ops, c.entryOp(entries[i]))
	}
	now = fitting(ops, min(now, store.MaxOps), func(o store.Op) store.Op { return o })
	now = max(now, len(ops)-len(entries)) // the orders themselves are never split; too large is refused by the store
	written, ok, err := c.o.Store.Commit(ctx, []store.Cond{{Key: keyIntents, Rev: rev}}, ops[:now])
	if later := ops[now:]; err == nil && ok && len(later) > 0 {
		c.out.put(func(q *pending) { q.journal = append(q.journal, later...) })
	}
	return written, ok, err
}

// placing are the writes of new orders, one per id.
func placing(place []health.Override) ([]store.Op, error) {
	var ops []store.Op
	for _, list := range byID(place) {
		op, err := intentOp(list)
		if err != nil {
			return nil, err
		}
		ops = append(ops, op)
	}
	return ops, nil
}

// ending are the writes that end orders: an intent loses the targets that are named, and goes with the last one.
func ending(intents map[string]intent, end []health.Override) ([]store.Op, error) {
	var ops []store.Op
	for _, list := range byID(end) {
		id := list[0].ID
		named := make(map[targetRecord]bool, len(list))
		for i := range list {
			named[targetRecord{list[i].Profile, list[i].Endpoint}] = true
		}
		left := slices.DeleteFunc(slices.Clone(intents[id].list), func(o health.Override) bool { return named[targetRecord{o.Profile, o.Endpoint}] })
		if len(left) == 0 {
			ops = append(ops, store.Delete(keyIntent(id)))
			continue
		}
		op, err := intentOp(left)
		if err != nil {
			return nil, err
		}
		ops = append(ops, op)
	}
	return ops, nil
}

// byID groups orders that belong to one intent, in the order they come.
func byID(list []health.Override) [][]health.Override {
	at := map[string]int{}
	var out [][]health.Override
	for i := range list {
		n, known := at[list[i].ID]
		if !known {
			n = len(out)
			at[list[i].ID] = n
			out = append(out, nil)
		}
		out[n] = append(out[n], list[i])
	}
	return out
}

// intentOp writes one intent. An order that is used up by what it causes names one target, because its end is the end
// of the key.
func intentOp(list []health.Override) (store.Op, error) {
	r := intentRecord{Override: list[0]}
	if len(list) > 1 {
		if r.Act == health.FailbackNow {
			return store.Op{}, fmt.Errorf("order %s: %v names %d targets, 1 is possible: %w", r.ID, r.Act, len(list), store.ErrInvalid)
		}
		r.Profile, r.Endpoint = "", ""
		r.Targets = make([]targetRecord, len(list))
		for i := range list {
			r.Targets[i] = targetRecord{list[i].Profile, list[i].Endpoint}
		}
	}
	val, err := json.Marshal(r)
	return store.Put(keyIntent(r.ID), val), err
}

// readIntent expands a stored intent; ok is false for what is none.
func readIntent(id string, value []byte) (in intent, ok bool) {
	var r intentRecord
	if json.Unmarshal(value, &r) != nil || r.ID != id || r.Act == 0 {
		return in, false
	}
	if len(r.Targets) == 0 {
		r.Targets = []targetRecord{{r.Profile, r.Endpoint}}
	}
	in.of = map[string][]health.Override{}
	for _, t := range r.Targets {
		if t.Profile == "" && r.Act != health.OpenGate {
			continue
		}
		o := r.Override
		o.Profile, o.Endpoint = t.Profile, t.Endpoint
		in.list = append(in.list, o)
		in.of[o.Profile] = append(in.of[o.Profile], o)
	}
	return in, len(in.list) > 0
}

// orderEntries are the journal's entries of a change: one per target, or one per order when there are too many.
func (c *Cluster) orderEntries(change OrderChange) []health.Entry {
	at := time.Now().UTC()
	if len(change.Place) > 0 {
		at = change.Place[0].At // one change happens at one instant; what it replaces ends before it begins
	}
	begins := map[health.Override]bool{}
	for i := range change.Place {
		begins[slot(&change.Place[i])] = true
	}
	var replaced, ended []health.Override
	for i := range change.End {
		if begins[slot(&change.End[i])] {
			replaced = append(replaced, change.End[i])
		} else {
			ended = append(ended, change.End[i])
		}
	}
	var out []health.Entry
	add := func(list []health.Override, entry func(o *health.Override) health.Entry) {
		if len(list) <= journalTargets {
			for i := range list {
				out = append(out, entry(&list[i]))
			}
			return
		}
		for _, group := range byID(list) {
			e := entry(&group[0])
			e.Profile, e.Endpoint = "", ""
			e.Note = strings.TrimSpace(fmt.Sprintf("%s (%d targets)", e.Note, len(group)))
			out = append(out, e)
		}
	}
	add(replaced, func(o *health.Override) health.Entry {
		return health.Entry{
			At: at, Node: c.o.Node.Name, Kind: health.EntryAct, Profile: o.Profile, Endpoint: o.Endpoint, From: actWords(o), To: "replaced",
			By: change.By, Note: o.Note, Reason: change.Reason,
		}
	})
	add(change.Place, func(o *health.Override) health.Entry {
		return health.Entry{
			At: o.At, Node: c.o.Node.Name, Kind: health.EntryAct, Profile: o.Profile, Endpoint: o.Endpoint, To: actWords(o),
			By: o.By, Note: o.Note, Reason: change.Reason,
		}
	})
	add(ended, func(o *health.Override) health.Entry {
		return health.Entry{
			At: at, Node: c.o.Node.Name, Kind: health.EntryAct, Profile: o.Profile, Endpoint: o.Endpoint, From: actWords(o), To: "ended",
			By: change.By, Note: change.Note, Reason: change.Reason,
		}
	})
	return out
}

// slot is what only one order can hold: a new one in it replaces the old one. Both forces share theirs.
func slot(o *health.Override) health.Override {
	s := health.Override{Act: o.Act, Profile: o.Profile, Endpoint: o.Endpoint, Gate: o.Gate}
	if s.Act == health.ForceDown {
		s.Act = health.ForceUp
	}
	return s
}

func actWords(o *health.Override) string {
	if o.Gate != "" {
		return o.Act.String() + " " + o.Gate
	}
	return o.Act.String()
}

// Order places orders as one change, whatever else is ordered. The caller has checked them.
func (c *Cluster) Order(ctx context.Context, orders ...health.Override) error {
	return c.Transact(ctx, func(b Book) (OrderChange, error) {
		return OrderChange{Place: orders, Begun: b.Begun}, nil
	})
}

// EndOrders ends those of the orders that are there, as one change.
func (c *Cluster) EndOrders(ctx context.Context, by, note string, orders ...health.Override) error {
	return c.Transact(ctx, func(b Book) (OrderChange, error) {
		change := OrderChange{Begun: b.Begun, By: by, Note: note}
		for i := range orders {
			if slices.ContainsFunc(b.Orders, func(o health.Override) bool { return sameOrder(&o, &orders[i]) }) {
				change.End = append(change.End, orders[i])
			}
		}
		return change, nil
	})
}

func sameOrder(a, b *health.Override) bool {
	return a.ID == b.ID && a.Profile == b.Profile && a.Endpoint == b.Endpoint
}
