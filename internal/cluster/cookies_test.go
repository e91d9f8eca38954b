package cluster_test

import (
	"context"
	encoding "encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"jurymast/internal/cluster"
	"jurymast/internal/cluster/roll"
	"jurymast/internal/cluster/seal"
	"jurymast/internal/health"
	"jurymast/internal/store"
	"jurymast/internal/store/mem"
)

// baker is a member with seal keys that keeps cookie secrets.
type baker struct {
	*member
	name string
	log  *lines

	mu   sync.Mutex
	uses roll.State
	hook func(roll.State) // called with what is about to be used
	done chan struct{}
}

// bakes starts a member that keeps cookies.
func bakes(st store.Store, client *mem.Client, name string, ring seal.Ring, rules roll.Rules) *baker {
	log := &lines{}
	b := &baker{name: name, log: log, done: make(chan struct{})}
	b.member = start(cluster.Options{Store: st, Node: cluster.NodeRecord{Name: name, Instance: name}, Logger: log.logger()}, client)
	b.UseKeys(ring)
	ctx, cancel := context.WithCancel(context.Background())
	whole := b.cancel
	b.cancel = func() { cancel(); whole() }
	go func() {
		defer close(b.done)
		b.KeepCookies(ctx, cluster.CookieOptions{Rules: rules, Use: func(s roll.State, box seal.Box) {
			b.mu.Lock()
			b.uses = s
			hook := b.hook
			b.mu.Unlock()
			if hook != nil {
				hook(s)
			}
			if box.Key == "" || len(box.Data) == 0 {
				panic("no box")
			}
		}})
	}()
	return b
}

func (b *baker) state() roll.State {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.uses
}

// die ends a member as kill -9 does: it says goodbye to nobody.
func (b *baker) die() {
	b.client.SetPartitioned(true)
	_ = b.leave()
	<-b.done
	b.client.SetPartitioned(false)
}

var daily = roll.Rules{Every: roll.Every, Keep: roll.Keep}

// The store holds one secret for all, closed; a roll that any node asks for goes through all stages, each in the journal.
func TestCookieSecretsAreShared(t *testing.T) {
	onStores(t, func(t *testing.T, st store.Store) {
		ring := seal.NewRing(seal.NewKey())
		rules := roll.Rules{Keep: 300 * time.Millisecond}
		nodes := []*baker{bakes(st, nil, "a", ring, rules), bakes(st, nil, "b", ring, rules)}
		t.Cleanup(func() {
			for _, n := range nodes {
				_ = n.leave()
				<-n.done
			}
		})
		same := func(stage roll.Stage) func() bool {
			return func() bool {
				a, b := nodes[0].state(), nodes[1].state()
				return a.Stage == stage && a.Mark() == b.Mark() && a.Current.Bytes() == b.Current.Bytes()
			}
		}
		waitFor(t, "both use the first secret", same(roll.Steady))
		first := nodes[0].state()
		other := nodes[0]
		if other.leads() {
			other = nodes[1]
		}
		must(t, other.RollCookies(t.Context(), "anna", "a test"))
		waitFor(t, "both are done", func() bool { return same(roll.Steady)() && nodes[0].state().Step > first.Step })
		if s := nodes[0].state(); s.Current.Bytes() == first.Current.Bytes() || s.Step != first.Step+4 {
			t.Fatalf("after a roll: %v after %v", s, first)
		}
		var told []string
		waitFor(t, "the journal is whole", func() bool {
			told = nil
			for _, e := range nodes[0].Journal(0, nil) {
				if strings.Contains(e.To, "dns cookies") {
					told = append(told, fmt.Sprintf("%s %s>%s %s %s", e.Kind, e.From, e.To, e.Reason, e.By))
				}
			}
			return len(told) == 6
		})
		const d = "dns cookies "
		want := []string{
			"secret >" + d + "steady first secret ", "act >" + d + "roll  anna", "secret " + d + "steady>" + d + "publishing ordered anna",
			"secret " + d + "publishing>" + d + "switching acknowledged by all live nodes ",
			"secret " + d + "switching>" + d + "retiring acknowledged by all live nodes ",
			"secret " + d + "retiring>" + d + "steady its cookies have run out ",
		}
		if !slices.Equal(told, want) {
			t.Errorf("journal:\n%s\nwant:\n%s", strings.Join(told, "\n"), strings.Join(want, "\n"))
		}
		noSecretIn(t, st, first, nodes[0].state())
	})
}

