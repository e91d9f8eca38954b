package sim_test

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"runtime"
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

var (
	seeds  = flag.Int("seeds", defaultSeeds, "how many clusters to simulate")
	first  = flag.Int("seed", 1, "the first seed")
	events = flag.Int("events", 500, "events per cluster")
)

// world is one simulated cluster: the truth about endpoints, the store, the nodes, and the invariants.
type world struct {
	seed  uint64
	doc   *profile.Profile
	store *mem.Store
	dice  *rand.Rand
	nodes map[string]*node

	mu       sync.Mutex
	up       map[string]bool
	cut      map[string]bool // node/endpoint: this node cannot see it
	decided  map[uint64]string
	lastSeen map[string]uint64 // per life of a node
	kept     *health.View      // last good state of a node alone, perhaps not the newest
	orders   []health.Override
	solo     bool // one node that is alone with its store
	lives    int  // of the node alone, in a row, that did not end in order
	names    []string
	story    []string
	broken   string

	fence fences // fencing: strict: who sends where
}

func newWorld(seed uint64) *world {
	m := profile.Monitor{Interval: time.Second, ToleratedFailures: 1, RecoverySuccesses: 1}
	w := &world{
		seed: seed, store: mem.New(mem.Options{}), dice: rand.New(rand.NewPCG(seed, 7)), nodes: map[string]*node{},
		up: map[string]bool{}, cut: map[string]bool{}, decided: map[uint64]string{}, lastSeen: map[string]uint64{},
		names: []string{"n1", "n2", "n3"}, solo: seed%4 == 0,
	}
	if w.solo {
		w.names = w.names[:1]
	}
	w.doc = &profile.Profile{
		Name: "p", Enabled: true, Hostnames: []string{"p.example"}, Routing: profile.Priority, TTL: 5 * time.Second, TTLFloor: time.Second,
		Failback: profile.Failback{Mode: []profile.FailbackMode{profile.FailbackAuto, profile.FailbackManual, profile.FailbackDelayed}[seed%3], After: 3 * time.Second},
	}
	if seed/4%2 == 1 {
		w.doc.Fencing, w.doc.Proxy = profile.Strict, &profile.Proxy{Mode: profile.ModeFailover}
	}
	for i := range 2 + seed%2 {
		name := string(rune('a' + i))
		w.doc.Endpoints = append(w.doc.Endpoints, profile.Endpoint{Name: name, Priority: int(i) + 1, Enabled: true, Monitor: m, Target: profile.Target{Addrs: []string{fmt.Sprintf("192.0.2.%d", i+1)}}})
		w.up[name] = true
	}
	return w
}

// reach is what a probe of that node sees.
func (w *world) reach(node, endpoint string) (bool, string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	_, i := w.doc.Endpoint(endpoint)
	return w.up[endpoint] && !w.cut[node+"/"+endpoint], w.doc.Endpoints[i].Target.Addrs[0]
}

func (w *world) fail(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.broken == "" {
		w.broken = fmt.Sprintf(format, args...)
	}
}

// checkView holds what must be true of every view any node ever publishes.
func (w *world) checkView(n *node, v *health.View) {
	d := v.Decision
	w.mu.Lock()
	was := w.lastSeen[n.name]
	w.lastSeen[n.name] = max(was, d.Epoch)
	agreed, known := w.decided[d.Epoch]
	if !known && d.Epoch != 0 {
		w.decided[d.Epoch] = d.Active // the watcher may be behind; it compares later
		agreed = d.Active
	}
	w.mu.Unlock()
	if d.Epoch < was {
		w.fail("%s: epoch went back from %d to %d", n.name, was, d.Epoch)
	}
	if d.Epoch != 0 && agreed != d.Active {
		w.fail("%s: epoch %d has two actives, %s and %s", n.name, d.Epoch, agreed, d.Active)
	}
	usable := false
	for i := range v.Endpoints {
		usable = usable || v.Endpoints[i].Tier == health.TierUsable
	}
	if a := steer.Decide(v, steer.Client{}, nil, nil); v.Ready && v.Halt == health.HaltNone && usable && len(a.Order) == 0 {
		w.fail("%s: empty answer although an endpoint is usable", n.name)
	} else if usable && len(a.Order) > 0 && (!w.strict() || !a.Agreed) && v.Endpoints[a.Order[0]].Tier != health.TierUsable {
		w.fail("%s: answered %s although a usable one is there", n.name, v.Endpoints[a.Order[0]].Config.Name)
	}
}

// keep is the last-good log of a node alone: now and then its newest record has not reached the disk.
func (w *world) keep(v *health.View) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.solo && (w.kept == nil || v.Revision%7 != 0) {
		w.kept = v
	}
}

