package api

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"jurymast/internal/health"
)

const external = `{"name":"integration","hostnames":["integration.dr.example"],
"endpoints":[{"name":"eu20","target":"127.0.0.11","monitor":{"external":{"token":{"secret":"EU20"},"ttl":"1m","on_silence":"down"}}},{"name":"us21","target":"127.0.0.12"}]}`

// signals is a Signals in memory; only the token of eu20 is known.
type signals struct {
	mu     sync.Mutex
	last   health.Signal
	writes int
}

func (s *signals) Token(_, endpoint string) (string, error) {
	if endpoint != "eu20" {
		return "", errors.New(`secret "US21": the environment variable US21 is not set`)
	}
	return "open sesame", nil
}

func (s *signals) Put(_ context.Context, sig health.Signal) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.last.State == sig.State && s.last.Reason == sig.Reason {
		return false, nil
	}
	s.last = sig
	s.writes++
	return true, nil
}

func TestSignalsOverTheWire(t *testing.T) {
	r := newRig(t)
	said := &signals{}
	r.server.o.Signals = said
	r.publish(viewOf(decoded(t, external), activeAt("eu20", 3), nil, up, up))
	const eu, us = "/api/v1/profiles/integration/endpoints/eu20/signal", "/api/v1/profiles/integration/endpoints/us21/signal"
	const token = "Authorization: Bearer open sesame"
	for _, c := range []struct {
		name, path, body string
		headers          []string
		status           int
		code             string
	}{
		{name: "no token", path: eu, body: `{"state":"up"}`, status: 401, code: CodeUnauthorized},
		{name: "wrong token", path: eu, body: `{"state":"up"}`, headers: []string{"Authorization: Bearer open"}, status: 401, code: CodeUnauthorized},
		{name: "wrong scheme", path: eu, body: `{"state":"up"}`, headers: []string{"Authorization: Basic open sesame"}, status: 401, code: CodeUnauthorized},
		{name: "unknown endpoint", path: "/api/v1/profiles/integration/endpoints/mars/signal", body: `{"state":"up"}`, headers: []string{token}, status: 404, code: CodeNotFound},
		{name: "unknown profile", path: "/api/v1/profiles/mars/endpoints/eu20/signal", body: `{"state":"up"}`, headers: []string{token}, status: 404, code: CodeNotFound},
		{name: "no external check", path: us, body: `{"state":"up"}`, headers: []string{token}, status: 409, code: CodeRefused},
		{name: "no state", path: eu, body: `{"state":"fine"}`, headers: []string{token}, status: 422, code: CodeInvalid},
		{name: "too long", path: eu, body: `{"state":"up","ttl":"2m"}`, headers: []string{token}, status: 422, code: CodeInvalid},
		{name: "not above 0", path: eu, body: `{"state":"up","ttl":"0s"}`, headers: []string{token}, status: 422, code: CodeInvalid},
	} {
		t.Run(c.name, func(t *testing.T) {
			r.problem(r.do(r.web, "POST", c.path, c.body, c.headers...), c.status, c.code)
		})
	}
	if said.writes != 0 {
		t.Fatal("a refused signal was written")
	}
	got := into[SignalResult](t, r.do(r.web, "POST", eu, `{"state":"down","reason":"queue full","ttl":"30s"}`, token))
	if !got.Written || got.State != "down" || said.last.Reason != "queue full" || said.last.Until.Sub(said.last.At) != 30*time.Second || said.last.By == "" {
		t.Fatalf("%+v, written %+v", got, said.last)
	}
	if again := into[SignalResult](t, r.do(r.web, "POST", eu, `{"state":"down","reason":"queue full"}`, token)); again.Written {
		t.Fatal("a repeated signal is written")
	}
	if got := r.do(r.web, "POST", eu, `{"state":"up"}`); got.header.Get("WWW-Authenticate") == "" {
		t.Error("401 does not say how to authenticate")
	}
}

func TestSignalsHaveARate(t *testing.T) {
	var p pace
	key, other := OrderTarget{"p", "eu"}, OrderTarget{"p", "us"}
	for i := range signalRate {
		if wait := p.take(key, at); wait != 0 {
			t.Fatalf("the signal %d has to wait %v", i+1, wait)
		}
	}
	if p.take(key, at) == 0 || p.take(other, at) != 0 {
		t.Fatal("the rate is not that of one endpoint")
	}
	p.giveBack(key) // it was no write
	if p.take(key, at) != 0 || p.take(key, at) == 0 {
		t.Fatal("what was given back cannot be taken once")
	}
	if p.take(key, at.Add(100*time.Millisecond)) != 0 || p.take(key, at.Add(100*time.Millisecond)) == 0 {
		t.Fatal("a tenth of a second is one signal")
	}
	if p.take(key, at.Add(time.Hour)) != 0 || p.buckets[key].left > signalRate-1 {
		t.Fatal("a bucket holds a second's worth")
	}
}

func TestTooManySignals(t *testing.T) {
	r := newRig(t)
	r.server.o.Signals = &signals{}
	r.publish(viewOf(decoded(t, external), activeAt("eu20", 3), nil, up, up))
	var refused reply
	for i := range 3 * signalRate {
		body := `{"state":"` + []string{"up", "down"}[i%2] + `"}`
		if got := r.do(r.web, "POST", "/api/v1/profiles/integration/endpoints/eu20/signal", body, "Authorization: Bearer open sesame"); got.status == 429 {
			refused = got
			break
		}
	}
	if refused.header.Get("Retry-After") != "1" || !strings.Contains(refused.body, CodeTooMany) {
		t.Fatalf("%+v", refused)
	}
}
