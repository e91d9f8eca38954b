package flatten

import (
	"container/heap"
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"
	"github.com/prometheus/client_golang/prometheus"

	"jurymast/internal/nameserver/zone"
)

const (
	defaultParallel = 64               // looks at a time
	unusedFor       = time.Minute      // a target no documents in force use is kept, for documents under way and old snapshots
	sweepEvery      = 10 * time.Second // and looked for
)

// Looker asks for one type of one name. first and last are the resolvers to begin and to end with; both may be zero.
type Looker interface {
	Look(ctx context.Context, name string, typ uint16, first, last netip.AddrPort) Reply
}

// Options of a Book. Looker is needed, the rest has usable zero values.
type Options struct {
	Looker     Looker
	MaxStale   time.Duration // how long the last good addresses are answered after their TTL
	Parallel   int           // looks at a time; 0: 64
	Logger     *slog.Logger
	Registerer prometheus.Registerer // nil: metrics are counted but shown nowhere
}

// Set is targets by their names.
type Set map[string]*Target

// Book keeps the targets that documents name. Prepare while documents are prepared, Run once.
type Book struct {
	opt  Options
	log  *slog.Logger
	m    *metrics
	wake chan struct{}

	mu    sync.Mutex
	all   Set
	queue queue
	ended chan struct{} // closed when the next look ends
}

// New makes an empty book. The error is that its metrics cannot be registered.
func New(opt Options) (*Book, error) {
	b := &Book{opt: opt, log: opt.Logger, wake: make(chan struct{}, 1), all: Set{}, ended: make(chan struct{})}
	if b.log == nil {
		b.log = slog.New(slog.DiscardHandler)
	}
	if b.opt.Parallel <= 0 {
		b.opt.Parallel = defaultParallel
	}
	b.m = newMetrics(b)
	if c, ok := opt.Looker.(*Client); ok {
		c.note = b.m.exchange
	}
	if err := b.m.register(opt.Registerer); err != nil {
		return nil, err
	}
	return b, nil
}

// Prepare returns the targets of a set of documents: those that are known already with what is known of them. names says
// for each target which host names are answered with it. A new one is looked up at once, without waiting for that the
// documents come into force; if they never do, it is forgotten.
func (b *Book) Prepare(names map[string][]string) Set {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	set := make(Set, len(names))
	for name, owners := range names {
		t := b.all[name]
		if t == nil {
			t = newTarget(name)
			t.due = now
			b.all[name] = t
			heap.Push(&b.queue, t)
		}
		t.owners, t.keep = owners, now.Add(unusedFor)
		set[name] = t
	}
	b.nudge()
	return set
}

func (b *Book) nudge() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// Run looks targets up until ctx ends and all looks have. used is the set in force.
func (b *Book) Run(ctx context.Context, used func() Set) {
	done := make(chan struct{}, b.opt.Parallel)
	running := 0
	sweep := time.NewTicker(sweepEvery)
	defer sweep.Stop()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		var due <-chan time.Time
		for running < b.opt.Parallel {
			t, wait := b.next()
			if t == nil {
				if wait >= 0 {
					timer.Reset(wait)
					due = timer.C
				}
				break
			}
			running++
			go func() {
				b.look(ctx, t)
				done <- struct{}{}
			}()
		}
		select {
		case <-ctx.Done():
			for ; running > 0; running-- {
				<-done
			}
			return
		case <-done:
			running--
		case <-b.wake:
		case <-due:
		case <-sweep.C:
			b.sweep(used())
		}
	}
}

// next takes the target whose turn it is, or says how long until then; below zero: nothing is waiting.
func (b *Book) next() (t *Target, wait time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.queue) == 0 {
		return nil, -1
	}
	if wait = time.Until(b.queue[0].due); wait > 0 {
		return nil, wait
	}
	t, _ = heap.Pop(&b.queue).(*Target)
	t.running = true
	return t, 0
}

