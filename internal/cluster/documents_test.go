package cluster_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"jurymast/internal/cluster"
	"jurymast/internal/health"
	"jurymast/internal/profile"
	"jurymast/internal/store"
	"jurymast/internal/store/mem"
)

const docsKey = "/jurymast/v1/docs/"

// weighed counts the bytes that are committed.
type weighed struct {
	*mem.Client
	bytes atomic.Int64
}

func (w *weighed) Commit(ctx context.Context, conds []store.Cond, ops []store.Op) (int64, bool, error) {
	for _, o := range ops {
		w.bytes.Add(int64(len(o.Key) + len(o.Value)))
	}
	return w.Client.Commit(ctx, conds, ops)
}

func version(name string, v int) cluster.Record {
	return cluster.Record{Kind: profile.KindProfile, Name: name, Source: json.RawMessage(fmt.Sprintf(`{"name":%q,"v":%d,"pad":%q}`, name, v, strings.Repeat("x", 1000)))}
}

func change(t *testing.T, m *member, want ...cluster.Record) uint64 {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	gen, err := m.Change(ctx, func(cluster.DocumentSet) ([]cluster.Record, error) { return want, nil })
	must(t, err)
	return gen
}

// with replaces one document of a set.
func with(set cluster.DocumentSet, r cluster.Record) []cluster.Record {
	for i := range set.Records {
		if set.Records[i].Name == r.Name {
			set.Records[i] = r
			return set.Records
		}
	}
	return append(set.Records, r)
}

func TestOneChangedDocumentIsWrittenAlone(t *testing.T) {
	bubble(t, func(t *testing.T, st *mem.Store) {
		w := &weighed{Client: st.Node("a")}
		a := start(cluster.Options{Store: w, Node: cluster.NodeRecord{Name: "a", Instance: "1"}}, w.Client)
		time.Sleep(time.Second)
		var all []cluster.Record
		for i := range 2000 {
			all = append(all, version(fmt.Sprintf("p%04d", i), 0))
		}
		change(t, a, all...)
		time.Sleep(time.Second)
		whole := w.bytes.Swap(0)
		all[7] = version("p0007", 1)
		change(t, a, all...)
		time.Sleep(time.Second)
		if one := w.bytes.Load(); one > whole/5 {
			t.Fatalf("one document changed: %d bytes written, all 2000 are %d", one, whole)
		}
		if got := a.Documents(); len(got.Records) != 2000 || got.Generation != 2 || !strings.Contains(string(got.Records[7].Source), `"v":1`) {
			t.Fatalf("generation %d has %d documents", got.Generation, len(got.Records))
		}
	})
}

// What nobody reads any more goes, what two writers need at the same time stays: they change back and forth between the
// same contents, so that one writes what the other sweeps.
func TestSweepingNeverTakesWhatIsRead(t *testing.T) {
	bubble(t, func(t *testing.T, st *mem.Store) {
		a, b := join(st, "a", "1"), join(st, "b", "2")
		time.Sleep(time.Second)
		var all sync.WaitGroup
		for i, m := range []*member{a, b} {
			var mu sync.Mutex
			source := rand.New(rand.NewPCG(uint64(i), 3))
			dice := func(n int) int {
				mu.Lock()
				defer mu.Unlock()
				return source.IntN(n)
			}
			m.client.SetDelay(func() time.Duration { return time.Duration(dice(20)) * time.Millisecond })
			all.Go(func() {
				for range 150 {
					r := version(fmt.Sprintf("p%d", dice(4)), dice(3))
					_, _ = m.Change(t.Context(), func(s cluster.DocumentSet) ([]cluster.Record, error) { return with(s, r), nil })
				}
			})
		}
		all.Wait()
		a.client.SetDelay(nil)
		b.client.SetDelay(nil)
		time.Sleep(time.Second)
		change(t, a, version("p0", 7), version("p1", 7))
		time.Sleep(time.Second)
		change(t, a, version("p0", 8), version("p1", 8))
		time.Sleep(time.Second)
		change(t, a, version("p0", 9), version("p1", 9))
		time.Sleep(time.Second)
		c := join(st, "c", "3")
		time.Sleep(time.Second)
		if got := c.Documents(); len(got.Records) != 2 {
			t.Fatalf("a new node reads %d documents, want 2", len(got.Records))
		}
		for _, m := range []*member{a, b, c} {
			if alarms := m.Journal(0, func(e *health.Entry) bool { return e.Kind == health.EntryAlarm }); len(alarms) != 0 {
				t.Fatalf("a set was incomplete: %+v", alarms[0])
			}
		}
		// current, two documents and an index of this generation and of the one before
		kvs, _, err := st.Node("admin").List(t.Context(), docsKey)
		must(t, err)
		if len(kvs) != 7 {
			t.Fatalf("%d keys are left below docs/, want 7: %v", len(kvs), keys(kvs))
		}
	})
}

func keys(kvs []store.KV) (out []string) {
	for _, kv := range kvs {
		out = append(out, strings.TrimPrefix(kv.Key, docsKey))
	}
	return out
}

