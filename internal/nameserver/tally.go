package nameserver

import (
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"jurymast/internal/snapshot"
	"jurymast/internal/steer"
)

// tallies are the numbers under which a leaf's answers are counted, by reason. They are given when a reason comes up for
// the first time and found again without a lock; a leaf sees a handful.
type tallies struct {
	list atomic.Pointer[[]tally]
}

type tally struct {
	rule   steer.Rule
	number uint32
}

// count is the counter of one reason, among those of who asks.
func (l *leaf) count(c *counts, rule steer.Rule) *atomic.Uint64 {
	return c.answer(l.number(c.book, rule))
}

// number is that under which answers for one reason are counted.
func (l *leaf) number(b *book, rule steer.Rule) uint32 {
	list := l.counts.list.Load()
	if list != nil {
		for i := range *list {
			if (*list)[i].rule == rule {
				return (*list)[i].number
			}
		}
	}
	number := b.number(series{l.profile, l.endpoint, rule})
	for {
		var longer []tally
		if list != nil {
			longer = append(longer, *list...)
		}
		longer = append(longer, tally{rule, number})
		if l.counts.list.CompareAndSwap(list, &longer) {
			return number
		}
		list = l.counts.list.Load() // two entries of one reason have the same number
	}
}

// pageSize is how many counters of answers come at once: a page of memory.
const pageSize = 512

type page [pageSize]atomic.Uint64

// answer is the counter with that number. Pages come as they are needed; several connections may want one at once.
func (c *counts) answer(number uint32) *atomic.Uint64 {
	for {
		pages := c.pages.Load()
		if n := counterOf(pages, number); n != nil {
			return n
		}
		at := int(number / pageSize)
		var more []*page
		if pages != nil {
			more = append(more, *pages...)
		}
		for len(more) <= at {
			more = append(more, nil)
		}
		more[at] = new(page)
		c.pages.CompareAndSwap(pages, &more) // or somebody was faster: every list has all pages of the one before
	}
}

// counterOf is the counter with that number, nil where there is no page for it.
func counterOf(pages *[]*page, number uint32) *atomic.Uint64 {
	at := int(number / pageSize)
	if pages == nil || at >= len(*pages) || (*pages)[at] == nil {
		return nil
	}
	return &(*pages)[at][number%pageSize]
}

// series names one counter. Its values come from the documents and from the fixed list of rules.
type series struct {
	profile, endpoint string
	rule              steer.Rule
}

// place is where a series is counted: under a number, less what was counted there before.
type place struct {
	number uint32
	before uint64
}

// book keeps the numbers of answers over all views: a profile that gets a new part goes on counting, and what is no
// longer in the documents goes away when it is next looked at.
type book struct {
	load   func() *snapshot.Snapshot
	counts func() []*counts
	gather func() // brings what was counted elsewhere
	mu     sync.Mutex
	all    map[series]place
	next   uint32
	free   []uint32
	rest   []uint32 // will be free at the next look: an answer under way may still count there
}

func newBook(load func() *snapshot.Snapshot, counts func() []*counts) *book {
	return &book{load: load, counts: counts, all: map[series]place{}}
}

var answersDesc = desc("answers_total",
	"Answers given for a profile, by endpoint and reason of the choice; without an endpoint: nothing could be answered.",
	"profile", "endpoint", "reason")

func (b *book) number(s series) uint32 {
	b.mu.Lock()
	defer b.mu.Unlock()
	if p, ok := b.all[s]; ok {
		return p.number
	}
	var p place
	if n := len(b.free); n > 0 {
		p.number, b.free = b.free[n-1], b.free[:n-1]
		p.before = b.total(p.number)
	} else {
		p.number = b.next
		b.next++
	}
	b.all[s] = p
	return p.number
}

// total is the sum of the counters with one number. It is asked for whenever a number is used again, which is for every
// name in turn when documents change: that must not cost a sum over all of them.
func (b *book) total(number uint32) (sum uint64) {
	for _, c := range b.counts() {
		if n := counterOf(c.pages.Load(), number); n != nil {
			sum += n.Load()
		}
	}
	return sum
}

// totals are the sums of all counters, by number.
func (b *book) totals() []uint64 {
	out := make([]uint64, b.next)
	for _, c := range b.counts() {
		pages := c.pages.Load()
		if pages == nil {
			continue
		}
		for i, p := range *pages {
			for j := range min(pageSize, max(0, len(out)-i*pageSize)) {
				if p != nil {
					out[i*pageSize+j] += p[j].Load()
				}
			}
		}
	}
	return out
}

// Describe is prometheus.Collector's.
func (b *book) Describe(to chan<- *prometheus.Desc) { to <- answersDesc }

// Collect is prometheus.Collector's.
func (b *book) Collect(to chan<- prometheus.Metric) {
	b.gather()
	for s, n := range b.living() {
		to <- prometheus.MustNewConstMetric(answersDesc, prometheus.CounterValue, float64(n), s.profile, s.endpoint, string(s.rule))
	}
}

// living forgets what the documents no longer know and returns the rest with what was counted.
func (b *book) living() map[series]uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	// Under the lock: whoever entered a counter had loaded its snapshot before, so this one is as new or newer.
	snap := b.load()
	b.free, b.rest = append(b.free, b.rest...), b.rest[:0]
	totals := b.totals()
	out := make(map[series]uint64, len(b.all))
	for s, p := range b.all {
		if lives(snap, s) {
			out[s] = totals[p.number] - p.before
			continue
		}
		delete(b.all, s)
		b.rest = append(b.rest, p.number)
	}
	return out
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
