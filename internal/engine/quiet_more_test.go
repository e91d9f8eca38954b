package engine_test

import (
	"testing"
	"time"

	"jurymast/internal/engine"
	"jurymast/internal/health"
)

// The end of an order that was placed for a time is told once, and only once.
func TestTheEndOfAnOrderIsTold(t *testing.T) {
	b := start(t, engine.Start{Solo: true}, doc(nil))
	b.do(engine.OrdersSeen{Orders: []health.Override{{ID: "1", Act: health.Drain, Profile: "p", Endpoint: "eu", By: "ops", At: b.now, Until: b.now.Add(5 * time.Second)}}})
	b.now = b.now.Add(6 * time.Second)
	b.do(engine.Tick{}, engine.Tick{})
	told := 0
	for _, e := range b.log {
		if n, ok := e.(engine.Note); ok && n.Entry.Kind == health.EntryAct && n.Entry.From == "drain" && n.Entry.To == "ended" && n.Entry.By == "ops" {
			told++
		}
	}
	if told != 1 {
		t.Fatalf("told %d times", told)
	}
}
