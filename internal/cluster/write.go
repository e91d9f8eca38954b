package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"jurymast/internal/health"
	"jurymast/internal/store"
)

// decisionWriters is how many decisions are written side by side.
const decisionWriters = 4

// journalBuffered is how many entries wait while the store cannot write; older ones are dropped first.
const journalBuffered = 2000

// pending is what waits to be written. Votes are kept per profile, the newest only.
type pending struct {
	votes   map[string]map[string]health.Vote
	asks    map[[2]string]bool
	ends    map[string]bool
	journal []health.Entry
	node    bool
}

func (q *pending) empty() bool {
	return len(q.votes) == 0 && len(q.asks) == 0 && len(q.ends) == 0 && len(q.journal) == 0 && !q.node
}

type decisionWrite struct {
	profile string
	next    health.Decision
	prev    int64
}

// outbox never blocks who puts into it.
type outbox struct {
	mu        sync.Mutex
	q         pending
	wake      chan struct{}
	decisions chan decisionWrite
	backlog   []decisionWrite
	seq       uint32
}

func (o *outbox) init() {
	o.wake = make(chan struct{}, 1)
	o.decisions = make(chan decisionWrite)
	o.q = newPending()
}

func newPending() pending {
	return pending{votes: map[string]map[string]health.Vote{}, asks: map[[2]string]bool{}, ends: map[string]bool{}}
}

func (o *outbox) put(f func(*pending)) {
	o.mu.Lock()
	f(&o.q)
	o.mu.Unlock()
	o.nudge()
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
func (o *outbox) giveBack(old pending) {
	// No nudge: who gives back tries again later, by the clock.
	o.mu.Lock()
	defer o.mu.Unlock()
	q := &o.q
	for k, v := range old.votes {
		if _, newer := q.votes[k]; !newer {
			q.votes[k] = v
		}
	}
	maps.Copy(q.ends, old.ends)
	q.journal = append(old.journal, q.journal...)
	q.journal = q.journal[max(0, len(q.journal)-journalBuffered):]
	q.node = q.node || old.node
}

// PublishVotes queues this node's votes of one profile.
func (c *Cluster) PublishVotes(profile string, votes map[string]health.Vote) {
	c.out.put(func(q *pending) { q.votes[profile] = votes })
}

// Ask queues a request to all nodes to look at an endpoint now.
func (c *Cluster) Ask(profile, endpoint string) {
	c.out.put(func(q *pending) { q.asks[[2]string{profile, endpoint}] = true })
}

// EndOrder queues the end of an order that is used up.
func (c *Cluster) EndOrder(id string) { c.out.put(func(q *pending) { q.ends[id] = true }) }

// Note queues a journal entry.
func (c *Cluster) Note(e health.Entry) {
	c.out.put(func(q *pending) {
		q.journal = append(q.journal, e)
		q.journal = q.journal[max(0, len(q.journal)-journalBuffered):]
	})
}

// WriteDecision queues a compare-and-swap of a decision against its stored revision. Success shows as a Decision
// event, failure as DecisionFailed.
func (c *Cluster) WriteDecision(profile string, next health.Decision, prev int64) {
	c.out.mu.Lock()
	c.out.backlog = append(c.out.backlog, decisionWrite{profile, next, prev})
	c.out.mu.Unlock()
	c.out.nudge()
}

func (o *outbox) nextDecision() (decisionWrite, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.backlog) == 0 {
		return decisionWrite{}, false
	}
	w := o.backlog[0]
	o.backlog = o.backlog[1:]
	return w, true
}

// writeDecisions is one of several workers; the dispatcher in writeRest hands them the backlog.
func (c *Cluster) writeDecisions(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case w := <-c.out.decisions:
			c.writeDecision(ctx, w)
		}
	}
}

func (c *Cluster) writeDecision(ctx context.Context, w decisionWrite) {
	rev, ok, err := c.commitDecision(ctx, w)
	c.noteWrite(w.profile, err)
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case err != nil:
		c.o.Logger.Warn("decision not written", "profile", w.profile, "epoch", w.next.Epoch, "error", err)
		c.emit(DecisionFailed{Profile: w.profile, Epoch: w.next.Epoch})
	case !ok:
		c.emit(DecisionFailed{Profile: w.profile, Epoch: w.next.Epoch, Lost: true})
	default:
		c.emit(Decision{Profile: w.profile, Decision: w.next, Rev: rev})
	}
}