func (w *world) lastGood() map[string]engine.Recovered {
	w.mu.Lock()
	defer w.mu.Unlock()
	v := w.kept
	if w.strict() {
		return w.forged()
	}
	if v == nil || !w.solo {
		return nil
	}
	r := engine.Recovered{Verdicts: map[string]health.Verdict{}, Decision: v.Decision, Orders: v.Orders, Floor: v.Floor, Ready: v.Ready}
	for i := range v.Endpoints {
		r.Verdicts[v.Endpoints[i].Config.Name] = v.Endpoints[i].Verdict
	}
	return map[string]engine.Recovered{w.doc.Name: r}
}

// observe follows the store itself, past every fault: there epochs only grow, and one active per epoch.
func (w *world) observe(ctx context.Context) {
	var last health.Decision
	for b := range w.store.Node("observer").Watch(ctx, "/jurymast/v1/decisions/", 0) {
		for _, e := range b.Events {
			var d health.Decision
			if err := json.Unmarshal(e.Value, &d); err != nil {
				w.fail("decision is no JSON: %v", err)
			}
			w.mu.Lock()
			agreed, known := w.decided[d.Epoch]
			w.decided[d.Epoch] = d.Active
			w.mu.Unlock()
			switch {
			case d.Epoch < last.Epoch:
				w.fail("the store's epoch went back from %d to %d", last.Epoch, d.Epoch)
			case w.strict() && d.Phase == health.PhaseActive && d.Epoch != last.Epoch:
				w.fail("epoch %d is active without having been prepared", d.Epoch)
			case d.Epoch == last.Epoch && d.Active != last.Active, known && agreed != d.Active:
				w.fail("epoch %d has two actives, %s and %s", d.Epoch, agreed, d.Active)
			}
			last = d
		}
	}
}

// deed is one random thing that happens.
func (w *world) deed() {
	name := w.names[w.dice.IntN(len(w.names))]
	e := w.doc.Endpoints[w.dice.IntN(len(w.doc.Endpoints))].Name
	n := w.nodes[name]
	what := ""
	switch r := w.dice.IntN(100); {
	case r < 22:
		what = "flip " + e
		w.mu.Lock()
		w.up[e] = !w.up[e]
		w.mu.Unlock()
	case r < 30:
		what = "sight " + name + "/" + e
		w.mu.Lock()
		w.cut[name+"/"+e] = !w.cut[name+"/"+e]
		w.mu.Unlock()
	case r < 38 && n != nil:
		if what = "crash " + name; w.solo && w.dice.IntN(3) == 0 {
			what = "stop " + name
			n.stop()
		} else {
			n.crash()
		}
		w.mu.Lock()
		delete(w.lastSeen, name)
		w.mu.Unlock()
		w.finish(n)
		delete(w.nodes, name)
	case r < 55 && n == nil:
		what = "boot " + name
		w.nodes[name] = w.boot(name)
	case r < 60 && n != nil:
		what = "partition " + name
		n.client.SetPartitioned(true)
	case r < 66 && n != nil:
		what = "heal " + name
		n.client.SetPartitioned(false)
		n.client.SetWriteStall(false)
		n.client.SetFull(false)
	case r < 68 && n != nil:
		what = "stall " + name
		n.client.SetWriteStall(true)
	case r < 70 && n != nil:
		what = "full " + name
		n.client.SetFull(true)
	case r < 74 && n != nil:
		what = "lose a reply of " + name
		n.client.LoseReply(1)
	case r < 78 && n != nil:
		most := time.Duration(w.dice.IntN(400)) * time.Millisecond
		what = fmt.Sprintf("delay %s up to %v", name, most)
		d := rand.New(rand.NewPCG(w.seed, uint64(most)))
		var mu sync.Mutex
		n.client.SetDelay(func() time.Duration {
			mu.Lock()
			defer mu.Unlock()
			return time.Duration(d.Int64N(int64(most) + 1))
		})
	case r < 84 && n != nil:
		what = w.order(n, e)
	case r < 92 && n != nil && w.strict():
		what = w.disturb(n)
	}
	wait := time.Duration(w.dice.IntN(400)) * time.Millisecond
	w.story = append(w.story, fmt.Sprintf("%s, %v", what, wait))
	time.Sleep(wait)
}

// order places or ends a random override through a node.
func (w *world) order(n *node, e string) string {
	ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer cancel()
	if len(w.orders) > 0 && w.dice.IntN(2) == 0 {
		o := w.orders[0]
		w.orders = w.orders[1:]
		if n.cluster.EndOrders(ctx, "sim", "", o) != nil {
			w.orders = append(w.orders, o)
		}
		return "end " + o.ID
	}
	o := health.Override{
		ID: fmt.Sprintf("%04d", len(w.story)), Profile: "p", Endpoint: e, By: "sim", At: time.Now(),
		Act: []health.Act{health.Disable, health.Drain, health.ForceDown, health.ForceUp}[w.dice.IntN(4)], Until: time.Now().Add(time.Duration(w.dice.IntN(20)) * time.Second),
	}
	w.orders = append(w.orders, o) // also when the reply was lost
	_ = n.cluster.Order(ctx, o)
	return fmt.Sprintf("order %s %v %s", o.ID, o.Act, e)
}

