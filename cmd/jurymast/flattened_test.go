package main

import (
	"testing"
	"time"

	"jurymast/internal/api"
)

// Targets with trouble are named, the others are counted.
func TestFlattenedTargets(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	p := &printer{now: now, zone: time.UTC}
	writeFlattened(p, &api.NodeStatus{Flattened: []api.FlatTarget{
		{Target: "lost.test", State: "unknown", Trouble: "no answer\nin time"},
		{Target: "old.test", State: "stale", Addresses: []string{"192.0.2.1", "2001:db8::1"}, Learned: now.Add(-time.Minute), Trouble: "SERVFAIL"},
		{Target: "x.test", State: "fresh"},
		{Target: "y.test", State: "fresh"},
	}})
	const want = `  target   lost.test unknown: no answer in time
  target   old.test stale 192.0.2.1 2001:db8::1, learned 1m0s ago: SERVFAIL
  targets  2 host names answered with fresh addresses
`
	if got := p.text.String(); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}
