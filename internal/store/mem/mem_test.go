package mem_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"jurymast/internal/store"
	"jurymast/internal/store/mem"
	"jurymast/internal/store/storetest"
)

// compacting lets the suite compact the shared store through one client.
type compacting struct {
	*mem.Client
	s *mem.Store
}

func (c compacting) Compact(context.Context) error {
	c.s.Compact()
	return nil
}

// TestContract runs each test of the suite in a bubble of its own, so that leases take no time.
func TestContract(t *testing.T) {
	for _, test := range storetest.Tests() {
		t.Run(test.Name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := mem.New(mem.Options{})
				t.Cleanup(func() { _ = s.Close() })
				test.Run(t, compacting{s.Node("a"), s})
			})
		})
	}
}

func TestContractInRealTime(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for leases")
	}
	t.Parallel()
	storetest.Run(t, func(t *testing.T) store.Store {
		s := mem.New(mem.Options{})
		t.Cleanup(func() { _ = s.Close() })
		return s.Node("a")
	})
}

// bubble gives a test two nodes of one store.
func bubble(t *testing.T, opts mem.Options, test func(t *testing.T, a, b *mem.Client)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := mem.New(opts)
		defer func() { _ = s.Close() }()
		test(t, s.Node("a"), s.Node("b"))
	})
}

func put(ctx context.Context, c *mem.Client, key string) error {
	_, ok, err := c.Commit(ctx, nil, []store.Op{store.Put(key, nil)})
	if err == nil && !ok {
		return errors.New("not applied")
	}
	return err
}

func has(t *testing.T, c *mem.Client, key string) bool {
	t.Helper()
	_, ok, err := c.Get(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	return ok
}

func took(t *testing.T, want time.Duration, f func()) {
	t.Helper()
	begin := time.Now()
	f()
	if d := time.Since(begin); d != want {
		t.Fatalf("took %v, want %v", d, want)
	}
}

func wants(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("got error %v, want %v", err, want)
	}
}

func TestPartition(t *testing.T) {
	bubble(t, mem.Options{}, func(t *testing.T, a, b *mem.Client) {
		a.SetPartitioned(true)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		took(t, time.Second, func() { wants(t, put(ctx, a, "/x"), store.ErrUnavailable) })
		took(t, 5*time.Second, func() { wants(t, put(t.Context(), a, "/x"), store.ErrUnavailable) })
		if err := put(t.Context(), b, "/y"); err != nil {
			t.Fatalf("the other node: %v", err)
		}
		time.AfterFunc(time.Second, func() { a.SetPartitioned(false) })
		took(t, time.Second, func() {
			if err := put(t.Context(), a, "/z"); err != nil {
				t.Fatalf("a call that waits for the healing: %v", err)
			}
		})
		if has(t, b, "/x") || !has(t, b, "/z") {
			t.Fatal("wrong writes went through")
		}
	})
}

func TestPartitionedWatch(t *testing.T) {
	bubble(t, mem.Options{}, func(t *testing.T, a, b *mem.Client) {
		for _, heal := range []time.Duration{time.Second, time.Hour} {
			w := a.Watch(t.Context(), "/", 0)
			a.SetPartitioned(true)
			if err := put(t.Context(), b, "/x"); err != nil {
				t.Fatal(err)
			}
			timer := time.AfterFunc(heal, func() { a.SetPartitioned(false) })
			took(t, min(heal, 10*time.Second), func() { wants(t, (<-w).Err, store.ErrUnavailable) })
			if _, open := <-w; open {
				t.Fatal("open after its error")
			}
			timer.Stop()
			a.SetPartitioned(false)
		}
		if got := <-a.Watch(t.Context(), "/", 0); len(got.Events) != 2 {
			t.Fatalf("after the healing: %v", got)
		}
	})
}

