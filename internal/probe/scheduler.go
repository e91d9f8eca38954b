package probe

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"jurymast/internal/health"
	"jurymast/internal/profile"
)

// DefaultMaxInFlight is the bound of probes in flight when Options name none. Each costs a socket and about 20 KiB.
const DefaultMaxInFlight = 2048

// closeWait bounds Close: a Run that ignores its context is left behind after it.
const closeWait = 5 * time.Second

// Check is one endpoint to be probed.
type Check struct {
	Profile, Endpoint string
	Spec              Spec
	Interval          time.Duration // 100ms or more, above the Spec's timeout
}

// CheckOf resolves one endpoint of a profile.
func CheckOf(p *profile.Profile, e *profile.Endpoint, secrets func(profile.Value) (string, error)) (Check, error) {
	spec, err := SpecOf(p, e, secrets)
	return Check{Profile: p.Name, Endpoint: e.Name, Spec: spec, Interval: e.Monitor.Interval}, err
}

// Report is the result of one probe. Key is the identity of the Spec it was made with: a receiver with a queue of its
// own tells by it a result that was under way while Apply changed the check.
type Report struct {
	Profile, Endpoint string
	Key               Key
	Obs               health.Observation
	Confirm           bool // from a confirm run
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
// one more per probe in flight.
type Scheduler struct {
	o       Options
	metrics *metrics
	ctx     context.Context //nolint:containedctx // the scheduler's own life, ended by Close
	cancel  context.CancelFunc
	wake    chan struct{}
	done    sync.WaitGroup

	mu      sync.Mutex
	checks  map[name]*check
	agenda  agenda
	slots   slots
	runs    int // confirm runs under way
	starved bool
	closed  bool
}

type name struct{ profile, endpoint string }

// check is the state of one Check. It is guarded by the Scheduler's lock. A changed Spec makes a new check, so a late
// result of the old one finds gone set.
type check struct {
	Check
	key     Key
	phase   time.Duration
	pace    time.Duration // another interval; counts when it is shorter
	due     time.Time
	grid    time.Time // the next point of the schedule; zero before the first probe
	last    time.Time // start of the last scheduled probe
	slot    int       // in the agenda
	lane    lane
	waiting bool // for a slot
	flying  bool // a scheduled probe is in flight
	gone    bool
	ctx     context.Context //nolint:containedctx // the check's own life, ended by Apply
	cancel  context.CancelFunc
	confirm context.CancelFunc // non-nil while a confirm run is under way
}

// flight is one probe under way.
type flight struct {
	start time.Time
	busy  bool
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
	s := &Scheduler{o: o, metrics: m, wake: make(chan struct{}, 1), checks: map[name]*check{}, slots: slots{max: o.MaxInFlight}}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.done.Go(s.loop)
	return s, nil
}

// Apply replaces the set of checks as a whole. Unchanged checks keep their schedule; new ones and those with another
// Spec are probed at once; removed ones end at once, their probes cancelled and never reported. Of two checks for one
// endpoint the last wins.
func (s *Scheduler) Apply(set []Check) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	now := time.Now()
	keep := make(map[name]bool, len(set))
	for _, c := range set {
		n := name{c.Profile, c.Endpoint}
		keep[n] = true
		old, key := s.checks[n], c.Spec.Key()
		if old != nil && old.key == key {
			s.retime(old, c.Interval, now)
			continue
		}
		pace := time.Duration(0)
		if old != nil {
			pace = old.pace
			s.end(old)
		}
		s.begin(c, key, pace, now)
	}
	for n, c := range s.checks {
		if !keep[n] {
			s.end(c)
			s.metrics.forget(n)
			delete(s.checks, n)
		}
	}
	s.poke()
}

func (s *Scheduler) begin(in Check, key Key, pace time.Duration, now time.Time) {
	in.Interval = max(in.Interval, time.Millisecond)
	c := &check{Check: in, key: key, pace: pace, slot: notPlanned, lane: laneFresh}
	c.phase = phaseOf(s.o.Node, c.Profile, c.Endpoint, c.Interval, s.o.Seed)
	c.ctx, c.cancel = context.WithCancel(s.ctx)
	s.checks[name{c.Profile, c.Endpoint}] = c
	s.agenda.plan(c, now)
}

func (s *Scheduler) end(c *check) {
	c.gone = true
	c.cancel()
	s.agenda.drop(c)
}

