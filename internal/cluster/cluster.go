package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"jurymast/internal/health"
	"jurymast/internal/store"
)

// Options of a Cluster. Lease and Renew default to 3 s and 1 s.
type Options struct {
	Store  store.Store
	Node   NodeRecord
	Lease  time.Duration
	Renew  time.Duration
	Listen func(Event) // called from one goroutine at a time; must not block
	Logger *slog.Logger
	// WriteTimeout bounds one write of a decision (default 2 s). A node alone uses a short one, because it acts
	// unwritten when its disk stalls.
	WriteTimeout time.Duration
	// Now is the clock that the lease is counted by; nil: time.Now.
	Now func() time.Time
	// Quiet returns when no request is being sent any more that was allowed before the call; nil: nobody sends. It is
	// asked before this node says to others that it has stopped, and must not block for long.
	Quiet func()
}

// Cluster is this node's part in the cluster. Run keeps it in session; the other methods may be called at any time
// and fail with store.ErrUnavailable while out of reach.
type Cluster struct {
	o   Options
	out outbox

	changing chan struct{} // holds a token while documents are changed: one change at a time
	attempts uint64        // guarded by changing

	claim atomic.Pointer[claim] // nil: out of session

	mu        sync.Mutex // guards what follows and the order of events
	st        state
	session   *session
	terms     uint64 // sessions so far
	reported  struct{ reachable, leader bool }
	trouble   string            // why there is no session
	unwritten map[string]string // why the last write of a decision (by profile) or of the rest ("") failed
	lost      map[string]losses // by profile
	torn      bool              // it was told that documents are incomplete
	secrets   secretsPart

	serialWake chan struct{} // serials of zones may have changed
}

// ErrFormat: the store was written by a version with another key layout.
var ErrFormat = errors.New("store holds another format")

// ErrNameTaken: a live node with the same name but another data directory is in the cluster.
var ErrNameTaken = errors.New("node name taken")

type session struct {
	lease     store.Lease
	term      uint64
	sent      time.Time // when the last successful renewal was sent
	leaderRev int64     // revision of the leader key while it is ours, else 0
}

type meta struct {
	Format  int    `json:"format"`
	Cluster string `json:"cluster"`
}

// New returns a cluster member; nothing happens before Run.
func New(o Options) *Cluster {
	if o.Lease == 0 {
		o.Lease = 3 * time.Second
	}
	if o.Renew == 0 {
		o.Renew = time.Second
	}
	if o.WriteTimeout == 0 {
		o.WriteTimeout = 2 * time.Second
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	c := &Cluster{o: o, st: newState(), changing: make(chan struct{}, 1), unwritten: map[string]string{}, lost: map[string]losses{}}
	c.out.init()
	c.secrets.init()
	c.serialWake = make(chan struct{}, 1)
	return c
}

// Run keeps the node in session until ctx ends, then hands its lease back, bounded by one second. It only returns
// early with ErrFormat: trying again would not help.
func (c *Cluster) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	var writers sync.WaitGroup
	defer writers.Wait()
	defer cancel()
	for range decisionWriters {
		writers.Go(func() { c.writeDecisions(ctx) })
	}
	writers.Go(func() { c.writeRest(ctx) })
	for pause := 100 * time.Millisecond; ; pause = min(2*pause, 2*time.Second) {
		began := time.Now()
		err := c.runSession(ctx)
		if ctx.Err() != nil || errors.Is(err, ErrFormat) {
			return err
		}
		if time.Since(began) > 10*time.Second {
			pause = 100 * time.Millisecond
		}
		c.mu.Lock()
		c.trouble = err.Error()
		c.emit(SessionFailed{Err: err})
		c.mu.Unlock()
		c.o.Logger.Warn("store session ended, trying again", "error", err, "after", pause)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
	}
}

