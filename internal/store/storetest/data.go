package storetest

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"testing"

	"jurymast/internal/store"
)

func getAndList(t *testing.T, s store.Store) {
	_, ok := get(t, s, "/a/x")
	equal(t, "absent key", ok, false)
	kvs, rev0 := list(t, s, "/a/")
	equal(t, "empty list", len(kvs), 0)
	if rev0 < 1 {
		t.Fatalf("revision of an empty store is %d, at least 1 is promised", rev0)
	}
	commit(t, s, nil, store.Put("/a/b", []byte("2")), store.Put("/a/a", []byte("1")))
	rev := commit(t, s, nil, store.Put("/a/c", []byte("3")), store.Put("/b", []byte("4")))
	kvs, at := list(t, s, "/a/")
	equal(t, "list", keys(kvs), "/a/a=1 /a/b=2 /a/c=3 ")
	equal(t, "list revision", at, rev)
	kv, ok := get(t, s, "/a/c")
	equal(t, "present", ok, true)
	equal(t, "key revision", kv.Rev, rev)
	equal(t, "value", string(kv.Value), "3")
	equal(t, "lease", kv.Lease, 0)
	all, _ := list(t, s, "")
	equal(t, "list of everything", len(all), 4)
}

func emptyValue(t *testing.T, s store.Store) {
	_, rev := list(t, s, "")
	w := s.Watch(ctx(t), "/", rev)
	commit(t, s, nil, store.Put("/e", nil), store.Op{Key: "/f", Value: []byte{}})
	kv, ok := get(t, s, "/e")
	if !ok || kv.Value == nil || len(kv.Value) != 0 {
		t.Fatalf("key with an empty value: %v %#v", ok, kv)
	}
	commit(t, s, nil, store.Delete("/e"))
	_, ok = get(t, s, "/e")
	equal(t, "deleted key", ok, false)
	equal(t, "events", show(events(t, w, 3)), "+/e= +/f= -/e ")
}

func valuesAreCopies(t *testing.T, s store.Store) {
	v := []byte("good")
	commit(t, s, nil, store.Put("/v", v))
	v[0] = 'X'
	kv, _ := get(t, s, "/v")
	equal(t, "value after the caller changed its buffer", string(kv.Value), "good")
	kv.Value[0] = 'Y'
	kv, _ = get(t, s, "/v")
	equal(t, "value after a reader changed its copy", string(kv.Value), "good")
}

func compareAndSwap(t *testing.T, s store.Store) {
	absent := []store.Cond{{Key: "/k"}}
	rev := commit(t, s, absent, store.Put("/k", []byte("1")))
	refused(t, s, absent, store.Put("/k", []byte("2")))
	refused(t, s, []store.Cond{{Key: "/k", Rev: rev + 1}}, store.Put("/k", []byte("2")))
	refused(t, s, []store.Cond{{Key: "/other", Rev: rev}}, store.Put("/k", []byte("2")))
	kv, _ := get(t, s, "/k")
	equal(t, "value after refusals", string(kv.Value), "1")
	commit(t, s, []store.Cond{{Key: "/k", Rev: rev}}, store.Put("/k", []byte("2")))
	refused(t, s, []store.Cond{{Key: "/k", Rev: rev}}, store.Put("/k", []byte("3")))
	commit(t, s, nil, store.Delete("/k"))
	commit(t, s, absent, store.Put("/k", []byte("4")))
}

func severalConditions(t *testing.T, s store.Store) {
	rev := commit(t, s, nil, store.Put("/a", nil), store.Put("/b", nil))
	ops := []store.Op{store.Put("/c", nil), store.Delete("/a")}
	refused(t, s, []store.Cond{{Key: "/a", Rev: rev}, {Key: "/b", Rev: rev}, {Key: "/b"}}, ops...)
	if _, ok := get(t, s, "/c"); ok {
		t.Fatal("a refused commit wrote")
	}
	commit(t, s, []store.Cond{{Key: "/a", Rev: rev}, {Key: "/b", Rev: rev}, {Key: "/c"}}, ops...)
	kvs, _ := list(t, s, "")
	equal(t, "list", keys(kvs), "/b= /c= ")
}

func revisions(t *testing.T, s store.Store) {
	r1 := commit(t, s, nil, store.Put("/a", []byte("1")), store.Put("/b", []byte("1")))
	r2 := commit(t, s, nil, store.Put("/a", []byte("1")))
	if r2 <= r1 {
		t.Fatalf("revision %d after %d: writing the same value is a change", r2, r1)
	}
	a, _ := get(t, s, "/a")
	b, _ := get(t, s, "/b")
	equal(t, "revision of the changed key", a.Rev, r2)
	equal(t, "revision of the other key", b.Rev, r1)
	equal(t, "deleting nothing changes nothing", commit(t, s, nil, store.Delete("/none"), store.DeletePrefix("/none/")), r2)
	equal(t, "an empty commit changes nothing", commit(t, s, []store.Cond{{Key: "/a", Rev: r2}}), r2)
	rev, ok, err := s.Commit(ctx(t), []store.Cond{{Key: "/a"}}, []store.Op{store.Put("/a", nil)})
	must(t, err)
	equal(t, "applied", ok, false)
	equal(t, "revision of a refused commit", rev, r2)
}

