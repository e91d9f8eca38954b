package nameserver

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"jurymast/internal/snapshot"
)

// counter is what the hot path sees of a metric: resolved beforehand, one atomic addition.
type counter = prometheus.Counter

// rcodeNames are the label values of responses, by code; all others are "other".
var rcodeNames = map[uint16]string{
	0: "NOERROR", 1: "FORMERR", 2: "SERVFAIL", 3: "NXDOMAIN", 4: "NOTIMP", 5: "REFUSED", 6: "YXDOMAIN", 9: "NOTAUTH", 16: "BADVERS",
}

// metrics of one server. Every label value comes from the configuration or from a fixed list.
type metrics struct {
	udp, tcp   counter
	dropped    counter
	malformed  counter
	truncated  counter
	panics     counter
	full       counter
	unsent     counter
	open       prometheus.Gauge
	responses  [17]counter
	answers    *book
	collectors []prometheus.Collector
}

func newMetrics(load func() *snapshot.Snapshot) *metrics {
	m := &metrics{answers: newBook(load)}
	m.collectors = append(m.collectors, m.answers)
	one := func(name, help string) counter {
		c := prometheus.NewCounter(prometheus.CounterOpts{Name: "jurymast_dns_" + name, Help: help})
		m.collectors = append(m.collectors, c)
		return c
	}
	vec := func(name, help string, labels ...string) *prometheus.CounterVec {
		c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "jurymast_dns_" + name, Help: help}, labels)
		m.collectors = append(m.collectors, c)
		return c
	}
	queries := vec("queries_total", "Packets received, by transport.", "transport")
	m.udp, m.tcp = queries.WithLabelValues("udp"), queries.WithLabelValues("tcp")
	responses := vec("responses_total", "Answers written, by response code.", "rcode")
	for i := range m.responses {
		m.responses[i] = responses.WithLabelValues(rcodeName(uint16(i)))
	}
	m.dropped = one("dropped_total", "Packets without an answer: shorter than a header, or responses.")
	m.malformed = one("malformed_total", "Packets answered with FORMERR because they could not be read.")
	m.truncated = one("truncated_total", "Answers that did not fit and were sent empty with TC set.")
	m.panics = one("panics_total", "Questions whose answering failed inside; each was answered SERVFAIL.")
	m.full = one("tcp_refused_total", "TCP connections closed at once because all places were taken.")
	m.unsent = one("unsent_total", "UDP answers the system refused to send.")
	m.open = prometheus.NewGauge(prometheus.GaugeOpts{Name: "jurymast_dns_tcp_connections", Help: "TCP connections open now."})
	m.collectors = append(m.collectors, m.open)
	return m
}

func (m *metrics) register(r prometheus.Registerer) error {
	if r == nil {
		return nil
	}
	for _, c := range m.collectors {
		if err := r.Register(c); err != nil {
			return fmt.Errorf("register the nameserver's metrics: %w", err)
		}
	}
	return nil
}

func (m *metrics) response(rcode uint16) {
	if int(rcode) < len(m.responses) {
		m.responses[rcode].Inc()
	}
}

func rcodeName(rcode uint16) string {
	if n, ok := rcodeNames[rcode]; ok {
		return n
	}
	return "other"
}
