package cluster_test

import (
	"context"
	"encoding/hex"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"jurymast/internal/cluster"
	"jurymast/internal/cluster/seal"
	"jurymast/internal/health"
	"jurymast/internal/signing"
	"jurymast/internal/store"
	"jurymast/internal/store/mem"
)

const signedZone = "dr.example"

// registry is the parent of the zone: it has what a test gives it.
type registry struct {
	mu sync.Mutex
	ds []signing.DS
}

func (r *registry) say() *signing.Parent {
	r.mu.Lock()
	defer r.mu.Unlock()
	return &signing.Parent{At: time.Now(), Asked: time.Now(), All: true, Servers: 1, Heard: 1, TTL: 10 * time.Minute, DS: r.ds, Common: r.ds}
}

func (r *registry) has(list ...signing.DS) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ds = list
}

// signer is a member that keeps the keys of one zone; signing takes it a minute.
type signer struct {
	*member
	name string
	log  *lines

	mu     sync.Mutex
	wanted signing.Wanted
	uses   signing.Set
	since  time.Time
	hook   func(signing.Set)
	done   chan struct{}
}

func signs(client *mem.Client, name string, ring seal.Ring, r *registry, earlier signing.Set) *signer {
	return signsOn(nil, client, name, ring, r, earlier)
}

// signsOn is signs with another way to the store than the client.
func signsOn(st store.Store, client *mem.Client, name string, ring seal.Ring, r *registry, earlier signing.Set) *signer {
	log := &lines{}
	n := &signer{
		name: name, log: log, done: make(chan struct{}), uses: earlier, since: time.Now(),
		wanted: signing.Wanted{Signed: true, Roles: []signing.Role{signing.CSK}, Algorithm: signing.ECDSAP256, Propagation: time.Minute},
	}
	n.member = start(cluster.Options{Store: st, Node: cluster.NodeRecord{Name: name, Instance: name}, Logger: log.logger()}, client)
	n.UseKeys(ring)
	ctx, cancel := context.WithCancel(context.Background())
	whole := n.cancel
	n.cancel = func() { cancel(); whole() }
	o := cluster.ZoneKeyOptions{
		Zones: func() map[string]signing.Wanted {
			n.mu.Lock()
			defer n.mu.Unlock()
			return map[string]signing.Wanted{signedZone: n.wanted}
		},
		Use: n.use, Served: n.served, Parent: func(*signing.Set) *signing.Parent { return r.say() }, Now: time.Now,
	}
	if !earlier.Zero() {
		o.Earlier = map[string]signing.Set{signedZone: earlier}
	}
	go func() {
		defer close(n.done)
		n.KeepZoneKeys(ctx, o)
	}()
	return n
}

func (n *signer) use(s signing.Set, box seal.Box) {
	n.mu.Lock()
	if n.uses.Mark() != s.Mark() {
		n.since = time.Now()
	}
	n.uses = s
	hook := n.hook
	n.mu.Unlock()
	if hook != nil {
		hook(s)
	}
	if !s.Zero() && box.Key == "" {
		panic("no box")
	}
}

func (n *signer) served(string) cluster.ServedZone {
	n.mu.Lock()
	defer n.mu.Unlock()
	out := cluster.ServedZone{Known: true, TTL: 5 * time.Minute, KeyTTL: 5 * time.Minute}
	if !n.uses.Zero() && time.Since(n.since) > time.Minute {
		out.Mark = n.uses.Mark()
	}
	return out
}

func (n *signer) set() signing.Set {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.uses.Clone()
}

func (n *signer) want(w func(*signing.Wanted)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	w(&n.wanted)
}

func (n *signer) die() {
	n.client.SetPartitioned(true)
	_ = n.leave()
	<-n.done
	n.client.SetPartitioned(false)
}

