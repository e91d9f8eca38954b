package nameserver

import (
	"maps"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"jurymast/internal/snapshot"
	"jurymast/internal/steer"
)

// tallies are a leaf's counters by reason. They are made when a reason comes up for the first time and found again
// without a lock; a leaf sees a handful.
type tallies struct {
	list atomic.Pointer[[]tally]
}

type tally struct {
	rule  steer.Rule
	count *atomic.Uint64
}

// count is the counter of one reason.
func (l *leaf) count(b *book, rule steer.Rule) *atomic.Uint64 {
	list := l.counts.list.Load()
	if list != nil {
		for i := range *list {
			if (*list)[i].rule == rule {
				return (*list)[i].count
			}
		}
	}
	n := b.counter(series{l.profile, l.endpoint, rule})
	for {
		var longer []tally
		if list != nil {
			longer = append(longer, *list...)
		}
		longer = append(longer, tally{rule, n})
		if l.counts.list.CompareAndSwap(list, &longer) {
			return n
		}
		list = l.counts.list.Load() // two entries of one reason name the same counter
	}
}

// series names one counter. Its values come from the documents and from the fixed list of rules.
type series struct {
	profile, endpoint string
	rule              steer.Rule
}

// book keeps the counters of answers over all views: a profile that gets a new part goes on counting, and what is no
// longer in the documents goes away when it is next looked at.
type book struct {
	load func() *snapshot.Snapshot
	desc *prometheus.Desc
	mu   sync.Mutex
	all  map[series]*atomic.Uint64
}

func newBook(load func() *snapshot.Snapshot) *book {
	return &book{
		load: load,
		all:  map[series]*atomic.Uint64{},
		desc: prometheus.NewDesc("jurymast_dns_answers_total",
			"Answers given for a profile, by endpoint and reason of the choice; without an endpoint: nothing could be answered.",
			[]string{"profile", "endpoint", "reason"}, nil),
	}
}

func (b *book) counter(s series) *atomic.Uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := b.all[s]
	if n == nil {
		n = new(atomic.Uint64)
		b.all[s] = n
	}
	return n
}

// Describe is prometheus.Collector's.
func (b *book) Describe(to chan<- *prometheus.Desc) { to <- b.desc }

// Collect is prometheus.Collector's.
func (b *book) Collect(to chan<- prometheus.Metric) {
	for s, n := range b.living() {
		to <- prometheus.MustNewConstMetric(b.desc, prometheus.CounterValue, float64(n.Load()), s.profile, s.endpoint, string(s.rule))
	}
}

// living forgets what the documents no longer know and returns the rest.
func (b *book) living() map[series]*atomic.Uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	// Under the lock: whoever entered a counter had loaded its snapshot before, so this one is as new or newer.
	snap := b.load()
	maps.DeleteFunc(b.all, func(s series, _ *atomic.Uint64) bool { return !lives(snap, s) })
	return maps.Clone(b.all)
}

// ofLastResort is the name of every profile's target of last resort.
var ofLastResort = (&steer.Leaf{Endpoint: -1}).Name()

// lives reports that the documents still know what a series is about.
func lives(snap *snapshot.Snapshot, s series) bool {
	i := snap.Index(s.profile)
	if i < 0 {
		return false
	}
	p := snap.Documents().Profiles[i]
	_, at := p.Endpoint(s.endpoint)
	return at >= 0 || s.endpoint == "" || s.endpoint == ofLastResort
}