// runSession connects, registers, lists, watches, and returns when the session is over.
func (c *Cluster) runSession(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	setup, done := context.WithTimeout(ctx, 10*time.Second)
	defer done()
	if err := c.checkMeta(setup); err != nil {
		return err
	}
	if err := c.revokeEarlier(setup); err != nil {
		return err
	}
	s := &session{sent: c.o.Now()}
	lease, err := c.o.Store.Grant(setup, c.o.Lease)
	if err != nil {
		return fmt.Errorf("grant lease: %w", err)
	}
	s.lease = lease
	defer c.handBack(lease)
	defer c.leave() // first stop believing, then hand back: the other way round there were two leaders for a second
	if err := c.register(setup, lease.ID()); err != nil {
		return err
	}
	kvs, rev, err := c.o.Store.List(setup, root)
	if err != nil {
		return fmt.Errorf("list: %w", err)
	}
	watch := c.o.Store.Watch(ctx, root, rev)
	c.enter(s, kvs)
	return c.follow(ctx, s, watch)
}

// checkMeta refuses a store of another format before anything is written.
func (c *Cluster) checkMeta(ctx context.Context) error {
	kv, ok, err := c.o.Store.Get(ctx, keyMeta)
	if err != nil {
		return fmt.Errorf("read meta: %w", err)
	}
	if !ok {
		val, _ := json.Marshal(meta{Format: Format, Cluster: c.o.Node.Instance}) //nolint:errchkjson // plain struct
		_, _, err = c.o.Store.Commit(ctx, []store.Cond{{Key: keyMeta}}, []store.Op{store.Put(keyMeta, val)})
		return err
	}
	var m meta
	if err := json.Unmarshal(kv.Value, &m); err != nil || m.Format != Format {
		return fmt.Errorf("%w: %s says %q, this build knows format %d; nothing was changed: use the build that wrote it, or another store", ErrFormat, keyMeta, kv.Value, Format)
	}
	return nil
}

// revokeEarlier ends the lease of this node's earlier life, so that nobody waits for it. A live node of the same name
// with another data directory is a mistake of the operator and is not disturbed.
func (c *Cluster) revokeEarlier(ctx context.Context) error {
	kv, ok, err := c.o.Store.Get(ctx, keyNode(c.o.Node.Name))
	if err != nil || !ok {
		return err
	}
	var was NodeRecord
	if err := json.Unmarshal(kv.Value, &was); err == nil && was.Instance != c.o.Node.Instance {
		return fmt.Errorf("%w: a live node is already called %q; give this one another node.name", ErrNameTaken, c.o.Node.Name)
	}
	if r, can := c.o.Store.(store.Revoker); can && kv.Lease != 0 {
		if err := r.RevokeID(ctx, kv.Lease); err != nil && !errors.Is(err, store.ErrLeaseLost) {
			return fmt.Errorf("revoke the earlier lease: %w", err)
		}
	}
	return nil
}

// register makes the node live and takes back what it had voted before: old votes would count from this moment on, and
// say nothing about now.
func (c *Cluster) register(ctx context.Context, id store.LeaseID) error {
	c.mu.Lock()
	val, _ := json.Marshal(c.o.Node) //nolint:errchkjson // plain struct
	c.mu.Unlock()
	ops := []store.Op{store.PutLeased(keyNode(c.o.Node.Name), val, id), store.DeletePrefix(keyVotes(c.o.Node.Name, ""))}
	if _, _, err := c.o.Store.Commit(ctx, nil, ops); err != nil {
		return fmt.Errorf("register node: %w", err)
	}
	return nil
}

// enter takes the listed state as this node's picture and tells it as events.
func (c *Cluster) enter(s *session, kvs []store.KV) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.terms++
	s.term, c.session = c.terms, s
	c.claimLease(s)
	c.st.reset(kvs, c.o.Node.Name, c.emit)
	c.noteTorn()
	c.report(true, s.leaderRev != 0)
	c.secrets.nudge()
	c.nudgeSerials()
	c.out.nudge()
}

// leave ends the session's claims at once.
func (c *Cluster) leave() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.session = nil
	c.claim.Store(nil)
	clear(c.unwritten)
	c.report(false, false)
}

