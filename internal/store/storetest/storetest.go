// Package storetest is the one suite every store must pass: each sentence of the contract in package store is a
// test here. It never knows which store it runs on; time is real or, in a testing/synctest bubble, the bubble's.
package storetest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"jurymast/internal/store"
)

// Maker returns an empty store for one test and closes it with t.Cleanup.
type Maker func(t *testing.T) store.Store

// Slack is how late after its ttl a lease may end: etcd looks every 0.5 s and writes the end like any change.
const Slack = 1500 * time.Millisecond

// Test is one sentence of the contract.
type Test struct {
	Name string
	Run  func(t *testing.T, s store.Store)
}

// Run runs every test of the suite on a store of its own.
func Run(t *testing.T, open Maker) {
	t.Helper()
	for _, test := range Tests() {
		t.Run(test.Name, func(t *testing.T) { test.Run(t, open(t)) })
	}
}

// Tests is the suite, for callers that wrap each test (mem runs each in its own bubble).
func Tests() []Test {
	return []Test{
		{"get and list", getAndList},
		{"empty value is no deletion", emptyValue},
		{"values are copies", valuesAreCopies},
		{"compare and swap", compareAndSwap},
		{"several conditions", severalConditions},
		{"revisions", revisions},
		{"delete", deletes},
		{"limits", limits},
		{"invalid commits", invalidCommits},
		{"cancelled context", cancelledContext},
		{"counter", counter},
		{"create once", createOnce},
		{"watch after list", watchAfterList},
		{"watch from the beginning", watchFromStart},
		{"watch future", watchFuture},
		{"watch never splits a commit", watchWhole},
		{"watch filters by prefix", watchPrefix},
		{"watch ends with its context", watchEnds},
		{"watch compacted", watchCompacted},
		{"watch neither misses nor doubles", watchRace},
		{"lease expiry", leaseExpiry},
		{"lease renewal", leaseRenewal},
		{"lease revoke", leaseRevoke},
		{"lease revoke by id", leaseRevokeID},
		{"lease lost", leaseLost},
		{"lease rebound", leaseRebound},
		{"closed", closed},
	}
}

func ctx(t *testing.T) context.Context {
	t.Helper()
	c, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	return c
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// commit demands that the commit is applied.
func commit(t *testing.T, s store.Store, conds []store.Cond, ops ...store.Op) int64 {
	t.Helper()
	rev, ok, err := s.Commit(ctx(t), conds, ops)
	must(t, err)
	if !ok {
		t.Fatalf("commit %v not applied", conds)
	}
	return rev
}

// refused demands that the conditions do not hold.
func refused(t *testing.T, s store.Store, conds []store.Cond, ops ...store.Op) {
	t.Helper()
	_, ok, err := s.Commit(ctx(t), conds, ops)
	must(t, err)
	if ok {
		t.Fatalf("commit %v was applied", conds)
	}
}

func get(t *testing.T, s store.Store, key string) (store.KV, bool) {
	t.Helper()
	kv, ok, err := s.Get(ctx(t), key)
	must(t, err)
	return kv, ok
}

func list(t *testing.T, s store.Store, prefix string) ([]store.KV, int64) {
	t.Helper()
	kvs, rev, err := s.List(ctx(t), prefix)
	must(t, err)
	return kvs, rev
}

func keys(kvs []store.KV) string {
	var out strings.Builder
	for _, kv := range kvs {
		fmt.Fprintf(&out, "%s=%s ", kv.Key, kv.Value)
	}
	return out.String()
}

func next(t *testing.T, w <-chan store.Batch) store.Batch {
	t.Helper()
	select {
	case b, ok := <-w:
		if !ok {
			t.Fatal("the watch ended")
		}
		return b
	case <-time.After(20 * time.Second):
		t.Fatal("the watch delivers nothing")
	}
	return store.Batch{}
}

// events reads until n events have come.
func events(t *testing.T, w <-chan store.Batch, n int) []store.Event {
	t.Helper()
	var out []store.Event
	for len(out) < n {
		b := next(t, w)
		must(t, b.Err)
		if len(b.Events) == 0 || b.Rev != b.Events[len(b.Events)-1].Rev {
			t.Fatalf("batch of revision %d with events %v", b.Rev, b.Events)
		}
		out = append(out, b.Events...)
	}
	if len(out) > n {
		t.Fatalf("%d events, wanted %d: %v", len(out), n, out)
	}
	return out
}

func show(evs []store.Event) string {
	var out strings.Builder
	for _, e := range evs {
		if e.Deleted {
			fmt.Fprintf(&out, "-%s ", e.Key)
			if e.Value != nil || e.Lease != 0 {
				out.WriteString("(with a value or lease!) ")
			}
			continue
		}
		fmt.Fprintf(&out, "+%s=%s ", e.Key, e.Value)
	}
	return out.String()
}

func equal[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Fatalf("%s: got %v, want %v", what, got, want)
	}
}

func isErr(t *testing.T, what string, err error, wants ...error) {
	t.Helper()
	for _, w := range wants {
		if errors.Is(err, w) {
			return
		}
	}
	t.Fatalf("%s: got %v, want one of %v", what, err, wants)
}
