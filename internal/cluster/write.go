package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"time"

	"jurymast/internal/health"
	"jurymast/internal/store"
)

// journalBuffered is how many entries wait while the store cannot write; older ones are dropped first.
const journalBuffered = 2000

// pending is what waits to be written. Votes are kept per profile, the newest only. A journal entry has its key from the
// beginning, so that writing it again after a lost reply changes nothing.
type pending struct {
	votes   map[string]map[string]health.Vote
	asks    map[[2]string]bool
	acks    map[string]uint64 // by profile
	ends    map[string]bool
	journal []store.Op
	node    bool
}

func (q *pending) empty() bool {
	return len(q.votes) == 0 && len(q.asks) == 0 && len(q.acks) == 0 && len(q.ends) == 0 && len(q.journal) == 0 && !q.node
}

// outbox never blocks who puts into it.
type outbox struct {
	mu      sync.Mutex
	q       pending
	wake    chan struct{}
	backlog []decisionWrite
	waiting chan struct{} // has a token while somebody should look at the backlog
	seq     uint32
}

func (o *outbox) init() {
	o.wake = make(chan struct{}, 1)
	o.waiting = make(chan struct{}, 1)
	o.q = newPending()
}

func newPending() pending {
	return pending{votes: map[string]map[string]health.Vote{}, asks: map[[2]string]bool{}, acks: map[string]uint64{}, ends: map[string]bool{}}
}

func (o *outbox) put(f func(*pending)) {
	o.mu.Lock()
	f(&o.q)
	o.mu.Unlock()
	o.nudge()
}

// urgent: something waits that others act on at once.
func (o *outbox) urgent() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.q.node || len(o.q.asks)+len(o.q.acks) > 0
}

func (o *outbox) nudge() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

func (o *outbox) take() pending {
	o.mu.Lock()
	defer o.mu.Unlock()
	q := o.q
	o.q = newPending()
	return q
}

// giveBack returns what could not be written, unless something newer is there.
func (o *outbox) giveBack(old []outgoing) {
	// No nudge: who gives back tries again later, by the clock.
	o.mu.Lock()
	defer o.mu.Unlock()
	q := &o.q
	newer := q.journal
	q.journal = nil
	for i := range old {
		if old[i].back != nil {
			old[i].back(q)
		}
	}
	q.journal = append(q.journal, newer...)
	q.journal = q.journal[max(0, len(q.journal)-journalBuffered):]
}

// PublishVotes queues this node's votes of one profile.
func (c *Cluster) PublishVotes(profile string, votes map[string]health.Vote) {
	c.out.put(func(q *pending) { q.votes[profile] = votes })
}

// Ask queues a request to all nodes to look at an endpoint now.
func (c *Cluster) Ask(profile, endpoint string) {
	c.out.put(func(q *pending) { q.asks[[2]string{profile, endpoint}] = true })
}

// EndOrder queues the end of an order that is used up. Such an order has one target.
func (c *Cluster) EndOrder(id string) { c.out.put(func(q *pending) { q.ends[id] = true }) }

// Note queues a journal entry.
func (c *Cluster) Note(e health.Entry) {
	op := c.entryOp(e)
	c.out.put(func(q *pending) {
		q.journal = append(q.journal, op)
		q.journal = q.journal[max(0, len(q.journal)-journalBuffered):]
	})
}

// writeRest writes everything but decisions, in batches.
func (c *Cluster) writeRest(ctx context.Context) {
	trim := time.NewTicker(time.Minute)
	defer trim.Stop()
	flushed := make(chan flushResult, 1)
	busy := false
	var again <-chan time.Time // runs while the last flush has failed
	for {
		if !busy && again == nil && c.inSession() {
			if q := c.out.take(); !q.empty() {
				busy = true
				go func() { flushed <- flushResult{c.flush(ctx, q), len(q.votes)} }()
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-c.out.wake:
		case r := <-flushed:
			busy = false
			if !r.ok || r.votes > manyVotes && !c.out.urgent() {
				again = time.After(retryFlush)
			}
		case <-again:
			again = nil
		case <-trim.C:
			c.trim(ctx)
		}
	}
}

const retryFlush = 200 * time.Millisecond

// manyVotes in one flush mean that everything is being looked at, as after a start: then votes gather for a moment, and
// what changes again meanwhile is written once.
const manyVotes = 200

type flushResult struct {
	ok    bool
	votes int
}

func (c *Cluster) inSession() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.session != nil
}

