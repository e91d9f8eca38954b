package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"jurymast/internal/health"
	"jurymast/internal/store"
)

// decisionWriters is how many commits of decisions are under way side by side, decisionBatch how many decisions one of
// them carries at most: after a start or the loss of a site thousands wait.
const (
	decisionWriters = 4
	decisionBatch   = 32
)

// lossEvery is how often a decision that is lost again and again is logged.
const lossEvery = time.Minute

type decisionWrite struct {
	profile string
	next    health.Decision
	prev    int64
}

// losses are the lost writes of one profile since the last one that was written.
type losses struct {
	n      int
	logged time.Time
}

// errNotLeading: a decision is the leader's alone to write.
var errNotLeading = errors.New("this node does not lead")

// WriteDecision queues a compare-and-swap of a decision against its stored revision. Success shows as a Decision
// event, failure as DecisionFailed.
func (c *Cluster) WriteDecision(profile string, next health.Decision, prev int64) {
	c.out.mu.Lock()
	c.out.backlog = append(c.out.backlog, decisionWrite{profile, next, prev})
	c.out.mu.Unlock()
	c.out.more()
}

// more wakes one writer of decisions; who takes one of several wakes the next.
func (o *outbox) more() {
	select {
	case o.waiting <- struct{}{}:
	default:
	}
}

// nextDecisions takes what waits, up to a batch, each profile once.
func (o *outbox) nextDecisions() []decisionWrite {
	o.mu.Lock()
	defer o.mu.Unlock()
	taken := map[string]bool{}
	n := 0
	for n < len(o.backlog) && n < decisionBatch && !taken[o.backlog[n].profile] {
		taken[o.backlog[n].profile] = true
		n++
	}
	batch := o.backlog[:n:n]
	o.backlog = o.backlog[n:]
	if len(o.backlog) > 0 {
		o.more()
	}
	return batch
}

func (o *outbox) allDecisions() []decisionWrite {
	o.mu.Lock()
	defer o.mu.Unlock()
	all := o.backlog
	o.backlog = nil
	return all
}

// writeDecisions is one of several workers; each takes the next decision by itself, so nobody waits to hand one over.
func (c *Cluster) writeDecisions(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-c.out.waiting:
		}
		for batch := c.out.nextDecisions(); len(batch) > 0 && ctx.Err() == nil; batch = c.out.nextDecisions() {
			_ = c.writeBatch(ctx, batch) // told to whoever wants the decisions
		}
	}
}

// writeBatch writes decisions in one commit. When one of them is lost or refused, each is tried by itself.
func (c *Cluster) writeBatch(ctx context.Context, batch []decisionWrite) error {
	rev, ok, err := c.commitDecisions(ctx, batch)
	switch {
	case len(batch) > 1 && (refused(err) || err == nil && !ok):
		for i := range batch {
			err := c.writeBatch(ctx, batch[i:i+1])
			if rest := batch[i+1:]; len(rest) > 0 && err != nil && !refused(err) && !errors.Is(err, errNotLeading) {
				c.failDecisions(rest, err) // the store went away meanwhile
				return err
			}
		}
		return nil
	case err != nil:
		failed := batch
		if !refused(err) && !errors.Is(err, errNotLeading) {
			// What waits would only wait for a timeout of its own. Whoever wants it tries again.
			failed = append(failed, c.out.allDecisions()...)
		}
		c.failDecisions(failed, err)
	case !ok:
		c.loseDecision(batch[0])
	default:
		for _, w := range batch {
			c.noteWrite(w.profile, nil)
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, w := range batch {
			delete(c.lost, w.profile)
			c.emit(Decision{Profile: w.profile, Decision: w.next, Rev: rev})
		}
	}
	return err
}

// failDecisions tells that decisions could not be written, the first of which was tried.
func (c *Cluster) failDecisions(failed []decisionWrite, err error) {
	w := failed[0]
	c.o.Logger.Warn("decision not written", "profile", w.profile, "epoch", w.next.Epoch, "waiting", len(failed)-1, "error", err)
	for _, w := range failed {
		c.noteWrite(w.profile, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, w := range failed {
		c.emit(DecisionFailed{Profile: w.profile, Epoch: w.next.Epoch})
	}
}

// loseDecision tells that somebody else's write came first. That happens when the chair changes hands; again and again
// it means that this node and the store do not mean the same revision, which an operator should see.
func (c *Cluster) loseDecision(w decisionWrite) {
	c.noteWrite(w.profile, nil)
	c.mu.Lock()
	defer c.mu.Unlock()
	l := c.lost[w.profile]
	if l.n++; l.n > 1 && time.Since(l.logged) >= lossEvery {
		l.logged = time.Now()
		c.o.Logger.Warn("decision lost again to another write", "profile", w.profile, "epoch", w.next.Epoch, "against", w.prev, "times", l.n)
	}
	c.lost[w.profile] = l
	c.emit(DecisionFailed{Profile: w.profile, Epoch: w.next.Epoch, Lost: true})
}

// refused: the write itself is at fault, the store is not.
func refused(err error) bool {
	return errors.Is(err, store.ErrTooLarge) || errors.Is(err, store.ErrInvalid)
}

// commitDecisions writes decisions and their journal entries in one commit, under the condition that this node still leads.
func (c *Cluster) commitDecisions(ctx context.Context, batch []decisionWrite) (int64, bool, error) {
	fence, leads := c.fence()
	if !leads {
		return 0, false, fmt.Errorf("%w: %w", store.ErrUnavailable, errNotLeading)
	}
	conds := []store.Cond{fence}
	var ops []store.Op
	for i := range batch {
		w := &batch[i]
		val, err := json.Marshal(w.next)
		if err != nil {
			return 0, false, err
		}
		conds = append(conds, store.Cond{Key: keyDecision(w.profile), Rev: w.prev})
		ops = append(ops, store.Put(keyDecision(w.profile), val))
		if c.switches(*w) {
			ops = append(ops, c.entryOp(health.Entry{
				At: w.next.Since, Node: c.o.Node.Name, Kind: health.EntryDecision, Profile: w.profile,
				From: w.next.Previous, To: w.next.Active, Epoch: w.next.Epoch, Reason: w.next.Reason, Note: w.next.Evidence,
			}))
		}
	}
	ctx, cancel := context.WithTimeout(ctx, c.o.WriteTimeout)
	defer cancel()
	return c.o.Store.Commit(ctx, conds, ops)
}

// switches: the write names another active endpoint, it is not only a note that failback is pending.
func (c *Cluster) switches(w decisionWrite) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return w.next.Epoch > c.st.epochs[w.profile]
}
