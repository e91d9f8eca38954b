package nameserver

import (
	"crypto/tls"
	"strconv"
	"sync/atomic"

	"jurymast/internal/nameserver/tap"
)

// lines are the connections of one transport, as counted.
type lines struct {
	open     atomic.Int64
	refused  [refusedKinds]atomic.Uint64  // closed at once
	closed   [closedKinds]atomic.Uint64   // all others that are no more
	shaken   [2][2]atomic.Uint64          // TLS handshakes that succeeded: 1.2 or 1.3, whole or resumed
	unshaken [unshakenKinds]atomic.Uint64 // those that did not
	retries  atomic.Uint64                // clients of QUIC that had to prove their address first
}

// Why a connection was closed at once.
const (
	refusedFull   = iota // all places are taken
	refusedPrefix        // all places of its network are taken
	refusedRate          // too many connections of its network, or TLS handshakes, a second
	refusedKinds
)

// Why a connection was closed later.
const (
	closedClient    = iota // by the client, or the path to it
	closedIdle             // no question in time
	closedSlow             // answers were not taken in time
	closedMisuse           // something that is no question
	closedStopped          // by our own end
	closedHandshake        // TLS did not come about
	closedKinds
)

// Why a TLS handshake failed.
const (
	unshakenClient  = iota // the client went away or did not like what it was offered
	unshakenTimeout        // it took too long
	unshakenNoCert         // there is no certificate
	unshakenOther          // no common version, protocol or cipher, or no TLS at all
	unshakenKinds
)

var (
	refusedNames  = [refusedKinds]string{"full", "prefix", "rate"}
	closedNames   = [closedKinds]string{"client", "idle", "slow", "misuse", "stopped", "handshake"}
	unshakenNames = [unshakenKinds]string{"client", "timeout", "no-certificate", "protocol"}
)

var (
	openDesc     = desc("connections", "Connections open now.", "transport")
	refusedDesc  = desc("connections_refused_total", "Connections closed at once: full (all places are taken), prefix (all places of its network), rate (too many connections of its network, or handshakes, a second).", "transport", "why")
	closedDesc   = desc("connections_closed_total", "Connections that have ended: client, idle (no question in time), slow (answers not taken), misuse (no question), stopped, handshake (no TLS).", "transport", "why")
	shakenDesc   = desc("handshakes_total", "TLS handshakes that succeeded, by version and whether an earlier session was resumed.", "transport", "version", "resumed")
	retriesDesc  = desc("quic_retries_total", "Clients of QUIC that had to prove their address before anything else.")
	unshakenDesc = desc("handshakes_failed_total", "TLS handshakes that failed: client (went away or refused), timeout, no-certificate, protocol (nothing in common, or no TLS).", "transport", "why")
)

// shook counts a handshake.
func (l *lines) shook(version uint16, resumed bool) {
	v, r := 1, 0
	if version < tls.VersionTLS13 {
		v = 0
	}
	if resumed {
		r = 1
	}
	l.shaken[v][r].Add(1)
}

// connections shows what is known of them.
func (m *metrics) connections(s *sums) {
	for via := tap.TCP; int(via) < tap.Transports; via++ {
		l, name := &m.lines[via], via.String()
		s.gauge(openDesc, float64(l.open.Load()), name)
		for i := range l.refused {
			s.count(refusedDesc, l.refused[i].Load(), name, refusedNames[i])
		}
		for i := range l.closed {
			s.count(closedDesc, l.closed[i].Load(), name, closedNames[i])
		}
		if !via.Encrypted() {
			continue
		}
		for i, version := range [...]string{"1.2", "1.3"} {
			for r := range l.shaken[i] {
				s.count(shakenDesc, l.shaken[i][r].Load(), name, version, strconv.FormatBool(r == 1))
			}
		}
		if via == tap.DoQ {
			s.count(retriesDesc, l.retries.Load())
		}
		for i := range l.unshaken {
			s.count(unshakenDesc, l.unshaken[i].Load(), name, unshakenNames[i])
		}
	}
}