// retime gives an unchanged check another interval. The next start is never later than the old start plus the new
// interval, so the detection bracket of the new settings holds from now on.
func (s *Scheduler) retime(c *check, interval time.Duration, now time.Time) {
	interval = max(interval, time.Millisecond)
	if interval == c.Interval {
		return
	}
	c.Interval = interval
	c.phase = phaseOf(s.o.Node, c.Profile, c.Endpoint, interval, s.o.Seed)
	c.grid = time.Time{}
	s.replan(c, now)
}

// replan moves the next start after a change of interval or pace.
func (s *Scheduler) replan(c *check, now time.Time) {
	if c.last.IsZero() || c.slot == notPlanned {
		return // due now, or as soon as what is under way ends
	}
	due := c.advance(now)
	if latest := c.last.Add(c.every()); due.After(latest) {
		due = latest
	}
	if due.Before(now) {
		due = now
	}
	s.agenda.plan(c, due)
}

// SetPace gives one endpoint another interval until it is set again: the engine's faster one while a first verdict or
// a flip is open. 0, or the check's own interval or more, returns to the schedule. It counts from the last start and
// holds until the endpoint is removed, also when Apply changes its Spec. An unknown endpoint is ignored.
func (s *Scheduler) SetPace(profile, endpoint string, interval time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.checks[name{profile, endpoint}]
	if c == nil || s.closed {
		return
	}
	before := c.every()
	c.pace = interval
	if c.every() == before {
		return
	}
	s.replan(c, time.Now())
	s.poke()
}

// Close ends all probes and waits for them, at most five seconds. Nothing is reported after it returned nil.
func (s *Scheduler) Close() error {
	s.mu.Lock()
	s.closed = true
	s.cancel()
	for n, c := range s.checks {
		s.end(c)
		s.metrics.forget(n)
	}
	clear(s.checks)
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
		if c.flying || c.waiting || c.confirm != nil {
			s.agenda.drop(c) // planned again when that ends
			continue
		}
		s.slots.wait(c)
		s.agenda.plan(c, c.advance(now))
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
	f := &flight{start: now}
	s.slots.take(f)
	c.flying, c.last = true, now
	if c.every() < c.Interval || c.slot == notPlanned {
		s.agenda.plan(c, c.advance(now)) // it waited for a slot: count from here
	}
	s.done.Go(func() {
		result := s.run(c.ctx, c)
		s.mu.Lock()
		s.slots.release(f)
		ok := s.accept(c, result)
		s.poke()
		s.mu.Unlock()
		if ok {
			s.report(c, result, false)
		}
		s.mu.Lock()
		c.flying = false // only now: reports of one endpoint stay in order
		s.resume(c)
		s.poke()
		s.mu.Unlock()
	})
}

// resume plans a check that was taken off the agenda because something of it was under way: the start it missed is
// made now.
func (s *Scheduler) resume(c *check) {
	if !c.gone && c.slot == notPlanned && !c.flying && c.confirm == nil {
		s.agenda.plan(c, time.Now())
	}
}

// accept counts a result and reports whether it still stands. Called with the lock.
func (s *Scheduler) accept(c *check, result Result) bool {
	if c.gone || result.Class == ClassCancelled {
		return false
	}
	c.lane = laneBad
	if result.Obs.OK {
		c.lane = laneGood
	}
	s.metrics.count(name{c.Profile, c.Endpoint}, result)
	if result.Class == ClassLocal {
		s.o.Logger.Error("probe could not run on this node; its result does not count", "profile", c.Profile,
			"endpoint", c.Endpoint, "reason", result.Obs.Reason)
		return false
	}
	return true
}

// run makes one probe; a panic in it becomes a failed observation.
func (s *Scheduler) run(ctx context.Context, c *check) (result Result) {
	start := time.Now()
	defer func() {
		if p := recover(); p != nil {
			s.o.Logger.Error("probe panicked", "profile", c.Profile, "endpoint", c.Endpoint,
				"panic", c.Spec.masker().line(fmt.Sprint(p)), "stack", string(debug.Stack()))
			now := time.Now()
			result = Result{Class: ClassPanic, Obs: health.Observation{At: now, Reason: "probe panicked", Latency: now.Sub(start)}}
		}
	}()
	return s.o.Run(ctx, c.Spec)
}

// report hands a result on. The receiver's panic must not end the process.
func (s *Scheduler) report(c *check, result Result, confirm bool) {
	defer func() {
		if p := recover(); p != nil {
			s.o.Logger.Error("receiver of a probe report panicked", "profile", c.Profile, "endpoint", c.Endpoint,
				"panic", fmt.Sprint(p), "stack", string(debug.Stack()))
		}
	}()
	s.o.Report(Report{
		Profile: c.Profile, Endpoint: c.Endpoint, Key: c.key, Obs: result.Obs, Confirm: confirm, Result: result,
	})
}
