package probe

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"

	"jurymast/internal/profile"
)

// metrics of the scheduler. Labels come from the configuration and from fixed words alone.
type metrics struct {
	reg          prometheus.Registerer
	runs         *prometheus.CounterVec
	observations *prometheus.CounterVec
	seconds      *prometheus.HistogramVec

	phases  map[string]prometheus.Observer   // of seconds, by phase; never changed
	results map[[2]string]prometheus.Counter // of runs, by protocol and result; guarded by the Scheduler's lock
}

// phases are the values of the label phase.
var phases = []string{PhaseResolve, PhaseConnect, PhaseTLS, PhaseRequest, PhaseFirstByte, PhaseStatus, PhaseRule, PhaseBody, "total"}

func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		reg: reg,
		runs: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "jurymast_probe_runs_total",
			Help: "Probes that ended, by protocol and result: ok or the class of failure. A shared probe counts once.",
		}, []string{"protocol", "result"}),
		observations: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "jurymast_probe_observations_total",
			Help: "Results of probes for each endpoint and check, by result. A shared probe counts for all that share it.",
		}, []string{"profile", "endpoint", "check", "result"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "jurymast_probe_seconds",
			Help:    "Duration of probe phases; total runs from the start of name resolution to the decision.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
		}, []string{"phase"}),
		phases:  map[string]prometheus.Observer{},
		results: map[[2]string]prometheus.Counter{},
	}
	for _, p := range phases {
		m.phases[p] = m.seconds.WithLabelValues(p)
	}
	if reg == nil {
		return m, nil
	}
	var done []prometheus.Collector
	for _, c := range []prometheus.Collector{m.runs, m.observations, m.seconds} {
		if err := reg.Register(c); err != nil {
			for _, d := range done {
				reg.Unregister(d)
			}
			return nil, errors.Join(err)
		}
		done = append(done, c)
	}
	return m, nil
}

func (m *metrics) unregister() {
	if m.reg != nil {
		m.reg.Unregister(m.runs)
		m.reg.Unregister(m.observations)
		m.reg.Unregister(m.seconds)
	}
}

func word(r *Result) string {
	if r.Obs.OK {
		return "ok"
	}
	return string(r.Class)
}

// ran counts a probe that was made. Called with the Scheduler's lock.
func (m *metrics) ran(p profile.Protocol, r Result) {
	id := [2]string{string(p), word(&r)}
	c := m.results[id]
	if c == nil {
		c = m.runs.WithLabelValues(id[0], id[1])
		m.results[id] = c
	}
	c.Inc()
	for i := range r.Log {
		if o := m.phases[r.Log[i].Name]; o != nil {
			o.Observe(r.Log[i].Duration.Seconds())
		}
	}
	m.phases["total"].Observe(r.Obs.Latency.Seconds())
}

// observed counts a result for one subscriber. Called with the Scheduler's lock.
func (m *metrics) observed(sub *subscriber, r Result) {
	w := word(&r)
	for i := range sub.counted {
		if sub.counted[i].word == w {
			sub.counted[i].counter.Inc()
			return
		}
	}
	c := m.observations.WithLabelValues(sub.profile, sub.endpoint, sub.check, w)
	sub.counted = append(sub.counted, counted{w, c})
	c.Inc()
}

// forget removes the series of a subscriber that is no longer probed.
func (m *metrics) forget(sub *subscriber) {
	for _, c := range sub.counted {
		m.observations.DeleteLabelValues(sub.profile, sub.endpoint, sub.check, c.word)
	}
	sub.counted = nil
}
