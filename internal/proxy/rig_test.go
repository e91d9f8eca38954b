package proxy_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"jurymast/internal/health"
	"jurymast/internal/profile"
	"jurymast/internal/proxy"
	"jurymast/internal/proxy/accesslog"
	"jurymast/internal/snapshot"
	"jurymast/internal/testbed"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rig is a proxy with real origins behind it and a publisher in the place of the engine.
type rig struct {
	t       *testing.T
	hub     *snapshot.Hub
	p       *proxy.Proxy
	profile *profile.Profile
	origins []*testbed.Origin
	addr    string
	tlsAddr string
	client  *http.Client
	log     *syncBuffer
	journal *accesslog.Log
	reg     *prometheus.Registry

	mu       sync.Mutex
	signals  []proxy.Signal
	onSignal func(proxy.Signal)
	epoch    uint64
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func testProfile(origins ...*testbed.Origin) *profile.Profile {
	pr := &profile.Profile{
		Name: "integration", Enabled: true, Hostnames: []string{"a.example", "*.w.example"}, Routing: profile.Priority,
		Proxy: &profile.Proxy{
			Mode:     profile.ModeFailover,
			Retry:    profile.Retry{Attempts: 2, Methods: []string{"GET", "HEAD", "OPTIONS", "PUT", "DELETE"}, BodyBuffer: 64 << 10, Budget: 20},
			Hold:     profile.Hold{MaxRequests: 1000, MaxWait: 5 * time.Second},
			Timeouts: profile.Timeouts{Connect: time.Second, Response: 20 * time.Second, Idle: time.Minute, Header: 10 * time.Second, Tunnel: time.Hour},
		},
	}
	for i, o := range origins {
		pr.Endpoints = append(pr.Endpoints, profile.Endpoint{Name: o.Name, Origin: o.URL(), Priority: i + 1, Enabled: true})
	}
	return pr
}

func newRig(t *testing.T, change func(*proxy.Options, *profile.Profile), names ...string) *rig {
	t.Helper()
	r := &rig{t: t, hub: snapshot.NewHub(), log: &syncBuffer{}, reg: prometheus.NewRegistry()}
	if len(names) == 0 {
		names = []string{"eu", "us"}
	}
	for _, n := range names {
		r.origins = append(r.origins, origin(t, n, nil))
	}
	r.profile = testProfile(r.origins...)
	log, err := accesslog.Open(accesslog.Options{Out: r.log, Node: "n1"})
	if err != nil {
		t.Fatal(err)
	}
	r.journal = log
	o := proxy.Options{Hub: r.hub, HTTP: []string{"127.0.0.1:0"}, AccessLog: log, Registerer: r.reg, NodeName: "n1", Signal: r.signal}
	if change != nil {
		change(&o, r.profile)
	}
	if r.p, err = proxy.New(o); err != nil {
		t.Fatal(err)
	}
	r.p.Start()
	plain, secure := r.p.Addrs()
	r.addr = plain[0].String()
	if len(secure) > 0 {
		r.tlsAddr = secure[0].String()
	}
	r.client = &http.Client{Timeout: 15 * time.Second, Transport: &http.Transport{
		MaxIdleConnsPerHost: 100, DisableCompression: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "tcp", r.addr)
		},
	}}
	t.Cleanup(r.close)
	r.documents(r.profile)
	return r
}

func origin(t *testing.T, name string, h http.Handler) *testbed.Origin {
	t.Helper()
	o, err := testbed.StartOrigin(name, h)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(o.Kill)
	return o
}

func (r *rig) close() {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	r.client.CloseIdleConnections()
	_ = r.p.Close(ctx)
	_ = r.journal.Close(ctx)
}

func (r *rig) signal(s proxy.Signal) {
	r.mu.Lock()
	r.signals = append(r.signals, s)
	f := r.onSignal
	r.mu.Unlock()
	if f != nil {
		f(s)
	}
}

func (r *rig) kinds() (out []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.signals {
		out = append(out, s.Endpoint+" "+string(s.Kind))
	}
	return out
}

// documents publishes new documents with the first endpoint of each profile active.
func (r *rig) documents(profiles ...*profile.Profile) {
	r.t.Helper()
	prep, err := r.hub.Prepare(&snapshot.Documents{Profiles: profiles})
	if err != nil {
		r.t.Fatal(err)
	}
	var views []*health.View
	for _, pr := range profiles {
		views = append(views, r.view(pr, 0))
	}
	r.hub.Publish(prep, views...)
}

