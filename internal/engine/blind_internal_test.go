package engine

import (
	"testing"
	"time"

	"jurymast/internal/health"
)

// Everything is lost at second 0; the slow check notices at once, the fast one by a timeout.
func TestBlindMixed(t *testing.T) {
	n := NewNode()
	t0 := time.Unix(1e9, 0)
	ob := func(e, addr string, ok bool, at, every float64) {
		n.Observe("p", e, "", health.Observation{OK: ok, Addr: addr, At: t0.Add(time.Duration(at * 1e9))}, time.Duration(every*1e9))
	}
	ob("slow", "192.0.2.1", true, -60, 60)
	ob("fast", "192.0.2.2", true, -0.1, 10)
	ob("slow", "192.0.2.1", false, 0.1, 60)
	ob("fast", "192.0.2.2", false, 14.9, 10) // started at 9.9, timeout 5 s
	for i := 1; i < 20; i++ {
		ob("fast", "192.0.2.2", false, 14.9+10*float64(i), 10)
		if i == 5 || i == 11 {
			ob("slow", "192.0.2.1", false, 0.1+60*float64(i/5)+0.001, 60)
		}
	}
	if !n.Blind() {
		t.Error("never blind although everything began to fail within 15 s, less than the interval of one of them")
	}
}
