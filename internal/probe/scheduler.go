package probe

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"runtime/debug"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"jurymast/internal/health"
)

// DefaultMaxInFlight is the bound of probes in flight when Options name none. Each costs a socket and about 20 KiB.
const DefaultMaxInFlight = 2048

// burstPerCore is how many first probes are busy at once per processor. A fast peer answers within a millisecond, so it is
// the processors that bound them, not this; more would only make everybody else wait for a turn.
const burstPerCore = 160

// closeWait bounds Close: a Run that ignores its context is left behind after it.
const closeWait = 5 * time.Second

// Report is the result of one probe, for one of the checks it answers. Key is the identity of the Spec it was made with:
// a receiver with a queue of its own tells by it a result that was under way while Apply changed the check.
type Report struct {
	Profile, Endpoint string
	Check             string // name of the check
	Key               Key
	Obs               health.Observation
	Confirm           bool // from a confirm run
	Asked             bool // the confirm run was asked for this endpoint; false: for another that shares the check
	Result            Result
}

// Options of a Scheduler.
type Options struct {
	Node        string       // this node's name: part of each check's phase
	Report      func(Report) // required; called from many goroutines, for one endpoint's schedule in order
	Logger      *slog.Logger // nil: silent
	Seed        uint64       // dice for the jitter of phases
	Run         func(ctx context.Context, s Spec) Result
	MaxInFlight int                   // 0: DefaultMaxInFlight
	Registerer  prometheus.Registerer // nil: no metrics
}

// Scheduler probes a set of checks, each every interval, whatever the last probe took: one heap, one goroutine, and
// one more per probe in flight. Shared checks with the same Spec and interval are one run with several subscribers.
type Scheduler struct {
	o       Options
	metrics *metrics
	ctx     context.Context //nolint:containedctx // the scheduler's own life, ended by Close
	cancel  context.CancelFunc
	wake    chan struct{}
	done    sync.WaitGroup

	mu        sync.Mutex
	endpoints map[place][]*subscriber // most have one
	shared    map[sharing]*check
	agenda    agenda
	slots     slots
	runs      int    // confirm runs under way
	round     uint64 // of Apply
	born      uint64 // checks that ever began
	starved   bool
	closed    bool
}

// check is what is run: one Spec at one interval. It is guarded by the Scheduler's lock. A changed Spec makes a new
// check, so a late result of the old one finds gone set.
type check struct {
	spec        *Spec
	key         Key
	interval    time.Duration
	shared      bool
	subscribers []*subscriber
	phase       time.Duration
	pace        time.Duration // the fastest that is asked for; counts when it is shorter than interval
	due         time.Time
	grid        time.Time // the next point of the schedule; zero before the first probe
	last        time.Time // start of the last scheduled probe
	slot        int       // in the agenda
	born        uint64    // how many checks began before this one
	lane        lane
	waiting     bool // for a slot
	flying      bool // a scheduled probe is in flight
	gone        bool
	stop        context.CancelFunc // non-nil while flying
	confirm     context.CancelFunc // non-nil while a confirm run is under way

	early   bool      // the next start is for newcomers, before its time
	regular time.Time // when it would be due without them
	partial bool      // the probe that waits or flies is for newcomers only
}

// New starts a scheduler without checks. Close ends it.
func New(o Options) (*Scheduler, error) {
	if o.Report == nil {
		return nil, errors.New("probe: Options.Report is required; without it results go nowhere")
	}
	if o.Run == nil {
		o.Run = Run
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.MaxInFlight <= 0 {
		o.MaxInFlight = DefaultMaxInFlight
	}
	m, err := newMetrics(o.Registerer)
	if err != nil {
		return nil, fmt.Errorf("probe metrics: %w", err)
	}
	s := &Scheduler{o: o, metrics: m, wake: make(chan struct{}, 1), endpoints: map[place][]*subscriber{}, shared: map[sharing]*check{}, slots: slots{max: o.MaxInFlight, burst: burstPerCore * runtime.GOMAXPROCS(0)}}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.done.Go(s.loop)
	return s, nil
}

// Close ends all probes and waits for them, at most five seconds. Nothing is reported after it returned nil.
func (s *Scheduler) Close() error {
	s.mu.Lock()
	s.closed = true
	s.cancel()
	for _, list := range s.endpoints {
		for len(list) > 0 {
			s.leave(list[0])
			list = list[1:]
		}
	}
	clear(s.endpoints)
	s.mu.Unlock()
	s.metrics.unregister()
	done := make(chan struct{})
	go func() {
		s.done.Wait()
		close(done)
	}()
	timer := time.NewTimer(closeWait)
	defer timer.Stop()
	select {
	case <-done:
		return nil
	case <-timer.C:
		return fmt.Errorf("probes did not end within %s after they were cancelled", closeWait)
	}
}

func (s *Scheduler) poke() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// pokeWaiting wakes the loop when a freed slot may start somebody.
func (s *Scheduler) pokeWaiting() {
	for l := range lanes {
		if len(s.slots.waiting[l]) > 0 {
			s.poke()
			return
		}
	}
}

// loop starts what is due. It is the only goroutine that starts scheduled probes.
func (s *Scheduler) loop() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-s.ctx.Done():
			return
		case <-s.wake:
		case <-timer.C:
		}
		s.mu.Lock()
		wait := s.dispatch(time.Now())
		s.mu.Unlock()
		timer.Reset(wait)
	}
}

