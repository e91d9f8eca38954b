package proxy

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"jurymast/internal/proxy/body"
	"jurymast/internal/proxy/http1"
	"jurymast/internal/proxy/origins"
	"jurymast/internal/proxy/wire"
)

func TestClassify(t *testing.T) {
	reset := errors.New("connection reset by peer")
	sent := func(wrote int64, answered bool) facts {
		return facts{connected: true, wrote: wrote, firstByte: answered}
	}
	off := func(why int32, wrote int64) facts { return facts{called: why, connected: true, wrote: wrote} }
	upload := func(err error) facts {
		return facts{called: calledUpload, connected: true, wrote: 100, clientBody: err}
	}
	dial := func(p origins.Phase) error { return fmt.Errorf("x: %w", &origins.DialError{Phase: p, Err: reset}) }
	rows := []struct {
		name  string
		facts facts
		err   error
		want  outcome
		kind  Kind
	}{
		{"refused", facts{}, dial(origins.Refused), outcomeConnect, KindRefused},
		{"connect timeout", facts{}, dial(origins.Timeout), outcomeConnect, KindConnectTimeout},
		{"no route", facts{}, dial(origins.Unreachable), outcomeConnect, KindUnreachable},
		{"TLS", facts{}, dial(origins.Handshake), outcomeConnect, KindTLS},
		{"nothing accepted", sent(0, false), reset, outcomeUnsent, KindReset},
		{"lost", sent(100, false), reset, outcomeLost, KindReset},
		{"lost, ended", sent(100, false), io.ErrUnexpectedEOF, outcomeLost, KindReset},
		{"half a head", sent(100, true), reset, outcomeJunk, KindJunk},
		{"half a head, then silence", sent(100, true), wire.ErrTimeout, outcomeJunk, KindJunk},
		{"no answer", sent(100, true), &http1.Fault{Rule: http1.BareLF}, outcomeJunk, KindJunk},
		{"no first byte", sent(100, false), wire.ErrTimeout, outcomeTimeout, KindTimeout},
		{"moved", off(calledMoved, 100), errCalledOff, outcomeMoved, ""},
		{"refused to send", sent(0, false), errRefusedToSend, outcomeMoved, ""},
		{"client gone", off(calledGone, 100), errCalledOff, outcomeGone, ""},
		{"client gone beats all", facts{called: calledGone}, dial(origins.Refused), outcomeGone, ""},
		{"client body cut", upload(body.ErrCut), errCalledOff, outcomeGone, ""},
		{"client body reset", upload(reset), errCalledOff, outcomeGone, ""},
		{"client body malformed", upload(&http1.Fault{Rule: http1.ChunkSize}), errCalledOff, outcomeClientBody, ""},
		{"client body too slow", upload(wire.ErrTimeout), errCalledOff, outcomeClientBody, ""},
	}
	for _, r := range rows {
		f := classify(r.facts, r.err)
		if f.outcome != r.want || f.kind != r.kind {
			t.Errorf("%s: %v %q, want %v %q", r.name, f.outcome, f.kind, r.want, r.kind)
		}
	}
}

func TestBudget(t *testing.T) {
	var b budget
	now := time.Unix(1_000_000, 0)
	for range 200 {
		b.exchange(now)
	}
	n := 0
	for b.allow(now, 20) {
		n++
	}
	if n != 40 {
		t.Errorf("%d repeats for 200 exchanges at 20 %%, want 40", n)
	}
	now = now.Add(time.Second)
	n = 0
	for b.allow(now, 20) {
		n++
	}
	if n != budgetFloor {
		t.Errorf("%d repeats in the next second, want the floor of %d", n, budgetFloor)
	}
	if now = now.Add(time.Minute); !b.allow(now, 0) {
		t.Error("an old account still counts")
	}
}

func TestStallRule(t *testing.T) {
	now := time.Unix(1000, 0)
	ago := func(ms ...int) (out []time.Time) {
		for _, m := range ms {
			out = append(out, now.Add(-time.Duration(m)*time.Millisecond))
		}
		return out
	}
	busy := func() *pace { p := &pace{}; p.started(now); p.started(now); return p }
	alone := func() *pace { p := &pace{}; p.started(now.Add(-5 * time.Second)); p.started(now); return p }
	slow := busy()
	for range 100 {
		slow.answered(200*time.Millisecond, time.Time{}.Add(time.Hour))
	}
	recent := busy()
	recent.answered(time.Millisecond, now.Add(-time.Millisecond))
	for name, r := range map[string]struct {
		p      *pace
		starts []time.Time
		want   bool
	}{
		"three wait":               {busy(), ago(400, 350, 300), true},
		"two wait":                 {busy(), ago(400, 350), false},
		"three, one of them young": {busy(), ago(400, 350, 100), false},
		"alone":                    {alone(), ago(400), true},
		"one of much traffic":      {busy(), ago(400), false},
		"a byte came meanwhile":    {recent, ago(400, 350, 300), false},
		"slow by nature":           {slow, ago(500, 500, 500), false},
		"slow, but this is worse":  {slow, ago(900, 900, 900), true},
	} {
		if got := r.p.stalled(r.starts, now); got != r.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestFaultOfOurOwnIsContained(t *testing.T) {
	p := &Proxy{} // no hub: the first look at it is a nil dereference
	p.o.Logger = quiet()
	p.lookout, p.figures = newLookout(p), p.newFigures()
	rec := httptest.NewRecorder()
	p.serveHTTP2(rec, httptest.NewRequest(http.MethodGet, "/", nil))
	if rec.Code != 500 || !strings.Contains(rec.Body.String(), `"IE"`) {
		t.Errorf("%d %s", rec.Code, rec.Body.String())
	}
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }
