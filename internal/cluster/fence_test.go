package cluster_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"jurymast/internal/cluster"
	"jurymast/internal/store"
	"jurymast/internal/store/mem"
)

// late is a store whose replies to renewals take their time, or that knows of no renewals any more.
type late struct {
	*mem.Client
	by   *atomic.Int64
	down *atomic.Bool
}

func (l late) Grant(ctx context.Context, ttl time.Duration) (store.Lease, error) {
	lease, err := l.Client.Grant(ctx, ttl)
	return lateLease{lease, l}, err
}

type lateLease struct {
	store.Lease
	late
}

func (l lateLease) ID() store.LeaseID { return l.Lease.ID() }

func (l lateLease) Renew(ctx context.Context) error {
	if l.down.Load() {
		return store.ErrUnavailable
	}
	err := l.Lease.Renew(ctx)
	time.Sleep(time.Duration(l.by.Load()))
	return err
}

func (m *member) term(t *testing.T) uint64 {
	t.Helper()
	r, ok := last[cluster.Reachable](m)
	if !ok || !r.Reachable {
		t.Fatal("not in session")
	}
	return r.Term
}

// The last renewal that succeeded was sent at 3 s; its reply came at 4.5 s. The lease counts from the sending: it is over
// at 5.7 s for this node, before the store would remove it at 6 s.
func TestLeaseCountsFromTheSending(t *testing.T) {
	bubble(t, func(t *testing.T, st *mem.Store) {
		client, by, down := st.Node("a"), &atomic.Int64{}, &atomic.Bool{}
		a := start(cluster.Options{Store: late{client, by, down}, Node: cluster.NodeRecord{Name: "a", Instance: "1"}}, client)
		time.Sleep(2500 * time.Millisecond)
		term := a.term(t)
		by.Store(int64(1500 * time.Millisecond))
		time.Sleep(1000 * time.Millisecond) // 3.5 s
		down.Store(true)
		time.Sleep(2100 * time.Millisecond) // 5.6 s
		if !a.Confirmed(term) || a.Confirmed(term+1) || a.Confirmed(term-1) {
			t.Error("at 5.6 s: the lease is over, or another session's counts")
		}
		time.Sleep(200 * time.Millisecond) // 5.8 s
		if a.Confirmed(term) {
			t.Error("at 5.8 s: the lease counts from the reply")
		}
		down.Store(false)
		by.Store(0)
		time.Sleep(5 * time.Second)
		if a.Confirmed(term) || !a.Confirmed(a.term(t)) {
			t.Error("a new session confirms what an earlier one said, or not itself")
		}
	})
}

// A machine that was suspended finds its lease run out, by the wall clock, before any timer has gone off.
func TestLeaseOfASuspendedMachine(t *testing.T) {
	bubble(t, func(t *testing.T, st *mem.Store) {
		var jump atomic.Int64
		client := st.Node("a")
		a := start(cluster.Options{Node: cluster.NodeRecord{Name: "a", Instance: "1"}, Now: func() time.Time {
			now := time.Now()
			if j := time.Duration(jump.Load()); j != 0 {
				return now.Round(0).Add(j) // the wall clock alone
			}
			return now
		}}, client)
		time.Sleep(1500 * time.Millisecond)
		term := a.term(t)
		if !a.Confirmed(term) {
			t.Fatal("not confirmed")
		}
		jump.Store(int64(10 * time.Second))
		if a.Confirmed(term) {
			t.Error("confirmed after ten seconds of sleep")
		}
	})
}

// What a node acknowledges is told to all, and is gone with its lease. It is written when this node is quiet, and so is
// the end of the lease.
func TestAcknowledgements(t *testing.T) {
	bubble(t, func(t *testing.T, st *mem.Store) {
		var quiet atomic.Int32
		a := start(cluster.Options{Node: cluster.NodeRecord{Name: "a", Instance: "1"}, Quiet: func() { quiet.Add(1) }}, st.Node("a"))
		b := start(cluster.Options{Node: cluster.NodeRecord{Name: "b", Instance: "2"}}, st.Node("b"))
		time.Sleep(time.Second)
		a.Acknowledge("p", 7)
		time.Sleep(time.Second)
		want := cluster.Acknowledged{Profile: "p", Node: "a", Epoch: 7}
		for name, m := range map[string]*member{"a": a, "b": b} {
			if got, ok := last[cluster.Acknowledged](m); !ok || got != want {
				t.Errorf("%s was told %+v", name, got)
			}
		}
		if quiet.Load() != 1 {
			t.Errorf("quiet was asked for %d times", quiet.Load())
		}
		a.cancel()
		time.Sleep(2 * time.Second)
		if _, there, _ := st.Node("admin").Get(t.Context(), "/jurymast/v1/acks/p/a"); there {
			t.Error("the acknowledgement outlives its node")
		}
		if quiet.Load() != 2 {
			t.Errorf("the lease was handed back without waiting for quiet: %d", quiet.Load())
		}
	})
}
