package mem

import (
	"context"
	"fmt"
	"sync"
	"time"

	"jurymast/internal/store"
)

type kind int

const (
	read kind = iota
	write
)

// faults are what is wrong between one client and the store.
//
//	partitioned   calls wait for their context, CallTimeout or the healing; watches stall, then end with an error
//	down          calls fail at once, watches end at once
//	writeStall    writes wait for their context or the end of the stall (no CallTimeout); reads work
//	full          writes fail at once; reads work
//	lose          so many commits are applied but answered with an error
//	delay         sleeps before every call and every delivery of a watch
type faults struct {
	mu          sync.Mutex
	partitioned bool
	down        bool
	writeStall  bool
	full        bool
	closed      bool
	lose        int
	delay       func() time.Duration
}

// SetPartitioned cuts the client off (true) or heals it. Watches that lived through a partition end with ErrUnavailable.
func (c *Client) SetPartitioned(on bool) { c.set(func(f *faults) { f.partitioned = on }) }

// SetDown makes everything fail at once, as if connections were refused.
func (c *Client) SetDown(on bool) { c.set(func(f *faults) { f.down = on }) }

// SetWriteStall makes writes hang until their context ends, as a stalled disk does.
func (c *Client) SetWriteStall(on bool) { c.set(func(f *faults) { f.writeStall = on }) }

// SetFull makes writes fail at once, as a full disk does.
func (c *Client) SetFull(on bool) { c.set(func(f *faults) { f.full = on }) }

// SetDelay delays every call and every watch delivery by what f returns; nil is no delay.
func (c *Client) SetDelay(f func() time.Duration) { c.set(func(fs *faults) { fs.delay = f }) }

// LoseReply makes the next n commits that reach the store answer ErrUnavailable although they were handled.
func (c *Client) LoseReply(n int) { c.set(func(f *faults) { f.lose = n }) }

// Close ends this client alone; its calls and watches answer ErrClosed. Leases run out on their own.
func (c *Client) Close() error {
	c.set(func(f *faults) { f.closed = true })
	return nil
}

// Name is the node's name.
func (c *Client) Name() string { return c.name }

func (c *Client) set(change func(*faults)) {
	c.faults.mu.Lock()
	defer c.faults.mu.Unlock()
	change(&c.faults)
	close(c.turned)
	c.turned = make(chan struct{})
}

func (c *Client) turn() <-chan struct{} {
	c.faults.mu.Lock()
	defer c.faults.mu.Unlock()
	return c.turned
}

func (c *Client) replyLost() bool {
	c.faults.mu.Lock()
	defer c.faults.mu.Unlock()
	if c.faults.lose == 0 {
		return false
	}
	c.faults.lose--
	return true
}

func (c *Client) unavailable(why string) error {
	return fmt.Errorf("mem store, node %s: %s: %w", c.name, why, store.ErrUnavailable)
}

// sleep waits the configured delay.
func (c *Client) sleep(ctx context.Context) error {
	c.faults.mu.Lock()
	f := c.faults.delay
	c.faults.mu.Unlock()
	if f == nil {
		return ctx.Err()
	}
	d := f()
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// enter is passed by every call before it reaches the store; nil lets it through.
func (c *Client) enter(ctx context.Context, k kind) error {
	if err := c.sleep(ctx); err != nil {
		return fmt.Errorf("mem store, node %s: %w", c.name, err)
	}
	limit := time.NewTimer(c.s.opts.CallTimeout)
	defer limit.Stop()
	for {
		hang, giveUp, turned, err := c.look(k)
		if err != nil || !hang {
			return err
		}
		expired := limit.C
		if !giveUp {
			expired = nil
		}
		select {
		case <-turned:
		case <-c.s.closed:
		case <-expired:
			return c.unavailable("no answer")
		case <-ctx.Done():
			return fmt.Errorf("mem store, node %s: no answer: %w: %w", c.name, store.ErrUnavailable, ctx.Err())
		}
	}
}

// look says what the faults make of a call now: fail, hang (with or without a limit) or pass.
func (c *Client) look(k kind) (hang, giveUp bool, turned <-chan struct{}, err error) {
	c.faults.mu.Lock()
	defer c.faults.mu.Unlock()
	f := &c.faults
	switch {
	case f.closed || c.s.isClosed():
		return false, false, nil, fmt.Errorf("mem store, node %s: %w", c.name, store.ErrClosed)
	case f.down:
		return false, false, nil, c.unavailable("down")
	case f.partitioned:
		return true, true, c.turned, nil
	case k == write && f.full:
		return false, false, nil, c.unavailable("no space left")
	case k == write && f.writeStall:
		return true, false, c.turned, nil
	}
	return false, false, nil, nil
}

// passWatch returns at once on a healthy way. On a partitioned one it waits for the healing or WatchTimeout and
// returns the error that ends the watch.
func (c *Client) passWatch(ctx context.Context) error {
	limit := time.NewTimer(c.s.opts.WatchTimeout)
	defer limit.Stop()
	cut := false
	for {
		hang, _, turned, err := c.look(read)
		if err != nil {
			return err
		}
		if !hang {
			if cut {
				return c.unavailable("connection lost")
			}
			return nil
		}
		cut = true
		select {
		case <-ctx.Done():
			return nil
		case <-limit.C:
			return c.unavailable("no answer")
		case <-turned:
		case <-c.s.closed:
		}
	}
}

// deliver hands a batch over, late if so configured; false when ctx ended or the faults changed meanwhile.
func (c *Client) deliver(ctx context.Context, out chan<- store.Batch, b store.Batch) bool {
	turned := c.turn()
	if c.sleep(ctx) != nil {
		return false
	}
	select {
	case <-turned:
		return false
	default:
	}
	select {
	case out <- b:
		return true
	case <-turned:
		return false
	case <-ctx.Done():
		return false
	case <-c.s.closed:
		return false
	}
}
