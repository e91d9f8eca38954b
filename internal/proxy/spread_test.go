package proxy_test

import (
	"bufio"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"jurymast/internal/health"
	"jurymast/internal/places"
	"jurymast/internal/profile"
	"jurymast/internal/proxy"
	"jurymast/internal/snapshot"
	"jurymast/internal/testbed"
)

// newSpread is a rig whose profile chooses per request.
func newSpread(t *testing.T, routing profile.Routing, change func(*proxy.Options, *profile.Profile), names ...string) *rig {
	t.Helper()
	return newRig(t, func(o *proxy.Options, p *profile.Profile) {
		p.Routing, p.Climb = routing, true
		p.Proxy.DebugHeaders = true
		for i := range p.Endpoints {
			p.Endpoints[i].Weight = 1
		}
		if change != nil {
			change(o, p)
		}
	}, names...)
}

// tier publishes the view with one endpoint in another standing.
func (r *rig) tier(name string, tier health.Tier, status health.Status) {
	r.publish(func(v *health.View) {
		e := v.Endpoint(name)
		e.Tier, e.Status = tier, status
	})
}

func total(r *rig) (n int) {
	for _, o := range r.origins {
		n += o.Total()
	}
	return n
}

func TestWeightedSpreadsByWeight(t *testing.T) {
	r := newSpread(t, profile.Weighted, func(_ *proxy.Options, p *profile.Profile) { p.Endpoints[0].Weight = 3 }, "eu", "us")
	const n = 800
	for range n {
		if a := r.must("GET", "/", nil); a.StatusCode != 200 || a.Header.Get("Jurymast-Reason") != "OK" || a.Header.Get("Jurymast-Endpoint") != a.body {
			t.Fatal(a.StatusCode, a.Header, a.body)
		}
	}
	// 3 of 4, standard deviation 12: 6 of them on either side
	if eu := r.origins[0].Total(); eu < n*3/4-75 || eu > n*3/4+75 || total(r) != n {
		t.Errorf("eu served %d of %d", eu, total(r))
	}
	if got := r.p.Would(r.hub.Load(), "integration", "a.example", netip.Addr{}); !strings.Contains(got, "chosen for each request; if it cannot be reached, to ") {
		t.Errorf("explained: %s", got)
	}
}

// A dead endpoint costs no request, whatever its method: the next one in the order gets it at once.
func TestWeightedGoesOnWithTheNextEndpoint(t *testing.T) {
	r := newSpread(t, profile.Weighted, nil, "eu", "us", "ap")
	r.origins[0].Kill()
	r.origins[2].Kill()
	reasons := map[string]int{}
	for i := range 60 {
		method, body := "GET", io.Reader(nil)
		if i%2 == 1 {
			method, body = "POST", strings.NewReader("x")
		}
		a := r.must(method, "/", body, "X-Id", fmt.Sprint(i))
		if a.StatusCode != 200 || a.body != "us" {
			t.Fatalf("%s: %d %s", method, a.StatusCode, a.body)
		}
		if n := r.origins[1].Processed(fmt.Sprint(i)); n != 1 {
			t.Errorf("request %d was processed %d times", i, n)
		}
		reasons[a.Header.Get("Jurymast-Reason")]++
	}
	if reasons["OR"] == 0 || reasons["OR"]+reasons["OK"] != 60 {
		t.Errorf("reasons %v", reasons)
	}
	for l := range slices.Values(r.lines(60)) {
		if l["held_ms"] != 0.0 {
			t.Errorf("it waited: %v", l)
		}
		seen := map[any]bool{}
		trail, _ := l["trail"].([]any)
		for _, s := range trail {
			step, _ := s.(map[string]any)
			if e := step["endpoint"]; seen[e] {
				t.Errorf("%v was tried twice: %v", e, trail)
			}
			seen[step["endpoint"]] = true
		}
	}
	charged := map[string]bool{}
	for _, k := range r.kinds() {
		charged[k] = true
	}
	if got := slices.Sorted(maps.Keys(charged)); !slices.Equal(got, []string{"ap refused", "eu refused"}) {
		t.Errorf("signals %v", got)
	}
}

