package secondary

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"jurymast/internal/nameserver/tsig"
	"jurymast/internal/profile"
)

const (
	parallelLooks = 32          // looks at a time
	unusedFor     = time.Minute // an entry that no documents in force have is kept, for documents under way
	avoidFor      = time.Minute // a primary that failed is asked last
)

// Options of a Book. Dir and Keys are needed, the rest has usable zero values.
type Options struct {
	Dir        string                      // of the zones on disk; it is made when there is something to write
	Keys       func(name string) *tsig.Key // a TSIG key by its name, nil when there is none
	Client     *Client
	Logger     *slog.Logger
	Tell       func(Event)           // what an operator may want to know; it must not block
	Registerer prometheus.Registerer // nil: metrics are counted but shown nowhere
}

// EventKind says what an Event tells.
type EventKind string

// The kinds of events.
const (
	EventTransferred EventKind = "transferred" // there is new content
	EventFailing     EventKind = "failing"     // the first look in a row that brought nothing
	EventExpired     EventKind = "expired"     // the zone is given up
	EventRecovered   EventKind = "recovered"   // a primary has confirmed it again
)

// Event is one change of how a zone stands.
type Event struct {
	Zone string
	Kind EventKind
	Text string
}

// Set is the secondary zones of documents, by name.
type Set map[string]*Entry

// Book keeps secondary zones. Prepare while documents are prepared, Use when they are in force, Run once.
type Book struct {
	opt     Options
	log     *slog.Logger
	m       *metrics
	slots   chan struct{}
	changed chan struct{}

	mu      sync.Mutex
	all     Set
	ctx     context.Context //nolint:containedctx // of Run, for the entries that come later
	working sync.WaitGroup
}

// New makes an empty book. The error is that its metrics cannot be registered.
func New(opt Options) (*Book, error) {
	b := &Book{opt: opt, log: opt.Logger, all: Set{}, slots: make(chan struct{}, parallelLooks), changed: make(chan struct{}, 1)}
	if b.log == nil {
		b.log = slog.New(slog.DiscardHandler)
	}
	if b.opt.Client == nil {
		b.opt.Client = NewClient(Limits{})
	}
	if b.opt.Tell == nil {
		b.opt.Tell = func(Event) {}
	}
	b.m = newMetrics(b)
	return b, b.m.register(opt.Registerer)
}

// Answer is what questions get of a zone, until the next one.
type Answer struct {
	Content *Content // nil: SERVFAIL
	Phase   Phase    // Missing or Expired when there is no content, else Current
}

// Entry is one secondary zone. Its answer is read without a lock.
type Entry struct {
	name   string
	answer atomic.Pointer[Answer]
	wake   chan struct{}

	mu      sync.Mutex
	doc     *profile.Secondary
	keep    time.Time          // not used yet: forgotten after this
	used    bool               // by the documents in force
	end     context.CancelFunc // of its work, which begins when it is used and the book runs
	over    chan struct{}      // closed when its work has ended; nil before the first
	state   State
	content *Content
	info    info
}

// info is what is told of an entry beside its state.
type info struct {
	primary  netip.AddrPort // that the content came from, or that confirmed it last
	took     time.Time      // when the content came
	how      How
	bytes    int64
	refused  string // why the last transfer was not of differences
	trouble  string // of the last look
	older    bool   // it found nothing but an older serial
	first    netip.AddrPort
	force    bool
	avoid    map[netip.AddrPort]time.Time
	dirty    bool // content is not on disk
	diskFail bool
	ended    chan struct{} // closed when the next look ends
}

// Load is what is answered now.
func (e *Entry) Load() *Answer { return e.answer.Load() }

// Name of the zone.
func (e *Entry) Name() string { return e.name }

// Prepare returns the secondary zones of a set of documents: those that are known with what is known of them, the others
// from disk. A zone that is nowhere is looked for when the documents come into force.
func (b *Book) Prepare(zones []*profile.Zone) Set {
	set := Set{}
	for _, z := range zones {
		if z.Secondary != nil {
			set[z.Name] = b.entry(z)
		}
	}
	return set
}

func (b *Book) entry(z *profile.Zone) *Entry {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	e := b.all[z.Name]
	if e == nil {
		e = &Entry{name: z.Name, doc: z.Secondary, wake: make(chan struct{}, 1), state: Begin(now)}
		e.info.avoid, e.info.ended = map[netip.AddrPort]time.Time{}, make(chan struct{})
		b.restore(e, now)
		e.answer.Store(e.current(now))
		b.all[z.Name] = e
	}
	e.mu.Lock()
	e.keep = now.Add(unusedFor)
	e.mu.Unlock()
	return e
}

