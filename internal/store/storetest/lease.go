package storetest

import (
	"testing"
	"time"

	"jurymast/internal/store"
)

// ttl is the one the cluster uses.
const ttl = 3 * time.Second

func grant(t *testing.T, s store.Store, ttl time.Duration) store.Lease {
	t.Helper()
	l, err := s.Grant(ctx(t), ttl)
	must(t, err)
	if l.ID() == 0 {
		t.Fatal("lease with id 0, which is no lease")
	}
	return l
}

func leaseExpiry(t *testing.T, s store.Store) {
	w := s.Watch(ctx(t), "/", 0)
	begin := time.Now()
	l := grant(t, s, ttl)
	granted := time.Now()
	commit(t, s, nil, store.PutLeased("/l/b", nil, l.ID()), store.PutLeased("/l/a", nil, l.ID()), store.Put("/stays", nil))
	kv, _ := get(t, s, "/l/a")
	equal(t, "lease of the key", kv.Lease, l.ID())
	equal(t, "events", show(events(t, w, 3)), "+/l/b= +/l/a= +/stays= ")
	evs := events(t, w, 2)
	if took := time.Since(begin); took < ttl {
		t.Fatalf("the lease ended %v after it was asked for, before its ttl", took)
	}
	if took := time.Since(granted); took > ttl+Slack {
		t.Fatalf("the lease ended %v after it was granted, at most %v are allowed", took, ttl+Slack)
	}
	equal(t, "events of the end", show(evs), "-/l/a -/l/b ")
	equal(t, "one revision", evs[0].Rev, evs[1].Rev)
	kvs, _ := list(t, s, "")
	equal(t, "left", keys(kvs), "/stays= ")
	isErr(t, "renewal after the end", l.Renew(ctx(t)), store.ErrLeaseLost)
}

func leaseRenewal(t *testing.T, s store.Store) {
	l := grant(t, s, ttl)
	commit(t, s, nil, store.PutLeased("/l", nil, l.ID()))
	every := time.NewTicker(time.Second)
	defer every.Stop()
	for range 6 {
		<-every.C
		must(t, l.Renew(ctx(t)))
	}
	if _, ok := get(t, s, "/l"); !ok {
		t.Fatal("the key of a renewed lease is gone")
	}
}

func leaseRevoke(t *testing.T, s store.Store) {
	w := s.Watch(ctx(t), "/", 0)
	l := grant(t, s, time.Minute)
	commit(t, s, nil, store.PutLeased("/l", nil, l.ID()))
	must(t, l.Revoke(ctx(t)))
	equal(t, "events", show(events(t, w, 2)), "+/l= -/l ")
	isErr(t, "second revoke", l.Revoke(ctx(t)), store.ErrLeaseLost)
	isErr(t, "renewal", l.Renew(ctx(t)), store.ErrLeaseLost)
}

func leaseRevokeID(t *testing.T, s store.Store) {
	r, ok := s.(store.Revoker)
	if !ok {
		t.Skip("this store cannot revoke by id")
	}
	l := grant(t, s, time.Minute)
	commit(t, s, nil, store.PutLeased("/l", nil, l.ID()))
	must(t, r.RevokeID(ctx(t), l.ID()))
	if _, ok := get(t, s, "/l"); ok {
		t.Fatal("the key of a revoked lease is there")
	}
	isErr(t, "unknown lease", r.RevokeID(ctx(t), 4711), store.ErrLeaseLost)
}

func leaseLost(t *testing.T, s store.Store) {
	l := grant(t, s, time.Minute)
	must(t, l.Revoke(ctx(t)))
	_, ok, err := s.Commit(ctx(t), nil, []store.Op{store.Put("/other", nil), store.PutLeased("/l", nil, l.ID())})
	isErr(t, "commit with a lost lease", err, store.ErrLeaseLost)
	equal(t, "applied", ok, false)
	kvs, _ := list(t, s, "")
	equal(t, "written", keys(kvs), "")
}

// leaseRebound: the last write of a key decides which lease it lives by.
func leaseRebound(t *testing.T, s store.Store) {
	old, young := grant(t, s, time.Minute), grant(t, s, time.Minute)
	commit(t, s, nil, store.PutLeased("/free", nil, old.ID()), store.PutLeased("/moved", nil, old.ID()), store.PutLeased("/back", nil, old.ID()))
	commit(t, s, nil, store.Put("/free", nil), store.PutLeased("/moved", nil, young.ID()))
	commit(t, s, nil, store.Delete("/back"))
	commit(t, s, nil, store.Put("/back", nil))
	must(t, old.Revoke(ctx(t)))
	kvs, _ := list(t, s, "")
	equal(t, "left", keys(kvs), "/back= /free= /moved= ")
	must(t, young.Revoke(ctx(t)))
	kvs, _ = list(t, s, "")
	equal(t, "left after the second", keys(kvs), "/back= /free= ")
}