// A set with a hole in it is nobody's set: the earlier one stays in force, one alarm tells, and the next change mends it.
func TestIncompleteGenerationIsNotUsed(t *testing.T) {
	bubble(t, func(t *testing.T, st *mem.Store) {
		log := &lines{}
		a := start(cluster.Options{Node: cluster.NodeRecord{Name: "a", Instance: "1"}, Logger: log.logger()}, st.Node("a"))
		time.Sleep(time.Second)
		change(t, a, version("p", 1), version("q", 1))
		time.Sleep(time.Second)
		kvs, _, err := st.Node("admin").List(t.Context(), docsKey+"by-hash/"+string(profile.KindProfile)+"/p/")
		if err != nil || len(kvs) != 1 {
			t.Fatalf("%d versions of p are stored: %v", len(kvs), err)
		}
		remove(t, st, store.Delete(kvs[0].Key))
		time.Sleep(time.Second)
		b := join(st, "b", "2")
		time.Sleep(10 * time.Second)
		if n := len(a.Documents().Records); n != 2 {
			t.Fatalf("%d documents in force, want the two there were", n)
		}
		if set := b.Documents(); len(set.Records) != 0 {
			t.Fatalf("a new node uses half a set: %+v", set)
		}
		if n := log.count("level=ERROR"); n != 1 {
			t.Fatalf("%d lines of alarm, want 1", n)
		}
		gen := change(t, a, version("p", 1), version("q", 2))
		time.Sleep(time.Second)
		if set := b.Documents(); len(set.Records) != 2 || set.Generation != gen {
			t.Fatalf("after the next change the new node has %d documents of generation %d", len(set.Records), set.Generation)
		}
	})
}

// A value that is not what its hash says is as good as missing.
func TestForgedDocumentIsNotUsed(t *testing.T) {
	bubble(t, func(t *testing.T, st *mem.Store) {
		a := join(st, "a", "1")
		time.Sleep(time.Second)
		change(t, a, version("p", 1))
		time.Sleep(time.Second)
		kvs, _, err := st.Node("admin").List(t.Context(), docsKey+"by-hash/")
		must(t, err)
		remove(t, st, store.Put(kvs[0].Key, []byte(strings.Replace(string(kvs[0].Value), `"v":1`, `"v":2`, 1))))
		b := join(st, "b", "2")
		time.Sleep(time.Second)
		if n := len(b.Documents().Records); n != 0 {
			t.Fatal("a document is used that is not the one its index names")
		}
	})
}

func TestChangeAfterTheDocumentsWereWiped(t *testing.T) {
	for _, while := range []string{"in session", "out of session"} {
		t.Run(while, func(t *testing.T) {
			bubble(t, func(t *testing.T, st *mem.Store) {
				a := join(st, "a", "1")
				time.Sleep(time.Second)
				first := change(t, a, version("p", 1), version("q", 1))
				time.Sleep(time.Second)
				if while != "in session" {
					a.client.SetPartitioned(true)
					time.Sleep(5 * time.Second)
				}
				remove(t, st, store.DeletePrefix(docsKey))
				a.client.SetPartitioned(false)
				time.Sleep(15 * time.Second)
				if n := len(a.Documents().Records); n != 2 {
					t.Fatalf("%d documents in force, want the two there were", n)
				}
				again := change(t, a, version("p", 1), version("q", 1)) // nothing new, but the store has nothing
				if again <= first {
					t.Fatalf("generation %d follows %d", again, first)
				}
				b := join(st, "b", "2")
				time.Sleep(time.Second)
				if set := b.Documents(); len(set.Records) != 2 || set.Generation != again {
					t.Fatalf("a new node reads %d documents of generation %d", len(set.Records), set.Generation)
				}
			})
		})
	}
}

// behind is a way to the store on which somebody else always was faster, though the watch never shows it.
type behind struct{ *mem.Client }

func (b behind) Commit(ctx context.Context, conds []store.Cond, ops []store.Op) (int64, bool, error) {
	for _, c := range conds {
		if c.Key == docsKey+"current" {
			return 1, false, nil
		}
	}
	return b.Client.Commit(ctx, conds, ops)
}

// Whoever waits to see somebody else's change gives up in the end, at once when the session ends, and lets the next one try.
func TestChangeDoesNotWaitForEver(t *testing.T) {
	for end, within := range map[string]time.Duration{"time limit": 10 * time.Second, "session": 3 * time.Second} {
		t.Run(end, func(t *testing.T) {
			bubble(t, func(t *testing.T, st *mem.Store) {
				client := st.Node("a")
				a := start(cluster.Options{Store: behind{client}, Node: cluster.NodeRecord{Name: "a", Instance: "1"}}, client)
				time.Sleep(time.Second)
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				if end == "session" {
					client.SetPartitioned(true)
				}
				began := time.Now()
				_, err := a.Change(ctx, func(cluster.DocumentSet) ([]cluster.Record, error) { return []cluster.Record{version("p", 1)}, nil })
				if took := time.Since(began); err == nil || took > within {
					t.Fatalf("the change waited %v: %v", took, err)
				}
			})
		})
	}
}

// Whoever changes one document after the other works on what was written just before, not on what was there before that.
func TestChangeIsSeenByTheNextOne(t *testing.T) {
	bubble(t, func(t *testing.T, st *mem.Store) {
		a := join(st, "a", "1")
		time.Sleep(time.Second)
		for i := range 5 {
			_, err := a.Change(t.Context(), func(s cluster.DocumentSet) ([]cluster.Record, error) {
				if len(s.Records) != i {
					return nil, fmt.Errorf("change %d is made on %d documents", i, len(s.Records))
				}
				return append(s.Records, record(fmt.Sprintf("p%d", i))), nil
			})
			must(t, err)
		}
	})
}
