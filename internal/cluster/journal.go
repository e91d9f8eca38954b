package cluster

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"jurymast/internal/health"
	"jurymast/internal/store"
)

// Order writes one order of an operator, with its journal entry, in one commit. The caller has checked it.
func (c *Cluster) Order(ctx context.Context, orders ...health.Override) error {
	var ops []store.Op
	for i := range orders {
		o := &orders[i]
		val, err := json.Marshal(o)
		if err != nil {
			return err
		}
		ops = append(ops, store.Put(keyIntent(o.ID), val), c.entryOp(health.Entry{
			At: o.At, Node: c.o.Node.Name, Kind: health.EntryAct, Profile: o.Profile, Endpoint: o.Endpoint, To: o.Act.String(), By: o.By, Note: o.Note,
		}))
	}
	_, _, err := c.o.Store.Commit(ctx, nil, ops)
	return err
}

// EndOrders removes orders of an operator, with journal entries, in one commit.
func (c *Cluster) EndOrders(ctx context.Context, by, note string, orders ...health.Override) error {
	var ops []store.Op
	for i := range orders {
		o := &orders[i]
		ops = append(ops, store.Delete(keyIntent(o.ID)), c.entryOp(health.Entry{
			At: time.Now().UTC(), Node: c.o.Node.Name, Kind: health.EntryAct, Profile: o.Profile, Endpoint: o.Endpoint, From: o.Act.String(), To: "ended", By: by, Note: note,
		}))
	}
	if len(ops) == 0 {
		return nil
	}
	_, _, err := c.o.Store.Commit(ctx, nil, ops)
	return err
}

// Journal returns the newest entries, oldest first, at most limit (0: all at hand) that match.
func (c *Cluster) Journal(limit int, match func(*health.Entry) bool) []health.Entry {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []health.Entry
	for i := len(c.st.journal) - 1; i >= 0 && (limit == 0 || len(out) < limit); i-- {
		if match == nil || match(&c.st.journal[i]) {
			out = append(out, c.st.journal[i])
		}
	}
	slices.Reverse(out)
	return out
}

// trimJournal keeps the journal in the store to its cap, and sweeps expired orders; the leader does it.
func (c *Cluster) trimJournal(ctx context.Context) {
	if _, leads := c.fence(); !leads {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	kvs, _, err := c.o.Store.List(ctx, inJournal)
	if err != nil {
		return
	}
	var ops []store.Op
	for _, kv := range kvs[:max(0, len(kvs)-journalKept)] {
		ops = append(ops, store.Delete(kv.Key))
	}
	now := time.Now()
	for _, o := range c.Orders("") {
		if !o.Live(now) {
			ops = append(ops, store.Delete(keyIntent(o.ID)))
		}
	}
	for chunk := range slices.Chunk(ops, store.MaxOps) {
		if _, _, err := c.o.Store.Commit(ctx, nil, chunk); err != nil {
			return
		}
	}
}
