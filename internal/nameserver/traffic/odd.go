package traffic

import (
	"time"

	"github.com/miekg/dns"
)

// Odd counts questions that are rare in good times. Like lists they are estimated from samples.
type Odd struct {
	Since, Until time.Time
	Queries      uint64 // all of them
	UnknownType  uint64 // asked for a type without a name
	NXDomain     uint64
	Refused      uint64
	Malformed    uint64 // answered FORMERR
	Limited      uint64 // answers suppressed because their network gets too many
}

// odd is what a window counts for Odd.
type odd struct{ unknown, nxdomain, refused, malformed, limited uint64 }

func (o *odd) add(s *sample) {
	n := uint64(s.weight)
	if _, known := dns.TypeToString[s.kind]; !known && s.length > 0 {
		o.unknown += n
	}
	switch s.rcode {
	case dns.RcodeNameError:
		o.nxdomain += n
	case dns.RcodeRefused:
		o.refused += n
	case dns.RcodeFormatError:
		o.malformed += n
	}
	if s.limited {
		o.limited += n
	}
}

// Odd counts what is odd, of the last minute (Lately) or hour (Longer).
func (t *Traffic) Odd(span time.Duration) (sum Odd) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	t.look(now, false)
	h := t.minute
	if span > Lately {
		h = t.hour
	}
	windows, since := h.recent(now)
	if sum.Since = since; since.Before(t.started) {
		sum.Since = t.started.UTC()
	}
	sum.Until = now.UTC()
	for _, w := range windows {
		sum.Queries += w.total
		sum.UnknownType += w.odd.unknown
		sum.NXDomain += w.odd.nxdomain
		sum.Refused += w.odd.refused
		sum.Malformed += w.odd.malformed
		sum.Limited += w.odd.limited
	}
	return sum
}