func TestLeaseOfAPartitionedNodeEnds(t *testing.T) {
	bubble(t, mem.Options{}, func(t *testing.T, a, b *mem.Client) {
		l, err := a.Grant(t.Context(), 3*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := a.Commit(t.Context(), nil, []store.Op{store.PutLeased("/n", nil, l.ID())}); err != nil {
			t.Fatal(err)
		}
		a.SetPartitioned(true)
		time.Sleep(3*time.Second - time.Nanosecond)
		if !has(t, b, "/n") {
			t.Fatal("gone too early")
		}
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		if has(t, b, "/n") {
			t.Fatal("still there")
		}
		a.SetPartitioned(false)
		wants(t, l.Renew(t.Context()), store.ErrLeaseLost)
	})
}

func TestWriteStallAndFull(t *testing.T) {
	bubble(t, mem.Options{}, func(t *testing.T, a, _ *mem.Client) {
		a.SetWriteStall(true)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		took(t, time.Minute, func() { wants(t, put(ctx, a, "/x"), store.ErrUnavailable) })
		took(t, 0, func() {
			if has(t, a, "/x") {
				t.Fatal("a stalled write was applied")
			}
		})
		a.SetWriteStall(false)
		a.SetFull(true)
		took(t, 0, func() { wants(t, put(t.Context(), a, "/x"), store.ErrUnavailable) })
		a.SetFull(false)
		if err := put(t.Context(), a, "/x"); err != nil {
			t.Fatal(err)
		}
	})
}

func TestDown(t *testing.T) {
	bubble(t, mem.Options{}, func(t *testing.T, a, _ *mem.Client) {
		w := a.Watch(t.Context(), "/", 0)
		a.SetDown(true)
		took(t, 0, func() {
			wants(t, put(t.Context(), a, "/x"), store.ErrUnavailable)
			wants(t, (<-w).Err, store.ErrUnavailable)
		})
	})
}

func TestLoseReply(t *testing.T) {
	bubble(t, mem.Options{}, func(t *testing.T, a, _ *mem.Client) {
		a.LoseReply(1)
		wants(t, put(t.Context(), a, "/x"), store.ErrUnavailable)
		if !has(t, a, "/x") {
			t.Fatal("the commit was not applied")
		}
		if err := put(t.Context(), a, "/y"); err != nil {
			t.Fatal(err)
		}
	})
}

func TestDelay(t *testing.T) {
	bubble(t, mem.Options{}, func(t *testing.T, a, b *mem.Client) {
		w := a.Watch(t.Context(), "/", 0)
		a.SetDelay(func() time.Duration { return 20 * time.Millisecond })
		took(t, 20*time.Millisecond, func() {
			if has(t, a, "/x") {
				t.Fatal("there is nothing yet")
			}
		})
		if err := put(t.Context(), b, "/x"); err != nil {
			t.Fatal(err)
		}
		took(t, 20*time.Millisecond, func() {
			if got := <-w; len(got.Events) != 1 {
				t.Fatalf("got %v", got)
			}
		})
	})
}

func TestHistoryIsBounded(t *testing.T) {
	bubble(t, mem.Options{History: 3}, func(t *testing.T, a, _ *mem.Client) {
		slow := a.Watch(t.Context(), "/", 0)
		for i := range 5 {
			if err := put(t.Context(), a, "/x"); err != nil {
				t.Fatal(err)
			}
			if i == 0 {
				synctest.Wait() // the slow watch now holds revision 2 in its hand
			}
		}
		// Revisions 2 to 6 were written, 4 to 6 are kept.
		wants(t, (<-a.Watch(t.Context(), "/", 2)).Err, store.ErrCompacted)
		if got := <-a.Watch(t.Context(), "/", 3); len(got.Events) != 3 {
			t.Fatalf("got %v", got)
		}
		if got := <-slow; got.Err != nil || len(got.Events) != 1 {
			t.Fatalf("a slow reader got %v first", got)
		}
		end := <-slow
		wants(t, end.Err, store.ErrCompacted)
		if end.Rev != 2 {
			t.Fatalf("it says that it was delivered up to revision %d", end.Rev)
		}
	})
}

func TestCloseEndsEverything(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := mem.New(mem.Options{})
		a := s.Node("a")
		a.SetWriteStall(true)
		if _, err := s.Node("b").Grant(t.Context(), time.Hour); err != nil {
			t.Fatal(err)
		}
		done := make(chan error)
		go func() { done <- put(t.Context(), a, "/x") }()
		synctest.Wait()
		_ = s.Close()
		wants(t, <-done, store.ErrClosed)
		wants(t, put(t.Context(), s.Node("b"), "/x"), store.ErrClosed)
	})
}