// finish replays a life that has ended.
func (w *world) finish(n *node) {
	if i, want, got := n.replay("p"); i >= 0 {
		w.fail("%s: replay of step %d (%T) gives %+v, the life had %+v", n.name, i, n.steps["p"][i].ev, got, want)
	}
}

// settle heals everything and demands that all nodes come to the same good decision.
func (w *world) settle() {
	for _, name := range w.names {
		if w.nodes[name] == nil {
			w.nodes[name] = w.boot(name)
		}
		c := w.nodes[name].client
		c.SetPartitioned(false)
		c.SetWriteStall(false)
		c.SetFull(false)
		c.SetDelay(nil)
		w.nodes[name].lag.Store(0)
	}
	w.mu.Lock()
	clear(w.cut)
	w.up["a"] = true
	w.mu.Unlock()
	time.Sleep(40 * time.Second) // over every order and every failback delay
	kv, ok, err := w.store.Node("observer").Get(context.Background(), "/jurymast/v1/decisions/p")
	var want health.Decision
	if err != nil || !ok || json.Unmarshal(kv.Value, &want) != nil {
		w.fail("no decision at the end: %v %v%s", ok, err, w.machines())
		return
	}
	for name, n := range w.nodes {
		v := n.hub.Load().View("p")
		switch {
		case v == nil || !v.Ready || v.Stale:
			w.fail("%s is not fresh at the end: %+v", name, v)
		case v.Decision != want:
			w.fail("%s follows %+v, the store says %+v", name, v.Decision, want)
		case w.strict() && (want.Phase != health.PhaseActive || w.fence.sendsTo(n) != want.Active):
			w.fail("%s sends to %q at the end, the decision is %+v%s", name, w.fence.sendsTo(n), want, w.machines())
		case v.Endpoint(want.Active).Tier != health.TierUsable:
			w.fail("%s: the active %s is %v at the end", name, want.Active, v.Endpoint(want.Active).Status)
		case w.doc.Failback.Mode != profile.FailbackManual && want.Active != "a":
			w.fail("active %s at the end although a is healthy and failback is %s: %s", want.Active, w.doc.Failback.Mode, describe(v))
		}
	}
}

// whole: no promise has been broken so far.
func (w *world) whole() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.broken == ""
}

func (w *world) run() {
	ctx, cancel := context.WithCancel(context.Background())
	var watcher sync.WaitGroup
	watcher.Go(func() { w.observe(ctx) })
	watcher.Go(func() { w.fence.watch(ctx, w) })
	for range *events {
		w.deed()
		if !w.whole() {
			break
		}
	}
	if w.whole() {
		w.settle()
	}
	cancel()
	for _, n := range w.nodes {
		n.crash()
		w.finish(n)
	}
	watcher.Wait()
	_ = w.store.Close()
}

func TestClustersKeepTheirPromises(t *testing.T) {
	workers := runtime.GOMAXPROCS(0)
	for worker := range workers {
		t.Run(fmt.Sprintf("worker%d", worker), func(t *testing.T) {
			t.Parallel()
			switches := 0
			for s := *first + worker; s < *first+*seeds; s += workers {
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(uint64(s))
					w.run()
					switches += len(w.decided)
					if w.broken != "" {
						t.Fatalf("seed %d (go test ./internal/sim -run Clusters -seed %d -seeds 1): %s\n%s", s, s, w.broken, strings.Join(tail(w.story, 12), "\n"))
					}
				})
			}
			if switches < *seeds/workers {
				t.Fatalf("only %d decisions in all: the simulation does not simulate", switches)
			}
		})
	}
}

// machines says where every node stands, for a failure.
func (w *world) machines() (out string) {
	for name, n := range w.nodes {
		v := n.hub.Load().View("p")
		out += fmt.Sprintf("\n%s: status %+v, trouble %q, ready %v stale %v, %+v, floor %d: %s", name, n.loop.Status(), n.cluster.Trouble(), v.Ready, v.Stale, v.Decision, v.Floor, describe(v))
	}
	return out
}

func describe(v *health.View) string {
	b, _ := json.Marshal(v.Endpoints)
	return string(b)
}

func tail(s []string, n int) []string { return s[max(0, len(s)-n):] }

var _ store.Store = (*mem.Client)(nil)