func (n *signer) order(change func(signing.Set, *signing.Facts) (signing.Set, error)) error {
	n.mu.Lock()
	w := n.wanted
	n.mu.Unlock()
	return n.ChangeZoneKeys(context.Background(), &cluster.KeyChange{Zone: signedZone, By: "anna", What: "a test", Wanted: w, Now: time.Now(), Change: change})
}

func rollCSK(s signing.Set, f *signing.Facts) (signing.Set, error) {
	return s.Order(signing.Roll{}, f, time.Now())
}

// within waits, looking twice a minute: in these tests time passes by itself.
func within(t *testing.T, most time.Duration, what string, done func() bool) {
	t.Helper()
	for began := time.Now(); !done(); time.Sleep(30 * time.Second) {
		if time.Since(began) > most {
			t.Fatalf("not within %v: %s", most, what)
		}
	}
}

func all(nodes map[string]*signer, is func(s signing.Set) bool) func() bool {
	return func() bool {
		for _, n := range nodes {
			if s := n.set(); !is(s) {
				return false
			}
		}
		return true
	}
}

func steadyBut(tag uint16) func(signing.Set) bool {
	return func(s signing.Set) bool {
		return s.Stage == signing.StageSteady && len(s.Keys) == 1 && s.Keys[0].Tag != tag
	}
}

// The leader dies at each stage of a roll, just after it wrote it; whoever comes next goes on from there. It comes back
// with what it knew, and all end with the same new key.
func TestKeyRollOutlivesItsLeaders(t *testing.T) {
	for _, kill := range []signing.Stage{signing.StagePublish, signing.StageChange, signing.StageRetire, signing.StageSteady} {
		t.Run(string(kill), func(t *testing.T) {
			bubble(t, func(t *testing.T, st *mem.Store) { keyRollWithout(t, st, kill) })
		})
	}
}

func keyRollWithout(t *testing.T, st *mem.Store, kill signing.Stage) {
	t.Helper()
	ring, r, nodes := seal.NewRing(seal.NewKey()), &registry{}, map[string]*signer{}
	for _, name := range []string{"a", "b", "c"} {
		nodes[name] = signs(st.Node(name), name, ring, r, signing.Set{})
		time.Sleep(100 * time.Millisecond)
	}
	within(t, 3*time.Hour, "all are steady", all(nodes, steadyBut(0)))
	first := nodes["a"].set()
	r.has(first.Keys[0].DS(signedZone, signing.SHA256))
	var cut atomic.Pointer[string]
	for name, n := range nodes {
		n.mu.Lock()
		n.hook = func(s signing.Set) {
			if s.Stage == kill && s.Step > first.Step && n.leads() && cut.CompareAndSwap(nil, &name) {
				n.client.SetPartitioned(true)
			}
		}
		n.mu.Unlock()
	}
	within(t, time.Hour, "the order is taken", func() bool { return nodes["b"].order(rollCSK) == nil })
	killed := false
	began := time.Now()
	for done := false; !done; time.Sleep(time.Minute) {
		if time.Since(began) > 24*time.Hour {
			t.Fatalf("a is in %s, killed %v", nodes["a"].set().Stage, killed)
		}
		if p := cut.Load(); p != nil && !killed {
			was := nodes[*p].set()
			nodes[*p].die()
			nodes[*p] = signs(st.Node(*p), *p, ring, r, was)
			killed = true
		}
		for _, n := range nodes {
			if s := n.set(); s.Stage == signing.StageChange {
				r.has(s.DSKeys()[0].DS(signedZone, signing.SHA256))
			}
		}
		done = killed && all(nodes, steadyBut(first.Keys[0].Tag))()
	}
	if a, b := nodes["a"].set(), nodes["b"].set(); a.Keys[0].Tag != b.Keys[0].Tag {
		t.Errorf("a ends with %d, b with %d", a.Keys[0].Tag, b.Keys[0].Tag)
	}
	noKeyIn(t, st.Node("thief"), first, nodes["a"].set())
}

