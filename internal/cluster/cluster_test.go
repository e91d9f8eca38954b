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
	"testing/synctest"
	"time"

	"jurymast/internal/cluster"
	"jurymast/internal/health"
	"jurymast/internal/profile"
	"jurymast/internal/store"
	"jurymast/internal/store/mem"
)

// member is one running cluster member that remembers what it was told.
type member struct {
	*cluster.Cluster
	client *mem.Client
	cancel context.CancelFunc
	done   chan error

	mu   sync.Mutex
	told []cluster.Event
}

func join(st *mem.Store, name, instance string) *member {
	ctx, cancel := context.WithCancel(context.Background())
	m := &member{client: st.Node(name + instance), cancel: cancel, done: make(chan error, 1)}
	m.Cluster = cluster.New(cluster.Options{
		Store: m.client, Node: cluster.NodeRecord{Name: name, Instance: instance}, Logger: slog.New(slog.DiscardHandler),
		Listen: func(e cluster.Event) {
			m.mu.Lock()
			m.told = append(m.told, e)
			m.mu.Unlock()
		},
	})
	go func() { m.done <- m.Run(ctx) }()
	joined = append(joined, m)
	return m
}

func (m *member) leave() error {
	m.cancel()
	return <-m.done
}

// last returns the newest event of one type.
func last[E cluster.Event](m *member) (E, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, told := range slices.Backward(m.told) {
		if e, ok := told.(E); ok {
			return e, true
		}
	}
	var none E
	return none, false
}

func (m *member) leads() bool {
	r, _ := last[cluster.Role](m)
	return r.Leader
}

// joined are the members of the bubble that runs now; these tests do not run in parallel.
var joined []*member

func bubble(t *testing.T, f func(t *testing.T, st *mem.Store)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		st := mem.New(mem.Options{})
		defer func() { _ = st.Close() }()
		defer func() { // a failed test leaves nobody behind, or the bubble's complaint hides what failed
			for _, m := range joined {
				m.cancel()
			}
			joined = nil
			time.Sleep(2 * time.Second)
		}()
		f(t, st)
	})
}

func record(name string) cluster.Record {
	return cluster.Record{Kind: profile.KindProfile, Name: name, Source: json.RawMessage(`{"name":"` + name + `"}`)}
}

func TestOneLeaderAndAnotherWhenItDies(t *testing.T) {
	bubble(t, func(t *testing.T, st *mem.Store) {
		a := join(st, "a", "1")
		time.Sleep(time.Second)
		b := join(st, "b", "2")
		time.Sleep(time.Second)
		if !a.leads() || b.leads() || b.Leader() != "a" {
			t.Fatalf("a leads %v, b leads %v", a.leads(), b.leads())
		}
		a.client.SetPartitioned(true)
		began := time.Now()
		for !b.leads() {
			if a.leads() && time.Since(began) > 3*time.Second {
				t.Fatal("a still believes after its lease has run out")
			}
			if time.Since(began) > 10*time.Second {
				t.Fatal("b does not take over")
			}
			time.Sleep(10 * time.Millisecond)
		}
		if a.leads() {
			t.Fatal("two leaders")
		}
		if took := time.Since(began); took > 4*time.Second {
			t.Fatalf("takeover took %v, a lease is 3s", took)
		}
		_, _ = a.leave(), b.leave()
	})
}

func TestLeavingHandsTheLeaseBack(t *testing.T) {
	bubble(t, func(t *testing.T, st *mem.Store) {
		a, b := join(st, "a", "1"), join(st, "b", "2")
		time.Sleep(2 * time.Second)
		lead, other := a, b
		if b.leads() {
			lead, other = b, a
		}
		_ = lead.leave()
		time.Sleep(100 * time.Millisecond)
		if !other.leads() || len(other.Nodes()) != 1 {
			t.Fatalf("leads %v, nodes %v: nobody should wait for the lease of a node that left in order", other.leads(), other.Nodes())
		}
		_ = other.leave()
	})
}