func (c *Cluster) handBack(lease store.Lease) {
	c.quiet() // whoever sees the lease gone may send elsewhere at once
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = lease.Revoke(ctx) // it runs out by itself otherwise
}

// report tells role and reachability when they changed; the caller holds mu.
func (c *Cluster) report(reachable, leader bool) {
	if c.reported.leader && !leader {
		c.reported.leader = false
		c.emit(Role{})
	}
	if c.reported.reachable != reachable {
		c.reported.reachable = reachable
		c.emit(Reachable{reachable, c.terms})
	}
	if leader && !c.reported.leader {
		c.reported.leader = true
		c.emit(Role{Leader: true})
	}
}

// emit tells an event; the caller holds mu. A decision that is seen in the store is written, whatever its writer was told.
func (c *Cluster) emit(e Event) {
	if d, ok := e.(Decision); ok {
		delete(c.unwritten, d.Profile)
	}
	c.o.Listen(e)
}

// follow renews the lease and applies watch batches until either fails.
func (c *Cluster) follow(ctx context.Context, s *session, watch <-chan store.Batch) error {
	renewed := make(chan error, 1)
	tick := time.NewTicker(c.o.Renew)
	defer tick.Stop()
	believe := c.believe()
	left := func() time.Duration { return s.sent.Add(believe).Sub(c.o.Now()) }
	expire := time.NewTimer(left())
	defer expire.Stop()
	busy := false
	var sent time.Time
	chair := candidate{done: make(chan struct{}, 1)}
	for {
		// At the beginning, after every change and at least with every renewal: a try that failed is not the last one.
		if c.vacant() {
			chair.run(func() { c.campaign(ctx, s) })
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case b, open := <-watch:
			if !open {
				return store.ErrUnavailable
			}
			if b.Err != nil {
				return fmt.Errorf("watch: %w", b.Err)
			}
			c.apply(s, b)
			chair.tried = false // it may have been taken and left since
		case <-chair.done:
			chair.busy = false
		case <-tick.C:
			chair.tried = false
			if !busy {
				busy, sent = true, c.o.Now()
				go func() { renewed <- c.renew(ctx, s) }()
			}
		case err := <-renewed:
			busy = false
			if errors.Is(err, store.ErrLeaseLost) {
				return fmt.Errorf("renew: %w", err)
			}
			if err == nil {
				s.sent = sent
				c.claimLease(s)
				expire.Reset(left())
			}
		case <-expire.C:
			if more := left(); more > 0 { // the lease is counted by another clock than timers
				expire.Reset(more)
				continue
			}
			return fmt.Errorf("%w: no renewal succeeded for %v", store.ErrLeaseLost, believe)
		}
	}
}

func (c *Cluster) renew(ctx context.Context, s *session) error {
	ctx, cancel := context.WithTimeout(ctx, c.o.Lease)
	defer cancel()
	return s.lease.Renew(ctx)
}

// SetBlind says whether this node's own sight is lost.
func (c *Cluster) SetBlind(blind bool) {
	c.mu.Lock()
	c.o.Node.Blind = blind
	c.mu.Unlock()
	c.out.put(func(q *pending) { q.node = true })
}

// Trouble says in one line why this node has no session with the store, "" while it has one.
func (c *Cluster) Trouble() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.session != nil:
		return ""
	case c.trouble == "":
		return "no session with it yet"
	}
	return c.trouble
}

// Unwritten says in one line why the store does not take this node's writes, "" when it does. What waits is tried
// again, so it ends with the cause.
func (c *Cluster) Unwritten() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, what := range slices.Sorted(maps.Keys(c.unwritten)) {
		return c.unwritten[what]
	}
	return ""
}

// Leader is the name of the leading node, "" when unknown.
func (c *Cluster) Leader() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.st.leader
}

// Nodes are the live nodes as of the last session, in name order.
func (c *Cluster) Nodes() []NodeRecord {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.st.members()
}

// Orders of a profile, or of all with "", in id order.
func (c *Cluster) Orders(profile string) []health.Override {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.st.ordersOf(profile)
}