// commitDecision writes decision and journal entry in one commit, under the condition that this node still leads.
func (c *Cluster) commitDecision(ctx context.Context, w decisionWrite) (int64, bool, error) {
	fence, leads := c.fence()
	if !leads {
		return 0, false, fmt.Errorf("%w: %w", store.ErrUnavailable, errNotLeading)
	}
	val, err := json.Marshal(w.next)
	if err != nil {
		return 0, false, err
	}
	ops := []store.Op{store.Put(keyDecision(w.profile), val)}
	if c.switches(w) {
		ops = append(ops, c.entryOp(health.Entry{
			At: w.next.Since, Node: c.o.Node.Name, Kind: health.EntryDecision, Profile: w.profile,
			From: w.next.Previous, To: w.next.Active, Epoch: w.next.Epoch, Reason: w.next.Reason, Note: w.next.Evidence,
		}))
	}
	ctx, cancel := context.WithTimeout(ctx, c.o.WriteTimeout)
	defer cancel()
	return c.o.Store.Commit(ctx, []store.Cond{fence, {Key: keyDecision(w.profile), Rev: w.prev}}, ops)
}

// switches: the write names another active endpoint, it is not only a note that failback is pending.
func (c *Cluster) switches(w decisionWrite) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return w.next.Epoch > c.st.epochs[w.profile]
}

func (c *Cluster) entryOp(e health.Entry) store.Op {
	c.out.mu.Lock()
	c.out.seq++
	seq := c.out.seq
	c.out.mu.Unlock()
	val, _ := json.Marshal(e) //nolint:errchkjson // plain struct
	return store.Put(inJournal+entryID(e.At, seq, e.Node), val)
}

// writeRest hands decisions to the workers and writes everything else in batches.
func (c *Cluster) writeRest(ctx context.Context) {
	trim := time.NewTicker(time.Minute)
	defer trim.Stop()
	flushed := make(chan bool, 1)
	busy := false
	var again <-chan time.Time // runs while the last flush has failed
	for {
		for {
			w, ok := c.out.nextDecision()
			if !ok {
				break
			}
			select {
			case c.out.decisions <- w:
			case <-ctx.Done():
				return
			}
		}
		if !busy && again == nil && c.inSession() {
			if q := c.out.take(); !q.empty() {
				busy = true
				go func() { flushed <- c.flush(ctx, q) }()
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-c.out.wake:
		case ok := <-flushed:
			busy = false
			if !ok {
				again = time.After(retryFlush)
			}
		case <-again:
			again = nil
		case <-trim.C:
			c.trimJournal(ctx)
		}
	}
}

const retryFlush = 200 * time.Millisecond

func (c *Cluster) inSession() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.session != nil
}

// flush writes a batch; what could not be written goes back.
func (c *Cluster) flush(ctx context.Context, q pending) bool {
	ops := c.opsOf(q)
	for chunk := range slices.Chunk(ops, store.MaxOps) {
		ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
		_, _, err := c.o.Store.Commit(ctx, nil, chunk)
		cancel()
		c.noteWrite("", err)
		if err != nil {
			c.out.giveBack(q)
			return false
		}
	}
	return true
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

// errNotLeading: a decision is the leader's alone to write.
var errNotLeading = errors.New("this node does not lead")

func (c *Cluster) opsOf(q pending) []store.Op {
	var ops []store.Op
	for profile, votes := range q.votes {
		val, _ := json.Marshal(votes) //nolint:errchkjson // plain struct
		ops = append(ops, store.Put(keyVotes(c.o.Node.Name, profile), val))
	}
	c.mu.Lock()
	var lease store.LeaseID
	if c.session != nil {
		lease = c.session.lease.ID()
	}
	node, _ := json.Marshal(c.o.Node) //nolint:errchkjson // plain struct
	c.mu.Unlock()
	if lease != 0 {
		for k := range q.asks {
			val, _ := json.Marshal(askRecord{Node: c.o.Node.Name}) //nolint:errchkjson // plain struct
			ops = append(ops, store.PutLeased(keyAsk(k[0], k[1]), val, lease))
		}
		if q.node {
			ops = append(ops, store.PutLeased(keyNode(c.o.Node.Name), node, lease))
		}
	}
	for id := range q.ends {
		ops = append(ops, store.Delete(keyIntent(id)))
	}
	for _, e := range q.journal {
		ops = append(ops, c.entryOp(e))
	}
	return ops
}

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
