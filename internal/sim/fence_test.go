package sim_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"jurymast/internal/engine"
	"jurymast/internal/health"
	"jurymast/internal/profile"
	"jurymast/internal/steer"
	"jurymast/internal/store"
	"jurymast/internal/store/mem"
)

// fences holds the promise of fencing: strict: no two nodes may send to two endpoints of one profile at the same true
// time. Each node's front is modelled as the proxy is made: it goes by the view that is published now, and looks at the
// lease right before it sends. Clocks run at rates of 0.92 to 1.08, replies come late, loops stand still while fronts go on.
type fences struct {
	mu     sync.Mutex
	nodes  map[*node]*health.View // that are alive, with the last good state they began with
	views  map[*health.View]string
	faulty fault
}

// fault is something left out on purpose, to see that the simulation notices.
type fault string

const (
	faultNoAcks      fault = "the leader does not wait for acknowledgements"
	faultNoLease     fault = "fronts do not look at the lease"
	faultNoTerm      fault = "fronts look at the lease, whichever session it belongs to"
	faultRestart     fault = "a node goes by its last good state after a restart"
	faultSlowClock   fault = "clocks run at a third of the rate"
	faultAckTooEarly fault = "nodes acknowledge before their view is published"
)

func (w *world) strict() bool { return w.doc.Fencing == profile.Strict }

// rate draws a clock.
func (f *fences) rate(w *world) float64 {
	r := 0.92 + 0.16*w.dice.Float64()
	if f.faulty == faultSlowClock {
		r /= 3
	}
	return r
}

// clock is the time the node's lease is counted by.
func (n *node) clock() time.Time {
	if !n.looking.Load() { // the cluster member itself asks, and stands still; fronts go on
		time.Sleep(time.Duration(n.frozen.Swap(0)))
	}
	return bigBang.Add(time.Duration(float64(time.Since(bigBang)) * n.rate))
}

// bigBang is when bubbles begin.
var bigBang = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

func (f *fences) enter(n *node) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.nodes == nil {
		f.nodes = map[*node]*health.View{}
	}
	f.nodes[n] = nil
	if f.faulty == faultRestart && n.w.kept != nil {
		f.nodes[n] = n.w.kept
	}
}

func (f *fences) leave(n *node) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.nodes, n)
}

// sendsTo is where the node's front sends a request at this moment, "" for nowhere.
func (f *fences) sendsTo(n *node) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.target(n)
}

// target is sendsTo for whoever holds mu.
func (f *fences) target(n *node) string {
	n.looking.Store(true)
	defer n.looking.Store(false)
	v := n.hub.Load().View("p")
	if old := f.nodes[n]; old != nil && (v == nil || v.Halt == health.HaltUnconfirmed) {
		return old.Decision.Active
	}
	to := f.allowed(v)
	if to == "" {
		return ""
	}
	if !f.mayGoBy(n, v.Term) {
		return ""
	}
	return to
}

// mayGoBy is the look at the lease.
func (f *fences) mayGoBy(n *node, term uint64) bool {
	if f.faulty == faultNoTerm {
		for other := range uint64(100) {
			if n.cluster.Confirmed(other) {
				return true
			}
		}
	}
	return f.faulty == faultNoLease || n.cluster.Confirmed(term)
}

// allowed is where a view lets a front send, lease or not. Views never change, so each is asked once.
func (f *fences) allowed(v *health.View) string {
	to, known := f.views[v]
	if known || v == nil {
		return to
	}
	a := steer.Decide(v, steer.Client{}, nil, nil)
	if a.Agreed && len(a.Order) > 0 && a.Serving != steer.ServingAllDown {
		to = v.Endpoints[a.Order[0]].Config.Name
	}
	if f.views == nil || len(f.views) > 100 {
		f.views = map[*health.View]string{}
	}
	f.views[v] = to
	return to
}

