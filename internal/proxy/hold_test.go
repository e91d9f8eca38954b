package proxy

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// desk is a queue with a decision that the test changes.
type desk struct {
	mu sync.Mutex
	c  *choice
	q  *queue
}

func newDesk(c *choice) *desk {
	d := &desk{c: c}
	d.q = newQueue(func() *choice {
		d.mu.Lock()
		defer d.mu.Unlock()
		return d.c
	})
	return d
}

func (d *desk) decide(c *choice) {
	d.mu.Lock()
	d.c = c
	d.mu.Unlock()
	d.q.pump()
}

func closed() *choice { return &choice{why: "nothing agreed"} }
func open(endpoint string, epoch uint64) *choice {
	return &choice{ok: true, endpoint: endpoint, epoch: epoch}
}

// record notes who was released when.
type record struct {
	mu    sync.Mutex
	start time.Time
	order []int
	at    map[int]time.Duration
	end   map[int]holdResult
}

func newRecord() *record {
	return &record{start: time.Now(), at: map[int]time.Duration{}, end: map[int]holdResult{}}
}

func (r *record) note(i int, res holdResult) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.order = append(r.order, i)
	r.at[i], r.end[i] = time.Since(r.start), res
}

// of is what request i got and when.
func (r *record) of(i int) (holdResult, time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.end[i], r.at[i]
}

// served is who is through, in order.
func (r *record) served() []int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.order)
}

func TestReleaseIsFirstInFirstOutAndRamped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, rec := newDesk(closed()), newRecord()
		for i := range 800 {
			go func() {
				tk := &ticket{deadline: time.Now().Add(5 * time.Second)}
				rec.note(i, d.q.wait(nil, tk, 1000, time.Now()))
			}()
			synctest.Wait()
		}
		time.Sleep(50 * time.Millisecond)
		if len(rec.served()) != 0 {
			t.Fatal("released without a decision")
		}
		d.decide(open("us", 2))
		steps := []struct {
			after time.Duration
			total int
		}{{0, 100}, {100 * time.Millisecond, 300}, {200 * time.Millisecond, 700}, {300 * time.Millisecond, 800}}
		began := time.Now()
		for _, s := range steps {
			time.Sleep(time.Until(began.Add(s.after)))
			synctest.Wait()
			if got := len(rec.served()); got != s.total {
				t.Errorf("after %v: %d released, want %d", s.after, got, s.total)
			}
		}
		for i := range 800 { // within one step the scheduler decides who notes first
			_, first := rec.of(0)
			if _, at := rec.of(i); (at > first+50*time.Millisecond) != (i >= 100) {
				t.Fatalf("request %d left in the wrong step", i)
			}
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if d.q.busy.Load() || d.q.step != 0 {
			t.Error("the queue does not come to rest")
		}
		d.q.stop()
	})
}

func TestBoundsOfTheQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, rec := newDesk(closed()), newRecord()
		a, b := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2")
		enter := func(i int, addr netip.Addr, ctx context.Context) {
			go func() {
				tk := &ticket{deadline: time.Now().Add(2 * time.Second), addr: addr}
				rec.note(i, d.q.wait(ctx.Done(), tk, 8, time.Now()))
			}()
			synctest.Wait()
		}
		ctx, cancel := context.WithCancel(context.Background())
		for i := range 4 { // alone, one address may use more than a quarter
			enter(i, a, ctx)
		}
		enter(4, b, context.Background())
		enter(5, a, context.Background()) // now others wait: a quarter is its share
		if got, _ := rec.of(5); got != holdFull || d.q.depth() != 5 {
			t.Errorf("a greedy address got %q, depth %d", got, d.q.depth())
		}
		cancel()
		synctest.Wait()
		if got, _ := rec.of(0); d.q.depth() != 1 || got != holdGone {
			t.Errorf("who left is still in line: depth %d, %q", d.q.depth(), got)
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if got, at := rec.of(4); got != holdTimeout || at != 2*time.Second {
			t.Errorf("%q after %v", got, at)
		}
		if d.q.busy.Load() {
			t.Error("an empty queue is busy")
		}
		d.q.stop()
	})
}

