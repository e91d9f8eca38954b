package app

import (
	"github.com/prometheus/client_golang/prometheus"

	"jurymast/internal/health"
	"jurymast/internal/snapshot"
	"jurymast/internal/steer"
)

// vitals shows the state of every profile in the metrics. It reads one snapshot per scrape, the one that answers are made
// from, so that metrics and answers cannot contradict each other.
type vitals struct {
	hub     *snapshot.Hub
	changes *prometheus.CounterVec
	counted map[string]bool // profiles that changes has series of; touched by the loop alone

	up, votes, epoch, ttl, serving, stale *prometheus.Desc
}

func newVitals(hub *snapshot.Hub) *vitals {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("jurymast_"+name, help, labels, nil)
	}
	return &vitals{
		hub: hub, counted: map[string]bool{},
		changes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "jurymast_verdict_changes_total", Help: "Changes of the verdict about an endpoint, by the new one; counted where they are decided: on the leader.",
		}, []string{"profile", "endpoint", "verdict"}),
		up:      desc("endpoint_up", "1 while the endpoint is Online or Unmonitored, 0 otherwise.", "profile", "endpoint"),
		votes:   desc("endpoint_votes", "Live nodes of that opinion.", "profile", "endpoint", "vote"),
		epoch:   desc("decision_epoch", "Epoch of the decision: grows with every switch.", "profile", "active"),
		ttl:     desc("ttl_seconds", "TTL of an answer to somebody of whom nothing is known.", "profile"),
		serving: desc("serving", "1 for what is really answered: preferred, fallback, partial, all-down, none, not-ready or halted.", "profile", "state"),
		stale:   desc("stale", "1 while the profile's state is not confirmed.", "profile"),
	}
}

// count takes a line of the journal.
func (m *vitals) count(e *health.Entry) {
	if e.Kind == health.EntryVerdict {
		m.counted[e.Profile] = true
		m.changes.WithLabelValues(e.Profile, e.Endpoint, e.To).Inc()
	}
}

// keep drops the series of profiles that are gone.
func (m *vitals) keep(docs *snapshot.Documents) {
	there := make(map[string]bool, len(docs.Profiles))
	for _, p := range docs.Profiles {
		there[p.Name] = true
	}
	for name := range m.counted {
		if !there[name] {
			delete(m.counted, name)
			m.changes.DeletePartialMatch(prometheus.Labels{"profile": name})
		}
	}
}

// Describe implements prometheus.Collector, as does Collect.
func (m *vitals) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{m.up, m.votes, m.epoch, m.ttl, m.serving, m.stale} {
		out <- d
	}
	m.changes.Describe(out)
}

// Collect shows the snapshot of this moment.
func (m *vitals) Collect(out chan<- prometheus.Metric) {
	m.changes.Collect(out)
	s := m.hub.Load()
	for i := range s.Documents().Profiles {
		if part := s.Part(i); part != nil {
			m.profile(out, part.View)
		}
	}
}

func (m *vitals) profile(out chan<- prometheus.Metric, v *health.View) {
	name := v.Profile.Name
	gauge := func(d *prometheus.Desc, value float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	for i := range v.Endpoints {
		e := &v.Endpoints[i]
		gauge(m.up, truth(e.Status == health.Online || e.Status == health.Unmonitored), name, e.Config.Name)
		var count [health.Down + 1]int
		for j := range e.Votes {
			count[e.Votes[j].Opinion]++
		}
		for o, n := range count {
			if n > 0 {
				gauge(m.votes, float64(n), name, e.Config.Name, health.Opinion(o).String())
			}
		}
	}
	if d := v.Decision; d.Epoch > 0 {
		gauge(m.epoch, float64(d.Epoch), name, d.Active)
	}
	answer := steer.Decide(v, steer.Client{}, func() uint64 { return 0 }, nil)
	gauge(m.ttl, answer.TTL.Seconds(), name)
	gauge(m.serving, 1, name, string(answer.Serving))
	gauge(m.stale, truth(v.Stale), name)
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