func TestRestartedNodeDoesNotWaitForItsOwnLease(t *testing.T) {
	bubble(t, func(t *testing.T, st *mem.Store) {
		a := join(st, "a", "1")
		time.Sleep(time.Second)
		a.client.SetPartitioned(true) // it cannot say goodbye
		_ = a.leave()
		a.client.SetPartitioned(false)
		again := join(st, "a", "1")
		time.Sleep(100 * time.Millisecond)
		if !again.leads() {
			t.Fatal("the restarted node waits for its own earlier lease")
		}
		_ = again.leave()
	})
}

func TestNameIsNotUsedTwice(t *testing.T) {
	bubble(t, func(t *testing.T, st *mem.Store) {
		a := join(st, "a", "1")
		time.Sleep(time.Second)
		twin := join(st, "a", "2")
		time.Sleep(5 * time.Second)
		if r, _ := last[cluster.Reachable](twin); r.Reachable || !a.leads() {
			t.Fatal("a second node of the same name pushed the first one out")
		}
		_, _ = twin.leave(), a.leave()
	})
}

func TestUnknownFormatIsRefusedAndNotTouched(t *testing.T) {
	bubble(t, func(t *testing.T, st *mem.Store) {
		admin := st.Node("admin")
		if _, _, err := admin.Commit(t.Context(), nil, []store.Op{store.Put("/jurymast/v1/meta", []byte(`{"format":99}`))}); err != nil {
			t.Fatal(err)
		}
		rev := st.Rev()
		a := join(st, "a", "1")
		if err := <-a.done; !errors.Is(err, cluster.ErrFormat) {
			t.Fatalf("got %v", err)
		}
		if st.Rev() != rev {
			t.Fatal("a store of another format was written to")
		}
		a.cancel()
	})
}

// A set over the limits of one transaction is still one change: readers see all of it or nothing.
func TestManyDocumentsAreOneChange(t *testing.T) {
	bubble(t, func(t *testing.T, st *mem.Store) {
		a, b := join(st, "a", "1"), join(st, "b", "2")
		time.Sleep(time.Second)
		var want []cluster.Record
		for i := range 500 {
			want = append(want, record(fmt.Sprintf("p%03d", i)))
		}
		gen, err := a.Change(t.Context(), func(cluster.DocumentSet) ([]cluster.Record, error) { return want, nil })
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		b.mu.Lock()
		defer b.mu.Unlock()
		for _, e := range b.told {
			if d, ok := e.(cluster.Documents); ok && len(d.Set.Records) != 0 && (len(d.Set.Records) != 500 || d.Set.Generation != gen) {
				t.Fatalf("b saw %d documents of generation %d", len(d.Set.Records), d.Set.Generation)
			}
		}
	})
}

func TestConcurrentChangesLoseNothing(t *testing.T) {
	bubble(t, func(t *testing.T, st *mem.Store) {
		a, b := join(st, "a", "1"), join(st, "b", "2")
		time.Sleep(time.Second)
		var all sync.WaitGroup
		for i, m := range []*member{a, b, a, b} {
			all.Go(func() {
				for n := range 3 {
					_, err := m.Change(t.Context(), func(s cluster.DocumentSet) ([]cluster.Record, error) {
						return append(s.Records, record(fmt.Sprintf("p%d-%d", i, n))), nil
					})
					if err != nil && !errors.Is(err, cluster.ErrConflict) {
						t.Error(err)
					} else if err != nil {
						t.Errorf("p%d-%d lost: %v", i, n, err)
					}
				}
			})
		}
		all.Wait()
		time.Sleep(time.Second)
		if n := len(b.Documents().Records); n != 12 {
			t.Fatalf("%d documents, want 12", n)
		}
		_, _ = a.leave(), b.leave()
	})
}

func TestRefusedChangeWritesNothing(t *testing.T) {
	bubble(t, func(t *testing.T, st *mem.Store) {
		a := join(st, "a", "1")
		time.Sleep(time.Second)
		rev, bad := st.Rev(), errors.New("profiles[0].ttl: no")
		if _, err := a.Change(t.Context(), func(cluster.DocumentSet) ([]cluster.Record, error) { return nil, bad }); !errors.Is(err, bad) || st.Rev() != rev {
			t.Fatalf("got %v, revision moved %v", err, st.Rev() != rev)
		}
		_ = a.leave()
	})
}