// noKeyIn reads the whole store as a thief would.
func noKeyIn(t *testing.T, st store.Store, sets ...signing.Set) {
	t.Helper()
	kvs, _, err := st.List(context.Background(), "/")
	must(t, err)
	told := 0
	for _, kv := range kvs {
		told += strings.Count(string(kv.Value), "dnssec "+signedZone)
		for _, s := range sets {
			raw := s.Keys[0].Private.Bytes()
			if text := string(kv.Value); strings.Contains(text, hex.EncodeToString(raw[:])) || strings.Contains(text, string(raw[:])) {
				t.Errorf("%s shows a private key", kv.Key)
			}
		}
	}
	if told < 6 {
		t.Errorf("the journal tells of %d steps", told)
	}
}

// A node that lags holds every step up; orders are refused meanwhile. Signing ends when the parent has no DS.
func TestKeysWaitForNodesAndParent(t *testing.T) {
	bubble(t, func(t *testing.T, st *mem.Store) {
		ring, r, nodes := seal.NewRing(seal.NewKey()), &registry{}, map[string]*signer{}
		for _, name := range []string{"a", "b"} {
			nodes[name] = signs(st.Node(name), name, ring, r, signing.Set{})
		}
		within(t, 3*time.Hour, "steady", all(nodes, steadyBut(0)))
		first := nodes["a"].set()
		r.has(first.Keys[0].DS(signedZone, signing.SHA256))
		blind := signs(st.Node("c"), "c", seal.NewRing(seal.NewKey()), r, signing.Set{})
		time.Sleep(5 * time.Minute)
		if err := nodes["a"].order(rollCSK); err == nil || !strings.Contains(err.Error(), "c must acknowledge") {
			t.Errorf("an order while a node cannot open the keys: %v", err)
		}
		if err := blind.order(rollCSK); err == nil || !strings.Contains(err.Error(), "node.store.seal") {
			t.Errorf("an order at a node that cannot open the keys: %v", err)
		}
		if why := blind.SecretTrouble(); !strings.Contains(why, "sealed/dnssec-dr.example") {
			t.Errorf("its trouble: %q", why)
		}
		blind.die()
		time.Sleep(time.Minute)
		for _, n := range nodes {
			n.want(func(w *signing.Wanted) { w.Signed = false })
		}
		time.Sleep(2 * time.Hour)
		if !all(nodes, steadyBut(0))() {
			t.Fatal("the keys are gone, and the parent has a DS")
		}
		r.has()
		within(t, 4*time.Hour, "unsigned", all(nodes, func(s signing.Set) bool { return s.Zero() }))
		if _, err := nodes["a"].ZoneKeys(signedZone); err == nil {
			t.Error("the record is still there")
		}
	})
}

