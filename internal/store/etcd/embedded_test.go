package etcd_test

import (
	"errors"
	"math"
	"strconv"
	"testing"
	"time"

	"jurymast/internal/store"
	"jurymast/internal/store/etcd"
)

// TestNearlyFullDiskIsRefusedEarly: the write is refused before etcd could die of it, and the store lives on.
func TestNearlyFullDiskIsRefusedEarly(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, etcd.Options{Dir: dir})
	must(t, put(t.Context(), s, "/a"))
	must(t, s.Close())
	if _, err := tryOpen(t, etcd.Options{Dir: dir, MinFree: math.MaxInt64}); !errors.Is(err, store.ErrUnavailable) {
		t.Fatalf("open: %v", err)
	}
	s = open(t, etcd.Options{Dir: dir})
	if _, ok, err := s.Get(t.Context(), "/a"); !ok || err != nil {
		t.Fatal(ok, err)
	}
}

// TestQuota: a database that has reached its size refuses writes, and works again after a new start when there is
// less in it.
func TestQuota(t *testing.T) {
	t.Parallel()
	opts := etcd.Options{Dir: t.TempDir(), Quota: 4 << 20}
	s := open(t, opts)
	var err error
	for i := 0; i < 100 && err == nil; i++ {
		_, _, err = s.Commit(t.Context(), nil, []store.Op{store.Put("/big/"+strconv.Itoa(i%3), make([]byte, 200_000))})
	}
	if !errors.Is(err, store.ErrUnavailable) {
		t.Fatalf("no end at the quota: %v", err)
	}
	t.Log(err)
	if _, ok, err := s.Get(t.Context(), "/big/0"); !ok || err != nil {
		t.Fatalf("reading at the quota: %v %v", ok, err)
	}
	must(t, s.Close())
	s = open(t, opts)
	must(t, put(t.Context(), s, "/a"))
}

// TestLateReader: what a watch could not hand over yet is kept, in order.
func TestLateReader(t *testing.T) {
	t.Parallel()
	s := open(t, etcd.Options{Dir: t.TempDir()})
	w := s.Watch(t.Context(), "/", 0)
	for i := range 500 {
		must(t, put(t.Context(), s, "/k/"+strconv.Itoa(i)))
	}
	want := 0
	deadline := time.After(10 * time.Second)
	for want < 500 {
		select {
		case b := <-w:
			must(t, b.Err)
			for _, e := range b.Events {
				if e.Key != "/k/"+strconv.Itoa(want) {
					t.Fatalf("got %s, want number %d", e.Key, want)
				}
				want++
			}
		case <-deadline:
			t.Fatalf("only %d events", want)
		}
	}
}

// BenchmarkCommit is one durable commit of a small key after the other.
func BenchmarkCommit(b *testing.B) {
	s, err := etcd.Open(b.Context(), etcd.Options{Dir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	for b.Loop() {
		if err := put(b.Context(), s, "/k"); err != nil {
			b.Fatal(err)
		}
	}
}