// noSecretIn reads the whole store, the journal with it, as a thief would.
func noSecretIn(t *testing.T, st store.Store, states ...roll.State) {
	t.Helper()
	kvs, _, err := st.List(context.Background(), "/")
	must(t, err)
	boxes := 0
	for _, kv := range kvs {
		if strings.Contains(kv.Key, "/sealed/") {
			boxes++
		}
		for _, s := range states {
			for _, secret := range s.Verify() {
				raw := secret.Bytes()
				if text := string(kv.Value); strings.Contains(text, fmt.Sprintf("%x", raw)) || strings.Contains(text, string(raw[:])) {
					t.Errorf("%s shows a secret", kv.Key)
				}
			}
		}
	}
	if boxes == 0 {
		t.Error("nothing is sealed")
	}
}

// The leader dies in each stage; whoever comes next goes on from there, and no cookie is refused on the way.
func TestRollOutlivesItsLeaders(t *testing.T) {
	for _, kill := range []roll.Stage{roll.Steady, roll.Publishing, roll.Switching, roll.Retiring} {
		for _, back := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, comes back %v", kill, back), func(t *testing.T) {
				bubble(t, func(t *testing.T, st *mem.Store) { rollWithout(t, st, kill, back) })
			})
		}
	}
}

func rollWithout(t *testing.T, st *mem.Store, kill roll.Stage, back bool) {
	t.Helper()
	ring := seal.NewRing(seal.NewKey())
	nodes := map[string]*baker{}
	for _, name := range []string{"a", "b", "c"} {
		nodes[name] = bakes(nil, st.Node(name), name, ring, daily)
		time.Sleep(100 * time.Millisecond)
	}
	time.Sleep(2 * time.Second)
	first := nodes["a"].state()
	var cut atomic.Pointer[string] // the leader that died, just after it wrote the stage
	for name, n := range nodes {
		n.mu.Lock()
		n.hook = func(s roll.State) {
			if s.Stage == kill && n.leads() && cut.CompareAndSwap(nil, &name) {
				n.client.SetPartitioned(true)
			}
		}
		n.mu.Unlock()
	}
	must(t, nodes["b"].RollCookies(t.Context(), "anna", ""))
	type made struct {
		by roll.Secret
		at time.Time
	}
	var cookies []made
	killed, died := "", time.Time{}
	for began := time.Now(); ; time.Sleep(37 * time.Millisecond) {
		if time.Since(began) > 70*time.Minute {
			t.Fatalf("after %v: %v", time.Since(began), nodes["b"].CookieStatus())
		}
		if time.Since(began) > 30*time.Second && time.Since(began) < 64*time.Minute {
			time.Sleep(20 * time.Second) // nothing but time passes
		}
		done := true
		for name, n := range nodes {
			s := n.state()
			if s.Step == 0 {
				continue // it has just come back and answers nothing yet
			}
			done = done && s.Stage == roll.Steady && s.Step > first.Step
			if len(cookies) == 0 || cookies[len(cookies)-1].by.Tag() != s.Issue().Tag() || time.Since(cookies[len(cookies)-1].at) > time.Minute {
				cookies = append(cookies, made{s.Issue(), time.Now()})
			}
			for _, c := range cookies {
				if time.Since(c.at) <= time.Hour && !slices.ContainsFunc(s.Verify(), func(v roll.Secret) bool { return v.Tag() == c.by.Tag() }) {
					t.Fatalf("%s refuses a cookie of %v ago in %s", name, time.Since(c.at), s.Mark())
				}
			}
			if p := cut.Load(); killed == "" && p != nil && *p == name {
				n.die()
				delete(nodes, name)
				killed, died = name, time.Now()
			}
		}
		if killed != "" && back && time.Since(died) > 5*time.Second && nodes[killed] == nil {
			nodes[killed] = bakes(nil, st.Node(killed), killed, ring, daily)
		}
		if done && killed != "" {
			break
		}
	}
	if s := nodes["b"]; s != nil && s.state().Current.Bytes() == first.Current.Bytes() {
		t.Fatal("nothing was rolled")
	}
}