// dispatch moves due checks to the slots, starts those that may, and returns how long nothing is due.
func (s *Scheduler) dispatch(now time.Time) time.Duration {
	for len(s.agenda) > 0 && !s.agenda[0].due.After(now) {
		c := s.agenda[0]
		switch {
		case c.waiting && c.partial:
			c.partial = false // the regular start is now, for newcomers too
			s.agenda.plan(c, c.advance(now))
		case c.flying && c.partial:
			c.stop() // likewise: what is under way is given up, and the regular probe starts when it has ended
			s.agenda.drop(c)
		case c.flying || c.waiting || c.confirm != nil:
			s.agenda.drop(c) // planned again when that ends
		case c.early && c.regular.After(now):
			c.early, c.partial = false, true
			s.slots.wait(c)
			s.agenda.plan(c, c.regular)
		default:
			c.early, c.partial = false, false
			s.slots.wait(c)
			s.agenda.plan(c, c.advance(now))
		}
	}
	s.slots.age(now)
	for c := s.slots.next(); c != nil; c = s.slots.next() {
		s.launch(c, now)
	}
	s.complain()
	wait := time.Hour
	if len(s.agenda) > 0 {
		wait = s.agenda[0].due.Sub(now)
	}
	if at, ok := s.slots.wake(); ok {
		wait = min(wait, at.Sub(now))
	}
	return max(wait, 0)
}

// complain logs once when probes begin to wait for slots, and once when they no longer do.
func (s *Scheduler) complain() {
	n := 0
	for l := range lanes {
		n += len(s.slots.waiting[l])
	}
	switch {
	case n > 0 && s.slots.total >= s.slots.max-s.slots.max/8 && !s.starved:
		s.starved = true
		s.o.Logger.Warn("probes wait for slots", "waiting", n, "in_flight", s.slots.total, "max_in_flight", s.slots.max)
	case n == 0 && s.starved:
		s.starved = false
		s.o.Logger.Info("probes no longer wait for slots", "in_flight", s.slots.total)
	}
}

// launch starts the scheduled probe of a check.
func (s *Scheduler) launch(c *check, now time.Time) {
	f := &flight{start: now, fresh: c.lane == laneFresh}
	s.slots.take(f)
	c.flying = true
	if !c.partial {
		c.last = now
		if c.every() < c.interval || c.slot == notPlanned {
			s.agenda.plan(c, c.advance(now)) // it waited for a slot: count from here
		}
	}
	ctx, cancel := context.WithCancel(s.ctx)
	c.stop = cancel
	s.done.Go(func() {
		result := s.run(ctx, c)
		cancel()
		s.mu.Lock()
		s.slots.release(f)
		to := s.accept(c, result, c.partial)
		s.pokeWaiting()
		s.mu.Unlock()
		s.report(c, to, result, place{}, false)
		s.mu.Lock()
		c.flying, c.stop = false, nil // only now: reports of one endpoint stay in order
		s.resume(c)
		s.mu.Unlock()
	})
}

// resume plans a check that was taken off the agenda because something of it was under way: the start it missed is
// made now.
func (s *Scheduler) resume(c *check) {
	if !c.gone && c.slot == notPlanned && !c.flying && c.confirm == nil {
		s.agenda.plan(c, time.Now())
		s.poke()
	}
}

// accept counts a result and returns who is to hear of it: nobody when it no longer stands. Called with the lock.
func (s *Scheduler) accept(c *check, result Result, partial bool) []*subscriber {
	if c.gone || result.Class == ClassCancelled {
		return nil
	}
	c.lane = laneBad
	if result.Obs.OK {
		c.lane = laneGood
	}
	s.metrics.ran(c.spec.Protocol, result)
	if result.Class == ClassLocal {
		first := c.subscribers[0]
		s.o.Logger.Error("probe could not run on this node; its result does not count", "profile", first.profile,
			"endpoint", first.endpoint, "reason", result.Obs.Reason)
		return nil
	}
	to := make([]*subscriber, 0, len(c.subscribers))
	for _, sub := range c.subscribers {
		if !partial || sub.fresh {
			sub.fresh = false
			s.metrics.observed(sub, result)
			to = append(to, sub)
		}
	}
	return to
}

// run makes one probe; a panic in it becomes a failed observation.
func (s *Scheduler) run(ctx context.Context, c *check) (result Result) {
	start := time.Now()
	defer func() {
		if p := recover(); p != nil {
			s.o.Logger.Error("probe panicked", "probe", c.spec.String(),
				"panic", c.spec.masker().line(fmt.Sprint(p)), "stack", string(debug.Stack()))
			now := time.Now()
			result = Result{Class: ClassPanic, Obs: health.Observation{At: now, Reason: "probe panicked", Latency: now.Sub(start)}}
		}
	}()
	return s.o.Run(ctx, *c.spec)
}

// report hands a result on to each subscriber. asked is where a confirm run was asked for.
func (s *Scheduler) report(c *check, to []*subscriber, result Result, asked place, confirm bool) {
	for _, sub := range to {
		s.tell(sub, Report{
			Profile: sub.profile, Endpoint: sub.endpoint, Check: sub.check, Key: c.key, Obs: result.Obs,
			Confirm: confirm, Asked: confirm && sub.place == asked, Result: result,
		})
	}
}

// tell calls the receiver, whose panic must not end the process.
func (s *Scheduler) tell(sub *subscriber, r Report) {
	defer func() {
		if p := recover(); p != nil {
			s.o.Logger.Error("receiver of a probe report panicked", "profile", sub.profile, "endpoint", sub.endpoint,
				"panic", fmt.Sprint(p), "stack", string(debug.Stack()))
		}
	}()
	s.o.Report(r)
}
