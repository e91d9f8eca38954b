package inbound

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// refusal is why a connection was closed before HTTP.
type refusal int

const (
	refusedShare refusal = iota
	refusedHeader
	refusedHeaderLate
	refusals
)

var refusalNames = [refusals]string{"per-client", "proxy-header", "proxy-header-late"}

// handshake is how a TLS handshake ended.
type handshake int

const (
	handshakeOK            handshake = iota
	handshakeLate                    // not complete in time
	handshakeNoCertificate           // we have none
	handshakeNoTLS                   // the client speaks something else
	handshakeRefused                 // the client sent an alert: it does not trust our certificate, for example
	handshakeLeft                    // the client went away
	handshakeFailed                  // no common version or cipher, malformed
	handshakeResults
)

var handshakeNames = [handshakeResults]string{"ok", "timeout", "no-certificate", "no-tls", "refused-by-client", "client-left", "failed"}

type stats struct {
	handshakes [handshakeResults]atomic.Int64
	panics     atomic.Int64
}

var (
	connsDesc    = prometheus.NewDesc("jurymast_proxy_connections", "Client connections by what they do.", []string{"listener", "state"}, nil)
	acceptedDesc = prometheus.NewDesc("jurymast_proxy_connections_total", "Client connections accepted.", []string{"listener"}, nil)
	refusedDesc  = prometheus.NewDesc("jurymast_proxy_connections_refused_total", "Client connections closed before the first request, by reason.", []string{"listener", "why"}, nil)
	pausedDesc   = prometheus.NewDesc("jurymast_proxy_accept_paused_total", "Times accepting paused because the listener had all connections it may have.", []string{"listener"}, nil)
	failedDesc   = prometheus.NewDesc("jurymast_proxy_accept_errors_total", "Times the system refused to accept a connection.", []string{"listener"}, nil)
	shakesDesc   = prometheus.NewDesc("jurymast_proxy_tls_handshakes_total", "TLS handshakes with clients.", []string{"result"}, nil)
)

// Describe implements prometheus.Collector.
func (f *Front) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{connsDesc, acceptedDesc, refusedDesc, pausedDesc, failedDesc, shakesDesc} {
		out <- d
	}
}

// Collect implements prometheus.Collector. It walks over all connections, shard by shard.
func (f *Front) Collect(out chan<- prometheus.Metric) {
	states := map[*listener]*[gone + 1]int{}
	for _, l := range f.listeners {
		states[l] = &[gone + 1]int{}
	}
	f.book.each(func(c *Conn) { states[c.at][c.State()]++ })
	for _, l := range f.listeners {
		for s := range asked {
			out <- prometheus.MustNewConstMetric(connsDesc, prometheus.GaugeValue, float64(states[l][s]), l.name, s.String())
		}
		counter := func(d *prometheus.Desc, v *atomic.Int64, labels ...string) {
			out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v.Load()), append([]string{l.name}, labels...)...)
		}
		counter(acceptedDesc, &l.accepted)
		counter(pausedDesc, &l.paused)
		counter(failedDesc, &l.failed)
		for why, name := range refusalNames {
			counter(refusedDesc, &l.refused[why], name)
		}
	}
	for result, name := range handshakeNames {
		out <- prometheus.MustNewConstMetric(shakesDesc, prometheus.CounterValue, float64(f.stats.handshakes[result].Load()), name)
	}
}
