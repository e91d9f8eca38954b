package proxy_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"jurymast/internal/health"
	"jurymast/internal/profile"
	"jurymast/internal/proxy"
	"jurymast/internal/snapshot"
)

func TestRelaysToTheAgreedActive(t *testing.T) {
	o := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "eu "+r.RequestURI) }))
	defer o.Close()
	pr := &profile.Profile{Name: "p", Enabled: true, Hostnames: []string{"a.example"}, Routing: profile.Priority, Proxy: &profile.Proxy{
		Mode: profile.ModeFailover, Retry: profile.Retry{Attempts: 2, Methods: []string{"GET"}, BodyBuffer: 65536, Budget: 20},
		Hold: profile.Hold{MaxRequests: 1000, MaxWait: time.Second}, Timeouts: profile.Timeouts{Connect: time.Second, Response: time.Minute},
	}, Endpoints: []profile.Endpoint{{Name: "eu", Origin: o.URL, Priority: 1, Enabled: true}}}
	hub := snapshot.NewHub()
	p, err := proxy.New(proxy.Options{Hub: hub, HTTP: []string{"127.0.0.1:0"}})
	if err != nil {
		t.Fatal(err)
	}
	p.Start()
	defer p.Close(context.Background())
	prep, err := hub.Prepare(&snapshot.Documents{Profiles: []*profile.Profile{pr}})
	if err != nil {
		t.Fatal(err)
	}
	hub.Publish(prep, &health.View{Profile: pr, Ready: true, Decision: health.Decision{Active: "eu", Epoch: 1}, Endpoints: []health.EndpointView{{Config: &pr.Endpoints[0], Status: health.Online, Tier: health.TierUsable}}})
	plain, _ := p.Addrs()
	req, _ := http.NewRequest("GET", "http://"+plain[0].String()+"/x%2fy?q", nil)
	req.Host = "A.example."
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	b, _ := io.ReadAll(resp.Body)
	if resp.StatusCode != 200 || string(b) != "eu /x%2fy?q" {
		t.Fatal(resp.StatusCode, string(b))
	}
}
