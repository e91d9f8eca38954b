package proxy

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics of the proxy. Label values come from the configuration or from our own lists, never from a request.
type metrics struct {
	requests  *prometheus.CounterVec
	seconds   *prometheus.HistogramVec
	firstByte *prometheus.HistogramVec
	attempts  *prometheus.CounterVec
	inflight  prometheus.Gauge
	held      *prometheus.GaugeVec
	holds     *prometheus.CounterVec
	signals   *prometheus.CounterVec
	tunnels   *prometheus.GaugeVec
	panics    prometheus.Counter
	dropped   prometheus.Counter
	handshake *prometheus.CounterVec
}

func newMetrics() *metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "jurymast_proxy_" + name, Help: help}, labels)
	}
	gauge := func(name, help string, labels ...string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "jurymast_proxy_" + name, Help: help}, labels)
	}
	histogram := func(name, help string) *prometheus.HistogramVec {
		return prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "jurymast_proxy_" + name, Help: help, Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60}}, []string{"profile"})
	}
	return &metrics{
		requests:  counter("requests_total", "Requests by how they ended.", "profile", "endpoint", "class", "reason"),
		seconds:   histogram("request_seconds", "Time from the request head to the end of the response."),
		firstByte: histogram("first_byte_seconds", "Time from the request head to the first byte of the origin's answer."),
		attempts:  counter("attempts_total", "Tries to send a request to an endpoint.", "profile", "endpoint", "result"),
		inflight:  prometheus.NewGauge(prometheus.GaugeOpts{Name: "jurymast_proxy_inflight", Help: "Requests being carried, tunnels included."}),
		held:      gauge("held", "Requests waiting in hold.", "profile"),
		holds:     counter("hold_total", "Ends of waiting in hold.", "profile", "result"),
		signals:   counter("passive_signals_total", "Passive failures told to the engine.", "profile", "endpoint", "kind"),
		tunnels:   gauge("tunnels", "Upgraded connections.", "profile"),
		panics:    prometheus.NewCounter(prometheus.CounterOpts{Name: "jurymast_proxy_panics_total", Help: "Faults of our own that were contained to one request."}),
		dropped:   prometheus.NewCounter(prometheus.CounterOpts{Name: "jurymast_proxy_log_dropped_total", Help: "Access log lines dropped because the log was slower than the requests."}),
		handshake: counter("tls_handshakes_total", "TLS handshakes with clients.", "result"),
	}
}

func (m *metrics) all() []prometheus.Collector {
	return []prometheus.Collector{
		m.requests, m.seconds, m.firstByte, m.attempts, m.inflight, m.held, m.holds, m.signals, m.tunnels, m.panics, m.dropped, m.handshake,
	}
}

// metric counts one attempt.
func (s *service) metric(endpoint, result string) {
	s.p.metrics.attempts.WithLabelValues(s.name, endpoint, result).Inc()
}

// forget drops the series of an endpoint that left the configuration.
func (m *metrics) forget(profile, endpoint string) {
	l := prometheus.Labels{"profile": profile, "endpoint": endpoint}
	m.requests.DeletePartialMatch(l)
	m.attempts.DeletePartialMatch(l)
	m.signals.DeletePartialMatch(l)
}

func (m *metrics) forgetProfile(profile string) {
	l := prometheus.Labels{"profile": profile}
	m.requests.DeletePartialMatch(l)
	m.seconds.DeletePartialMatch(l)
	m.firstByte.DeletePartialMatch(l)
	m.holds.DeletePartialMatch(l)
}

// class of a status code: 2xx, 5xx ...
func class(status int) string {
	if status < 100 || status > 999 {
		return "none"
	}
	return strconv.Itoa(status/100) + "xx"
}
