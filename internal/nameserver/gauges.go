package nameserver

import (
	"fmt"
	"strings"
	"time"

	"github.com/miekg/dns"

	"jurymast/internal/nameserver/alarm"
	"jurymast/internal/nameserver/traffic"
	"jurymast/internal/profile"
)

const (
	lookedAt  = 1000 // lines of a list that are summed up
	shownTops = 3    // names and networks that are told as evidence
	leastTop  = 5    // percent one of them must have to stand out
)

// Gauges are the numbers of the last minute that an operator may have to know, with their marks. signed are the zones
// whose signatures are looked at.
func (s *Server) Gauges(marks *profile.DNSAlarms, signed []string, now time.Time) []alarm.Gauge {
	types := s.traffic.Top(traffic.ByType, "", traffic.Lately, lookedAt)
	rcodes := s.traffic.Top(traffic.ByRcode, "", traffic.Lately, lookedAt)
	networks := s.traffic.Top(traffic.ByPrefix, "", traffic.Lately, shownTops)
	names := s.traffic.Top(traffic.ByName, "", traffic.Lately, shownTops)
	evidence := tops("names", &names) + "; " + tops("networks", &networks)
	few := types.Queries < uint64(marks.MinQueries) //nolint:gosec // positive, by validation
	per := func(kind alarm.Kind, mark int, r *traffic.Report, n uint64, what string) alarm.Gauge {
		g := alarm.Gauge{Kind: kind, Value: percent(n, r.Queries), Mark: float64(mark), Unread: few, Evidence: evidence}
		g.Text = fmt.Sprintf("%.0f %% of %d questions in the last minute %s (mark %d %%)", g.Value, r.Queries, what, mark)
		return g
	}
	nameless, list := unnamed(&types)
	unknown := per(alarm.UnknownTypes, marks.UnknownTypes, &types, nameless, "are for types without a name")
	if list != "" {
		unknown.Evidence = "types: " + list + "; " + evidence
	}
	busiest, who := uint64(0), ""
	if len(networks.Lines) > 0 {
		busiest, who = networks.Lines[0].Queries, networks.Lines[0].Value
	}
	return []alarm.Gauge{
		unknown,
		per(alarm.NXDomain, marks.NXDomain, &rcodes, of(&rcodes, "NXDOMAIN"), "are for names that are not there"),
		per(alarm.Network, marks.Network, &networks, busiest, "come from "+who),
		per(alarm.Malformed, marks.Malformed, &rcodes, of(&rcodes, "FORMERR"), "cannot be read"),
		refusedGauge(&rcodes, marks.Refused, evidence),
		s.expiry(marks.Signatures, signed, now),
	}
}

func percent(n, of uint64) float64 {
	if of == 0 {
		return 0
	}
	return min(100, 100*float64(n)/float64(of))
}

func of(r *traffic.Report, value string) uint64 {
	for i := range r.Lines {
		if r.Lines[i].Value == value {
			return r.Lines[i].Queries
		}
	}
	return 0
}

// unnamed are the questions for types that have no name, and the most frequent of those types.
func unnamed(r *traffic.Report) (n uint64, list string) {
	var shown []string
	for i := range r.Lines {
		l := &r.Lines[i]
		if _, known := dns.StringToType[l.Value]; known {
			continue
		}
		if n += l.Queries; len(shown) < shownTops {
			shown = append(shown, l.Value)
		}
	}
	return n, strings.Join(shown, ", ")
}

func refusedGauge(r *traffic.Report, mark int, evidence string) alarm.Gauge {
	g := alarm.Gauge{Kind: alarm.Refused, Mark: float64(mark), Evidence: evidence}
	span := r.Until.Sub(r.Since).Seconds()
	if g.Unread = span < 1; g.Unread {
		return g
	}
	g.Value = float64(of(r, "REFUSED")) / span
	g.Text = fmt.Sprintf("%.0f questions a second are for zones that are not ours (mark %d)", g.Value, mark)
	return g
}

// expiry is the time left of the signature that expires first, of all zones.
func (s *Server) expiry(mark time.Duration, signed []string, now time.Time) alarm.Gauge {
	g := alarm.Gauge{Kind: alarm.Signatures, Mark: mark.Seconds(), Falls: true, Unread: true}
	for _, zone := range signed {
		st := s.SigningStatus(zone)
		if st.Oldest.IsZero() {
			continue
		}
		if left := st.Oldest.Sub(now); g.Unread || left.Seconds() < g.Value {
			g.Unread, g.Value, g.Evidence = false, left.Seconds(), st.Trouble
			g.Text = fmt.Sprintf("the first signature of zone %s expires at %s, in %s (mark %s)", zone, st.Oldest.UTC().Format(time.RFC3339), left.Round(time.Second), mark)
		}
	}
	return g
}

// tops are what stands out in a list, with its share. A flood of random names has none that does.
func tops(what string, r *traffic.Report) string {
	var out []string
	for i := range r.Lines[:min(len(r.Lines), shownTops)] {
		l := &r.Lines[i]
		if share := percent(l.Queries, r.Queries); share >= leastTop {
			out = append(out, fmt.Sprintf("%s %.0f %%", l.Value, share))
		}
	}
	if len(out) == 0 {
		return fmt.Sprintf("%s: none above %d %%", what, leastTop)
	}
	return what + ": " + strings.Join(out, ", ")
}