// While connecting fails one request at a time tries, with growing pauses, and keeps its place.
func TestOneTriesWhileTheEndpointIsUnreachable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := open("eu", 1)
		d, rec := newDesk(c), newRecord()
		alive := false
		var tries []string
		run := func(i int) {
			tk := &ticket{deadline: time.Now().Add(5 * time.Second)}
			for {
				if d.q.mustWait(c, tk) {
					if res := d.q.wait(nil, tk, 100, time.Now()); res != holdReleased {
						rec.note(i, res)
						return
					}
					continue
				}
				d.mu.Lock()
				ok := alive
				tries = append(tries, fmt.Sprint(i, "@", time.Since(rec.start).Milliseconds()))
				d.mu.Unlock()
				if ok {
					d.q.connected(c)
					d.q.settled(tk)
					rec.note(i, holdReleased)
					return
				}
				d.q.failed(c, tk, time.Second, time.Now())
			}
		}
		go run(0)
		synctest.Wait()
		for i := 1; i < 5; i++ {
			go run(i)
			synctest.Wait()
		}
		time.Sleep(200 * time.Millisecond)
		d.mu.Lock()
		alive = true
		d.mu.Unlock()
		time.Sleep(400 * time.Millisecond)
		synctest.Wait()
		want := []string{"0@0", "0@10", "0@30", "0@70", "0@150", "0@310"}
		d.mu.Lock()
		if !slices.Equal(tries[:len(want)], want) {
			t.Errorf("tries %v, want %v first", tries, want)
		}
		d.mu.Unlock()
		if got := rec.served(); len(got) != 5 || got[0] != 0 {
			t.Errorf("served %v", got)
		}
		for i := range 5 {
			if got, at := rec.of(i); got != holdReleased || at != 310*time.Millisecond {
				t.Errorf("request %d: %v at %v", i, got, at)
			}
		}
		d.q.stop()
	})
}

func TestTrialWithoutResultLetsTheNextTry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := open("eu", 1)
		d, rec := newDesk(c), newRecord()
		first := &ticket{deadline: time.Now().Add(time.Second)}
		d.q.failed(c, first, time.Second, time.Now())
		if res := d.q.wait(nil, first, 10, time.Now()); res != holdReleased || d.q.gate.trial != first {
			t.Fatalf("%v, the first in line must try", res)
		}
		go func() {
			tk := &ticket{deadline: time.Now().Add(time.Second)}
			rec.note(1, d.q.wait(nil, tk, 10, time.Now()))
		}()
		synctest.Wait()
		if len(rec.served()) != 0 {
			t.Fatal("two try at the same time")
		}
		d.q.settled(first) // its client left
		synctest.Wait()
		if got, _ := rec.of(1); got != holdReleased {
			t.Fatal("the next does not try")
		}
		d.q.stop()
	})
}

// A trial that lost its connection tries again at once; it must not queue behind itself.
func TestTrialGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := open("eu", 1)
		d := newDesk(c)
		tk := &ticket{deadline: time.Now().Add(time.Second)}
		d.q.failed(c, tk, time.Second, time.Now())
		d.q.wait(nil, tk, 10, time.Now())
		if d.q.mustWait(c, tk) { // just released
			t.Error("a released request is held")
		}
		if d.q.mustWait(c, tk) {
			t.Error("the trial is held")
		}
		if other := (&ticket{}); !d.q.mustWait(c, other) {
			t.Error("somebody else passes beside the trial")
		}
		if res := d.q.wait(nil, tk, 10, time.Now()); res != holdReleased {
			t.Errorf("a trial that waits again: %v", res)
		}
		d.q.stop()
	})
}

func TestNewDecisionOpensTheGate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(open("eu", 1))
		tk := &ticket{deadline: time.Now().Add(5 * time.Second)}
		d.q.failed(d.c, tk, time.Second, time.Now())
		for range 5 { // pauses have grown to more than 100 ms
			d.q.wait(nil, tk, 10, time.Now())
			tk.pass = false
			d.q.failed(d.c, tk, time.Second, time.Now())
		}
		start := time.Now()
		time.AfterFunc(20*time.Millisecond, func() { d.decide(open("us", 2)) })
		if res := d.q.wait(nil, tk, 10, time.Now()); res != holdReleased || time.Since(start) != 20*time.Millisecond {
			t.Errorf("%v after %v, want the moment of the decision", res, time.Since(start))
		}
		d.q.stop()
	})
}