// When the time has come the secret is changed without anybody asking, and again after that.
func TestRollComesByItself(t *testing.T) {
	bubble(t, func(t *testing.T, st *mem.Store) {
		a := bakes(nil, st.Node("a"), "a", seal.NewRing(seal.NewKey()), roll.Rules{Every: 2 * time.Hour, Keep: roll.Keep})
		time.Sleep(time.Minute)
		first := a.state()
		time.Sleep(118 * time.Minute)
		if a.state().Mark() != first.Mark() {
			t.Fatalf("changed before the time was over: %v", a.state())
		}
		time.Sleep(5 * time.Minute)
		if s := a.state(); s.Stage != roll.Retiring || s.Previous.Tag() != first.Current.Tag() {
			t.Fatalf("when the time has come: %v", s)
		}
		time.Sleep(2 * time.Hour)
		if s := a.state(); s.Step != 8 || s.Stage != roll.Retiring {
			t.Fatalf("after the time has come again: %v", s)
		}
	})
}

// A node with the wrong key says so, is waited for, never overwrites, and is well again with the right key.
func TestNodeWithAnotherKey(t *testing.T) {
	bubble(t, func(t *testing.T, st *mem.Store) {
		right, wrong := seal.NewRing(seal.NewKey()), seal.NewRing(seal.NewKey())
		a := bakes(nil, st.Node("a"), "a", right, daily)
		time.Sleep(time.Second)
		b := bakes(nil, st.Node("b"), "b", wrong, daily)
		time.Sleep(time.Second)
		if why := b.SecretTrouble(); !strings.Contains(why, "sealed/dns-cookies") || !strings.Contains(why, right.IDs()[0]) || b.log.count("cannot be used") != 1 {
			t.Fatalf("trouble: %q, logged %d times", why, b.log.count("cannot be used"))
		}
		if b.state().Step != 0 || a.SecretTrouble() != "" {
			t.Fatal("a node uses what it cannot open")
		}
		if err := b.RollCookies(t.Context(), "b", ""); !errors.Is(err, cluster.ErrRefused) || !errors.Is(err, seal.ErrOtherKey) {
			t.Fatalf("roll: %v", err)
		}
		must(t, a.RollCookies(t.Context(), "anna", ""))
		time.Sleep(time.Hour)
		if s := a.CookieStatus(); s.State.Stage != roll.Publishing || !slices.Equal(s.State.Waiting(s.Nodes), []string{"b"}) {
			t.Fatalf("status: %+v", s)
		}
		a.die() // now it leads, and must not begin anew
		time.Sleep(time.Minute)
		if _, _, rev, err := b.Sealed(cluster.SealedCookies); !errors.Is(err, seal.ErrOtherKey) || rev == 0 || !b.leads() {
			t.Fatalf("rev %d, %v", rev, err)
		}
		b.UseKeys(right)
		time.Sleep(2 * time.Second)
		if s := b.state(); s.Stage != roll.Retiring || b.SecretTrouble() != "" {
			t.Fatalf("with the right key: %v, %q", s, b.SecretTrouble())
		}
	})
}

// What is written by hand is checked, named and never used.
func TestForgedCookieRecords(t *testing.T) {
	bubble(t, func(t *testing.T, st *mem.Store) {
		key := seal.NewKey()
		a := bakes(nil, st.Node("a"), "a", seal.NewRing(key), daily)
		time.Sleep(time.Second)
		good := a.state()
		box, err := key.Seal(cluster.SealedCookies, []byte(`{"step":9,"stage":"steady"}`))
		must(t, err)
		moved, err := key.Seal("other", []byte(`{}`))
		must(t, err)
		for what, value := range map[string]string{
			"no JSON": "hello", "an empty box": "{}", "a box without a state": fmt.Sprintf(`{"key":%q,"data":%q}`, box.Key, base64(box.Data)),
			"the box of another record": fmt.Sprintf(`{"key":%q,"data":%q}`, moved.Key, base64(moved.Data)),
		} {
			remove(t, st, store.Put("/jurymast/v1/sealed/dns-cookies", []byte(value)))
			time.Sleep(2 * time.Second)
			if why := a.SecretTrouble(); !strings.Contains(why, "sealed/dns-cookies") || !strings.Contains(why, "jurymast seal forget dns-cookies") {
				t.Errorf("%s: trouble %q", what, why)
			}
			if a.state().Mark() != good.Mark() {
				t.Errorf("%s: uses %v", what, a.state())
			}
		}
		must(t, a.ForgetSealed(t.Context(), cluster.SealedCookies, "anna", "broken"))
		time.Sleep(2 * time.Second)
		if s := a.state(); s.Step != 1 || s.Current.Bytes() == good.Current.Bytes() || a.SecretTrouble() != "" {
			t.Fatalf("after it was given up: %v, %q", s, a.SecretTrouble())
		}
		if err := a.ForgetSealed(t.Context(), "nothing", "anna", ""); !errors.Is(err, cluster.ErrNoRecord) {
			t.Errorf("forget nothing: %v", err)
		}
	})
}

