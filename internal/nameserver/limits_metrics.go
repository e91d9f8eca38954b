package nameserver

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"jurymast/internal/nameserver/rrl"
)

var (
	rrlDesc         = desc("rrl_total", "UDP answers suppressed because their network gets too many: drop (not sent), slip (sent empty with TC=1), badcookie (told a cookie instead); would_drop, would_slip and would_badcookie with rrl.mode dry-run, which sends them all.", "action")
	rrlNetworksDesc = desc("rrl_networks", "Networks of which something is limited now; no more than 1000 are counted.")
	rrlBucketsDesc  = desc("rrl_buckets", "Places of the tables of all UDP loops: used (somebody was answered just now), limited (owe), free.", "state")
	rrlLostDesc     = desc("rrl_forgotten_total", "Buckets forgotten for want of room while they still mattered; raise rrl.buckets if this grows.")
	gateDesc        = desc("gate_networks", "Networks that have just opened TCP connections.")
)

// abuseMetrics tell what limits do.
type abuseMetrics struct{ s *Server }

// Describe is prometheus.Collector's.
func (m abuseMetrics) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{rrlDesc, rrlNetworksDesc, rrlBucketsDesc, rrlLostDesc, gateDesc} {
		to <- d
	}
}

// Collect is prometheus.Collector's.
func (m abuseMetrics) Collect(to chan<- prometheus.Metric) {
	s := sums{to: to, all: m.s.m.everybody()}
	for action, n := range m.s.suppressed() {
		s.count(rrlDesc, n, action)
	}
	var level rrl.Level
	if m.s.limits != nil {
		level = m.s.limits.Level()
	}
	s.gauge(rrlNetworksDesc, float64(m.s.watch.Networks()))
	s.gauge(rrlBucketsDesc, float64(level.Used-level.Limited), "used")
	s.gauge(rrlBucketsDesc, float64(level.Limited), "limited")
	s.gauge(rrlBucketsDesc, float64(level.Buckets-level.Used), "free")
	s.count(rrlLostDesc, level.Lost)
	s.gauge(gateDesc, float64(m.s.gate.Level().Used))
}

// suppressed are the answers of all loops that were, by action.
func (s *Server) suppressed() map[string]uint64 {
	out := map[string]uint64{}
	all := sums{all: s.m.everybody()}
	for v := dropped; v < verdicts; v++ {
		out[v.String()] = all.sum(func(c *counts) *atomic.Uint64 { return &c.limited[v] })
		out["would_"+v.String()] = all.sum(func(c *counts) *atomic.Uint64 { return &c.limited[verdicts+int(v)] })
	}
	return out
}