// A store that lost the keys gets those in use back, and a changed seal key seals them anew, in the middle of a roll.
func TestKeysSurviveTheStore(t *testing.T) {
	bubble(t, func(t *testing.T, st *mem.Store) {
		one, two := seal.NewKey(), seal.NewKey()
		r, nodes := &registry{}, map[string]*signer{}
		for _, name := range []string{"a", "b"} {
			nodes[name] = signs(st.Node(name), name, seal.NewRing(one, two), r, signing.Set{})
		}
		within(t, 3*time.Hour, "steady", all(nodes, steadyBut(0)))
		first := nodes["a"].set()
		must(t, nodes["b"].order(rollCSK))
		time.Sleep(3 * time.Minute)
		published := nodes["a"].set()
		if published.Stage != signing.StagePublish {
			t.Fatal(published.Stage)
		}
		must(t, nodes["a"].RotateSeal(context.Background(), two.ID(), "anna", ""))
		cookies := make(chan struct{})
		ctx, cancel := context.WithCancel(context.Background())
		for _, n := range nodes { // who keeps cookies seals anew
			go func() {
				n.KeepCookies(ctx, cluster.CookieOptions{Rules: daily, Use: nil, Files: true})
				cookies <- struct{}{}
			}()
		}
		within(t, time.Hour, "sealed anew", func() bool {
			done, err := nodes["a"].Resealed(context.Background(), two.ID())
			return err == nil && done
		})
		must(t, nodes["a"].ForgetSealed(context.Background(), cluster.SealedZoneKeys(signedZone), "anna", "by mistake"))
		within(t, time.Hour, "they are back", func() bool { k, err := nodes["b"].ZoneKeys(signedZone); return err == nil && !k.Set.Zero() })
		k, err := nodes["b"].ZoneKeys(signedZone)
		must(t, err)
		if k.Set.Mark() != published.Mark() || k.Set.Keys[0].Tag != first.Keys[0].Tag {
			t.Errorf("back: %s with %d keys, lost: %s", k.Set.Mark(), len(k.Set.Keys), published.Mark())
		}
		time.Sleep(5 * time.Second) // the journal comes after
		texts := ""
		for _, e := range nodes["a"].Journal(0, func(e *health.Entry) bool { return e.Kind == health.EntrySecret }) {
			texts += fmt.Sprintln(e.Reason)
		}
		if !strings.Contains(texts, "the store had lost the keys") {
			t.Errorf("journal:\n%s", texts)
		}
		cancel()
		for range nodes {
			<-cookies
		}
	})
}

// Without a seal key nothing is made, and it is said.
func TestNoKeysInTheClear(t *testing.T) {
	bubble(t, func(t *testing.T, st *mem.Store) {
		n := signs(st.Node("a"), "a", seal.Ring{}, &registry{}, signing.Set{})
		time.Sleep(time.Minute)
		if why := n.SecretTrouble(); !strings.Contains(why, "node.store.seal") || len(n.set().Keys) > 0 {
			t.Errorf("trouble %q, %d keys", why, len(n.set().Keys))
		}
	})
}

// outrun is a way to the store on which somebody else is faster with every change of the keys, while it is closed.
type outrun struct {
	*mem.Client
	closed *atomic.Bool
}

func (o outrun) Commit(ctx context.Context, conds []store.Cond, ops []store.Op) (int64, bool, error) {
	for _, c := range conds {
		if o.closed.Load() && strings.HasSuffix(c.Key, cluster.SealedZoneKeys(signedZone)) {
			return 1, false, nil
		}
	}
	return o.Client.Commit(ctx, conds, ops)
}

// The end of a wait is shown when its beginning is stored, not before: whoever leads next counts from what is stored.
func TestWaitIsShownWhenItIsStored(t *testing.T) {
	bubble(t, func(t *testing.T, st *mem.Store) {
		client, closed := st.Node("a"), &atomic.Bool{}
		n := signsOn(outrun{client, closed}, client, "a", seal.NewRing(seal.NewKey()), &registry{}, signing.Set{})
		time.Sleep(30 * time.Second) // the first keys are there, and not yet acknowledged
		closed.Store(true)
		time.Sleep(5 * time.Minute)
		k, err := n.ZoneKeys(signedZone)
		must(t, err)
		if len(k.Set.Waiting(k.Nodes)) > 0 || !k.Set.Acked.IsZero() {
			t.Fatalf("%+v acknowledged at %v", k.Nodes, k.Set.Acked)
		}
		if !k.Wait.Until.IsZero() {
			t.Errorf("%s until %v, and the store knows nothing of it", k.Wait.For, k.Wait.Until)
		}
		closed.Store(false)
		time.Sleep(3 * time.Second)
		k, err = n.ZoneKeys(signedZone)
		must(t, err)
		if want := k.Set.DSReady(n.wanted); k.Wait.Until.IsZero() || !k.Wait.Until.Equal(want) {
			t.Errorf("%s until %v, stored is %v", k.Wait.For, k.Wait.Until, want)
		}
	})
}
