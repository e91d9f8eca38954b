package proxy_test

import (
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"jurymast/internal/health"
	"jurymast/internal/profile"
	"jurymast/internal/proxy"
)

// strictly makes the rig's profile fenced; the looks at the lease are answered by confirmed.
func strictly(confirmed func(term uint64) bool) func(*proxy.Options, *profile.Profile) {
	return func(o *proxy.Options, pr *profile.Profile) {
		o.Confirmed, pr.Fencing = confirmed, profile.Strict
		pr.Proxy.Hold.MaxWait = 300 * time.Millisecond
	}
}

func counting(seen *atomic.Int32) http.HandlerFunc {
	return func(http.ResponseWriter, *http.Request) { seen.Add(1) }
}

// TestFencedNeedsTheLease: without a session that lives nothing is sent, not even by a proxy that was given no way to ask.
func TestFencedNeedsTheLease(t *testing.T) {
	for name, confirmed := range map[string]func(uint64) bool{"lost": func(uint64) bool { return false }, "nobody to ask": nil} {
		var seen atomic.Int32
		r := behind(t, counting(&seen), strictly(confirmed))
		if a := r.must("GET", "/", nil); a.StatusCode != http.StatusServiceUnavailable || a.reason(t) != string(proxy.ReasonUnconfirmed) {
			t.Errorf("%s: %d %s", name, a.StatusCode, a.body)
		}
		if seen.Load() != 0 {
			t.Errorf("%s: the origin got %d requests", name, seen.Load())
		}
	}
}

// TestFencedAsksForTheSessionOfItsView: a lease that was had anew says nothing about a decision of before.
func TestFencedAsksForTheSessionOfItsView(t *testing.T) {
	r := newRig(t, strictly(func(term uint64) bool { return term == 2 }), "eu")
	r.publish(func(v *health.View) { v.Term = 1 })
	if a := r.must("GET", "/", nil); a.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("by the view of another session: %d %s", a.StatusCode, a.body)
	}
	r.publish(func(v *health.View) { v.Term = 2 })
	if a := r.must("GET", "/", nil); a.StatusCode != http.StatusOK {
		t.Errorf("by the view of this session: %d %s", a.StatusCode, a.body)
	}
}

// TestFencedLooksRightBeforeItSends: the lease ends after the request was let out of hold and before its first byte.
// Nothing is written, not even of a POST that could not be taken back; it goes when the lease is renewed, once.
func TestFencedLooksRightBeforeItSends(t *testing.T) {
	var seen, looks atomic.Int32
	r := behind(t, counting(&seen), strictly(func(uint64) bool {
		n := looks.Add(1)
		if n > 2 && n < 5 && seen.Load() != 0 {
			t.Error("sent although the lease had ended")
		}
		return n != 2 && n != 3 // 1: may it try; 2: with the first byte in hand; 3: may it try again
	}))
	if a := r.must("POST", "/", nil); a.StatusCode != http.StatusOK {
		t.Fatalf("%d %s", a.StatusCode, a.body)
	}
	if seen.Load() != 1 || looks.Load() < 5 {
		t.Errorf("the origin got %d requests, the lease was looked at %d times", seen.Load(), looks.Load())
	}
}

// TestQuietWaitsForWhatWasAllowed: a request that has passed the gate is sent before anybody is told that this node has
// stopped, and none passes after.
func TestQuietWaitsForWhatWasAllowed(t *testing.T) {
	var seen, looks atomic.Int32
	inside, goOn := make(chan struct{}), make(chan struct{})
	r := behind(t, counting(&seen), strictly(func(uint64) bool {
		if looks.Add(1) == 2 { // in the gate
			close(inside)
			<-goOn
		}
		return true
	}))
	done := make(chan answer, 1)
	go func() {
		a, _ := r.do("POST", "/", nil)
		done <- a
	}()
	<-inside
	r.publish(halted(health.HaltPreparing))
	quiet := make(chan struct{})
	go func() {
		r.p.Quiet()
		close(quiet)
	}()
	select {
	case <-quiet:
		t.Fatal("quiet although a request is about to be sent")
	case <-time.After(50 * time.Millisecond):
	}
	close(goOn)
	<-quiet
	if a := <-done; a.Response == nil || a.StatusCode != http.StatusOK || seen.Load() != 1 {
		t.Errorf("what was allowed: %+v, %d requests", a, seen.Load())
	}
	if a := r.must("POST", "/", nil); a.StatusCode != http.StatusServiceUnavailable || seen.Load() != 1 {
		t.Errorf("what came later: %d, %d requests", a.StatusCode, seen.Load())
	}
}

// TestFencedTunnelsEndAtOnce when a switch is prepared, and when the node has lost the store.
func TestFencedTunnelsEndAtOnce(t *testing.T) {
	for _, why := range []health.Halt{health.HaltPreparing, health.HaltIsolated} {
		r := behind(t, echo(t), strictly(func(uint64) bool { return true }))
		c, br := upgraded(t, r)
		_ = c.SetDeadline(time.Now().Add(3 * time.Second))
		r.publish(halted(why))
		if _, err := br.ReadByte(); err == nil {
			t.Errorf("%v: the tunnel goes on", why)
		}
		if lines := r.lines(1); lines[0]["reason"] != string(proxy.ReasonTunnelCut) {
			t.Errorf("%v: the log says %v", why, lines[0])
		}
	}
}