// check compares all fronts at this moment.
func (f *fences) check(w *world) {
	if !w.strict() {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	who, where := "", ""
	for n := range f.nodes {
		to := f.target(n)
		if to == "" {
			continue
		}
		if where != "" && where != to {
			w.fail("%s sends to %s while %s sends to %s", who, where, n.name, to)
		}
		who, where = n.name, to
	}
}

// watch checks between publications as well: a lease that lives again lets a front send again.
func (f *fences) watch(ctx context.Context, w *world) {
	for w.strict() && ctx.Err() == nil {
		f.check(w)
		select {
		case <-ctx.Done():
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// disturb is what only fenced clusters are put through.
func (w *world) disturb(n *node) string {
	if w.dice.IntN(2) == 0 {
		d := time.Duration(w.dice.IntN(12000)) * time.Millisecond
		n.stalled.Store(int64(d))
		n.frozen.Store(int64(d) * int64(w.dice.IntN(2)))
		if w.dice.IntN(2) == 0 {
			n.client.SetPartitioned(true)
			heal := time.Duration(w.dice.IntN(9000)) * time.Millisecond
			time.AfterFunc(heal, func() {
				if !n.dead.Load() { // the way to the store is the next life's
					n.client.SetPartitioned(false)
				}
			})
			return fmt.Sprintf("stall %s for %v and cut it off for %v", n.name, d, heal)
		}
		return fmt.Sprintf("stall %s for %v", n.name, d)
	}
	d := time.Duration(w.dice.IntN(2900)) * time.Millisecond
	n.lag.Store(int64(d))
	return fmt.Sprintf("replies to %s take %v", n.name, d)
}

// forged is a last good state that is old, or was never true.
func (w *world) forged() map[string]engine.Recovered {
	e := w.doc.Endpoints[w.dice.IntN(len(w.doc.Endpoints))].Name
	r := engine.Recovered{
		Ready: true, Decision: health.Decision{Active: e, Epoch: uint64(w.dice.IntN(40)), Reason: "forged"}, Verdicts: map[string]health.Verdict{},
	}
	for i := range w.doc.Endpoints {
		r.Verdicts[w.doc.Endpoints[i].Name] = health.Verdict{Status: health.Online, Since: time.Now()}
	}
	w.kept = &health.View{Decision: r.Decision}
	return map[string]engine.Recovered{w.doc.Name: r}
}

// carried lets a faulty leader take everybody's acknowledgement for granted.
func (f *fences) carried(n *node, e engine.Effect) {
	if d, ok := e.(engine.WriteDecision); ok && f.faulty == faultNoAcks && d.Next.Phase == health.PhasePreparing {
		for _, name := range n.w.names {
			n.loop.Post("p", engine.AckSeen{Node: name, Epoch: d.Next.Epoch})
		}
	}
}

// stepped lets a faulty node acknowledge what it publishes a moment later.
func (f *fences) stepped(n *node, out []engine.Effect) {
	for _, e := range out {
		if a, ok := e.(engine.Acknowledge); ok && f.faulty == faultAckTooEarly {
			n.cluster.Acknowledge("p", a.Epoch)
			time.Sleep(300 * time.Millisecond)
		}
	}
}

// slow is a store whose replies come late: what was asked is done, and the node hears of it after a while.
type slow struct {
	*mem.Client
	n *node
}

func (s slow) reply(ctx context.Context, err error) error {
	if lag := time.Duration(s.n.lag.Load()); lag > 0 {
		select {
		case <-time.After(lag):
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", store.ErrUnavailable, ctx.Err())
		}
	}
	return err
}

func (s slow) Commit(ctx context.Context, conds []store.Cond, ops []store.Op) (int64, bool, error) {
	rev, ok, err := s.Client.Commit(ctx, conds, ops)
	return rev, ok, s.reply(ctx, err)
}

func (s slow) Grant(ctx context.Context, ttl time.Duration) (store.Lease, error) {
	l, err := s.Client.Grant(ctx, ttl)
	return slowLease{l, s}, s.reply(ctx, err)
}

type slowLease struct {
	store.Lease
	s slow
}

func (l slowLease) Renew(ctx context.Context) error { return l.s.reply(ctx, l.Lease.Renew(ctx)) }

// TestFencesCanBreak: with one part of the protocol left out, some of a few clusters break the promise.
func TestFencesCanBreak(t *testing.T) {
	for _, faulty := range []fault{faultNoAcks, faultNoLease, faultNoTerm, faultRestart, faultSlowClock, faultAckTooEarly} {
		t.Run(string(faulty), func(t *testing.T) {
			t.Parallel()
			const most = 100
			for seed, tried := uint64(5), 0; tried < most; seed++ {
				if seed/4%2 == 0 || seed%4 == 0 {
					continue // relaxed, or alone
				}
				tried++
				broken := ""
				synctest.Test(t, func(*testing.T) {
					w := newWorld(seed)
					w.fence.faulty = faulty
					w.run()
					broken = w.broken
				})
				if strings.Contains(broken, " while ") {
					t.Logf("cluster %d, seed %d: %s", tried, seed, broken)
					return
				}
			}
			t.Fatalf("%d clusters keep the promise although %s", most, faulty)
		})
	}
}
