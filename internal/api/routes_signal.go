package api

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"jurymast/internal/health"
)

// signalRoutes take what somebody outside says about an endpoint.
func (s *Server) signalRoutes(h huma.API) {
	op := operation(http.MethodPost, "/profiles/{name}/endpoints/{endpoint}/signal", "signal", "signals",
		"Say that an endpoint with an external check is up or down", http.StatusUnauthorized, http.StatusNotFound, http.StatusConflict, http.StatusTooManyRequests)
	huma.Register(h, op, func(ctx context.Context, in *signalInput) (*output[SignalResult], error) {
		r, err := s.signal(ctx, in)
		return answer(ctx, s, r, err)
	})
}

type signalInput struct {
	Name          string `path:"name"`
	Endpoint      string `path:"endpoint"`
	Authorization string `header:"Authorization" doc:"Bearer TOKEN, the token of monitor.external"`
	Body          SignalRequest
}

// signal judges one signal: the endpoint is there, takes signals, the sender holds its token, and the state is sound.
func (s *Server) signal(ctx context.Context, in *signalInput) (SignalResult, error) {
	v, e, err := s.find(in.Name, in.Endpoint)
	switch {
	case err != nil:
		return SignalResult{}, err
	case e.Config.Monitor.External == nil || s.o.Signals == nil:
		return SignalResult{}, refused("endpoint %q of profile %q takes no signals; give it monitor.external", in.Endpoint, in.Name)
	}
	in.Name, in.Endpoint = v.Profile.Name, e.Config.Name
	if p := s.authorized(in); p != nil {
		return SignalResult{}, p
	}
	life, err := lifeOf(in.Body.TTL, e.Config.Monitor.External.TTL)
	if err != nil {
		return SignalResult{}, err
	}
	at := now()
	sig := health.Signal{
		Profile: in.Name, Endpoint: in.Endpoint, State: health.Up, Reason: printable(in.Body.Reason, maxNote), By: actorOf(ctx), At: at, Until: at.Add(life),
	}
	if in.Body.State == health.Down.String() {
		sig.State = health.Down
	}
	key := OrderTarget{in.Name, in.Endpoint}
	if wait := s.pace.take(key, at); wait > 0 {
		p := newProblem(http.StatusTooManyRequests, CodeTooMany, fmt.Sprintf("more than %d changes a second for one endpoint; wait and say what holds then", signalRate))
		p.retryAfter = "1"
		return SignalResult{}, p
	}
	write, cancel := bounded(ctx)
	defer cancel()
	written, err := s.o.Signals.Put(write, sig)
	if err != nil {
		return SignalResult{}, err
	}
	if !written {
		s.pace.giveBack(key)
	}
	return SignalResult{Profile: in.Name, Endpoint: in.Endpoint, State: sig.State.String(), Until: sig.Until, Written: written}, nil
}

// authorized compares hashes, so that the time it takes says nothing about the token, its length included.
func (s *Server) authorized(in *signalInput) *Problem {
	want, err := s.o.Signals.Token(in.Name, in.Endpoint)
	if err != nil || want == "" {
		why := "it is empty"
		if err != nil {
			why = err.Error()
		}
		return newProblem(http.StatusServiceUnavailable, CodeUnavailable, "this node cannot read the token of this endpoint: "+why)
	}
	scheme, got, _ := strings.Cut(in.Authorization, " ")
	a, b := sha256.Sum256([]byte(strings.TrimSpace(got))), sha256.Sum256([]byte(want))
	if !strings.EqualFold(scheme, "Bearer") || subtle.ConstantTimeCompare(a[:], b[:]) != 1 {
		text := "a signal needs the endpoint's own token: Authorization: Bearer TOKEN"
		if strings.EqualFold(scheme, "Bearer") && strings.TrimSpace(got) != "" {
			text = fmt.Sprintf("the token is wrong (401): it is not the one that monitor.external of endpoint %q of profile %q names; send that one", in.Endpoint, in.Name)
		}
		p := newProblem(http.StatusUnauthorized, CodeUnauthorized, text)
		p.authenticate = `Bearer realm="signal"`
		return p
	}
	return nil
}

func lifeOf(text string, most time.Duration) (time.Duration, error) {
	if text == "" {
		return most, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 || d > most {
		return 0, badInput("ttl", "%q; allowed: a duration above 0 and up to %v (monitor.external.ttl)", text, most)
	}
	return d, nil
}

// signalRate is how many signals of one endpoint are written in a second, at most.
const signalRate = 10

// pace keeps the rate: a bucket per endpoint that fills with signalRate a second. Buckets that are full again are
// forgotten.
type pace struct {
	mu      sync.Mutex
	buckets map[OrderTarget]bucket
}

type bucket struct {
	left float64
	at   time.Time
}

// take takes one, or says how long to wait.
func (p *pace) take(key OrderTarget, at time.Time) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.buckets) > 1000 {
		for k, b := range p.buckets {
			if at.Sub(b.at) > time.Second {
				delete(p.buckets, k)
			}
		}
	}
	b, known := p.buckets[key]
	if !known {
		b = bucket{signalRate, at}
	}
	b.left = min(signalRate, b.left+max(0, at.Sub(b.at).Seconds())*signalRate)
	b.at = at
	wait := time.Duration(0)
	if b.left < 1 {
		wait = time.Duration((1 - b.left) / signalRate * float64(time.Second))
	} else {
		b.left--
	}
	if p.buckets == nil {
		p.buckets = map[OrderTarget]bucket{}
	}
	p.buckets[key] = b
	return wait
}

func (p *pace) giveBack(key OrderTarget) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if b, known := p.buckets[key]; known {
		b.left = min(signalRate, b.left+1)
		p.buckets[key] = b
	}
}
