package nameserver

import "github.com/prometheus/client_golang/prometheus"

var (
	transfersDesc = desc("transfers_total", "Zone transfers asked for, by kind of question and result: done, failed (the connection), refused, busy (too many at once).", "kind", "result")
	notifiesDesc  = desc("notifies_total", "NOTIFY messages to secondaries: sent, acknowledged, failed (no or a bad answer), given_up (all tries for a serial in vain).", "result")
	stepsDesc     = desc("zone_journal_steps", "Versions of the zone from which a difference (IXFR) can be told.", "zone")
)

// Describe is prometheus.Collector's.
func (t *transfers) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{transfersDesc, notifiesDesc, stepsDesc} {
		to <- d
	}
}

// Collect is prometheus.Collector's.
func (t *transfers) Collect(to chan<- prometheus.Metric) {
	s := sums{to: to}
	for kind := range t.counts {
		for result := range t.counts[kind] {
			s.count(transfersDesc, t.counts[kind][result].Load(), transferNames[kind], transferEndings[result])
		}
	}
	for i := range t.notes {
		s.count(notifiesDesc, t.notes[i].Load(), notifyNames[i])
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, o := range t.zones {
		o.mu.Lock()
		s.gauge(stepsDesc, float64(o.journal.Steps()), o.name)
		o.mu.Unlock()
	}
}
