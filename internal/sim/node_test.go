package sim_test

import (
	"context"
	"log/slog"
	"reflect"
	"sync"
	"sync/atomic"
	"time"

	"jurymast/internal/app/join"
	"jurymast/internal/cluster"
	"jurymast/internal/engine"
	"jurymast/internal/health"
	"jurymast/internal/profile"
	"jurymast/internal/snapshot"
	"jurymast/internal/store/mem"
)

// node is one life of one node: the real loop and the real cluster member on a shared store, with probes that look at
// the world directly.
type node struct {
	w       *world
	name    string
	client  *mem.Client
	hub     *snapshot.Hub
	loop    *engine.Loop
	cluster *cluster.Cluster
	cancel  context.CancelFunc
	done    sync.WaitGroup
	rate    float64      // of the clock its lease is counted by
	lag     atomic.Int64 // nanoseconds that replies of the store take
	frozen  atomic.Int64 // nanoseconds its cluster member is to be stopped for
	looking atomic.Bool  // a front looks at the lease
	dead    atomic.Bool
	stalled atomic.Int64 // nanoseconds the loop is to be stopped for

	mu    sync.Mutex
	start engine.Start
	steps map[string][]step // what every machine was told and answered
	paces map[string]time.Duration
}

type step struct {
	ev  engine.Event
	now time.Time
	out []engine.Effect
}

func (w *world) boot(name string) *node {
	ctx, cancel := context.WithCancel(context.Background())
	n := &node{w: w, name: name, client: w.store.Node(name), hub: snapshot.NewHub(), cancel: cancel, steps: map[string][]step{}, paces: map[string]time.Duration{}}
	n.client.SetPartitioned(false)
	n.client.SetWriteStall(false)
	n.client.SetFull(false)
	quiet := slog.New(slog.DiscardHandler)
	n.start = engine.Start{Self: engine.Member{Name: name}, Solo: w.solo, Lives: w.lives}
	n.loop = engine.New(engine.Options{Hub: n.hub, Carrier: n, Logger: quiet, Start: n.start, Trace: n.trace})
	timeout := 2 * time.Second
	if w.solo {
		timeout = 500 * time.Millisecond
	}
	n.rate = w.fence.rate(w)
	n.cluster = cluster.New(cluster.Options{
		Store: slow{n.client, n}, Now: n.clock, Node: cluster.NodeRecord{Name: name, Instance: name}, Logger: quiet, WriteTimeout: timeout,
		Listen: func(ev cluster.Event) { join.Tell(n.loop, engine.Member{Name: name}, ev) },
	})
	docs := &snapshot.Documents{Generation: 1, Profiles: []*profile.Profile{w.doc}}
	prepared, err := n.hub.Prepare(docs)
	if err != nil {
		panic(err) // nobody has registered a compiler that could refuse
	}
	w.fence.enter(n)
	n.loop.Replace(engine.Replacement{Prepared: prepared, Recovered: w.lastGood()})
	n.done.Go(func() { n.loop.Run(ctx) })
	n.done.Go(func() { _ = n.cluster.Run(ctx) })
	for i := range w.doc.Endpoints {
		n.done.Go(func() { n.probe(ctx, &w.doc.Endpoints[i]) })
	}
	return n
}

// crash ends the node at once: cut off first, so that it can hand nothing back.
func (n *node) crash() {
	n.w.fence.leave(n)
	n.dead.Store(true)
	n.client.SetPartitioned(true)
	n.cancel()
	n.done.Wait()
	n.w.lives++
}

// stop ends the node in order; with everything written, the next life has nothing to keep clear of.
func (n *node) stop() {
	n.w.fence.leave(n) // the fronts close first
	n.cancel()
	n.done.Wait()
	n.w.kept = n.hub.Load().View(n.w.doc.Name)
	if n.loop.Unwritten() {
		n.w.lives++
	} else {
		n.w.lives = 0
	}
}

// Carry implements engine.Carrier.
func (n *node) Carry(profile string, e engine.Effect) {
	n.w.fence.carried(n, e)
	switch e := e.(type) {
	case engine.ProbeNow:
		for range e.Runs {
			n.look(e.Endpoint)
		}
	case engine.SetPace:
		n.mu.Lock()
		n.paces[e.Endpoint] = e.Every
		n.mu.Unlock()
	default:
		join.Write(n.cluster, profile, e)
	}
}

// Blind implements engine.Carrier.
func (n *node) Blind(blind bool) { n.cluster.SetBlind(blind) }

// Published implements engine.Carrier: every view a front could answer from is checked.
func (n *node) Published(views []*health.View, _ bool) {
	for _, v := range views {
		n.w.checkView(n, v)
		n.w.keep(v)
	}
	n.w.fence.check(n.w)
}

func (n *node) probe(ctx context.Context, e *profile.Endpoint) {
	for ctx.Err() == nil {
		n.mu.Lock()
		every, told := n.paces[e.Name]
		n.mu.Unlock()
		if !told || every > 0 {
			n.look(e.Name)
		}
		if every <= 0 {
			every = e.Monitor.Interval
		}
		select {
		case <-ctx.Done():
		case <-time.After(every):
		}
	}
}

func (n *node) look(endpoint string) {
	ok, addr := n.w.reach(n.name, endpoint)
	n.loop.Post(n.w.doc.Name, engine.Observed{Endpoint: endpoint, Obs: health.Observation{At: time.Now(), OK: ok, Addr: addr, Reason: map[bool]string{true: "status 200", false: "refused"}[ok]}})
}

func (n *node) trace(profile string, ev engine.Event, now time.Time, out []engine.Effect) {
	n.w.fence.stepped(n, out)
	time.Sleep(time.Duration(n.stalled.Swap(0)))
	n.mu.Lock()
	defer n.mu.Unlock()
	n.steps[profile] = append(n.steps[profile], step{ev, now, out})
}

// replay runs the recorded events on a fresh machine and reports the first step whose effects differ, or -1.
func (n *node) replay(profile string) (int, []engine.Effect, []engine.Effect) {
	n.mu.Lock()
	defer n.mu.Unlock()
	m := engine.NewProfile(n.start)
	for i, s := range n.steps[profile] {
		if out := m.Step(s.ev, s.now); !reflect.DeepEqual(out, s.out) {
			return i, s.out, out
		}
	}
	return -1, nil, nil
}
