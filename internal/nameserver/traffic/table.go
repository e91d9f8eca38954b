package traffic

import (
	"cmp"
	"net/netip"
	"slices"
	"time"

	"jurymast/internal/geo"
)

// By is what questions are told apart by.
type By uint8

// What there are lists of.
const (
	ByPrefix By = iota // network of the client
	ByName
	ByType
	ByRcode
	ByPlace // of the client; only questions for profiles, and only with a database of places
)

// numBy is how many lists there are.
const numBy = 5

// key is one thing that is counted, for one profile; "" is all that is no profile's. Only the field that belongs to the
// list is set.
type key struct {
	profile string
	client  netip.Prefix
	name    string // wire form, lower case
	number  uint16 // type or response code
	place   geo.Code
	known   bool // place is
}

// tally is how often: at most count questions, and at least count-over.
type tally struct{ count, over uint64 }

// table counts at most twice so many things as it should keep. When it has more it drops the rarest half: what was
// dropped had at most floor questions, which is what a newcomer may have had before.
type table struct {
	keep  int
	all   map[key]tally
	floor uint64
}

func (t *table) add(k key, weight uint64) {
	c, known := t.all[k]
	if !known {
		if len(t.all) >= 2*t.keep {
			t.prune()
		}
		c = tally{count: t.floor, over: t.floor}
	}
	c.count += weight
	if t.all == nil {
		t.all = map[key]tally{}
	}
	t.all[k] = c
}

func (t *table) prune() {
	counts := make([]uint64, 0, len(t.all))
	for _, c := range t.all {
		counts = append(counts, c.count)
	}
	slices.SortFunc(counts, func(a, b uint64) int { return cmp.Compare(b, a) })
	limit := counts[t.keep]
	for k, c := range t.all {
		if c.count <= limit { // ties go too: never more than keep are left
			delete(t.all, k)
		}
	}
	t.floor = max(t.floor, limit)
}

// window is one stretch of time.
type window struct {
	number  int64 // since the epoch, in spans
	total   uint64
	squares uint64 // sum of weight * (weight - 1): how much estimates from these samples vary
	odd     odd
	tables  [numBy]table
}

// history is the last few windows, the current one among them.
type history struct {
	span    time.Duration
	keep    int // things per table
	windows []window
}

func newHistory(span time.Duration, n, keep int) *history {
	return &history{span: span, keep: keep, windows: make([]window, n)}
}

// current is the window of now, emptied when it was that of an earlier time.
func (h *history) current(now time.Time) *window {
	number := now.UnixNano() / int64(h.span)
	w := &h.windows[number%int64(len(h.windows))]
	if w.number != number {
		*w = window{number: number}
		for i := range w.tables {
			w.tables[i].keep = h.keep
		}
	}
	return w
}

// recent are the windows that are not over for longer than the history goes back, and since when they count.
func (h *history) recent(now time.Time) (list []*window, since time.Time) {
	number := now.UnixNano() / int64(h.span)
	for i := range h.windows {
		if w := &h.windows[i]; w.number > number-int64(len(h.windows)) && w.number <= number && w.number > 0 {
			list = append(list, w)
		}
	}
	return list, time.Unix(0, (number-int64(len(h.windows))+1)*int64(h.span)).UTC()
}
