package cluster_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"jurymast/internal/cluster"
	"jurymast/internal/health"
	"jurymast/internal/store"
	"jurymast/internal/store/etcd"
	"jurymast/internal/store/mem"
)

// onStores runs a test over a store in memory, in a bubble, and over a real embedded etcd.
func onStores(t *testing.T, f func(t *testing.T, st store.Store)) {
	t.Helper()
	t.Run("mem", func(t *testing.T) {
		bubble(t, func(t *testing.T, st *mem.Store) { f(t, st.Node("shared")) })
	})
	t.Run("etcd", func(t *testing.T) {
		st := openEtcd(t)
		t.Cleanup(func() { _ = st.Close() })
		f(t, st)
	})
}

// running starts a member and ends it with the test.
func running(t *testing.T, st store.Store, name string) *member {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	m := &member{cancel: cancel, done: make(chan error, 1)}
	m.Cluster = cluster.New(cluster.Options{
		Store: st, Node: cluster.NodeRecord{Name: name, Instance: name}, Logger: slog.New(slog.DiscardHandler),
		Listen: func(e cluster.Event) {
			m.mu.Lock()
			m.told = append(m.told, e)
			m.mu.Unlock()
		},
	})
	go func() { m.done <- m.Run(ctx) }()
	t.Cleanup(func() {
		_ = m.leave()
	})
	waitFor(t, name+" in session", func() bool { r, _ := last[cluster.Reachable](m); return r.Reachable })
	return m
}

func waitFor(t *testing.T, what string, done func() bool) {
	t.Helper()
	for began := time.Now(); !done(); time.Sleep(5 * time.Millisecond) {
		if time.Since(began) > 10*time.Second {
			t.Fatal("not within 10s: " + what)
		}
	}
}

func disables(id string, targets ...string) []health.Override {
	var out []health.Override
	for _, name := range targets {
		out = append(out, health.Override{ID: id, Act: health.Disable, Profile: name, Endpoint: "eu", By: "ops", Note: "move", At: time.Now().UTC().Truncate(time.Second)})
	}
	return out
}

// One act over many profiles is one key, is told as one event, and loses its targets one by one.
func TestOneIntentWithManyTargets(t *testing.T) {
	onStores(t, func(t *testing.T, st store.Store) {
		a, b := running(t, st, "a"), running(t, st, "b")
		placed := disables("1", "p", "q", "r")
		if err := a.Order(t.Context(), placed...); err != nil {
			t.Fatal(err)
		}
		if got := a.Orders(""); !slices.Equal(got, placed) {
			t.Fatalf("who ordered does not see it at once: %+v", got)
		}
		waitFor(t, "b hears it", func() bool { e, _ := last[cluster.Orders](b); return len(e.Of) == 3 })
		told, _ := last[cluster.Orders](b)
		if n := count[cluster.Orders](b); n != 1 || told.Of["q"][0] != placed[1] {
			t.Fatalf("%d events, the last %+v; want one for all three", n, told)
		}
		if kvs := below(t, st, "/jurymast/v1/intent/"); len(kvs) != 1 {
			t.Fatalf("%d keys for one act", len(kvs))
		}
		if err := b.EndOrders(t.Context(), "ops", "back", placed[1]); err != nil {
			t.Fatal(err)
		}
		if got := b.Orders(""); !slices.Equal(got, []health.Override{placed[0], placed[2]}) {
			t.Fatalf("after ending one: %+v", got)
		}
		waitFor(t, "a hears the end", func() bool { e, _ := last[cluster.Orders](a); got, ok := e.Of["q"]; return ok && len(got) == 0 })
		if err := a.EndOrders(t.Context(), "ops", "back", placed[0], placed[2]); err != nil {
			t.Fatal(err)
		}
		if kvs := below(t, st, "/jurymast/v1/intent/"); len(kvs) != 0 {
			t.Fatalf("%d keys are left", len(kvs))
		}
		acts := func() []health.Entry {
			return a.Journal(0, func(e *health.Entry) bool { return e.Kind == health.EntryAct })
		}
		if got := acts(); len(got) != 6 || got[0].Profile != "p" || got[0].By != "ops" || got[0].Note != "move" || got[5].To != "ended" || got[5].Note != "back" {
			t.Fatalf("the journal has %+v", got)
		}
	})
}

