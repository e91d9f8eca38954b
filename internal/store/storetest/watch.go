package storetest

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	"jurymast/internal/store"
)

func watchAfterList(t *testing.T, s store.Store) {
	commit(t, s, nil, store.Put("/a", []byte("1")))
	_, rev := list(t, s, "/")
	commit(t, s, nil, store.Put("/a", []byte("2")))
	w := s.Watch(ctx(t), "/", rev)
	commit(t, s, nil, store.Put("/b", []byte("3")))
	evs := events(t, w, 2)
	equal(t, "events", show(evs), "+/a=2 +/b=3 ")
	equal(t, "revision of the first", evs[0].Rev, rev+1)
	equal(t, "revision of the second", evs[1].Rev, rev+2)
}

func watchFromStart(t *testing.T, s store.Store) {
	commit(t, s, nil, store.Put("/a", []byte("1")))
	commit(t, s, nil, store.Delete("/a"))
	equal(t, "events", show(events(t, s.Watch(ctx(t), "/", 0), 2)), "+/a=1 -/a ")
}

func watchFuture(t *testing.T, s store.Store) {
	rev := commit(t, s, nil, store.Put("/a", []byte("1")))
	w := s.Watch(ctx(t), "/", rev+1)
	commit(t, s, nil, store.Put("/a", []byte("2")))
	commit(t, s, nil, store.Put("/a", []byte("3")))
	equal(t, "events", show(events(t, w, 1)), "+/a=3 ")
}

// watchWhole: a reader that applies a batch at a time never sees half a commit.
func watchWhole(t *testing.T, s store.Store) {
	const commits, ops = 40, store.MaxOps
	_, rev := list(t, s, "")
	early := s.Watch(ctx(t), "/", rev)
	for i := range commits {
		all := make([]store.Op, ops)
		for j := range all {
			all[j] = store.Put(fmt.Sprintf("/%03d", j), []byte(strconv.Itoa(i)))
		}
		commit(t, s, nil, all...)
	}
	for name, w := range map[string]<-chan store.Batch{"early": early, "late": s.Watch(ctx(t), "/", rev)} {
		for seen := 0; seen < commits; {
			b := next(t, w)
			must(t, b.Err)
			if len(b.Events) == 0 || len(b.Events)%ops != 0 {
				t.Fatalf("%s watch: batch of %d events, a commit has %d", name, len(b.Events), ops)
			}
			for i, e := range b.Events {
				equal(t, name+": order", e.Key, fmt.Sprintf("/%03d", i%ops))
				equal(t, name+": value", string(e.Value), strconv.Itoa(seen+i/ops))
			}
			seen += len(b.Events) / ops
		}
	}
}

func watchPrefix(t *testing.T, s store.Store) {
	w := s.Watch(ctx(t), "/a/", 0)
	commit(t, s, nil, store.Put("/a", nil), store.Put("/a/1", nil), store.Put("/b/1", nil))
	commit(t, s, nil, store.Put("/b/2", nil))
	commit(t, s, nil, store.Put("/a/2", nil), store.Put("/a0", nil))
	equal(t, "events", show(events(t, w, 2)), "+/a/1= +/a/2= ")
}

func watchEnds(t *testing.T, s store.Store) {
	c, cancel := context.WithCancel(t.Context())
	w := s.Watch(c, "/", 0)
	commit(t, s, nil, store.Put("/a", nil))
	events(t, w, 1)
	cancel()
	end := time.After(5 * time.Second)
	for {
		select {
		case b, ok := <-w:
			if !ok {
				return
			}
			t.Fatalf("delivers %v after its context has ended", b)
		case <-end:
			t.Fatal("does not end with its context")
		}
	}
}

// compacter is what a store offers that can be told to forget its history.
type compacter interface {
	Compact(ctx context.Context) error
}

func watchCompacted(t *testing.T, s store.Store) {
	c, ok := s.(compacter)
	if !ok {
		t.Skip("this store cannot be told to compact")
	}
	for i := range 10 {
		commit(t, s, nil, store.Put("/a", []byte(strconv.Itoa(i))))
	}
	must(t, c.Compact(ctx(t)))
	w := s.Watch(ctx(t), "/", 2)
	isErr(t, "watch from a compacted revision", next(t, w).Err, store.ErrCompacted)
	if b, open := <-w; open {
		t.Fatalf("the channel is open after the error batch: %v", b)
	}
	_, rev := list(t, s, "/")
	w = s.Watch(ctx(t), "/", rev)
	commit(t, s, nil, store.Put("/a", []byte("new")))
	equal(t, "events after listing again", show(events(t, w, 1)), "+/a=new ")
}

// watchRace lists and watches in the middle of writes: list and events together are the truth.
func watchRace(t *testing.T, s store.Store) {
	const n = 300
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := range n {
			if _, _, err := s.Commit(ctx(t), nil, []store.Op{store.Put(fmt.Sprintf("/r/%04d", i), nil)}); err != nil {
				t.Error(err)
				return
			}
		}
	})
	for range 5 {
		kvs, rev := list(t, s, "/r/")
		seen := len(kvs)
		c, cancel := context.WithCancel(ctx(t))
		w := s.Watch(c, "/r/", rev)
		for seen < n {
			b := next(t, w)
			must(t, b.Err)
			for _, e := range b.Events {
				equal(t, "next key", e.Key, fmt.Sprintf("/r/%04d", seen))
				seen++
			}
		}
		cancel()
	}
	wg.Wait()
}

func closed(t *testing.T, s store.Store) {
	c, ok := s.(interface{ Close() error })
	if !ok {
		t.Skip("this store has no Close")
	}
	w := s.Watch(ctx(t), "/", 0)
	commit(t, s, nil, store.Put("/a", nil))
	events(t, w, 1)
	must(t, c.Close())
	must(t, c.Close())
	_, _, err := s.Get(ctx(t), "/a")
	isErr(t, "get", err, store.ErrClosed)
	_, _, err = s.Commit(ctx(t), nil, nil)
	isErr(t, "commit", err, store.ErrClosed)
	_, err = s.Grant(ctx(t), time.Second)
	isErr(t, "grant", err, store.ErrClosed)
	isErr(t, "watch", next(t, w).Err, store.ErrClosed)
	isErr(t, "new watch", next(t, s.Watch(ctx(t), "/", 0)).Err, store.ErrClosed)
}
