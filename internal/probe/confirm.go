package probe

import (
	"context"
	"time"
)

// Spacing of a confirm run (proxy: passive signals and the fast path).
const (
	confirmAfterFailure = 5 * time.Millisecond   // after a failure that came fast
	confirmOverlap      = 100 * time.Millisecond // at most, after a start that hangs
)

// Confirm starts a confirm run: up to n probes on fresh connections, to learn in milliseconds what the schedule would
// tell in intervals.
//
//   - The next probe starts 5 ms after a failure, or min(timeout/3, 100 ms) after the previous start while that hangs.
//   - The first success ends the run; probes still under way are cancelled and not reported.
//   - The n-th failure is not reported before minSpan after the first: starts are spread over minSpan. With n = 1 a
//     second probe takes the place of the first, whose failure is then not reported.
//
// Every result is reported like any other, with Confirm set, to all that share the check; Asked tells the endpoint it
// was asked for from the others, whose minSpan may be another. Scheduled probes that come due meanwhile wait for the
// end of the run. With check "" all checks of the endpoint get a run. It returns false when nothing was started: the
// endpoint is unknown, runs are under way, or too many are.
func (s *Scheduler) Confirm(profile, endpoint, check string, n int, minSpan time.Duration) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	at, started := place{profile, endpoint}, false
	for _, c := range s.checksAt(at, check) {
		if s.closed || c.confirm != nil || n < 1 || s.runs >= max(1, s.o.MaxInFlight/8) {
			continue
		}
		s.confirm(c, at, n, max(0, minSpan))
		started = true
	}
	return started
}

func (s *Scheduler) confirm(c *check, asked place, n int, span time.Duration) {
	ctx, cancel := context.WithCancel(s.ctx)
	c.confirm = cancel
	s.runs++
	r := &confirmRun{s: s, c: c, asked: asked, start: time.Now(), span: span, probes: n, skip: 0}
	if n == 1 && span > 0 {
		r.probes, r.skip = 2, 1
	}
	r.results = make(chan Result, r.probes)
	s.done.Go(func() {
		defer cancel()
		r.loop(ctx)
		s.mu.Lock()
		c.confirm = nil
		s.runs--
		s.resume(c)
		s.mu.Unlock()
	})
}

// EndConfirm ends confirm runs without a result, for a sign of life that was seen elsewhere: from here the schedule
// decides. With check "" it ends those of all checks of the endpoint. It reports whether there was one.
func (s *Scheduler) EndConfirm(profile, endpoint, check string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	ended := false
	for _, c := range s.checksAt(place{profile, endpoint}, check) {
		if c.confirm != nil {
			c.confirm()
			ended = true
		}
	}
	return ended
}

// confirmRun is owned by its one goroutine.
type confirmRun struct {
	s       *Scheduler
	c       *check
	asked   place
	start   time.Time
	span    time.Duration
	probes  int // to make
	skip    int // failures that are not reported
	results chan Result

	started   int
	failures  int
	lastStart time.Time
	firstFail time.Time
	lastFail  time.Time
}

func (r *confirmRun) loop(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
			r.launch(ctx)
		case result := <-r.results:
			if !r.take(ctx, result) {
				return
			}
		}
		if r.started < r.probes {
			timer.Reset(time.Until(r.next()))
		}
	}
}

func (r *confirmRun) launch(ctx context.Context) {
	if r.started >= r.probes {
		return
	}
	r.started++
	r.lastStart = time.Now()
	r.s.done.Go(func() { r.results <- r.s.run(ctx, r.c) }) // buffered for all probes: never waits
}

// next is when the next probe starts.
func (r *confirmRun) next() time.Time {
	at := r.lastStart.Add(min(r.c.spec.Timeout/3, confirmOverlap))
	if fast := r.lastFail.Add(confirmAfterFailure); r.failures == r.started && fast.Before(at) {
		at = fast
	}
	if r.probes > 1 {
		spread := r.start.Add(r.span * time.Duration(r.started) / time.Duration(r.probes-1))
		if at.Before(spread) {
			at = spread
		}
	}
	return at
}

// take reports one result and says whether the run goes on.
func (r *confirmRun) take(ctx context.Context, result Result) bool {
	if !result.Obs.OK {
		r.failures++
		r.lastFail = time.Now()
		if r.firstFail.IsZero() {
			r.firstFail = r.lastFail
		}
		if r.failures == r.probes && !pause(ctx, time.Until(r.firstFail.Add(r.span))) {
			return false
		}
	}
	r.s.mu.Lock()
	var to []*subscriber
	if ctx.Err() == nil {
		to = r.s.accept(r.c, result, false)
	}
	r.s.mu.Unlock()
	if result.Obs.OK || r.failures > r.skip {
		r.s.report(r.c, to, result, r.asked, true)
	}
	return len(to) > 0 && !result.Obs.OK && r.failures < r.probes
}

// pause waits and reports whether the whole time passed.
func pause(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return true
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