// restore takes a zone from disk.
func (b *Book) restore(e *Entry, now time.Time) {
	c, k, confirmed, err := load(b.opt.Dir, e.name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return
	case err != nil:
		b.log.Warn("the copy of a secondary zone on disk is not used; it is fetched anew", "zone", e.name, "error", err)
		return
	}
	e.content = c
	e.state = Restore(c.Timers(bounds(e.doc)), confirmed, now, rand.Uint64()) //nolint:gosec // spreading looks is no secret
	e.info.primary, _ = netip.ParseAddrPort(k.Primary)
	e.info.took = k.At
}

func bounds(doc *profile.Secondary) Bounds { return Bounds{doc.MinRefresh, doc.MaxRefresh} }

// current is the answer as of now; it needs mu, or nobody else knows the entry.
func (e *Entry) current(now time.Time) *Answer {
	switch {
	case e.state.Serves(now):
		return &Answer{Content: e.content, Phase: Current}
	case e.state.Has:
		return &Answer{Phase: Expired}
	}
	return &Answer{Phase: Missing}
}

// Changed gets a value when an answer is another one than before.
func (b *Book) Changed() <-chan struct{} { return b.changed }

// Use says which documents are in force. Zones that are in them are looked for from now on, zones that were and are not any
// more are forgotten, on disk too.
func (b *Book) Use(set Set, zones []*profile.Zone) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, z := range zones {
		e := set[z.Name]
		if e == nil || z.Secondary == nil {
			continue
		}
		b.all[e.name] = e // it may have been forgotten while it was prepared
		b.adopt(e, z.Secondary)
	}
	now := time.Now()
	for name, e := range b.all {
		if set[name] == e {
			continue
		}
		e.mu.Lock()
		used, old := e.used, now.After(e.keep)
		e.mu.Unlock()
		if used || old {
			delete(b.all, name)
		}
		if used {
			b.forget(e)
		}
	}
}

// adopt gives an entry its settings and lets it work; it needs the book's mu.
func (b *Book) adopt(e *Entry, doc *profile.Secondary) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if before := e.doc; before != doc {
		e.doc = doc
		if !slices.Equal(before.From, doc.From) {
			e.state.Notified(time.Now())
		}
	}
	if !e.used && e.over != nil { // its copy on disk went when it was forgotten
		e.info.dirty = e.content != nil
	}
	e.used = true
	b.begin(e)
	e.nudge()
}

// begin lets an entry work once the book runs; it needs both mu.
func (b *Book) begin(e *Entry) {
	if e.end == nil && b.ctx != nil && b.ctx.Err() == nil {
		var ctx context.Context
		ctx, e.end = context.WithCancel(b.ctx)
		before, over := e.over, make(chan struct{})
		e.over = over
		b.working.Go(func() {
			defer close(over)
			if before != nil {
				<-before
			}
			b.work(ctx, e)
		})
	}
}

func (b *Book) forget(e *Entry) {
	e.mu.Lock()
	if e.used = false; e.end != nil {
		e.end()
		e.end = nil
	}
	e.mu.Unlock()
	b.remove(e)
	b.m.drop(e.name)
	b.log.Info("a secondary zone is not kept any more", "zone", e.name)
}

// remove takes a zone from disk that is not used.
func (b *Book) remove(e *Entry) {
	if err := os.Remove(filepath.Join(b.opt.Dir, fileOf(e.name))); err != nil && !errors.Is(err, fs.ErrNotExist) {
		b.log.Warn("the copy of a zone that is no secondary any more cannot be removed", "zone", e.name, "error", err)
	}
}

func (e *Entry) nudge() {
	select {
	case e.wake <- struct{}{}:
	default:
	}
}

// Run looks after the zones that are in use until ctx ends and everything is on disk.
func (b *Book) Run(ctx context.Context) {
	b.mu.Lock()
	b.ctx = ctx
	for _, e := range b.all { // documents may have come into force before
		e.mu.Lock()
		if e.used {
			b.begin(e)
		}
		e.mu.Unlock()
	}
	b.mu.Unlock()
	<-ctx.Done()
	b.mu.Lock()   // nobody begins to work from here on
	b.mu.Unlock() //nolint:staticcheck // empty on purpose: adopt holds it
	b.working.Wait()
}

