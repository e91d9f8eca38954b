package rrl

import (
	"cmp"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"
)

const (
	turn       = 100 * time.Millisecond // between two looks at the loops
	calm       = 5 * time.Second        // without a suppressed answer, beside what is owed, until a limit is over
	maxLimits  = 1000                   // told apart at once, of networks and of buckets each
	linesAtOne = 10                     // lines of the log at once
	lineEvery  = 6 * time.Second        // and then
)

// Limit is what is limited: one bucket of one network.
type Limit struct {
	Network netip.Prefix
	Kind    Kind
	Name    string // wire form; "": none
}

// Limited is one limit that holds now.
type Limited struct {
	Limit
	Since      time.Time
	Last       time.Time // report of a suppressed answer
	Suppressed uint64    // answers, or connections refused, since then
}

// Shown is the name in presentation form, "" without one.
func (l *Limit) Shown() string {
	if l.Name == "" {
		return ""
	}
	text, _, err := dns.UnpackDomainName([]byte(l.Name), 0)
	if err != nil {
		return "(unreadable)"
	}
	return strings.ToValidUTF8(text, "?")
}

// episode is how long something has been limited.
type episode struct {
	since, last, until time.Time
	suppressed         uint64
	told               bool // its beginning is in the log
}

// Watch knows who is limited now. Make it with NewWatch, run Run.
type Watch struct {
	log     *slog.Logger
	limiter *Limiter // nil: none
	dry     bool

	mu       sync.Mutex
	networks map[netip.Prefix]*episode
	limits   map[Limit]*episode
	beyond   uint64 // reports of more than are told apart

	lines    int // that may be written now
	refilled time.Time
	untold   int // since the last line
}

// NewWatch watches a limiter, which may be nil, and every Gate that was made with it.
func NewWatch(l *Limiter, log *slog.Logger) *Watch {
	w := &Watch{log: log, limiter: l, networks: map[netip.Prefix]*episode{}, limits: map[Limit]*episode{}, lines: linesAtOne, refilled: time.Now()}
	w.dry = l != nil && l.opt.Dry
	return w
}

// Run looks at the loops until stop is closed.
func (w *Watch) Run(stop <-chan struct{}) {
	tick := time.NewTicker(turn)
	defer tick.Stop()
	for {
		select {
		case <-stop:
			return
		case now := <-tick.C:
			w.look(now)
		}
	}
}

func (w *Watch) look(now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.limiter != nil {
		w.limiter.drain(func(r *report, left time.Duration) {
			w.add(Limit{r.network, r.kind, string(r.name[:r.length])}, uint64(r.count), left, now)
		})
	}
	w.end(now)
}

// note is for gates.
func (w *Watch) note(l Limit, n uint64, left time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.add(l, n, left, time.Now())
}

// add needs mu.
func (w *Watch) add(l Limit, n uint64, left time.Duration, now time.Time) {
	e, known := w.networks[l.Network]
	if !known && len(w.networks) < maxLimits {
		e = &episode{since: now}
		w.networks[l.Network] = e
		if e.told = w.line(now); e.told {
			w.log.Warn("answers to a network are limited", "network", l.Network.String(), "kind", l.Kind.String(), "name", l.Shown(),
				"only_counted", w.dry && l.Kind < Connection, "lines_left_out", w.leftOut())
		}
	}
	b, there := w.limits[l]
	if !there && len(w.limits) < maxLimits {
		b = &episode{since: now}
		w.limits[l] = b
	}
	if e == nil || b == nil {
		w.beyond++
	}
	for _, e := range []*episode{e, b} {
		if e != nil {
			e.suppressed += n
			e.last = now
			if until := now.Add(left + calm); until.After(e.until) {
				e.until = until
			}
		}
	}
}

// end forgets what is over. It needs mu.
func (w *Watch) end(now time.Time) {
	for l, e := range w.limits {
		if now.After(e.until) {
			delete(w.limits, l)
		}
	}
	for p, e := range w.networks {
		if !now.After(e.until) {
			continue
		}
		delete(w.networks, p)
		if e.told && w.line(now) {
			w.log.Info("answers to a network are not limited any more", "network", p.String(), "suppressed", e.suppressed,
				"for", e.last.Sub(e.since).Round(time.Second), "lines_left_out", w.leftOut())
		}
	}
}

// line reports that one more line may be written.
func (w *Watch) line(now time.Time) bool {
	if more := int(now.Sub(w.refilled) / lineEvery); more > 0 {
		w.lines = min(w.lines+more, linesAtOne)
		w.refilled = w.refilled.Add(time.Duration(more) * lineEvery)
	}
	if w.lines == 0 {
		w.untold++
		return false
	}
	w.lines--
	return true
}

func (w *Watch) leftOut() int {
	n := w.untold
	w.untold = 0
	return n
}

// Networks is how many networks are limited now; from maxLimits on more are not told apart.
func (w *Watch) Networks() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.networks)
}

// Limited lists what is limited now, most suppressed first.
func (w *Watch) Limited(most int) []Limited {
	now := time.Now()
	w.look(now)
	w.mu.Lock()
	defer w.mu.Unlock()
	out := make([]Limited, 0, len(w.limits))
	for l, e := range w.limits {
		out = append(out, Limited{l, e.since, e.last, e.suppressed})
	}
	slices.SortFunc(out, func(a, b Limited) int {
		return cmp.Or(cmp.Compare(b.Suppressed, a.Suppressed), a.Network.Compare(b.Network), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name))
	})
	return out[:min(most, len(out))]
}
