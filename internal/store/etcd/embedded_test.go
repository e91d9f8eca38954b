package etcd_test

import (
	"errors"
	"log/slog"
	"math"
	"strconv"
	"strings"
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

// fill writes over the same few keys until the store refuses.
func fill(t *testing.T, s *etcd.Store, keys int) { fillFrom(t, s, 0, keys) }

// fillFrom is fill for the keys from a number on.
func fillFrom(t *testing.T, s *etcd.Store, first, keys int) {
	t.Helper()
	var err error
	for i := 0; i < 200 && err == nil; i++ {
		_, _, err = s.Commit(t.Context(), nil, []store.Op{store.Put("/big/"+strconv.Itoa(first+i%keys), make([]byte, 200_000))})
	}
	if !errors.Is(err, store.ErrUnavailable) {
		t.Fatalf("no end at the quota: %v", err)
	}
}

// writable says whether the store takes a write within the time.
func writable(t *testing.T, s *etcd.Store, within time.Duration) bool {
	t.Helper()
	for end := time.Now().Add(within); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if put(t.Context(), s, "/a") == nil {
			return true
		}
	}
	return false
}

// TestQuota: a database that is full of its own history makes room for itself and works again, without a new start.
func TestQuota(t *testing.T) {
	t.Parallel()
	s := open(t, etcd.Options{Dir: t.TempDir(), Quota: 4 << 20, QuotaEvery: 10 * time.Millisecond})
	for range 3 {
		fill(t, s, 3)
		if _, ok, err := s.Get(t.Context(), "/big/0"); !ok || err != nil {
			t.Fatalf("reading at the quota: %v %v", ok, err)
		}
		if !writable(t, s, 10*time.Second) {
			t.Fatal("no write is taken after the quota was reached")
		}
	}
}

// TestQuotaOfLivingKeys: what is not history cannot be helped; it is refused until keys are deleted, and the attempts to
// make room are few.
func TestQuotaOfLivingKeys(t *testing.T) {
	t.Parallel()
	log := &logBuffer{}
	s := open(t, etcd.Options{Dir: t.TempDir(), Quota: 4 << 20, QuotaEvery: time.Second, Logger: slog.New(slog.NewTextHandler(log, nil))})
	fill(t, s, 1000)
	before := len(log.String())
	for n := 1; writable(t, s, 1500*time.Millisecond); n++ { // the database had pages to spare: use them up as well
		if n == 5 {
			t.Fatal("writes are taken above the quota")
		}
		fillFrom(t, s, 1000*n, 1000)
		before = len(log.String())
	}
	if n := strings.Count(log.String()[before:], "compacting"); n > 2 || !strings.Contains(log.String(), "compacting") {
		t.Fatalf("%d attempts to make room in two seconds, want one a second", n)
	}
	if _, _, err := s.Commit(t.Context(), nil, []store.Op{store.DeletePrefix("/big/")}); err != nil {
		t.Fatalf("deleting at the quota: %v", err)
	}
	_, err := s.Grant(t.Context(), time.Second) // a node begins with this, and does not get to its first write before
	for end := time.Now().Add(10 * time.Second); err != nil && time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		_, err = s.Grant(t.Context(), time.Second)
	}
	must(t, err)
}

// TestQuotaAndNewStart: the alarm of an earlier life is taken back.
func TestQuotaAndNewStart(t *testing.T) {
	t.Parallel()
	opts := etcd.Options{Dir: t.TempDir(), Quota: 4 << 20, QuotaEvery: time.Hour}
	s := open(t, opts)
	fill(t, s, 3)
	must(t, s.Close()) // perhaps while it makes room
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
