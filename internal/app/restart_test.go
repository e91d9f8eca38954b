//go:build linux

package app_test

import (
	"slices"
	"testing"
	"time"

	"jurymast/internal/health"
)

// TestKilledNodeGoesOn: kill -9 of the node loses nothing. It answers at once from the last good state, before its
// store is up, and no epoch is ever used twice.
func TestKilledNodeGoesOn(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.failback = "{mode: manual}"
	s.up()
	s.euTenant.kill()
	s.awaitActive(5*time.Second, "us21")
	s.restartPrimary()
	eventually(t, 5*time.Second, "the primary is healthy again", func() bool { return s.status().Endpoints[0].Real == "up" })
	s.order("drain", "eu20")
	_, epoch := s.decision()
	acts := func() int {
		n := 0
		for _, e := range s.journal() {
			if e.Kind == health.EntryAct || (e.Kind == health.EntryDecision && e.Epoch == epoch) {
				n++
			}
		}
		return n
	}
	eventually(t, 5*time.Second, "act and decision are in the journal", func() bool { return acts() == 2 })
	never(t, 200*time.Millisecond, "the last-good log gathers for 50 ms", func() bool { return false })

	s.node.kill()
	began := time.Now()
	s.startNode()
	eventually(t, 10*time.Second, "DNS answers", func() bool { return s.ask() == "127.0.0.12" })
	answered := time.Since(began)
	s.awaitReady(20 * time.Second)
	t.Logf("first DNS answer %v after the start, ready after %v", answered.Round(time.Millisecond), time.Since(began).Round(time.Millisecond))
	if active, got := s.decision(); active != "us21" || got != epoch {
		t.Errorf("%s under epoch %d after the restart, was us21 under %d", active, got, epoch)
	}
	if o := s.status().Endpoints[0].Override; o == nil || o.Act != "drain" {
		t.Errorf("the order is gone: %+v", o)
	}
	if acts() != 2 {
		t.Errorf("the journal has changed: %+v", s.journal())
	}

	s.order("undrain", "eu20")
	s.order("failback", "")
	s.awaitActive(5*time.Second, "eu20")
	if _, next := s.decision(); next <= epoch {
		t.Errorf("epoch %d after %d", next, epoch)
	}
}

// TestAnswersBeforeTheStore: while the store cannot be reached a restarted node answers the last good state, says that
// it is stale, and is not ready.
func TestAnswersBeforeTheStore(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	cluster := startEtcd(t)
	way := openWay(t, cluster)
	s.head = storeText(way.url())
	s.up()
	never(t, 200*time.Millisecond, "the last-good log gathers for 50 ms", func() bool { return false })
	s.node.kill()
	way.cut()
	began := time.Now()
	s.startNode()
	eventually(t, 10*time.Second, "DNS answers", func() bool { return s.ask() == "127.0.0.11" })
	took := time.Since(began)
	t.Logf("first DNS answer %v after the start, without a store", took.Round(time.Millisecond))
	if took > time.Second+slack {
		t.Errorf("the first answer took %v", took)
	}
	eventually(t, 5*time.Second, "the API answers", func() bool { return s.status().Name != "" })
	if got := s.browse(); got != "EU20" {
		t.Errorf("the proxy answers %q", got)
	}
	if !s.status().Stale || s.ready() {
		t.Errorf("stale %v, ready %v", s.status().Stale, s.ready())
	}
	way.mend()
	s.awaitReady(20 * time.Second)
	if s.status().Stale {
		t.Error("still stale")
	}
	if !slices.ContainsFunc(s.nodeStatus().Members, func(m member) bool { return m.Name == "n1" }) {
		t.Error("not a member")
	}
}
