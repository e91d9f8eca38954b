package etcd_test

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"jurymast/internal/store"
	"jurymast/internal/store/etcd"
	"jurymast/internal/store/storetest"
)

// logBuffer collects what etcd would have written to stderr.
type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

func open(t *testing.T, opts etcd.Options) *etcd.Store {
	t.Helper()
	s, err := tryOpen(t, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func tryOpen(t *testing.T, opts etcd.Options) (*etcd.Store, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	return etcd.Open(ctx, opts)
}

func put(ctx context.Context, s store.Store, key string) error {
	_, _, err := s.Commit(ctx, nil, []store.Op{store.Put(key, []byte(key))})
	return err
}

func TestContract(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T) store.Store {
		t.Parallel()
		return open(t, etcd.Options{Dir: t.TempDir()})
	})
}

func TestReopenKeepsEverything(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "new", strings.Repeat("long", 50))
	log := &logBuffer{}
	opts := etcd.Options{Dir: dir, Logger: slog.New(slog.NewTextHandler(log, nil))}
	begin := time.Now()
	s := open(t, opts)
	t.Logf("first start took %v", time.Since(begin))
	l, err := s.Grant(t.Context(), 3*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	ops := []store.Op{store.Put("/a", []byte("1")), store.PutLeased("/l", nil, l.ID())}
	rev, _, err := s.Commit(t.Context(), nil, ops)
	if err != nil {
		t.Fatal(err)
	}
	begin = time.Now()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	t.Logf("close took %v", time.Since(begin))
	begin = time.Now()
	s = open(t, opts)
	t.Logf("second start took %v", time.Since(begin))
	kv, ok, err := s.Get(t.Context(), "/a")
	if err != nil || !ok || string(kv.Value) != "1" || kv.Rev != rev {
		t.Fatalf("after reopening: %v %v %v", kv, ok, err)
	}
	// A restarted node revokes the lease of its earlier life.
	if err := s.RevokeID(t.Context(), l.ID()); err != nil {
		t.Fatal(err)
	}
	if _, ok, err := s.Get(t.Context(), "/l"); ok || err != nil {
		t.Fatalf("leased key after the revoke: %v %v", ok, err)
	}
	if strings.Contains(log.String(), "ERROR") {
		t.Fatalf("errors were logged:\n%s", log)
	}
	if _, err := os.Stat(filepath.Join(dir, "member", "wal")); err != nil {
		t.Fatal(err)
	}
}

func TestOpenNeedsOneOfTwo(t *testing.T) {
	t.Parallel()
	for _, o := range []etcd.Options{{}, {Dir: t.TempDir(), Endpoints: []string{"http://127.0.0.1:1"}}} {
		if s, err := tryOpen(t, o); err == nil {
			_ = s.Close()
			t.Fatalf("opened with %+v", o)
		}
	}
}
