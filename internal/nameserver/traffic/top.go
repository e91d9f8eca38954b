package traffic

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"
	"github.com/prometheus/client_golang/prometheus"
)

// String is the word for a list.
func (b By) String() string {
	switch b {
	case ByPrefix:
		return "prefix"
	case ByName:
		return "name"
	case ByType:
		return "type"
	case ByRcode:
		return "rcode"
	case ByPlace:
		return "place"
	}
	return fmt.Sprintf("By(%d)", uint8(b))
}

// ParseBy reads the word for a list.
func ParseBy(word string) (By, bool) {
	for b := range By(numBy) {
		if b.String() == word {
			return b, true
		}
	}
	return 0, false
}

// Line is one line of a list.
type Line struct {
	Value   string
	Queries uint64 // estimated, what a newcomer may have had before left out
	Error   uint64 // in 95 of 100 cases the true number is nearer than this
}

// Report is one list, most questions first.
type Report struct {
	Since    time.Time // what is counted
	Until    time.Time
	Queries  uint64 // all of them, whatever their value; of the profile, if one was asked for
	Sampling uint32 // one question in so many is looked at now, by the busiest loop
	Lines    []Line
}

// Spans a list can cover: the last minute and the last hour.
const (
	Lately = time.Minute
	Longer = time.Hour
)

// Top is the list of what was asked most: of one profile, or "" of all questions. span is Lately or Longer; the
// report covers a part of it less, at most a sixth or a twelfth.
func (t *Traffic) Top(by By, profile string, span time.Duration, n int) Report {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	t.look(now, false)
	h := t.minute
	if span > Lately {
		h = t.hour
	}
	windows, since := h.recent(now)
	if since.Before(t.started) {
		since = t.started.UTC()
	}
	r := Report{Since: since, Until: now.UTC(), Sampling: 1}
	for _, l := range t.loops {
		r.Sampling = max(r.Sampling, l.every.Load())
	}
	sums := map[string]tally{}
	var total, squares float64
	for _, w := range windows {
		total, squares = total+float64(w.total), squares+float64(w.squares)
		if profile == "" {
			r.Queries += w.total
		} else {
			for k, c := range w.tables[ByRcode].all { // few values: none is dropped below some hundred profiles
				if k.profile == profile {
					r.Queries += c.count
				}
			}
		}
		w.tables[by].sum(by, profile, sums)
	}
	for value, c := range sums {
		r.Lines = append(r.Lines, Line{value, c.count - c.over, c.over + uint64(spread(float64(c.count-c.over)/total, squares))})
	}
	slices.SortFunc(r.Lines, func(a, b Line) int {
		return cmp.Or(cmp.Compare(b.Queries, a.Queries), cmp.Compare(a.Value, b.Value))
	})
	r.Lines = r.Lines[:min(n, len(r.Lines))]
	return r
}

// spread is how far an estimate of a share is off, in questions, in 95 of 100 cases at most: each sample stands for as
// many questions as its weight says, and is one of the share with that probability.
func spread(share, squares float64) float64 {
	return 1.96 * math.Sqrt(max(share*(1-share), 0)*squares)
}

// sum adds the table to sums, by the text of the value.
func (t *table) sum(by By, profile string, sums map[string]tally) {
	here := map[string]bool{}
	for k, c := range t.all {
		if profile != "" && k.profile != profile {
			continue
		}
		value := k.text(by)
		s := sums[value]
		s.count, s.over = s.count+c.count, s.over+c.over
		sums[value], here[value] = s, true
	}
	if t.floor == 0 {
		return
	}
	for value, s := range sums { // what was dropped here may have been it
		if !here[value] {
			s.count, s.over = s.count+t.floor, s.over+t.floor
			sums[value] = s
		}
	}
}

func (k *key) text(by By) string {
	switch by {
	case ByPrefix:
		if !k.client.IsValid() {
			return unknownPlace
		}
		return k.client.String()
	case ByName:
		return nameText(k.name)
	case ByType:
		return dns.Type(k.number).String()
	case ByRcode:
		if text, ok := dns.RcodeToString[int(k.number)]; ok && k.number != dns.RcodeBadVers {
			return text
		} else if k.number == dns.RcodeBadVers {
			return "BADVERS"
		}
		return fmt.Sprintf("RCODE%d", k.number)
	case ByPlace:
		return where{k.place, k.known}.String()
	}
	return ""
}

// nameText is a name in presentation form; what is no letter, digit, hyphen or underscore is escaped.
func nameText(w string) string {
	if w == "" {
		return "(unreadable)"
	}
	text, _, err := dns.UnpackDomainName([]byte(w), 0)
	if err != nil {
		return "(unreadable)"
	}
	return strings.ToValidUTF8(text, "?")
}

var clientsDesc = prometheus.NewDesc("jurymast_dns_client_queries_total",
	"Questions for a profile by the place of the client, estimated from samples; only with a database of places. Beyond 10000 series all are place \"other\" of no profile.",
	[]string{"profile", "place"}, nil)

// Metrics is a collector of what was asked from where; series of profiles that lives does not know go away.
func (t *Traffic) Metrics(lives func(profile string) bool) prometheus.Collector {
	return &metrics{t, lives}
}

type metrics struct {
	t     *Traffic
	lives func(string) bool
}

// Describe is prometheus.Collector's.
func (m *metrics) Describe(to chan<- *prometheus.Desc) { to <- clientsDesc }

// Collect is prometheus.Collector's.
func (m *metrics) Collect(to chan<- prometheus.Metric) {
	m.t.mu.Lock()
	defer m.t.mu.Unlock()
	m.t.look(time.Now(), false)
	for s, n := range m.t.places {
		if s.profile != "" && !m.lives(s.profile) {
			delete(m.t.places, s)
			continue
		}
		to <- prometheus.MustNewConstMetric(clientsDesc, prometheus.CounterValue, float64(n), s.profile, s.place)
	}
}