// TestReplacedOrders: an order in place of another is told as that, the old one first and with its own note.
func TestReplacedOrders(t *testing.T) {
	onStores(t, func(t *testing.T, st store.Store) {
		a := running(t, st, "a")
		old, next := disables("1", "p")[0], disables("2", "p")[0]
		old.Act, next.Act, next.Note = health.ForceUp, health.ForceDown, "worse"
		other := disables("3", "q")[0]
		if err := a.Order(t.Context(), old, other); err != nil {
			t.Fatal(err)
		}
		next.At = old.At.Add(time.Second)
		if err := a.Transact(t.Context(), func(cluster.Book) (cluster.OrderChange, error) {
			return cluster.OrderChange{Place: []health.Override{next}, End: []health.Override{old, other}, By: "eve", Note: "worse"}, nil
		}); err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, e := range a.Journal(0, func(e *health.Entry) bool { return e.Kind == health.EntryAct })[2:] {
			got = append(got, strings.Join([]string{e.Profile, e.From, e.To, e.Note, e.By}, " "))
		}
		if want := []string{"p force-up replaced move eve", "p  force-down worse ops", "q disable ended worse eve"}; !slices.Equal(got, want) {
			t.Fatalf("the journal has %q, want %q", got, want)
		}
	})
}

func below(t *testing.T, st store.Store, prefix string) []store.KV {
	t.Helper()
	kvs, _, err := st.List(t.Context(), prefix)
	if err != nil {
		t.Fatal(err)
	}
	return kvs
}

// What was written before orders had lists of targets is still read.
func TestSingleFormIsRead(t *testing.T) {
	onStores(t, func(t *testing.T, st store.Store) {
		old := disables("7", "p")[0]
		val, _ := json.Marshal(old) //nolint:errchkjson // plain struct
		if _, _, err := st.Commit(t.Context(), nil, []store.Op{
			store.Put("/jurymast/v1/intent/7", val), store.Put("/jurymast/v1/intent/8", []byte(`{"id":"8"}`)), store.Put("/jurymast/v1/intent/9", []byte("nonsense")),
		}); err != nil {
			t.Fatal(err)
		}
		a := running(t, st, "a")
		if got := a.Orders(""); !slices.Equal(got, []health.Override{old}) {
			t.Fatalf("got %+v", got)
		}
		if err := a.EndOrders(t.Context(), "ops", "", old); err != nil || len(a.Orders("")) != 0 {
			t.Fatalf("cannot be ended: %v", err)
		}
	})
}

// errLast is what a judge says who would take the last one away.
var errLast = errors.New("one must stay")

// Two nodes that take orders at the same instant do not together do what neither may do alone.
func TestTwoNodesCannotBreakARuleTogether(t *testing.T) {
	onStores(t, func(t *testing.T, st store.Store) {
		nodes := []*member{running(t, st, "a"), running(t, st, "b")}
		for round := range 20 {
			name := fmt.Sprintf("p%d", round)
			var asked sync.WaitGroup
			errs := make([]error, 2)
			for i, endpoint := range []string{"eu", "us"} {
				asked.Go(func() {
					errs[i] = nodes[i].Transact(t.Context(), func(b cluster.Book) (cluster.OrderChange, error) {
						if slices.ContainsFunc(b.Orders, func(o health.Override) bool { return o.Profile == name }) {
							return cluster.OrderChange{}, errLast
						}
						return cluster.OrderChange{Place: []health.Override{{
							ID: name + endpoint, Act: health.Disable, Profile: name, Endpoint: endpoint, At: time.Now().UTC(),
						}}}, nil
					})
				})
			}
			asked.Wait()
			if n := len(nodes[0].Orders(name)) + len(nodes[1].Orders(name)); (errs[0] == nil) == (errs[1] == nil) || n > 2 {
				t.Fatalf("round %d: %v and %v, orders %+v", round, errs[0], errs[1], nodes[0].Orders(name))
			}
			if !errors.Is(errors.Join(errs...), errLast) {
				t.Fatalf("round %d: refused with %v", round, errs)
			}
		}
	})
}

