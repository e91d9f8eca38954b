package figures_test

import (
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"jurymast/internal/proxy/figures"
)

// BenchmarkExchange is what one good request counts.
func BenchmarkExchange(b *testing.B) {
	f := figures.New(words)
	p := f.Profile("shop")
	e := p.Endpoint("eu")
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		s := f.Shard()
		for pb.Next() {
			s.Begin()
			e.Attempt(s, "ok")
			if e.Done(s, 200, "OK") {
				p.Observe(s, 3*time.Millisecond, 2*time.Millisecond)
			}
			s.End()
		}
	})
}

// BenchmarkVectors is the same with the vectors of the Prometheus client, for comparison.
func BenchmarkVectors(b *testing.B) {
	requests := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "a"}, []string{"profile", "endpoint", "class", "reason"})
	attempts := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "b"}, []string{"profile", "endpoint", "result"})
	seconds := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "c", Buckets: prometheus.DefBuckets}, []string{"profile"})
	first := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "d", Buckets: prometheus.DefBuckets}, []string{"profile"})
	inflight := prometheus.NewGauge(prometheus.GaugeOpts{Name: "e"})
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			inflight.Inc()
			attempts.WithLabelValues("shop", "eu", "ok").Inc()
			requests.WithLabelValues("shop", "eu", "2xx", "OK").Inc()
			seconds.WithLabelValues("shop").Observe(.003)
			first.WithLabelValues("shop").Observe(.002)
			inflight.Dec()
		}
	})
}
