package probe

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics of the scheduler. Labels come from the configuration and from fixed words alone.
type metrics struct {
	reg     prometheus.Registerer
	runs    *prometheus.CounterVec
	seconds *prometheus.HistogramVec
}

func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		reg: reg,
		runs: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "jurymast_probe_runs_total",
			Help: "Probes that ended, by endpoint and result: ok or the class of failure.",
		}, []string{"profile", "endpoint", "result"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "jurymast_probe_seconds",
			Help:    "Duration of probe phases; total runs from the start of name resolution to the decision.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
		}, []string{"phase"}),
	}
	if reg == nil {
		return m, nil
	}
	if err := reg.Register(m.runs); err != nil {
		return nil, err
	}
	if err := reg.Register(m.seconds); err != nil {
		reg.Unregister(m.runs)
		return nil, errors.Join(err)
	}
	return m, nil
}

func (m *metrics) unregister() {
	if m.reg != nil {
		m.reg.Unregister(m.runs)
		m.reg.Unregister(m.seconds)
	}
}

func (m *metrics) count(n name, r Result) {
	word := "ok"
	if !r.Obs.OK {
		word = string(r.Class)
	}
	m.runs.WithLabelValues(n.profile, n.endpoint, word).Inc()
	for _, p := range r.Log {
		m.seconds.WithLabelValues(p.Name).Observe(p.Duration.Seconds())
	}
	m.seconds.WithLabelValues("total").Observe(r.Obs.Latency.Seconds())
}

// forget removes the series of an endpoint that is no longer probed.
func (m *metrics) forget(n name) {
	for _, word := range classes {
		m.runs.DeleteLabelValues(n.profile, n.endpoint, word)
	}
}