func deletes(t *testing.T, s store.Store) {
	var ops []store.Op
	for _, k := range []string{"/p", "/p/", "/p/a", "/p/b/c", "/p0", "/q"} {
		ops = append(ops, store.Put(k, nil))
	}
	rev := commit(t, s, nil, ops...)
	w := s.Watch(ctx(t), "", rev)
	commit(t, s, nil, store.DeletePrefix("/p/"), store.Delete("/p/a"), store.Put("/n", nil))
	kvs, _ := list(t, s, "")
	equal(t, "left", keys(kvs), "/n= /p= /p0= /q= ")
	equal(t, "events", show(events(t, w, 4)), "-/p/ -/p/a -/p/b/c +/n= ")
}

func limits(t *testing.T, s store.Store) {
	many := make([]store.Op, store.MaxOps)
	conds := make([]store.Cond, store.MaxOps)
	for i := range many {
		many[i] = store.Put(fmt.Sprintf("/many/%03d", i), bytes.Repeat([]byte{'x'}, store.MaxBytes/store.MaxOps-9))
		conds[i] = store.Cond{Key: fmt.Sprintf("/%03d", i)}
	}
	commit(t, s, nil, many...)
	commit(t, s, conds)
	over := append(slices.Clip(many), store.Put("/one", nil))
	_, _, err := s.Commit(ctx(t), nil, over)
	isErr(t, "one operation too many", err, store.ErrTooLarge)
	_, _, err = s.Commit(ctx(t), append(conds, store.Cond{Key: "/x"}), nil)
	isErr(t, "one condition too many", err, store.ErrTooLarge)
	commit(t, s, nil, store.Put("/big", make([]byte, store.MaxBytes-4)))
	_, _, err = s.Commit(ctx(t), nil, []store.Op{store.Put("/big", make([]byte, store.MaxBytes-3))})
	isErr(t, "one byte too many", err, store.ErrTooLarge)
	if _, ok := get(t, s, "/one"); ok {
		t.Fatal("a commit that was too large wrote")
	}
}

func invalidCommits(t *testing.T, s store.Store) {
	for what, ops := range map[string][]store.Op{
		"empty key":              {store.Put("", nil)},
		"key put twice":          {store.Put("/a", nil), store.Put("/a", nil)},
		"put and delete":         {store.Put("/a", nil), store.Delete("/a")},
		"delete prefix and put":  {store.DeletePrefix("/"), store.Put("/a", nil)},
		"prefix with a value":    {{Key: "/", Value: []byte{1}, Prefix: true}},
		"empty prefix to delete": {store.DeletePrefix("")},
	} {
		_, _, err := s.Commit(ctx(t), nil, ops)
		isErr(t, what, err, store.ErrInvalid)
	}
	_, err := s.Grant(ctx(t), 0)
	isErr(t, "lease without a ttl", err, store.ErrInvalid)
}

func cancelledContext(t *testing.T, s store.Store) {
	dead, cancel := context.WithCancel(t.Context())
	cancel()
	_, _, err := s.Get(dead, "/a")
	isErr(t, "get", err, context.Canceled)
	_, _, err = s.List(dead, "/a")
	isErr(t, "list", err, context.Canceled)
	_, _, err = s.Commit(dead, nil, []store.Op{store.Put("/a", nil)})
	isErr(t, "commit", err, context.Canceled)
	_, err = s.Grant(dead, 3e9)
	isErr(t, "grant", err, context.Canceled)
	for b := range s.Watch(dead, "/a", 0) {
		t.Fatalf("watch delivers %v", b)
	}
	if _, ok := get(t, s, "/a"); ok {
		t.Fatal("a commit whose context had ended before wrote")
	}
}

// counter adds one from many sides: no increment may be lost or counted twice.
func counter(t *testing.T, s store.Store) {
	const workers, each = 8, 25
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for range each {
				if err := increment(ctx(t), s); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	kv, _ := get(t, s, "/counter")
	equal(t, "counter", string(kv.Value), strconv.Itoa(workers*each))
}

func increment(ctx context.Context, s store.Store) error {
	for {
		kv, ok, err := s.Get(ctx, "/counter")
		if err != nil {
			return err
		}
		n := 0
		if ok {
			if n, err = strconv.Atoi(string(kv.Value)); err != nil {
				return err
			}
		}
		_, done, err := s.Commit(ctx, []store.Cond{{Key: "/counter", Rev: kv.Rev}},
			[]store.Op{store.Put("/counter", []byte(strconv.Itoa(n+1)))})
		if err != nil || done {
			return err
		}
	}
}

// createOnce is an election: of many that create a key if it is absent, one wins.
func createOnce(t *testing.T, s store.Store) {
	var wg sync.WaitGroup
	var mu sync.Mutex
	won := 0
	for range 16 {
		wg.Go(func() {
			_, ok, err := s.Commit(ctx(t), []store.Cond{{Key: "/leader"}}, []store.Op{store.Put("/leader", nil)})
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				t.Error(err)
			}
			if ok {
				won++
			}
		})
	}
	wg.Wait()
	equal(t, "winners", won, 1)
}