// look asks for both families at once and stores what came of it.
func (b *Book) look(ctx context.Context, t *Target) {
	b.mu.Lock()
	first, last, owners := t.state.resolver, t.state.doubted, t.owners
	b.mu.Unlock()
	if last.IsValid() {
		first = netip.AddrPort{}
	}
	var v4, v6 Reply
	var both sync.WaitGroup
	both.Go(func() { v4 = b.ask(ctx, t.name, dns.TypeA, first, last, owners) })
	both.Go(func() { v6 = b.ask(ctx, t.name, dns.TypeAAAA, first, last, owners) })
	both.Wait()
	if ctx.Err() != nil {
		return // cut short: this says nothing about anybody
	}
	b.mu.Lock()
	was := t.answer.Load()
	t.due = t.state.learn(&v4, &v6, b.opt.MaxStale, time.Now(), rand.Uint64()) //nolint:gosec // spreading looks is no secret
	t.running = false
	if b.all[t.name] == t {
		heap.Push(&b.queue, t)
	}
	is := t.state.answer(t.due)
	t.answer.Store(is)
	close(b.ended)
	b.ended = make(chan struct{})
	b.mu.Unlock()
	b.m.look(v4.outcome)
	b.m.look(v6.outcome)
	b.tell(t.name, was, is)
}

// ask is one family, behind a fence: a panic is a look that failed.
func (b *Book) ask(ctx context.Context, name string, typ uint16, first, last netip.AddrPort, owners []string) (r Reply) {
	defer func() {
		if p := recover(); p != nil {
			b.log.Error("looking up a target failed inside", "target", name, "panic", fmt.Sprint(p))
			r = Reply{err: fmt.Errorf("failed inside: %v", p)}
		}
	}()
	r = b.opt.Looker.Look(ctx, name, typ, first, last)
	if owner, loop := leadsBack(r.via, owners); loop && r.outcome != failed {
		return Reply{err: fmt.Errorf("%s is an alias of %s, which is answered with %s: name another target", name, owner, name)}
	}
	return r
}

// tell writes one line when something changes for those who ask.
func (b *Book) tell(name string, was, is *Answer) {
	before, after := texts(was), texts(is)
	switch {
	case was.Failures == 0 && is.Failures > 0:
		b.log.Warn("a target cannot be looked up; what is known of it is kept", "target", name, "addresses", after, "error", is.Trouble, "max_stale", b.opt.MaxStale)
	case was.Failures > 0 && is.Failures == 0:
		b.log.Info("a target is looked up again", "target", name, "addresses", after, "resolver", is.Resolver)
	case before != after:
		b.log.Info("the addresses of a target changed", "target", name, "addresses", after, "before", before, "resolver", is.Resolver)
	}
	if before != after {
		b.m.changes.Inc()
	}
}

// sweep forgets targets that nothing in force uses and nothing under way wants.
func (b *Book) sweep(used Set) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	for name, t := range b.all {
		switch {
		case used[name] == t:
			t.keep = now.Add(unusedFor)
		case now.Before(t.keep):
		default:
			delete(b.all, name)
			if t.index >= 0 {
				heap.Remove(&b.queue, t.index)
			}
		}
	}
}

// Settle waits until a look has ended for every target there is, or ctx ends.
func (b *Book) Settle(ctx context.Context) {
	for {
		b.mu.Lock()
		ended, open := b.ended, false
		for _, t := range b.all {
			open = open || !t.state.tried
		}
		b.mu.Unlock()
		if !open {
			return
		}
		select {
		case <-ended:
		case <-ctx.Done():
			return
		}
	}
}

// Untried are the targets of a set that no look has ended for, in order.
func (s Set) Untried() (names []string) {
	for name, t := range s {
		if !t.Load().Tried {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// texts are the addresses in one line.
func texts(a *Answer) string {
	var out []string
	for _, f := range []*Family{&a.V4, &a.V6} {
		out = append(out, addresses(f.Set)...)
	}
	return strings.Join(out, " ")
}

func addresses(set *zone.RRset) (out []string) {
	if set == nil {
		return nil
	}
	for _, data := range set.Data {
		if a, ok := netip.AddrFromSlice(data); ok {
			out = append(out, a.String())
		}
	}
	return out
}

// queue is the targets that are not being looked up, the next one first.
type queue []*Target

func (q queue) Len() int           { return len(q) }
func (q queue) Less(i, j int) bool { return q[i].due.Before(q[j].due) }
func (q queue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].index, q[j].index = i, j
}

// Push is heap.Interface's.
func (q *queue) Push(x any) {
	t, _ := x.(*Target)
	t.index = len(*q)
	*q = append(*q, t)
}

// Pop is heap.Interface's.
func (q *queue) Pop() any {
	list := *q
	t := list[len(list)-1]
	t.index = -1
	list[len(list)-1] = nil
	*q = list[:len(list)-1]
	return t
}