// edit publishes a changed copy of the profile: whoever still reads the old one is not disturbed.
func (r *rig) edit(change func(*profile.Profile)) {
	r.t.Helper()
	pr, settings := *r.profile, *r.profile.Proxy
	pr.Proxy, pr.Endpoints = &settings, slices.Clone(pr.Endpoints)
	change(&pr)
	r.profile = &pr
	r.documents(r.profile)
}

func (r *rig) view(pr *profile.Profile, active int) *health.View {
	r.mu.Lock()
	r.epoch++
	v := &health.View{Profile: pr, Ready: true, Decision: health.Decision{Epoch: r.epoch}}
	r.mu.Unlock()
	for i := range pr.Endpoints {
		v.Endpoints = append(v.Endpoints, health.EndpointView{
			Config: &pr.Endpoints[i], Status: health.Online, Tier: health.TierUsable, Weight: uint32(1000 * pr.Endpoints[i].Weight),
		})
	}
	v.Decision.Active = pr.Endpoints[active].Name
	return v
}

// activate publishes a decision for endpoint i.
func (r *rig) activate(i int) { r.hub.Publish(nil, r.view(r.profile, i)) }

// publish changes the view of the first profile.
func (r *rig) publish(change func(*health.View)) {
	v := r.view(r.profile, 0)
	change(v)
	r.hub.Publish(nil, v)
}

type answer struct {
	*http.Response
	body string
}

func (r *rig) do(method, path string, body io.Reader, header ...string) (answer, error) {
	req, err := http.NewRequest(method, "http://a.example"+path, body)
	if err != nil {
		return answer{}, err
	}
	for i := 0; i+1 < len(header); i += 2 {
		if header[i] == "Host" {
			req.Host = header[i+1]
		} else {
			req.Header.Add(header[i], header[i+1])
		}
	}
	resp, err := r.client.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return answer{resp, string(b)}, err
}

func (r *rig) must(method, path string, body io.Reader, header ...string) answer {
	r.t.Helper()
	a, err := r.do(method, path, body, header...)
	if err != nil {
		r.t.Fatal(err)
	}
	return a
}

// reason of an own answer.
func (a answer) reason(t *testing.T) string {
	t.Helper()
	if ct := a.Header.Get("Content-Type"); ct != "application/problem+json" {
		t.Fatalf("status %d with Content-Type %q is not our own answer: %s", a.StatusCode, ct, a.body)
	}
	if a.Header.Get("Cache-Control") != "no-store" {
		t.Error("an own answer may be stored")
	}
	var p struct {
		Type, Title, Detail, Reason string
		Status                      int
	}
	if err := json.Unmarshal([]byte(a.body), &p); err != nil || p.Status != a.StatusCode || p.Title == "" || p.Detail == "" {
		t.Fatalf("%v: %s", err, a.body)
	}
	return p.Reason
}

// lines waits for n lines of the access log and puts them in the order the requests came.
func (r *rig) lines(n int) []map[string]any {
	r.t.Helper()
	var out []map[string]any
	r.eventually(fmt.Sprintf("%d log lines", n), func() bool {
		out = nil
		for l := range strings.Lines(r.log.String()) {
			m := map[string]any{}
			if err := json.Unmarshal([]byte(l), &m); err != nil {
				return false
			}
			out = append(out, m)
		}
		return len(out) >= n
	})
	began := func(l map[string]any) time.Time {
		at, err := time.Parse(time.RFC3339Nano, fmt.Sprint(l["time"]))
		if err != nil {
			r.t.Fatal(err)
		}
		return at
	}
	slices.SortFunc(out, func(a, b map[string]any) int { return began(a).Compare(began(b)) })
	return out
}

// eventually waits on the real clock for what other goroutines and sockets do.
func (r *rig) eventually(what string, ok func() bool) {
	r.t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	limit := time.After(5 * time.Second)
	for !ok() {
		select {
		case <-tick.C:
		case <-limit:
			r.t.Fatalf("never: %s", what)
		}
	}
}

// metric sums a metric over all label values that contain the given pairs.
func (r *rig) metric(name string, pairs ...string) (sum float64) {
	r.t.Helper()
	families, err := r.reg.Gather()
	if err != nil {
		r.t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			labels := map[string]string{}
			for _, l := range m.GetLabel() {
				labels[l.GetName()] = l.GetValue()
			}
			match := true
			for i := 0; i+1 < len(pairs); i += 2 {
				match = match && labels[pairs[i]] == pairs[i+1]
			}
			if match {
				sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return sum
}

type healthView = health.View

func newHub() *snapshot.Hub { return snapshot.NewHub() }

func (r *rig) refused(profiles ...*profile.Profile) error {
	_, err := r.hub.Prepare(&snapshot.Documents{Profiles: profiles})
	return err
}
