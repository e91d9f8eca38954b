package flatten

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics of one book. Labels are resolvers of the configuration and fixed words.
type metrics struct {
	book      *Book
	lookups   [found + 1]prometheus.Counter
	asked     *prometheus.CounterVec
	changes   prometheus.Counter
	targets   *prometheus.Desc
	collected []prometheus.Collector
}

func newMetrics(b *Book) *metrics {
	m := &metrics{book: b}
	lookups := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "jurymast_dns_flatten_lookups_total", Help: "Lookups of one family of a target, by what came of them.",
	}, []string{"result"})
	for o := failed; o <= found; o++ {
		m.lookups[o] = lookups.WithLabelValues(o.String())
	}
	m.asked = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "jurymast_dns_flatten_resolver_answers_total", Help: "Questions to a resolver, by what it answered.",
	}, []string{"resolver", "result"})
	m.changes = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "jurymast_dns_flatten_changes_total", Help: "Lookups that brought other addresses than before.",
	})
	m.targets = prometheus.NewDesc("jurymast_dns_flatten_targets",
		"Targets that are looked up here: fresh, stale (their TTL is over and lookups fail), none (they have no address) or unknown.", []string{"state"}, nil)
	m.collected = []prometheus.Collector{lookups, m.asked, m.changes, m}
	return m
}

func (m *metrics) register(r prometheus.Registerer) error {
	if r == nil {
		return nil
	}
	for _, c := range m.collected {
		if err := r.Register(c); err != nil {
			return fmt.Errorf("register the metrics of flattening: %w", err)
		}
	}
	return nil
}

func (m *metrics) look(o outcome) { m.lookups[o].Inc() }

func (m *metrics) exchange(server netip.AddrPort, result string) {
	m.asked.WithLabelValues(server.String(), result).Inc()
}

// Describe is prometheus.Collector's.
func (m *metrics) Describe(to chan<- *prometheus.Desc) { to <- m.targets }

// Collect is prometheus.Collector's.
func (m *metrics) Collect(to chan<- prometheus.Metric) {
	count := map[State]int{Fresh: 0, Stale: 0, Empty: 0, Missing: 0}
	now := time.Now()
	m.book.mu.Lock()
	for _, t := range m.book.all {
		count[t.Load().State(now)]++
	}
	m.book.mu.Unlock()
	for state, n := range count {
		to <- prometheus.MustNewConstMetric(m.targets, prometheus.GaugeValue, float64(n), string(state))
	}
}
