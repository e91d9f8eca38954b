package proxy

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"

	"jurymast/internal/health"
	"jurymast/internal/profile"
	"jurymast/internal/snapshot"
)

// blackhole is a network that swallows what goes to the first address: connecting there takes for ever.
type blackhole struct {
	hole    string
	dialing chan struct{}
}

func (b *blackhole) send(ctx context.Context, to poolKey, out *http.Request, t *trip) (*http.Response, error) {
	if to.addr == b.hole {
		b.dialing <- struct{}{}
		<-ctx.Done()
		return nil, context.Cause(ctx)
	}
	if !t.admit() {
		return nil, errRefusedToSend
	}
	body, err := io.ReadAll(out.Body)
	return &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(to.addr + " got " + string(body))), ContentLength: -1}, err
}
func (b *blackhole) drop(string)             {}
func (b *blackhole) keep(func(poolKey) bool) {}

// A POST that is still connecting has not been sent: it moves with the decision and does not wait for the timeout.
func TestConnectingRequestsOfAnyMethodMove(t *testing.T) {
	hub := snapshot.NewHub()
	p, err := New(Options{Hub: hub})
	if err != nil {
		t.Fatal(err)
	}
	net := &blackhole{hole: "10.0.0.1:80", dialing: make(chan struct{}, 1)}
	p.sender = net
	p.Start()
	defer func() {
		if err := p.Close(context.Background()); err != nil {
			t.Error(err)
		}
	}()
	pr := &profile.Profile{
		Name: "p", Hostnames: []string{"a.example"}, Routing: profile.Priority,
		Endpoints: []profile.Endpoint{{Name: "eu", Origin: "http://10.0.0.1"}, {Name: "us", Origin: "http://10.0.0.2"}},
		Proxy:     &profile.Proxy{Retry: profile.Retry{Attempts: 2}, Hold: profile.Hold{MaxRequests: 10, MaxWait: 1e10}, Timeouts: profile.Timeouts{Connect: 1e10, Response: 6e10}},
	}
	view := func(active string, epoch uint64) *health.View {
		v := &health.View{Profile: pr, Ready: true, Decision: health.Decision{Active: active, Epoch: epoch}}
		for i := range pr.Endpoints {
			v.Endpoints = append(v.Endpoints, health.EndpointView{Config: &pr.Endpoints[i], Tier: health.TierUsable})
		}
		return v
	}
	prepared, err := hub.Prepare(&snapshot.Documents{Profiles: []*profile.Profile{pr}})
	if err != nil {
		t.Fatal(err)
	}
	hub.Publish(prepared, view("eu", 1))
	rec := &recorder{h: http.Header{}}
	done := make(chan struct{})
	go func() {
		defer close(done)
		req, _ := http.NewRequest(http.MethodPost, "http://a.example/", strings.NewReader("once"))
		req.RequestURI = "/"
		p.ServeHTTP(rec, req)
	}()
	<-net.dialing
	hub.Publish(nil, view("us", 2))
	<-done
	if got := rec.body.String(); rec.status != 200 || got != "10.0.0.2:80 got once" {
		t.Errorf("%d %s", rec.status, got)
	}
}
