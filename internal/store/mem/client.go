package mem

import (
	"context"
	"fmt"
	"time"

	"jurymast/internal/store"
)

// Client is one node's way to the shared store, with the faults of that way.
type Client struct {
	s      *Store
	name   string
	faults faults
	turned chan struct{} // closed and replaced when a fault is switched; guarded by faults.mu
}

var (
	_ store.Store   = (*Client)(nil)
	_ store.Revoker = (*Client)(nil)
)

// Get implements store.Store.
func (c *Client) Get(ctx context.Context, key string) (store.KV, bool, error) {
	if err := c.enter(ctx, read); err != nil {
		return store.KV{}, false, fmt.Errorf("get %q: %w", key, err)
	}
	kv, ok := c.s.get(key)
	return kv, ok, nil
}

// List implements store.Store.
func (c *Client) List(ctx context.Context, prefix string) ([]store.KV, int64, error) {
	if err := c.enter(ctx, read); err != nil {
		return nil, 0, fmt.Errorf("list %q: %w", prefix, err)
	}
	kvs, rev := c.s.list(prefix)
	return kvs, rev, nil
}

// Commit implements store.Store.
func (c *Client) Commit(ctx context.Context, conds []store.Cond, ops []store.Op) (int64, bool, error) {
	if err := store.CheckCommit(conds, ops); err != nil {
		return 0, false, err
	}
	if err := c.enter(ctx, write); err != nil {
		return 0, false, fmt.Errorf("commit: %w", err)
	}
	rev, ok, err := c.s.commit(conds, ops)
	if err == nil && c.replyLost() {
		return 0, false, fmt.Errorf("commit: %w", c.unavailable("reply lost"))
	}
	return rev, ok, err
}

// Grant implements store.Store; the ttl is exact.
func (c *Client) Grant(ctx context.Context, ttl time.Duration) (store.Lease, error) {
	if ttl <= 0 {
		return nil, fmt.Errorf("grant a lease of %v: it must be positive: %w", ttl, store.ErrInvalid)
	}
	if err := c.enter(ctx, write); err != nil {
		return nil, fmt.Errorf("grant: %w", err)
	}
	return &held{c: c, id: c.s.grant(ttl).id}, nil
}

// RevokeID implements store.Revoker.
func (c *Client) RevokeID(ctx context.Context, id store.LeaseID) error {
	if err := c.enter(ctx, write); err != nil {
		return fmt.Errorf("revoke lease %d: %w", id, err)
	}
	return c.s.revoke(id)
}

type held struct {
	c  *Client
	id store.LeaseID
}

func (h *held) ID() store.LeaseID { return h.id }

// Renew is no write: like etcd, the store answers it from memory.
func (h *held) Renew(ctx context.Context) error {
	if err := h.c.enter(ctx, read); err != nil {
		return fmt.Errorf("renew lease %d: %w", h.id, err)
	}
	return h.c.s.renew(h.id)
}

func (h *held) Revoke(ctx context.Context) error { return h.c.RevokeID(ctx, h.id) }

// Watch implements store.Store.
func (c *Client) Watch(ctx context.Context, prefix string, after int64) <-chan store.Batch {
	out := make(chan store.Batch)
	go func() {
		defer close(out)
		if last, err := c.watch(ctx, prefix, after, out); err != nil {
			select {
			case out <- store.Batch{Rev: last, Err: fmt.Errorf("watch %q: %w", prefix, err)}:
			case <-ctx.Done():
			}
		}
	}()
	return out
}

// watch returns the revision it has delivered, and nil when ctx ended.
func (c *Client) watch(ctx context.Context, prefix string, after int64, out chan<- store.Batch) (int64, error) {
	delivered := after
	for {
		if err := c.passWatch(ctx); err != nil || ctx.Err() != nil {
			return delivered, err
		}
		events, rev, next, err := c.s.since(prefix, after)
		if err != nil {
			return delivered, err
		}
		if len(events) > 0 {
			b := store.Batch{Events: events, Rev: events[len(events)-1].Rev}
			if !c.deliver(ctx, out, b) {
				continue // ctx ended or a fault was switched: look again, from the same revision
			}
			delivered = b.Rev
		}
		after = rev
		select {
		case <-ctx.Done():
		case <-next:
		case <-c.turn():
		case <-c.s.closed:
		}
	}
}
