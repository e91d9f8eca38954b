package inbound

import (
	"testing"
	"time"
)

// TestPace plays a peer that moves so many bytes after each wait; cut is the number of the wait that lasts too long.
func TestPace(t *testing.T) {
	t.Parallel()
	type step struct {
		after time.Duration
		bytes int
	}
	repeat := func(s step, n int) (list []step) {
		for range n {
			list = append(list, s)
		}
		return list
	}
	for name, tc := range map[string]struct {
		steps []step
		cut   int // -1: never
	}{
		"silent from the start":         {[]step{{6 * time.Second, 1}}, 0},
		"begins within the grace":       {[]step{{4 * time.Second, 1000}}, -1},
		"at the rate, for an hour":      {repeat(step{time.Second, 240}, 3600), -1},
		"a byte a second":               {repeat(step{time.Second, 1}, 100), 5},
		"just below the rate":           {repeat(step{time.Second, 216}, 100), 41},
		"a pause after much":            {[]step{{0, 1 << 20}, {29 * time.Second, 1}}, -1},
		"too long a pause after much":   {[]step{{0, 1 << 30}, {31 * time.Second, 1}}, 1},
		"pauses are not saved up":       {[]step{{0, 1 << 30}, {20 * time.Second, 1}, {20 * time.Second, 1}}, 2},
		"pauses with enough in between": {[]step{{0, 1 << 20}, {20 * time.Second, 4800}, {20 * time.Second, 4800}, {29 * time.Second, 1}}, -1},
		"the clock goes back":           {[]step{{-time.Hour, 1}, {4 * time.Second, 1}}, -1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, now := BodyPace, time.Unix(1000, 0)
			for i, s := range tc.steps {
				until := p.Wait(now)
				if late := now.Add(s.after).After(until); late != (i == tc.cut) {
					t.Fatalf("wait %d ends at +%v, limit +%v; want late: %t", i, s.after, until.Sub(now), i == tc.cut)
				} else if late {
					return
				}
				now = now.Add(s.after)
				p.Moved(s.bytes, now)
				now = now.Add(time.Hour) // our own time does not count
			}
		})
	}
}

func TestPaceOfNobody(t *testing.T) {
	t.Parallel()
	var p Pace
	now := time.Unix(1000, 0)
	if until := p.Wait(now); !until.IsZero() {
		t.Errorf("the zero Pace ends at %v", until)
	}
	p.Moved(1, now)
	p = BodyPace
	first := p.Wait(now)
	if again := p.Wait(now.Add(time.Second)); !again.Equal(first) {
		t.Errorf("a wait that goes on ends at %v, before at %v", again, first)
	}
	p.Moved(0, now.Add(2*time.Second))
	if left := p.Wait(now).Sub(now); left != 3*time.Second {
		t.Errorf("after 2 s of waiting for nothing %v are left, want 3s", left)
	}
}
