package proxy

import (
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"
)

func TestClassify(t *testing.T) {
	reset := errors.New("connection reset by peer")
	conn := func(wrote int64, reused bool, answered int64) *trip {
		tr := &trip{}
		c := &countedConn{}
		c.written.Store(wrote)
		tr.conn.Store(c)
		tr.reused.Store(reused)
		tr.firstByte.Store(answered)
		return tr
	}
	rows := []struct {
		name       string
		trip       *trip
		err, cause error
		gone       bool
		body       error
		want       outcome
		kind       Kind
	}{
		{"refused", &trip{}, &dialError{KindRefused, reset}, nil, false, nil, outcomeConnect, KindRefused},
		{"connect timeout", &trip{}, &dialError{KindConnectTimeout, reset}, nil, false, nil, outcomeConnect, KindConnectTimeout},
		{"TLS", &trip{}, &dialError{KindTLS, reset}, nil, false, nil, outcomeConnect, KindTLS},
		{"stale before the write", conn(0, true, 0), reset, nil, false, nil, outcomeUnsent, KindReset},
		{"nothing accepted", conn(0, false, 0), reset, nil, false, nil, outcomeUnsent, KindReset},
		{"lost", conn(100, true, 0), reset, nil, false, nil, outcomeLost, KindReset},
		{"half a head", conn(100, false, 7), reset, nil, false, nil, outcomeJunk, KindJunk},
		{"no first byte", conn(100, false, 0), errNoFirstByte, errNoFirstByte, false, nil, outcomeTimeout, KindTimeout},
		{"moved", conn(100, false, 0), errMoved, errMoved, false, nil, outcomeMoved, ""},
		{"refused to send", conn(0, true, 0), errRefusedToSend, nil, false, nil, outcomeMoved, ""},
		{"client gone", conn(100, false, 0), reset, nil, true, nil, outcomeGone, ""},
		{"client gone beats all", &trip{}, &dialError{KindRefused, reset}, errMoved, true, nil, outcomeGone, ""},
		{"client body cut", conn(100, false, 0), reset, nil, false, io.ErrUnexpectedEOF, outcomeGone, ""},
		{"client body malformed", conn(100, false, 0), reset, nil, false, errors.New("malformed chunked encoding"), outcomeClientBody, ""},
	}
	for _, r := range rows {
		f := classify(r.trip, r.err, r.cause, r.gone, r.body)
		if f.outcome != r.want || f.kind != r.kind {
			t.Errorf("%s: %v %q, want %v %q", r.name, f.outcome, f.kind, r.want, r.kind)
		}
	}
}

func TestBodyIsReplayedUpToItsBuffer(t *testing.T) {
	b := &replay{src: iotest.OneByteReader(strings.NewReader("hello world")), max: 20}
	first := b.attempt()
	_, _ = io.ReadFull(first, make([]byte, 5))
	first.Close()
	if _, err := first.Read(make([]byte, 1)); err == nil {
		t.Error("an abandoned attempt still reads")
	}
	if got, err := io.ReadAll(b.attempt()); string(got) != "hello world" || err != nil {
		t.Errorf("%q %v", got, err)
	}
	if got, _ := io.ReadAll(b.attempt()); string(got) != "hello world" || !b.replayable() || b.size() != 11 {
		t.Errorf("a third time: %q", got)
	}
	b = &replay{src: strings.NewReader(strings.Repeat("x", 100)), max: 20}
	if got, err := io.ReadAll(b.attempt()); len(got) != 100 || err != nil {
		t.Errorf("a long body must stream on: %d %v", len(got), err)
	}
	if b.replayable() || b.complete() {
		t.Error("a long body cannot be sent again")
	}
	if _, err := io.ReadAll(b.attempt()); !errors.Is(err, errNotReplayable) {
		t.Errorf("half a body must not be sent as a whole: %v", err)
	}
}

func TestAbandonedReadKeepsItsBytes(t *testing.T) {
	pr, pw := io.Pipe()
	b := &replay{src: pr, max: 100}
	old := b.attempt()
	var wg sync.WaitGroup
	wg.Go(func() { _, _ = old.Read(make([]byte, 10)) }) // blocked in the client's socket when the attempt is given up
	wg.Go(func() { _, _ = io.WriteString(pw, "ab"); _, _ = io.WriteString(pw, "cd"); _ = pw.Close() })
	if got, err := io.ReadAll(b.attempt()); string(got) != "abcd" || err != nil {
		t.Errorf("%q %v", got, err)
	}
	wg.Wait()
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
	p := &Proxy{metrics: newMetrics()} // no hub: the first look at it is a nil dereference
	p.o.Logger = quiet()
	rec := &recorder{h: http.Header{}}
	req, _ := http.NewRequest("GET", "http://a.example/", nil)
	p.ServeHTTP(rec, req)
	if rec.status != 500 || !strings.Contains(rec.body.String(), `"IE"`) {
		t.Errorf("%d %s", rec.status, rec.body.String())
	}
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

type recorder struct {
	h      http.Header
	status int
	body   strings.Builder
}

func (r *recorder) Header() http.Header         { return r.h }
func (r *recorder) WriteHeader(s int)           { r.status = s }
func (r *recorder) Write(p []byte) (int, error) { return r.body.Write(p) }