// The begins of changes travel with them, and a restarted node knows orders and begins.
func TestOrdersSurviveARestart(t *testing.T) {
	began := time.Now().UTC().Truncate(time.Second)
	check := func(t *testing.T, m *member) {
		t.Helper()
		err := m.Transact(t.Context(), func(b cluster.Book) (cluster.OrderChange, error) {
			if len(b.Orders) != 2 || b.Orders[1].Profile != "q" || !b.Begun["p"].Equal(began) {
				t.Errorf("the book after a restart: %+v", b)
			}
			return cluster.OrderChange{}, nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	order := func(t *testing.T, m *member) {
		t.Helper()
		if err := m.Transact(t.Context(), func(cluster.Book) (cluster.OrderChange, error) {
			return cluster.OrderChange{Place: disables("1", "p", "q"), Begun: map[string]time.Time{"p": began}}, nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	t.Run("mem", func(t *testing.T) {
		bubble(t, func(t *testing.T, st *mem.Store) {
			a := join(st, "a", "1")
			time.Sleep(time.Second)
			order(t, a)
			_ = a.leave()
			again := join(st, "a", "1")
			time.Sleep(time.Second)
			check(t, again)
		})
	})
	t.Run("etcd", func(t *testing.T) {
		dir := t.TempDir()
		for n, act := range []func(*testing.T, *member){order, check} {
			t.Run(fmt.Sprint(n), func(t *testing.T) {
				st, err := openAt(t.Context(), dir)
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = st.Close() })
				act(t, running(t, st, "a"))
			})
		}
	})
}

// An order over thousands of endpoints is one key and one commit; what the store can never take is refused as a whole.
func TestManyTargets(t *testing.T) {
	onStores(t, func(t *testing.T, st store.Store) {
		a := running(t, st, "a")
		var names []string
		for i := range 5000 {
			names = append(names, fmt.Sprintf("profile-%05d", i))
		}
		if err := a.Order(t.Context(), disables("1", names[:500]...)...); err != nil {
			t.Fatal(err)
		}
		waitFor(t, "the journal has every target", func() bool { return len(a.Journal(0, nil)) == 500 })
		if err := a.Order(t.Context(), disables("2", names...)...); err != nil {
			t.Fatal(err)
		}
		if got := a.Journal(1, nil); got[0].Profile != "" || got[0].Note != "move (5000 targets)" || len(a.Orders("")) != 5500 {
			t.Fatalf("%d orders, the journal says %+v", len(a.Orders("")), got)
		}
		var single []health.Override
		for i := range store.MaxOps {
			single = append(single, disables(fmt.Sprintf("s%d", i), "p")...)
		}
		if err := a.Order(t.Context(), single...); !errors.Is(err, store.ErrTooLarge) || len(a.Orders("p")) != 0 {
			t.Fatalf("got %v, want too large, and nothing of it written", err)
		}
	})
}

// Out of reach nothing is judged by what may be old.
func TestOrdersNeedTheStore(t *testing.T) {
	bubble(t, func(t *testing.T, st *mem.Store) {
		a := join(st, "a", "1")
		time.Sleep(time.Second)
		a.client.SetPartitioned(true)
		time.Sleep(5 * time.Second)
		if err := a.Order(t.Context(), disables("1", "p")...); !errors.Is(err, store.ErrUnavailable) {
			t.Fatalf("got %v", err)
		}
	})
}

func TestSignals(t *testing.T) {
	onStores(t, func(t *testing.T, st store.Store) {
		a, b := running(t, st, "a"), running(t, st, "b")
		now := time.Now().UTC()
		say := func(state health.Opinion, at time.Time) health.Signal {
			return health.Signal{Profile: "p", Endpoint: "eu", State: state, Reason: "load", By: "sensor", At: at, Until: at.Add(time.Minute)}
		}
		for _, step := range []struct {
			after   time.Duration
			state   health.Opinion
			written bool
		}{{0, health.Up, true}, {20 * time.Second, health.Up, false}, {25 * time.Second, health.Down, true}, {50 * time.Second, health.Down, false}, {60 * time.Second, health.Down, true}} {
			written, err := a.Signal(t.Context(), say(step.state, now.Add(step.after)))
			if err != nil || written != step.written {
				t.Fatalf("after %v: written %v, %v", step.after, written, err)
			}
			if written {
				waitFor(t, "both hear it", func() bool {
					x, _ := last[cluster.Signals](a)
					y, _ := last[cluster.Signals](b)
					want := say(step.state, now.Add(step.after))
					return x.Profile == "p" && x.Signals["eu"].At.Equal(want.At) && y.Signals["eu"].State == want.State && y.Signals["eu"].At.Equal(want.At)
				})
			}
		}
	})
}

// The leader removes signals of endpoints that no document names.
func TestOrphanedSignalsGo(t *testing.T) {
	bubble(t, func(t *testing.T, st *mem.Store) {
		a := join(st, "a", "1")
		time.Sleep(time.Second)
		r := record("p")
		r.Source = json.RawMessage(`{"name":"p","endpoints":[{"name":"eu"}]}`)
		if _, err := a.Change(t.Context(), func(cluster.DocumentSet) ([]cluster.Record, error) { return []cluster.Record{r}, nil }); err != nil {
			t.Fatal(err)
		}
		for _, where := range [][2]string{{"p", "eu"}, {"p", "gone"}, {"gone", "eu"}} {
			if _, err := a.Signal(t.Context(), health.Signal{Profile: where[0], Endpoint: where[1], State: health.Up, At: time.Now(), Until: time.Now().Add(time.Hour)}); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(2 * time.Minute)
		kvs, _, err := a.client.List(t.Context(), "/jurymast/v1/signals/")
		if err != nil || len(kvs) != 1 || kvs[0].Key != "/jurymast/v1/signals/p/eu" {
			t.Fatalf("%v: left are %+v", err, kvs)
		}
	})
}

func openAt(ctx context.Context, dir string) (*etcd.Store, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	return etcd.Open(ctx, etcd.Options{Dir: dir, Logger: slog.New(slog.DiscardHandler)})
}

func openEtcd(t *testing.T) *etcd.Store {
	t.Helper()
	st, err := openAt(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return st
}
