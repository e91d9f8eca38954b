package nameserver_test

import (
	"context"
	"log/slog"
	"net/netip"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/prometheus/client_golang/prometheus"

	"jurymast/internal/health"
	"jurymast/internal/nameserver"
	"jurymast/internal/profile"
	"jurymast/internal/snapshot"
)

var (
	t0     = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	t0Addr = netip.MustParseAddr("192.0.2.200")
)

// records of the test zone dr.example; SOA and NS are generated.
const records = `
$TTL 600
@          IN MX  10 mail
@          IN TXT "hello"
mail       IN A   192.0.2.25
mail       IN AAAA 2001:db8::25
www        IN CNAME web
web        IN A   192.0.2.80
web        IN A   192.0.2.81
out        IN CNAME www.elsewhere.test.
dead       IN CNAME nothing
loop1      IN CNAME loop2
loop2      IN CNAME loop1
tosvc      IN CNAME svc
tosub      IN CNAME x.sub
*.wild     IN TXT "any"
*.walias   IN CNAME mail
a.ent      IN A   192.0.2.99
sub        IN NS  ns.sub
sub        IN NS  ns.other.test.
sub        IN DS  1 13 2 0000000000000000000000000000000000000000000000000000000000000000
ns.sub     IN A   192.0.2.53
moved      IN DNAME new
host.new   IN A   192.0.2.44
odd\.dot   IN A   192.0.2.45
Mixed      IN TXT "case"
big        IN TXT "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789"
big        IN TXT "1123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789"
big        IN TXT "2123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789"
big        IN TXT "3123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789"
big        IN TXT "4123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789"
unknown    IN TYPE65280 \# 4 01020304
`

func testZone(text string) *profile.Zone {
	return &profile.Zone{Name: "dr.example", Nameservers: []string{"ns1.dr.example", "ns2.dr.example"}, Hostmaster: "ops.dr.example", Records: text}
}

// service is a priority profile whose endpoints a, b, ... have the given targets.
func service(name string, hosts []string, targets ...profile.Target) *profile.Profile {
	p := &profile.Profile{
		Name: name, Enabled: true, Hostnames: hosts, Routing: profile.Priority, TTL: 30 * time.Second, TTLFloor: time.Second,
		Failback: profile.Failback{Mode: profile.FailbackAuto},
	}
	for i, t := range targets {
		p.Endpoints = append(p.Endpoints, profile.Endpoint{
			Name: string(rune('a' + i)), Target: t, Priority: i + 1, Enabled: true,
			Monitor: profile.Monitor{Interval: 10 * time.Second, ToleratedFailures: 1, RecoverySuccesses: 1},
		})
	}
	return p
}

func host(name string) profile.Target                   { return profile.Target{Host: name} }
func addrs(list ...string) profile.Target               { return profile.Target{Addrs: list} }
func names(list ...string) []string                     { return list }
func profiles(l ...*profile.Profile) []*profile.Profile { return l }

// view shows a profile with one letter per endpoint: u Online, d Degraded, c Checking, x disabled, r drained, s stopped.
func view(p *profile.Profile, word string, change func(*health.View)) *health.View {
	v := &health.View{Profile: p, Ready: true}
	for i := range p.Endpoints {
		e := health.EndpointView{Config: &p.Endpoints[i]}
		e.Verdict = health.Verdict{Since: t0, Status: map[byte]health.Status{'u': health.Online, 'd': health.Degraded, 'x': health.Online, 'r': health.Online, 's': health.Online}[word[i]]}
		e.Layer.Disabled, e.Layer.Drained = word[i] == 'x', word[i] == 'r'
		p.Endpoints[i].Stopped = word[i] == 's'
		v.Endpoints = append(v.Endpoints, e)
	}
	if change != nil {
		change(v)
	}
	for i := range v.Endpoints {
		health.Resolve(p, &v.Endpoints[i], v.Disabled, t0.Add(time.Minute))
	}
	return v
}

func stale(v *health.View)    { v.Stale = true }
func unready(v *health.View)  { v.Ready = false }
func disabled(v *health.View) { v.Disabled = true }

// standard are the profiles most tests use.
func standard() []*profile.Profile {
	return profiles(
		service("svc", names("svc.dr.example", "*.svcwild.dr.example"), host("one.elsewhere.test"), host("two.elsewhere.test")),
		service("in", names("in.dr.example"), host("web.dr.example")),
		service("top", names("dr.example"), addrs("192.0.2.1", "192.0.2.2", "2001:db8::1"), addrs("192.0.2.3")),
		service("down", names("down.dr.example"), addrs("192.0.2.5"), addrs("192.0.2.6")),
		service("off", names("off.dr.example"), addrs("192.0.2.7")),
		service("new", names("new-svc.dr.example", "newhost.dr.example"), host("x.test"), host("y.test")),
		service("old", names("old.dr.example"), addrs("192.0.2.9")),
		service("silent", names("silent.dr.example"), addrs("192.0.2.10")),
	)
}

func standardViews(ps []*profile.Profile) []*health.View {
	return []*health.View{
		view(ps[0], "du", nil), view(ps[1], "u", nil), view(ps[2], "uu", nil), view(ps[3], "dd", nil),
		view(ps[4], "u", disabled), view(ps[5], "cc", unready), view(ps[6], "u", stale), // none for silent
	}
}

type fixture struct {
	hub *snapshot.Hub
	srv *nameserver.Server
	reg *prometheus.Registry
}

func build(t testing.TB, zones []*profile.Zone, ps []*profile.Profile, views []*health.View, listen ...string) *fixture {
	t.Helper()
	f := create(nameserver.Options{Listen: listen})
	f.publish(t, 7, zones, ps, views)
	return f
}

func create(opt nameserver.Options) *fixture {
	f := &fixture{hub: snapshot.NewHub(), reg: prometheus.NewRegistry()}
	opt.Hub, opt.Registerer, opt.Logger = f.hub, f.reg, slog.New(slog.DiscardHandler)
	f.srv = nameserver.New(opt)
	return f
}

// limited is the standard fixture with few places for TCP connections.
func limited(t testing.TB, places int) *fixture {
	t.Helper()
	f, ps := create(nameserver.Options{Listen: []string{"127.0.0.1:0"}, TCP: nameserver.TCP{Connections: places}}), standard()
	f.publish(t, 7, []*profile.Zone{testZone(records)}, ps, standardViews(ps))
	return f
}

func (f *fixture) publish(t testing.TB, gen uint64, zones []*profile.Zone, ps []*profile.Profile, views []*health.View) {
	t.Helper()
	p, err := f.hub.Prepare(&snapshot.Documents{Generation: gen, Zones: zones, Profiles: ps})
	if err != nil {
		t.Fatal(err)
	}
	f.hub.Publish(p, views...)
}

// serve starts the fixture's server on loopback and stops it with the test.
func (f *fixture) serve(t testing.TB) netip.AddrPort {
	t.Helper()
	if err := f.srv.Listen(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.srv.Serve()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := f.srv.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	return f.srv.Addrs()[0]
}

func standardFixture(t testing.TB, listen ...string) *fixture {
	ps := standard()
	return build(t, []*profile.Zone{testZone(records)}, ps, standardViews(ps), listen...)
}

func ask(t testing.TB, network string, at netip.AddrPort, m *dns.Msg) *dns.Msg {
	t.Helper()
	c := dns.Client{Net: network, Timeout: 5 * time.Second, UDPSize: 4096}
	r, _, err := c.Exchange(m, at.String())
	if err != nil {
		t.Fatalf("%s over %s: %v", m.Question[0].String(), network, err)
	}
	return r
}
