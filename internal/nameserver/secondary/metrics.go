package secondary

import (
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics of one book. Labels are zones of the configuration and fixed words.
type metrics struct {
	book      *Book
	looks     *prometheus.CounterVec
	expired   *prometheus.CounterVec
	bytes     *prometheus.CounterVec
	notifies  *prometheus.CounterVec
	serial    *prometheus.Desc
	state     *prometheus.Desc
	confirmed *prometheus.Desc
	expires   *prometheus.Desc
	collected []prometheus.Collector
}

func newMetrics(b *Book) *metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "jurymast_dns_secondary_" + name, Help: help}, labels)
	}
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("jurymast_dns_secondary_"+name, help, labels, nil)
	}
	m := &metrics{
		book:      b,
		looks:     counter("looks_total", "Looks at a primary of a secondary zone: same, older, differences, whole or failed.", "zone", "result"),
		expired:   counter("expired_total", "How often a secondary zone was given up.", "zone"),
		bytes:     counter("transferred_bytes_total", "Bytes of the messages of transfers.", "zone"),
		notifies:  counter("notifies_total", "NOTIFY received: taken, or why not.", "result"),
		serial:    desc("serial", "Serial of a secondary zone as it is here.", "zone"),
		state:     desc("state", "1 for how a secondary zone stands: missing, current, failing or expired.", "zone", "state"),
		confirmed: desc("confirmed_seconds", "Seconds since a primary has confirmed the zone.", "zone"),
		expires:   desc("expires_seconds", "Seconds until the zone is given up unless a primary confirms it.", "zone"),
	}
	m.collected = []prometheus.Collector{m.looks, m.expired, m.bytes, m.notifies, m}
	return m
}

func (m *metrics) register(r prometheus.Registerer) error {
	if r == nil {
		return nil
	}
	for _, c := range m.collected {
		if err := r.Register(c); err != nil {
			return fmt.Errorf("register the metrics of secondary zones: %w", err)
		}
	}
	return nil
}

func (m *metrics) look(zone string, out *Outcome, err error) {
	m.bytes.WithLabelValues(zone).Add(float64(out.Bytes))
	if err != nil {
		m.looks.WithLabelValues(zone, "failed").Inc()
		return
	}
	m.looks.WithLabelValues(zone, string(out.How)).Inc()
}

// drop forgets the series of a zone.
func (m *metrics) drop(zone string) {
	for _, v := range []*prometheus.CounterVec{m.looks, m.expired, m.bytes} {
		v.DeletePartialMatch(prometheus.Labels{"zone": zone})
	}
}

// Describe is prometheus.Collector's.
func (m *metrics) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{m.serial, m.state, m.confirmed, m.expires} {
		to <- d
	}
}

// Collect is prometheus.Collector's.
func (m *metrics) Collect(to chan<- prometheus.Metric) {
	now := time.Now()
	m.book.mu.Lock()
	list := make([]*Entry, 0, len(m.book.all))
	for _, e := range m.book.all {
		list = append(list, e)
	}
	m.book.mu.Unlock()
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	for _, e := range list {
		s := e.Status(now)
		for _, p := range []Phase{Missing, Current, Failing, Expired} {
			v := 0.0
			if s.Phase == p {
				v = 1
			}
			gauge(m.state, v, s.Zone, string(p))
		}
		if s.Phase == Missing {
			continue
		}
		gauge(m.serial, float64(s.Serial), s.Zone)
		gauge(m.confirmed, now.Sub(s.Confirmed).Seconds(), s.Zone)
		gauge(m.expires, max(s.Expires.Sub(now).Seconds(), 0), s.Zone)
	}
}