// work is the life of one entry.
func (b *Book) work(ctx context.Context, e *Entry) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			b.leave(e)
			return
		case <-e.wake:
		case <-timer.C:
		}
		now := time.Now()
		e.mu.Lock()
		due := e.state.Due(now)
		e.mu.Unlock()
		if due {
			end := b.atEnd(e)
			b.fenced(ctx, e)
			end()
		}
		b.publish(e)
		b.flush(e, false)
		e.mu.Lock()
		wait := max(time.Until(e.state.Wake(time.Now())), 0)
		if e.info.dirty {
			wait = min(wait, time.Second)
		}
		e.mu.Unlock()
		timer.Reset(wait)
	}
}

// leave is the end of an entry's work: what is used stays on disk.
func (b *Book) leave(e *Entry) {
	e.mu.Lock()
	used := e.used
	e.mu.Unlock()
	if used {
		b.flush(e, true)
	} else {
		b.remove(e) // it may have been written meanwhile
	}
}

// atEnd gives a zone up when its time comes while a look is under way: a transfer may outlast it. stop ends the waiting.
func (b *Book) atEnd(e *Entry) (stop func()) {
	e.mu.Lock()
	end := e.state.Expires()
	e.mu.Unlock()
	if !end.After(time.Now()) { // it is over, or was never here
		return func() {}
	}
	timer := time.AfterFunc(time.Until(end)+time.Millisecond, func() { b.publish(e) })
	return func() { timer.Stop() }
}

// publish makes the answer what it has to be now.
func (b *Book) publish(e *Entry) {
	now := time.Now()
	e.mu.Lock()
	was, is := e.answer.Load(), e.current(now)
	if *was == *is {
		e.mu.Unlock()
		return
	}
	e.answer.Store(is)
	trouble := e.info.trouble
	e.mu.Unlock()
	select {
	case b.changed <- struct{}{}:
	default:
	}
	if is.Phase == Expired {
		b.log.Error("a secondary zone has expired: questions get SERVFAIL until a primary confirms it", "zone", e.name, "error", trouble)
		b.m.expired.WithLabelValues(e.name).Inc()
		b.opt.Tell(Event{e.name, EventExpired, "no primary has confirmed the zone for too long; questions get SERVFAIL: " + trouble})
	}
}

// flush writes what is not on disk. A zone that changes all the time is not written each time: last says that it is now or
// never.
func (b *Book) flush(e *Entry, last bool) {
	e.mu.Lock()
	c, confirmed := e.content, e.state.Confirmed
	if !e.info.dirty || c == nil || !last && len(c.Records) > 10_000 && time.Since(e.info.took) < time.Second {
		e.mu.Unlock()
		return
	}
	k := kept{Zone: e.name, Serial: c.Serial, Records: len(c.Records), Primary: e.info.primary.String(), At: e.info.took, Digest: c.Digest}
	e.info.dirty = false
	failed := e.info.diskFail
	e.mu.Unlock()
	err := save(b.opt.Dir, c, k, confirmed)
	e.mu.Lock()
	e.info.diskFail = err != nil
	e.mu.Unlock()
	if err != nil && !failed {
		b.log.Warn("a secondary zone cannot be written to disk; after a restart it has to be fetched first", "zone", e.name, "error", err)
	}
}

// touch notes on disk that a zone was confirmed.
func (b *Book) touch(e *Entry, now time.Time) {
	path := filepath.Join(b.opt.Dir, fileOf(e.name))
	if err := os.Chtimes(path, now, now); errors.Is(err, fs.ErrNotExist) {
		e.mu.Lock()
		e.info.dirty = true
		e.mu.Unlock()
	} else if err != nil {
		b.log.Warn("that a secondary zone was confirmed cannot be noted on disk", "zone", e.name, "error", err)
	}
}

// fenced is look behind a fence: a panic is a look that failed.
func (b *Book) fenced(ctx context.Context, e *Entry) {
	select {
	case b.slots <- struct{}{}:
	case <-ctx.Done():
		return
	}
	defer func() { <-b.slots }()
	defer func() {
		if p := recover(); p != nil {
			b.log.Error("looking after a secondary zone failed inside", "zone", e.name, "panic", fmt.Sprint(p))
			b.failed(e, fmt.Sprintf("failed inside: %v", p))
		}
	}()
	b.look(ctx, e)
}