// Without an endpoint that can be reached a request waits, bounded; retry.attempts bounds how many are tried at once.
func TestWeightedWaitsWhenNobodyCanBeReached(t *testing.T) {
	r := newSpread(t, profile.Weighted, func(_ *proxy.Options, p *profile.Profile) {
		p.Proxy.Retry.Attempts, p.Proxy.Hold.MaxWait = 1, 200*time.Millisecond
	}, "eu", "us", "ap")
	for _, o := range r.origins {
		o.Kill()
	}
	if a := r.must("POST", "/", strings.NewReader("x")); a.StatusCode != 503 || a.reason(t) != "DU" {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
	r.edit(func(p *profile.Profile) { p.Proxy.Hold.MaxWait = 5 * time.Second })
	got := make(chan answer, 1)
	go func() { got <- r.must("POST", "/", strings.NewReader("x")) }()
	r.eventually("it waits", func() bool { return r.metric("jurymast_proxy_held") == 1 })
	if err := r.origins[2].Restart(); err != nil {
		t.Fatal(err)
	}
	if a := <-got; a.body != "ap" {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}

	r.edit(func(p *profile.Profile) { p.Proxy.Retry.Attempts = 0 })
	r.origins[2].Kill()
	if a := r.must("GET", "/", nil); a.StatusCode != 502 || a.reason(t) != "UC" {
		t.Errorf("without retries: %d %s", a.StatusCode, a.body)
	}
}

// A lost connection is repeated once on a fresh one, then elsewhere; a POST never.
func TestWeightedAfterALostConnection(t *testing.T) {
	r := newSpread(t, profile.Weighted, func(_ *proxy.Options, p *profile.Profile) { p.Endpoints[1].Weight = 0 }, "eu", "us")
	r.publish(func(v *health.View) {
		v.Endpoints[1].Config.Weight = 1
		v.Endpoints[0].Weight, v.Endpoints[1].Weight = 1_000_000, 1
	})
	r.origins[0].Misbehave(func(*http.Request) testbed.Fault { return testbed.ResetNoAnswer })
	if a := r.must("GET", "/", nil, "X-Id", "get"); a.body != "us" || r.origins[0].Processed("get") != 2 || a.Header.Get("Jurymast-Reason") != "OR" {
		t.Errorf("%d %s, eu saw it %d times", a.StatusCode, a.body, r.origins[0].Processed("get"))
	}
	if a := r.must("POST", "/", strings.NewReader("x"), "X-Id", "post"); a.StatusCode != 502 || a.reason(t) != "UN" {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
	if n := r.origins[0].Processed("post") + r.origins[1].Processed("post"); n != 1 {
		t.Errorf("the POST was processed %d times", n)
	}
}

// An endpoint that is declared down loses its waiting requests and its tunnels; a drained one keeps them.
func TestWeightedVerdictMovesWaitingRequests(t *testing.T) {
	r := newSpread(t, profile.Weighted, nil, "eu", "us")
	onlyEU := func(v *health.View) { v.Endpoints[0].Weight, v.Endpoints[1].Weight = 1_000_000, 1 }
	r.publish(onlyEU)
	r.origins[0].Misbehave(func(*http.Request) testbed.Fault { return testbed.Hang })
	got := make(chan answer, 1)
	go func() { got <- r.must("GET", "/", nil) }()
	r.eventually("it waits at eu", func() bool { return r.origins[0].Total() == 1 })
	r.publish(func(v *health.View) {
		onlyEU(v)
		v.Endpoints[0].Tier, v.Endpoints[0].Layer.Drained = health.TierExcluded, true
	})
	select {
	case a := <-got:
		t.Fatalf("a drain ended a running request: %d %s", a.StatusCode, a.body)
	case <-time.After(100 * time.Millisecond):
	}
	if a := r.must("GET", "/", nil); a.body != "us" {
		t.Errorf("a new request went to the drained %s", a.body)
	}
	r.tier("eu", health.TierDown, health.Degraded)
	if a := <-got; a.body != "us" || a.Header.Get("Jurymast-Reason") != "OF" {
		t.Errorf("%d %s %v", a.StatusCode, a.body, a.Header)
	}
}

func TestMultivalueSpreads(t *testing.T) {
	r := newSpread(t, profile.Multivalue, func(_ *proxy.Options, p *profile.Profile) {
		p.MaxReturn = 2
		for i := range p.Endpoints {
			p.Endpoints[i].Target = profile.Target{Addrs: []string{fmt.Sprintf("192.0.2.%d", i+1)}}
		}
	}, "eu", "us", "ap")
	for range 90 {
		r.must("GET", "/", nil)
	}
	for _, o := range r.origins {
		if o.Total() == 0 {
			t.Errorf("%s got nothing", o.Name)
		}
	}
	r.origins[1].Kill()
	for range 30 {
		if a := r.must("GET", "/", nil); a.StatusCode != 200 || a.body == "us" {
			t.Fatal(a.StatusCode, a.body)
		}
	}
}

func located(t *testing.T) *places.Places {
	t.Helper()
	p, err := places.Open(places.Options{Database: "../../examples/data/geo-example.mmdb"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

// The client is the right-most hop that is not trusted; nobody else moves the choice.
func TestGeographicByClientAddress(t *testing.T) {
	r := newSpread(t, profile.Geographic, func(o *proxy.Options, p *profile.Profile) {
		o.Locator, o.TrustedProxies = located(t), []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}
		for i, codes := range [][]string{{"GEO-EU"}, {"US"}, {"JP"}} {
			p.Endpoints[i].Geo = codes
		}
		p.Proxy.Hold.MaxWait = 60 * time.Millisecond
	}, "eu", "us", "ap")
	for _, c := range [][2]string{
		{"192.0.2.7", "eu"},
		{"198.51.100.9", "us"},
		{"203.0.113.5", "ap"},
		{"2001:db8:49::1", "eu"},
		{"198.51.100.9, 203.0.113.5", "ap"},
		{"", "eu"},
	} {
		header := []string{"X-Forwarded-For", c[0]}
		if c[0] == "" {
			header = nil
		}
		if a := r.must("GET", "/", nil, header...); a.body != c[1] {
			t.Errorf("client %q got %d %s, want %s", c[0], a.StatusCode, a.body, c[1])
		}
	}
	// nobody is mapped to this client
	if a := r.must("GET", "/", nil, "X-Forwarded-For", "8.8.8.8"); a.StatusCode != 503 || a.reason(t) != "DN" || !strings.Contains(a.body, "meant for this client") {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
	if got := r.p.Would(r.hub.Load(), "integration", "a.example", netip.MustParseAddr("198.51.100.9")); !strings.HasPrefix(got, "sent to us, chosen for each request") {
		t.Errorf("explained: %s", got)
	}
	if got := r.p.Would(r.hub.Load(), "integration", "a.example", netip.MustParseAddr("8.8.8.8")); !strings.HasPrefix(got, "held up to 60ms, then 503: ") {
		t.Errorf("explained: %s", got)
	}

	// a client whose endpoint is down, with nothing to climb to, waits for it and not for the others
	r.edit(func(p *profile.Profile) { p.Proxy.Hold.MaxWait = 5 * time.Second })
	r.tier("us", health.TierDown, health.Degraded)
	got := make(chan answer, 1)
	go func() { got <- r.must("GET", "/", nil, "X-Forwarded-For", "8.8.8.8") }()
	r.eventually("it waits", func() bool { return r.metric("jurymast_proxy_held") == 1 })
	if a := r.must("GET", "/", nil, "X-Forwarded-For", "192.0.2.7"); a.body != "eu" {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
	r.edit(func(p *profile.Profile) { p.Endpoints[1].Geo = []string{"WORLD"} })
	if a := <-got; a.body != "us" {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
}

func TestSubnetWithAnUntrustedPeer(t *testing.T) {
	r := newSpread(t, profile.Subnet, func(_ *proxy.Options, p *profile.Profile) {
		p.Endpoints[1].Subnets = []string{"192.0.2.0/24"}
		p.Ranges = []profile.SubnetRange{{From: netip.MustParseAddr("192.0.2.0"), To: netip.MustParseAddr("192.0.2.255"), Endpoint: 1}}
	}, "eu", "us")
	if a := r.must("GET", "/", nil, "X-Forwarded-For", "192.0.2.7"); a.body != "eu" {
		t.Errorf("an untrusted peer chose its endpoint: %s", a.body)
	}
}

// nestedRig has weighted regions, each a priority profile of its own.
func nestedRig(t *testing.T) (r *rig, publish func(change func(root *health.View))) {
	t.Helper()
	r = newRig(t, nil, "eu1", "eu2", "us1")
	child := func(name string, origins ...*testbed.Origin) *profile.Profile {
		p := testProfile(origins...)
		p.Name, p.Hostnames, p.Proxy = name, nil, nil
		return p
	}
	eu, us := child("eu", r.origins[0], r.origins[1]), child("us", r.origins[2])
	root := testProfile()
	root.Routing, root.Proxy.DebugHeaders = profile.Weighted, true
	for _, c := range []*profile.Profile{eu, us} {
		root.Endpoints = append(root.Endpoints, profile.Endpoint{Name: "to-" + c.Name, Target: profile.Target{Profile: c.Name}, Enabled: true, Weight: 1, MinChild: 1})
	}
	r.profile = root
	prep, err := r.hub.Prepare(&snapshot.Documents{Profiles: []*profile.Profile{root, eu, us}})
	if err != nil {
		t.Fatal(err)
	}
	publish = func(change func(*health.View)) {
		v, e, u := r.view(root, 0), r.view(eu, 0), r.view(us, 0)
		v.Decision = health.Decision{}
		v.Endpoints[0].Child, v.Endpoints[1].Child = e, u
		v.Endpoints[0].Weight, v.Endpoints[1].Weight = 1_000_000, 1
		if change != nil {
			change(v)
		}
		r.hub.Publish(prep, v, e, u)
	}
	publish(nil)
	return r, publish
}

func TestNestedProfiles(t *testing.T) {
	r, publish := nestedRig(t)
	if a := r.must("GET", "/", nil); a.body != "eu1" || a.Header.Get("Jurymast-Endpoint") != "eu/eu1" {
		t.Fatalf("%s %v", a.body, a.Header)
	}
	// eu1 is gone and the nodes have not decided for eu2 yet: the request goes to the other region
	r.origins[0].Kill()
	if a := r.must("POST", "/", strings.NewReader("x")); a.body != "us1" || a.Header.Get("Jurymast-Reason") != "OR" {
		t.Errorf("%s %v", a.body, a.Header)
	}
	if n := r.origins[1].Total(); n != 0 {
		t.Errorf("the standby saw %d requests without a decision", n)
	}
	r.mu.Lock()
	s := slices.Clone(r.signals)
	r.mu.Unlock()
	if len(s) != 1 || s[0].Profile != "eu" || s[0].Endpoint != "eu1" || s[0].Kind != proxy.KindRefused {
		t.Errorf("signals %+v", s)
	}
	publish(func(root *health.View) {
		eu := root.Endpoints[0].Child
		eu.Endpoints[0].Tier, eu.Endpoints[0].Status, eu.Decision.Active = health.TierDown, health.Degraded, "eu2"
	})
	if a := r.must("GET", "/", nil); a.body != "eu2" || a.Header.Get("Jurymast-Epoch") == "0" {
		t.Errorf("%s %v", a.body, a.Header)
	}
	publish(func(root *health.View) { root.Endpoints[0].Child.Held = &health.Override{By: "anna"} })
	if a := r.must("GET", "/", nil); a.body != "us1" {
		t.Errorf("the held region got the request: %s", a.body)
	}
	if got := r.metric("jurymast_proxy_requests_total", "profile", "integration", "endpoint", "eu/eu2"); got != 1 {
		t.Errorf("requests counted for eu/eu2: %v", got)
	}
}

// After a failback for new sessions the old endpoint keeps what it has; everything new goes to the preferred one.
func TestKeptEndpointFinishesWhatItHas(t *testing.T) {
	released, arrived := make(chan struct{}), make(chan struct{})
	handler := func(w http.ResponseWriter, req *http.Request) {
		if req.URL.Path == "/slow" {
			close(arrived)
			<-released
			_, _ = io.WriteString(w, "eu")
			return
		}
		echo(t)(w, req)
	}
	r := behind(t, handler, func(_ *proxy.Options, p *profile.Profile) { p.Proxy.DebugHeaders = true })
	c, br := upgraded(t, r)
	slow := make(chan answer, 1)
	go func() { slow <- r.must("GET", "/slow", nil) }()
	<-arrived
	keep := func(name string) {
		v := r.view(r.profile, 1)
		v.Decision.Keeps = name
		r.hub.Publish(nil, v)
	}
	keep("eu")
	a := r.must("GET", "/", nil)
	if a.body != "us" || a.Header.Get("Jurymast-Keeps") != "eu" {
		t.Errorf("new request: %s %v", a.body, a.Header)
	}
	if got := r.p.Would(r.hub.Load(), "integration", "a.example", netip.Addr{}); !strings.HasPrefix(got, "sent to us under epoch ") || !strings.HasSuffix(got, "; eu keeps what it has") {
		t.Errorf("explained: %s", got)
	}
	ping(t, c, br)
	close(released)
	if a := <-slow; a.body != "eu" || a.Header.Get("Jurymast-Reason") != "OK" {
		t.Errorf("the running request was moved: %s %v", a.body, a.Header)
	}
	ping(t, c, br)
	keep("")
	if _, err := io.ReadAll(br); err != nil && !strings.Contains(err.Error(), "reset") {
		t.Fatal(err)
	}
	r.eventually("the tunnel is cut once nobody keeps it", func() bool { return strings.Contains(r.log.String(), `"DX"`) })
}

func ping(t *testing.T, c net.Conn, br *bufio.Reader) {
	t.Helper()
	_, _ = io.WriteString(c, "ping")
	if got := read(t, br, 4); got != "ping" {
		t.Fatalf("through the tunnel: %q", got)
	}
}
