package rrl_test

import (
	"bytes"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"jurymast/internal/nameserver/rrl"
)

// watched runs a Watch in a bubble, and ends it with the test.
func watched(t *testing.T, l *rrl.Limiter) (*rrl.Watch, *bytes.Buffer) {
	var log bytes.Buffer
	w := rrl.NewWatch(l, slog.New(slog.NewTextHandler(&log, nil)))
	stop, done := make(chan struct{}), make(chan struct{})
	go func() { defer close(done); w.Run(stop) }()
	t.Cleanup(func() { close(stop); <-done })
	return w, &log
}

// One line when it begins, one when it ends, and what happens in between is listed.
func TestWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := rrl.NewLimiter(rrl.Options{Rate: 10, Slip: 2})
		loop := l.Loop()
		w, log := watched(t, l)
		for range 100 { // 10 s of 100 a second
			loop.Tick()
			for range 10 {
				loop.Ask(alice, rrl.Positive, name)
			}
			loop.Ask(alice, rrl.NXDomain, nil)
			time.Sleep(100 * time.Millisecond)
		}
		list := w.Limited(10)
		if len(list) != 1 || w.Networks() != 1 {
			t.Fatalf("%+v", list)
		}
		if got := list[0]; got.Network.String() != "192.0.2.0/24" || got.Kind != rrl.Positive || got.Shown() != "www.example." || got.Suppressed < 880 || got.Suppressed > 990 {
			t.Errorf("%+v %s", got, got.Shown())
		}
		if lv := l.Level(); lv.Used != 1 && lv.Used != 2 || lv.Limited != 1 || lv.Buckets != 1<<14 || lv.Lost != 0 {
			t.Errorf("%+v", lv)
		}
		time.Sleep(10 * time.Second)
		if w.Networks() != 1 {
			t.Error("it still owes")
		}
		time.Sleep(15 * time.Second)
		if w.Networks() != 0 || len(w.Limited(10)) != 0 || l.Level().Limited != 0 {
			t.Error("it owes nothing any more")
		}
		lines := strings.Split(strings.TrimSpace(log.String()), "\n")
		if len(lines) != 2 || !strings.Contains(lines[0], "level=WARN") || !strings.Contains(lines[0], "network=192.0.2.0/24") || !strings.Contains(lines[1], "level=INFO") {
			t.Errorf("%s", log)
		}
	})
}

// However many networks there are, memory and lines of the log are bounded.
func TestWatchIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := rrl.NewLimiter(rrl.Options{Rate: 1})
		loop := l.Loop()
		w, log := watched(t, l)
		for i := range 5000 {
			loop.Tick()
			for range 3 {
				loop.Ask(number(uint32(i)<<8), rrl.Positive, name)
			}
			if i%100 == 0 {
				time.Sleep(100 * time.Millisecond)
			}
		}
		time.Sleep(time.Second)
		if n := w.Networks(); n != 1000 || len(w.Limited(5000)) != 1000 || len(w.Limited(7)) != 7 {
			t.Errorf("%d networks", n)
		}
		time.Sleep(10 * time.Minute)
		if n := strings.Count(log.String(), "\n"); n < 10 || n > 2*(10+3) || w.Networks() != 0 {
			t.Errorf("%d lines, %d networks\n%s", n, w.Networks(), log)
		}
	})
}

func TestGate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, log := watched(t, nil)
		g := rrl.NewGate(rrl.GateOptions{Rate: 10, Networks: rrl.Networks{Loopback: true}, Watch: w})
		let := func(from string, n int) (in int) {
			for range n {
				if g.Allow(netip.MustParseAddr(from)) {
					in++
				}
			}
			return in
		}
		if n := let("192.0.2.7", 50); n != 20 {
			t.Errorf("%d at once", n)
		}
		if n := let("192.0.2.200", 5); n != 0 {
			t.Errorf("%d from a neighbour", n)
		}
		if n, m := let("198.51.100.1", 5), let("127.0.0.1", 500); n != 5 || m != 500 {
			t.Errorf("%d from elsewhere, %d from here", n, m)
		}
		in := 0
		for range 100 { // who never stops still gets his rate
			time.Sleep(10 * time.Millisecond)
			in += let("192.0.2.7", 10)
		}
		if in < 9 || in > 10 {
			t.Errorf("%d in a second", in)
		}
		if g.Refused() != 1025 || g.Level().Used != 1 || w.Networks() != 1 {
			t.Errorf("%d refused, %+v, %d networks", g.Refused(), g.Level(), w.Networks())
		}
		if l := w.Limited(5); len(l) != 1 || l[0].Kind != rrl.Connection || l[0].Suppressed != 1025 {
			t.Errorf("%+v", l)
		}
		time.Sleep(time.Minute)
		if n := let("192.0.2.7", 50); n != 20 || w.Networks() != 1 || strings.Count(log.String(), "\n") != 3 {
			t.Errorf("%d a minute later\n%s", n, log)
		}
	})
	if rrl.NewGate(rrl.GateOptions{}) != nil {
		t.Error("a gate without a rate")
	}
}
