package figures

import (
	"slices"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("jurymast_proxy_"+name, help, labels, nil)
}

var (
	requestsDesc  = desc("requests_total", "Requests by how they ended.", "profile", "endpoint", "class", "reason")
	secondsDesc   = desc("request_seconds", "Time from the request head to the end of the response, of one request in eight.", "profile")
	firstByteDesc = desc("first_byte_seconds", "Time from the request head to the first byte of the origin's answer, of one request in eight.", "profile")
	attemptsDesc  = desc("attempts_total", "Tries to send a request to an endpoint.", "profile", "endpoint", "result")
	retriesDesc   = desc("retries_total", "Requests sent again, by why.", "profile", "cause")
	inflightDesc  = desc("inflight", "Requests being carried, tunnels included.")
	heldDesc      = desc("held", "Requests waiting in hold.", "profile")
	oldestDesc    = desc("held_oldest_seconds", "How long the request that waits longest has waited.", "profile")
	holdsDesc     = desc("hold_total", "Ends of waiting in hold.", "profile", "result")
	movedDesc     = desc("requests_moved_total", "Requests that a new decision moved to another endpoint.", "profile")
	cutDesc       = desc("requests_cut_total", "Requests and tunnels that a switch ended.", "profile")
	tunnelsDesc   = desc("tunnels", "Upgraded connections.", "profile")
	signalsDesc   = desc("passive_signals_total", "Passive failures told to the engine.", "profile", "endpoint", "kind")
	rejectedDesc  = desc("rejected_total", "Messages of clients that were refused, by the rule they broke.", "rule")
	panicsDesc    = desc("panics_total", "Faults of our own that were contained to one request.")
	droppedDesc   = desc("log_dropped_total", "Access log lines dropped because the log was slower than the requests, or could not be written.")
	poolDesc      = desc("pool_connections", "Connections to an origin.", "origin", "state")
	staleDesc     = desc("pool_stale_total", "Pooled connections to an origin that had ended before they were used.", "origin")
	dialsDesc     = desc("pool_dials_total", "New connections to an origin.", "origin", "result")
)

// Describe is prometheus.Collector's.
func (f *Figures) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		requestsDesc, secondsDesc, firstByteDesc, attemptsDesc, retriesDesc, inflightDesc, heldDesc, oldestDesc, holdsDesc, movedDesc, cutDesc,
		tunnelsDesc, signalsDesc, rejectedDesc, panicsDesc, droppedDesc, poolDesc, staleDesc, dialsDesc,
	} {
		to <- d
	}
}

// teller sends metrics.
type teller chan<- prometheus.Metric

func (to teller) counter(d *prometheus.Desc, n uint64, labels ...string) {
	to <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n), labels...)
}

func (to teller) gauge(d *prometheus.Desc, v float64, labels ...string) {
	to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
}

// some sends those counters of a list that have counted: labels are the ones before the word.
func (to teller) some(d *prometheus.Desc, words []string, counters []atomic.Uint64, labels ...string) {
	for i := range counters {
		if n := counters[i].Load(); n > 0 {
			to.counter(d, n, append(slices.Clip(labels), words[i])...)
		}
	}
}

// Collect is prometheus.Collector's.
func (f *Figures) Collect(ch chan<- prometheus.Metric) {
	to := teller(ch)
	inflight := int64(0)
	for i := range f.shards {
		inflight += f.shards[i].inflight.Load()
	}
	to.gauge(inflightDesc, float64(max(inflight, 0))) // read one after the other: an end may be seen without its beginning
	to.counter(panicsDesc, f.panics.Load())
	to.some(rejectedDesc, f.words.rules.words, f.rejected)
	if f.o.LogDropped != nil {
		to.counter(droppedDesc, f.o.LogDropped())
	}
	f.others(to)
	f.none.collect(to)
	now := time.Now()
	f.living(func(p *Profile, live bool, endpoints []*Endpoint) {
		p.gauges(to, now, live)
		if live {
			p.counters(to)
		}
		for _, e := range endpoints {
			e.collect(to)
		}
	})
}

// others sends what other parts of the proxy have counted.
func (f *Figures) others(to teller) {
	if f.o.Origins != nil {
		f.o.Origins(func(o Origin) {
			to.gauge(poolDesc, float64(o.Idle), o.Addr, "idle")
			to.gauge(poolDesc, float64(o.Busy), o.Addr, "busy")
			to.counter(staleDesc, o.Stale, o.Addr)
			for result, n := range o.Dials {
				to.counter(dialsDesc, n, o.Addr, result)
			}
		})
	}
}

// gauges sends what goes on now; of a profile that is gone as long as something does.
func (p *Profile) gauges(to teller, now time.Time, live bool) {
	n, oldest, ever := p.held(now)
	if n > 0 || live && ever {
		to.gauge(heldDesc, float64(n), p.name)
		to.gauge(oldestDesc, max(oldest, 0).Seconds(), p.name)
	}
	if n := p.tunnels.Load(); n > 0 || live && p.everTunnel.Load() {
		to.gauge(tunnelsDesc, float64(n), p.name)
	}
}

func (p *Profile) counters(to teller) {
	to.some(holdsDesc, p.f.words.holds.words, p.holds, p.name)
	to.some(retriesDesc, p.f.words.retries.words, p.retries, p.name)
	to.counter(movedDesc, p.moved.Load(), p.name)
	to.counter(cutDesc, p.cut.Load(), p.name)
	for d, which := range map[*prometheus.Desc]func(*spread) *histogram{
		secondsDesc:   func(s *spread) *histogram { return &s.total },
		firstByteDesc: func(s *spread) *histogram { return &s.firstByte },
	} {
		if s := sumOf(p.spread, which); s.count > 0 {
			to <- prometheus.MustNewConstHistogram(d, s.count, s.seconds, s.upTo, p.name)
		}
	}
}

func (e *Endpoint) collect(to teller) {
	done, carried := e.sums()
	for c, n := range done {
		if n > 0 {
			to.counter(requestsDesc, n, e.profile, e.name, classes[c], reasonOK)
		}
	}
	if carried > 0 {
		to.counter(attemptsDesc, carried, e.profile, e.name, AttemptOK)
	}
	c := e.cold.Load()
	if c == nil {
		return
	}
	to.some(attemptsDesc, e.f.words.attempts.words, c.attempts, e.profile, e.name)
	to.some(signalsDesc, e.f.words.kinds.words, c.signals, e.profile, e.name)
	for i := range c.done {
		if n := c.done[i].Load(); n > 0 {
			to.counter(requestsDesc, n, e.profile, e.name, classes[i%len(classes)], e.f.words.reasons.list[i/len(classes)])
		}
	}
}
