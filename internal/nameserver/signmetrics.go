package nameserver

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

var (
	signaturesDesc = desc("signatures", "Sets of a signed zone that questions can get, by state: signed (with a signature that may be sent), "+
		"waiting (to be signed with the keys in use), failing (could not be signed when last tried). One set may have several.", "zone", "state")
	expiryDesc   = desc("signature_expiry_seconds", "Seconds until the first signature of the zone expires.", "zone")
	signingsDesc = desc("signings_total", "Sets signed, by kind: ahead (before anybody asked), renewal (over an older signature), demand (for a question), failed.", "kind")
	demandDesc   = desc("demand_total", "UDP questions that had to wait for a signature, by what became of them: answered, truncated (too many: sent empty with TC set), dropped.", "result")
	queuedDesc   = desc("demand_waiting", "UDP questions that wait for a signature now.")
)

// signMetrics tell how signing stands.
type signMetrics struct{ s *Server }

// Describe is prometheus.Collector's.
func (m signMetrics) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{signaturesDesc, expiryDesc, signingsDesc, demandDesc, queuedDesc} {
		to <- d
	}
}

// Collect is prometheus.Collector's.
func (m signMetrics) Collect(to chan<- prometheus.Metric) {
	out := sums{to: to}
	for i, kind := range [...]string{"ahead", "renewal", "demand"} {
		out.count(signingsDesc, m.s.signing.signed[i].Load(), kind)
	}
	out.count(signingsDesc, m.s.signing.failed.Load(), "failed")
	for i, result := range demandNames {
		out.count(demandDesc, m.s.demand.counts[i].Load(), result)
	}
	out.gauge(queuedDesc, float64(len(m.s.demand.queue)))
	conf, _ := m.s.opt.Hub.Load().Config(m.s.slot).(*config)
	if conf == nil {
		return
	}
	now := m.s.signing.now()
	for z, b := range conf.books {
		st := b.Status()
		for state, n := range map[string]int{"signed": st.Signed, "waiting": st.Waiting, "failing": st.Failing} {
			out.gauge(signaturesDesc, float64(n), z.Name, state)
		}
		if !st.Oldest.IsZero() {
			out.gauge(expiryDesc, st.Oldest.Sub(now).Truncate(time.Second).Seconds(), z.Name)
		}
	}
}