// outgoing is one write on its way; back puts it into the next batch, nil: it would be of no use then.
type outgoing struct {
	op   store.Op
	back func(*pending)
}

// flush writes a batch; what could not be written goes back.
func (c *Cluster) flush(ctx context.Context, q pending) bool {
	if len(q.acks) > 0 {
		c.quiet()
	}
	out := c.outgoing(q)
	for len(out) > 0 {
		n := fitting(out, store.MaxOps, func(o outgoing) store.Op { return o.op })
		if err := c.flushChunk(ctx, out[:n]); err != nil {
			c.out.giveBack(out)
			return false
		}
		out = out[n:]
	}
	return true
}

// flushChunk writes what fits one commit. A store may allow less than we know of, so what it refuses is written in
// halves; a single write that is refused never could be written, and is dropped lest it hold up all others for ever.
func (c *Cluster) flushChunk(ctx context.Context, out []outgoing) error {
	ops := make([]store.Op, len(out))
	for i := range out {
		ops[i] = out[i].op
	}
	within, cancel := context.WithTimeout(ctx, 2*time.Second)
	_, _, err := c.o.Store.Commit(within, nil, ops)
	cancel()
	switch {
	case !refused(err):
		c.noteWrite("", err)
		return err
	case len(out) > 1:
		if err := c.flushChunk(ctx, out[:len(out)/2]); err != nil {
			return err
		}
		return c.flushChunk(ctx, out[len(out)/2:])
	}
	c.o.Logger.Error("dropped what the store never takes", "key", out[0].op.Key, "bytes", len(out[0].op.Value), "error", err)
	return nil
}

// commitBytes leaves room in a transaction for its conditions.
const commitBytes = store.MaxBytes - 64<<10

// fitting says how many of the first writes fit one commit of at most most operations; at least one.
func fitting[T any](all []T, most int, opOf func(T) store.Op) int {
	n, size := 0, 0
	for _, t := range all {
		o := opOf(t)
		size += len(o.Key) + len(o.Value)
		if n > 0 && (n == most || size > commitBytes) {
			break
		}
		n++
	}
	return n
}

// noteWrite remembers whether the store takes writes: a full disk refuses them while leases go on. what is the profile
// whose decision was written, "" for everything else: an alarm lasts until the decision that waits is written.
func (c *Cluster) noteWrite(what string, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err == nil || errors.Is(err, errNotLeading) { // somebody else's to write
		delete(c.unwritten, what)
		return
	}
	c.unwritten[what] = err.Error()
}

// outgoing makes writes of a batch.
func (c *Cluster) outgoing(q pending) []outgoing {
	var out []outgoing
	c.mu.Lock()
	var lease store.LeaseID
	if c.session != nil {
		lease = c.session.lease.ID()
	}
	node, _ := json.Marshal(c.o.Node) //nolint:errchkjson // plain struct
	c.mu.Unlock()
	if lease != 0 { // else what follows is told anew in the next session
		out = append(out, c.acknowledgements(&q, lease)...)
		for k := range q.asks {
			val, _ := json.Marshal(askRecord{Node: c.o.Node.Name}) //nolint:errchkjson // plain struct
			out = append(out, outgoing{op: store.PutLeased(keyAsk(k[0], k[1]), val, lease)})
		}
		if q.node {
			out = append(out, outgoing{store.PutLeased(keyNode(c.o.Node.Name), node, lease), func(q *pending) { q.node = true }})
		}
	}
	for profile, votes := range q.votes {
		val, _ := json.Marshal(votes) //nolint:errchkjson // plain struct
		out = append(out, outgoing{store.Put(keyVotes(c.o.Node.Name, profile), val), func(q *pending) {
			if _, newer := q.votes[profile]; !newer {
				q.votes[profile] = votes
			}
		}})
	}
	for id := range q.ends {
		out = append(out, outgoing{store.Delete(keyIntent(id)), func(q *pending) { q.ends[id] = true }})
	}
	for _, op := range q.journal {
		out = append(out, outgoing{op, func(q *pending) { q.journal = append(q.journal, op) }})
	}
	return out
}

func (c *Cluster) entryOp(e health.Entry) store.Op {
	c.out.mu.Lock()
	c.out.seq++
	seq := c.out.seq
	c.out.mu.Unlock()
	val, _ := json.Marshal(e) //nolint:errchkjson // plain struct
	return store.Put(inJournal+entryID(e.At, seq, e.Node), val)
}
