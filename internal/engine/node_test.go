package engine_test

import (
	"testing"
	"time"

	"jurymast/internal/engine"
	"jurymast/internal/health"
)

func TestBlindness(t *testing.T) {
	type look struct {
		endpoint, addr string
		ok             bool
		at             int // seconds
	}
	cases := []struct {
		name  string
		looks []look
		want  bool
	}{
		{"one endpoint is never enough", []look{{"a", "192.0.2.1", false, 0}}, false},
		{"one address is never enough", []look{{"a", "192.0.2.1", false, 0}, {"b", "192.0.2.1", false, 1}}, false},
		{"everything at once", []look{{"a", "192.0.2.1", true, 0}, {"b", "192.0.2.2", true, 0}, {"a", "192.0.2.1", false, 10}, {"b", "192.0.2.2", false, 11}}, true},
		{"one still answers", []look{{"a", "192.0.2.1", false, 0}, {"b", "192.0.2.2", false, 1}, {"c", "192.0.2.3", true, 1}}, false},
		{"one was dead long before", []look{{"a", "192.0.2.1", false, 0}, {"b", "192.0.2.2", true, 0}, {"b", "192.0.2.2", false, 60}}, false},
		{"one success ends it", []look{{"a", "192.0.2.1", false, 0}, {"b", "192.0.2.2", false, 1}, {"a", "192.0.2.1", true, 2}}, false},
		{"the resolver is dead for all", []look{{"a", "", false, 0}, {"b", "", false, 1}}, true},
		{"an unreached address is the last known one", []look{{"a", "192.0.2.1", true, 0}, {"b", "192.0.2.2", true, 0}, {"a", "", false, 5}, {"b", "", false, 6}}, true},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			n := engine.NewNode()
			for _, l := range c.looks {
				before := n.Blind()
				changed := n.Observe("p", l.endpoint, "", health.Observation{OK: l.ok, Addr: l.addr, At: t0.Add(time.Duration(l.at) * time.Second)}, 10*time.Second)
				if changed != (before != n.Blind()) {
					t.Fatal("changed lies")
				}
			}
			if n.Blind() != c.want {
				t.Fatalf("blind %v, want %v", n.Blind(), c.want)
			}
		})
	}
}