func TestDecisionIsFencedByTheChair(t *testing.T) {
	bubble(t, func(t *testing.T, st *mem.Store) {
		a, b := join(st, "a", "1"), join(st, "b", "2")
		time.Sleep(time.Second)
		lead, other := a, b
		if b.leads() {
			lead, other = b, a
		}
		other.WriteDecision("p", health.Decision{Active: "us", Epoch: 1}, 0)
		time.Sleep(time.Second)
		if f, ok := last[cluster.DecisionFailed](other); !ok || f.Epoch != 1 {
			t.Fatal("a follower's decision was not refused")
		}
		lead.WriteDecision("p", health.Decision{Active: "eu", Epoch: 1, Reason: "initial", Since: time.Now()}, 0)
		time.Sleep(time.Second)
		d, ok := last[cluster.Decision](other)
		if !ok || d.Decision.Active != "eu" {
			t.Fatalf("the other node knows %+v", d)
		}
		lead.WriteDecision("p", health.Decision{Active: "us", Epoch: 2}, 0) // against a revision that is gone
		time.Sleep(time.Second)
		if f, _ := last[cluster.DecisionFailed](lead); !f.Lost {
			t.Fatalf("got %+v, want Lost", f)
		}
		entries := other.Journal(0, func(e *health.Entry) bool { return e.Kind == health.EntryDecision })
		if len(entries) != 1 || entries[0].To != "eu" || entries[0].ID == "" {
			t.Fatalf("the journal has %+v, want the one decision that was written", entries)
		}
		_, _ = a.leave(), b.leave()
	})
}

func TestOrdersTravelAndEnd(t *testing.T) {
	bubble(t, func(t *testing.T, st *mem.Store) {
		a, b := join(st, "a", "1"), join(st, "b", "2")
		time.Sleep(time.Second)
		o := health.Override{ID: "1", Act: health.Drain, Profile: "p", Endpoint: "eu", By: "ops", At: time.Now().UTC()}
		if err := a.Order(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		time.Sleep(100 * time.Millisecond)
		if got, _ := last[cluster.Orders](b); len(got.Of["p"]) != 1 || got.Of["p"][0] != o {
			t.Fatalf("b knows %+v", got)
		}
		if err := b.EndOrders(t.Context(), "ops", "done", o); err != nil {
			t.Fatal(err)
		}
		time.Sleep(100 * time.Millisecond)
		if got, _ := last[cluster.Orders](a); len(got.Of) != 1 || len(got.Of["p"]) != 0 {
			t.Fatalf("a knows %+v", got)
		}
		acts := a.Journal(0, func(e *health.Entry) bool { return e.Kind == health.EntryAct })
		if len(acts) != 2 || acts[0].By != "ops" || !strings.Contains(acts[1].To, "ended") {
			t.Fatalf("audit has %+v", acts)
		}
		_, _ = a.leave(), b.leave()
	})
}

// The journal waits while the store cannot write, and nothing that fits is lost.
func TestJournalWaitsOutAFullDisk(t *testing.T) {
	bubble(t, func(t *testing.T, st *mem.Store) {
		a := join(st, "a", "1")
		time.Sleep(time.Second)
		a.client.SetFull(true)
		for i := range 10 {
			a.Note(health.Entry{At: time.Now(), Node: "a", Kind: health.EntryAlarm, Reason: fmt.Sprint(i)})
			time.Sleep(100 * time.Millisecond)
		}
		a.client.SetFull(false)
		time.Sleep(2 * time.Second)
		got := a.Journal(0, nil)
		if len(got) != 10 || got[0].Reason != "0" || got[9].Reason != "9" {
			t.Fatalf("%d entries: %+v", len(got), got)
		}
		_ = a.leave()
	})
}