// A record that nobody can open stops no other one, and is told once.
func TestUnknownRecordIsToldOnce(t *testing.T) {
	bubble(t, func(t *testing.T, st *mem.Store) {
		a := bakes(nil, st.Node("a"), "a", seal.NewRing(seal.NewKey()), daily)
		time.Sleep(time.Second)
		box, err := seal.NewKey().Seal("other", []byte("x"))
		must(t, err)
		remove(t, st, store.Put("/jurymast/v1/sealed/other", fmt.Appendf(nil, `{"key":%q,"data":%q}`, box.Key, base64(box.Data))))
		time.Sleep(time.Minute)
		if why := a.SecretTrouble(); !strings.Contains(why, "sealed/other") || a.log.count("cannot be used") != 1 {
			t.Errorf("trouble %q, logged %d times", why, a.log.count("cannot be used"))
		}
		must(t, a.RollCookies(t.Context(), "anna", ""))
		time.Sleep(time.Minute)
		if s := a.state(); s.Stage != roll.Retiring {
			t.Errorf("the cookie secret stands still: %v", s)
		}
	})
}

// Who takes no part neither writes nor is waited for; without anybody who does nothing is made.
func TestCookiesOfNodesWithoutAKey(t *testing.T) {
	bubble(t, func(t *testing.T, st *mem.Store) {
		a := bakes(nil, st.Node("a"), "a", seal.Ring{}, daily)
		time.Sleep(time.Minute)
		if s := a.CookieStatus(); s.State != nil || s.Mark != roll.MarkOwn || a.SecretTrouble() != "" {
			t.Fatalf("alone: %+v, %q", s, a.SecretTrouble())
		}
		if err := a.RollCookies(t.Context(), "anna", ""); !errors.Is(err, cluster.ErrRefused) || !strings.Contains(err.Error(), "node.store.seal") {
			t.Fatalf("roll: %v", err)
		}
		b := bakes(nil, st.Node("b"), "b", seal.NewRing(seal.NewKey()), daily)
		time.Sleep(time.Minute)
		if b.state().Step != 0 {
			t.Fatal("a node that does not lead has made a secret")
		}
		a.die()
		time.Sleep(10 * time.Second)
		again := bakes(nil, st.Node("a"), "a", seal.Ring{}, daily)
		time.Sleep(10 * time.Second)
		must(t, b.RollCookies(t.Context(), "anna", ""))
		time.Sleep(10 * time.Second)
		if s := b.CookieStatus(); s.State.Stage != roll.Retiring || len(s.Nodes) != 2 {
			t.Fatalf("with a node that takes no part: %+v", s)
		}
		if again.state().Step != 0 {
			t.Fatal("a node without a key uses a sealed secret")
		}
	})
}

// A change of the seal key, cut off at any write, loses nothing: the records open with the keys that nodes have.
func TestRotateSeal(t *testing.T) {
	bubble(t, func(t *testing.T, st *mem.Store) {
		old, next := seal.NewKey(), seal.NewKey()
		a := bakes(nil, st.Node("a"), "a", seal.NewRing(old), daily)
		time.Sleep(time.Second)
		b := bakes(nil, st.Node("b"), "b", seal.NewRing(old), daily)
		time.Sleep(2 * time.Second)
		good := a.state()
		if err := a.RotateSeal(t.Context(), next.ID(), "anna", ""); !errors.Is(err, cluster.ErrRefused) {
			t.Fatalf("to a key nobody has: %v", err)
		}
		a.UseKeys(seal.NewRing(old, next))
		time.Sleep(time.Second)
		if err := a.RotateSeal(t.Context(), next.ID(), "anna", ""); !errors.Is(err, cluster.ErrRefused) || !strings.Contains(err.Error(), "on b") {
			t.Fatalf("to a key that b does not have: %v", err)
		}
		b.UseKeys(seal.NewRing(old, next))
		time.Sleep(time.Second)
		must(t, b.RotateSeal(t.Context(), next.ID(), "anna", "yearly"))
		a.client.SetPartitioned(true) // the leader has not heard of it
		if done, err := b.Resealed(t.Context(), next.ID()); err != nil || done {
			t.Fatalf("resealed %v, %v: nobody can have done it", done, err)
		}
		if b.state().Mark() != good.Mark() || b.SecretTrouble() != "" {
			t.Fatal("half way the records are not usable")
		}
		time.Sleep(10 * time.Second)
		if done, err := b.Resealed(t.Context(), next.ID()); err != nil || !done {
			t.Fatalf("the next leader has not gone on: %v %v %+v", done, err, b.SealStatus())
		}
		a.client.SetPartitioned(false)
		time.Sleep(5 * time.Second)
		for _, n := range []*baker{a, b} {
			n.UseKeys(seal.NewRing(next))
		}
		must(t, a.RollCookies(t.Context(), "anna", ""))
		time.Sleep(10 * time.Second)
		for _, n := range []*baker{a, b} {
			if s := n.state(); s.Stage != roll.Retiring || n.SecretTrouble() != "" {
				t.Errorf("%s without the old key: %v, %q", n.name, s, n.SecretTrouble())
			}
		}
		s := a.SealStatus()
		if s.Key != next.ID() || s.Previous != old.ID() || s.By != "anna" || len(s.Records) != 1 || s.Records[0].Key != next.ID() {
			t.Errorf("status: %+v", s)
		}
		if n := len(a.Journal(0, func(e *health.Entry) bool { return e.Reason == "seal rotate" })); n != 1 {
			t.Errorf("%d entries of the journal", n)
		}
	})
}

