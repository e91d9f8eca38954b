package proxy

import (
	"slices"
	"sync/atomic"
	"time"
)

// Kind is what went wrong between us and an origin.
type Kind string

// The kinds of passive failures.
const (
	KindRefused        Kind = "refused"
	KindConnectTimeout Kind = "connect-timeout"
	KindUnreachable    Kind = "unreachable" // any other failure to connect, name resolution included
	KindTLS            Kind = "tls"
	KindReset          Kind = "reset"   // connection lost without a response byte
	KindStall          Kind = "stall"   // several exchanges wait and not a byte comes
	KindTimeout        Kind = "timeout" // no first byte within timeouts.response
	KindJunk           Kind = "junk"    // an answer that is no HTTP
	KindBroken         Kind = "broken"  // response broken off
	KindStatus         Kind = "status"  // 500-599 except 501 and 505
)

var allKinds = []Kind{
	KindRefused, KindConnectTimeout, KindUnreachable, KindTLS, KindReset, KindStall, KindTimeout, KindJunk, KindBroken, KindStatus,
}

// Signal is a passive failure: not a vote, but a reason to probe now.
type Signal struct {
	Profile  string // that the endpoint belongs to: the one asked for, or one nested in it
	Endpoint string
	Kind     Kind
	At       time.Time
}

// charge tells the engine and the metrics that an attempt failed through the endpoint's fault. An endpoint of a nested
// profile is charged there: that profile's probes look at it.
func (s *service) charge(c *choice, kind Kind) {
	s.p.figures.Profile(c.profile).Endpoint(c.name).Signal(string(kind))
	if s.p.o.Signal != nil {
		s.p.o.Signal(Signal{Profile: c.profile, Endpoint: c.name, Kind: kind, At: time.Now()})
	}
}

// The stall rule of proxy.md 8.
const (
	stallAfter    = 300 * time.Millisecond // at least
	stallFactor   = 4                      // times the p99 of first-byte times
	stallWaiters  = 3
	stallAlone    = time.Second // one waiter is enough when it is the only traffic of this long
	paceSamples   = 128
	paceMinSample = 16
)

// pace is how fast an endpoint answers lately.
type pace struct {
	pos                           atomic.Uint32
	ring                          [paceSamples]atomic.Int64 // nanoseconds to the first byte
	lastByte, lastStart, previous atomic.Int64              // unix nanoseconds
}

func (p *pace) started(now time.Time) {
	p.previous.Store(p.lastStart.Swap(now.UnixNano()))
}

func (p *pace) answered(took time.Duration, now time.Time) {
	p.ring[p.pos.Add(1)%paceSamples].Store(int64(took))
	p.lastByte.Store(now.UnixNano())
}

// threshold is how long without a byte is suspicious.
func (p *pace) threshold() time.Duration {
	all := make([]int64, 0, paceSamples)
	for i := range p.ring {
		if v := p.ring[i].Load(); v > 0 {
			all = append(all, v)
		}
	}
	if len(all) < paceMinSample {
		return stallAfter
	}
	slices.Sort(all)
	return max(stallAfter, stallFactor*time.Duration(all[len(all)*99/100]))
}

// stalled reports that enough exchanges, given by their start times, wait in vain.
func (p *pace) stalled(starts []time.Time, now time.Time) bool {
	limit := p.threshold()
	old := 0
	for _, s := range starts {
		if now.Sub(s) >= limit && p.lastByte.Load() < s.UnixNano() {
			old++
		}
	}
	alone := len(starts) == 1 && now.UnixNano()-p.previous.Load() >= int64(stallAlone)
	return old >= stallWaiters || (old == 1 && alone)
}
