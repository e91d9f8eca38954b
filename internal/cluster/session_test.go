package cluster_test

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"jurymast/internal/cluster"
	"jurymast/internal/health"
	"jurymast/internal/store"
	"jurymast/internal/store/mem"
)

// start runs a member with options of its own; the bubble ends it.
func start(o cluster.Options, client *mem.Client) *member {
	ctx, cancel := context.WithCancel(context.Background())
	m := &member{client: client, cancel: cancel, done: make(chan error, 1)}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Store == nil {
		o.Store = client
	}
	listen := o.Listen
	o.Listen = func(e cluster.Event) {
		m.mu.Lock()
		m.told = append(m.told, e)
		m.mu.Unlock()
		if listen != nil {
			listen(e)
		}
	}
	m.Cluster = cluster.New(o)
	go func() { m.done <- m.Run(ctx) }()
	joined = append(joined, m)
	return m
}

// lines is a log that a test reads.
type lines struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *lines) count(what string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.buf.String(), what)
}

func (l *lines) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func remove(t *testing.T, st *mem.Store, ops ...store.Op) {
	t.Helper()
	_, _, err := st.Node("admin").Commit(t.Context(), nil, ops)
	must(t, err)
}

// Nothing else happens in the store: nobody but the clock can make it try again.
func TestFailedCampaignIsTriedAgain(t *testing.T) {
	bubble(t, func(t *testing.T, st *mem.Store) {
		client := st.Node("a")
		var once sync.Once
		a := start(cluster.Options{Node: cluster.NodeRecord{Name: "a", Instance: "1"}, Listen: func(e cluster.Event) {
			if r, ok := e.(cluster.Reachable); ok && r.Reachable {
				once.Do(func() { client.SetFull(true) })
			}
		}}, client)
		time.Sleep(2500 * time.Millisecond)
		client.SetFull(false)
		time.Sleep(2 * time.Second)
		if r, _ := last[cluster.Reachable](a); !r.Reachable || !a.leads() {
			t.Fatalf("in session %v, leads %v: the chair stays empty", r.Reachable, a.leads())
		}
	})
}

func TestCampaignThatHangsDoesNotHideTheEndOfTheLease(t *testing.T) {
	bubble(t, func(t *testing.T, st *mem.Store) {
		a := join(st, "a", "1")
		time.Sleep(time.Second)
		client := st.Node("b")
		b := start(cluster.Options{Node: cluster.NodeRecord{Name: "b", Instance: "2"}, WriteTimeout: time.Minute}, client)
		time.Sleep(time.Second)
		client.SetWriteStall(true)
		_ = a.leave()
		time.Sleep(100 * time.Millisecond)
		client.SetPartitioned(true)
		time.Sleep(3 * time.Second)
		if r, _ := last[cluster.Reachable](b); r.Reachable {
			t.Fatal("a node believes in its lease after it has run out")
		}
	})
}

func TestFailedSessionIsTold(t *testing.T) {
	bubble(t, func(t *testing.T, st *mem.Store) {
		client := st.Node("a")
		client.SetDown(true)
		a := start(cluster.Options{Node: cluster.NodeRecord{Name: "a", Instance: "1"}}, client)
		time.Sleep(time.Second)
		f, ok := last[cluster.SessionFailed](a)
		if !ok || f.Err == nil || !strings.Contains(f.Err.Error(), "down") {
			t.Fatalf("a session that cannot be begun is told as %+v", f)
		}
		client.SetDown(false)
		time.Sleep(5 * time.Second)
		n := count[cluster.SessionFailed](a)
		client.SetPartitioned(true)
		time.Sleep(5 * time.Second)
		if count[cluster.SessionFailed](a) <= n {
			t.Fatal("a session that ended is not told")
		}
		client.SetPartitioned(false)
		time.Sleep(5 * time.Second)
		n = count[cluster.SessionFailed](a)
		_ = a.leave()
		if count[cluster.SessionFailed](a) != n {
			t.Fatal("leaving in order is told as a failure")
		}
	})
}

const decisionKey = "/jurymast/v1/decisions/p"

func TestRemovedDecisionIsTold(t *testing.T) {
	bubble(t, func(t *testing.T, st *mem.Store) {
		a := join(st, "a", "1")
		time.Sleep(time.Second)
		a.WriteDecision("p", health.Decision{Active: "eu", Epoch: 4}, 0)
		time.Sleep(time.Second)
		remove(t, st, store.Delete(decisionKey))
		time.Sleep(time.Second)
		if g, ok := last[cluster.DecisionGone](a); !ok || g.Profile != "p" {
			t.Fatal("the removal of a decision is not told")
		}
		a.WriteDecision("p", health.Decision{Active: "us", Epoch: 5}, 0)
		time.Sleep(time.Second)
		if d, _ := last[cluster.Decision](a); d.Decision.Epoch != 5 {
			t.Fatalf("the decision after the removal is not written: %+v", d)
		}
	})
}

func TestDecisionRemovedDuringAnOutageIsTold(t *testing.T) {
	bubble(t, func(t *testing.T, st *mem.Store) {
		a := join(st, "a", "1")
		time.Sleep(time.Second)
		a.WriteDecision("p", health.Decision{Active: "eu", Epoch: 4}, 0)
		a.WriteDecision("q", health.Decision{Active: "eu", Epoch: 4}, 0)
		time.Sleep(time.Second)
		a.client.SetPartitioned(true)
		time.Sleep(5 * time.Second)
		remove(t, st, store.Delete(decisionKey))
		a.client.SetPartitioned(false)
		time.Sleep(15 * time.Second)
		if g, ok := last[cluster.DecisionGone](a); !ok || g.Profile != "p" || count[cluster.DecisionGone](a) != 1 {
			t.Fatalf("told %+v, want that p alone is gone", g)
		}
	})
}

func TestRepeatedLossesAreLoggedOncePerMinute(t *testing.T) {
	bubble(t, func(t *testing.T, st *mem.Store) {
		log := &lines{}
		a := start(cluster.Options{Node: cluster.NodeRecord{Name: "a", Instance: "1"}, Logger: log.logger()}, st.Node("a"))
		time.Sleep(time.Second)
		for range 90 {
			a.WriteDecision("p", health.Decision{Active: "us", Epoch: 1}, 99)
			time.Sleep(time.Second)
		}
		if n := log.count("profile=p"); n != 2 {
			t.Fatalf("90 losses in a minute and a half gave %d lines, want 2", n)
		}
	})
}