// The first key of a store is that of its first leader, whatever others have; a lost key is given up by rotating away.
func TestLostSealKey(t *testing.T) {
	bubble(t, func(t *testing.T, st *mem.Store) {
		a := bakes(nil, st.Node("a"), "a", seal.NewRing(seal.NewKey()), daily)
		time.Sleep(time.Second)
		lost := a.state()
		a.die()
		time.Sleep(5 * time.Second)
		found := seal.NewKey()
		a = bakes(nil, st.Node("a"), "a", seal.NewRing(found), daily)
		time.Sleep(2 * time.Second)
		if a.SecretTrouble() == "" {
			t.Fatal("no trouble with a lost key")
		}
		must(t, a.RotateSeal(t.Context(), found.ID(), "anna", ""))
		time.Sleep(2 * time.Second)
		if a.SecretTrouble() == "" || a.state().Step != 0 {
			t.Fatal("what cannot be opened was thrown away without anybody's word")
		}
		must(t, a.ForgetSealed(t.Context(), cluster.SealedCookies, "anna", ""))
		time.Sleep(2 * time.Second)
		if s := a.state(); s.Step != 1 || s.Current.Bytes() == lost.Current.Bytes() || a.SecretTrouble() != "" {
			t.Fatalf("after it was given up: %v %q", s, a.SecretTrouble())
		}
	})
}

// A store that loses replies, stalls and cuts nodes off never gets a state out of order, and the roll ends.
func TestRollOnAMisbehavingStore(t *testing.T) {
	bubble(t, func(t *testing.T, st *mem.Store) {
		ring := seal.NewRing(seal.NewKey())
		nodes := []*baker{}
		for _, name := range []string{"a", "b", "c"} {
			nodes = append(nodes, bakes(nil, st.Node(name), name, ring, daily))
		}
		time.Sleep(3 * time.Second)
		for i := range 40 {
			n := nodes[i%3]
			switch i % 5 {
			case 0:
				n.client.LoseReply(2)
			case 1:
				n.client.SetPartitioned(true)
			case 2:
				n.client.SetWriteStall(true)
			case 3:
				_ = n.RollCookies(t.Context(), "anna", "")
			}
			time.Sleep(time.Duration(i%7) * time.Second)
			for _, n := range nodes {
				n.client.SetPartitioned(false)
				n.client.SetWriteStall(false)
			}
			time.Sleep(3 * time.Second)
		}
		time.Sleep(2 * time.Hour)
		mark := nodes[0].state().Mark()
		for _, n := range nodes {
			if s := n.state(); s.Stage != roll.Steady || s.Mark() != mark {
				t.Errorf("%s: %s, a has %s", n.name, s.Mark(), mark)
			}
		}
		steps := map[string]int{}
		for _, e := range nodes[0].Journal(0, func(e *health.Entry) bool { return e.Kind == health.EntrySecret }) {
			steps[e.From+">"+e.To]++
		}
		if steps[">dns cookies steady"] != 1 || steps["dns cookies publishing>dns cookies switching"] != steps["dns cookies retiring>dns cookies steady"] || steps["dns cookies steady>dns cookies publishing"] == 0 {
			t.Errorf("journal: %v", steps)
		}
	})
}

func base64(b []byte) string { return encoding.StdEncoding.EncodeToString(b) }
