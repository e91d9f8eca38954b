package preflight

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"

	"jurymast/internal/profile"
	"jurymast/internal/testbed"
)

// one is a profile with one endpoint, on these host names.
func one(t *testing.T, hostnames, endpoint, monitor string) Input {
	t.Helper()
	return Input{File: file(t, "profiles:\n  - name: p\n    hostnames: ["+hostnames+"]\n    monitor: {"+monitor+"}\n    endpoints:\n      - {name: a, "+endpoint+"}\n")}
}

func run(t *testing.T, in Input, tools Tools) []Finding {
	t.Helper()
	return Run(t.Context(), in, tools).Findings
}

// want checks that a finding is there, with this severity, and says this.
func want(t *testing.T, list []Finding, c Code, severity Severity, says ...string) {
	t.Helper()
	f := with(list, c)
	if f == nil {
		t.Errorf("%s is not found; found %v", c, codes(list))
		return
	}
	text := strings.Join(append([]string{f.What, f.Why, f.Remedy}, f.Evidence...), "\n")
	if f.Severity != severity {
		t.Errorf("%s is %s, want %s\n%s", c, f.Severity, severity, text)
	}
	for _, s := range says {
		if !strings.Contains(text, s) {
			t.Errorf("%s: %q is not in\n%s", c, s, text)
		}
	}
	if f.What == "" || f.Why == "" || (f.Remedy == "" && f.Severity > Info) {
		t.Errorf("%s does not say what, why and what to do: %+v", c, f)
	}
}

func without(t *testing.T, list []Finding, unwanted ...Code) {
	t.Helper()
	for _, c := range unwanted {
		if f := with(list, c); f != nil {
			t.Errorf("%s is found where there is nothing: %s %v", c, f.What, f.Evidence)
		}
	}
}

const secure = `protocol: https, path: /health`

func TestAnEndpointThatAcceptsAllNames(t *testing.T) {
	ca := newAuthority(t)
	origin := secureOrigin(t, false, status(200), ca.leaf(t, 90*day, "p.dr.example", "*.w.dr.example"))
	list := run(t, one(t, `p.dr.example, "*.w.dr.example"`, "target: 127.0.0.1, origin: \""+origin+"\"", secure), Tools{Roots: ca.roots()})
	want(t, list, NameAccepted, Info, "2 of 2", "*.w.dr.example (tried as jurymast-preflight.w.dr.example)", "status 200, which the monitor expects")
	want(t, list, CertificateFine, Info, "89 days left", "Test Authority")
	without(t, list, NameRefused, NameDoubtful, CertificateName, CertificateExpired, CertificateExpiring, CertificateChain, NeedsSNI, TargetDead, OutOfTime)
}

func TestWrongCertificates(t *testing.T) {
	ca, other := newAuthority(t), newAuthority(t)
	for _, c := range []struct {
		code     Code
		severity Severity
		left     time.Duration
		name     string
		foreign  bool
		monitor  string
		says     string
	}{
		{CertificateName, Error, 90 * day, "eu20.tenant.example", false, secure, "is for eu20.tenant.example, not for p.dr.example"},
		{CertificateName, Warning, 90 * day, "eu20.tenant.example", false, secure + ", tls: {verify: false}", "break off"},
		{CertificateExpired, Error, -5 * day, "p.dr.example", false, secure, "expired on"},
		{CertificateExpiring, Warning, 5*day + time.Hour, "p.dr.example", false, secure, "in 5 days"},
		{CertificateExpiring, Warning, 25*day + time.Hour, "p.dr.example", false, secure + ", tls: {expiry_warn: 720h}", "30 days"},
		{CertificateChain, Error, 90 * day, "p.dr.example", true, secure, "unknown authority"},
	} {
		signer := ca
		if c.foreign {
			signer = other
		}
		origin := secureOrigin(t, false, status(200), signer.leaf(t, c.left, c.name))
		list := run(t, one(t, "p.dr.example", "target: 127.0.0.1, origin: \""+origin+"\"", c.monitor), Tools{Roots: ca.roots()})
		want(t, list, c.code, c.severity, c.says)
		all := []Code{CertificateName, CertificateExpired, CertificateExpiring, CertificateChain}
		for _, unwanted := range all {
			if unwanted != c.code {
				without(t, list, unwanted)
			}
		}
		if c.code != CertificateExpiring {
			without(t, list, CertificateFine)
		}
		if c.code == CertificateName {
			without(t, list, NameAccepted)
		}
	}
}

func TestAnEndpointThatRefusesThePublicName(t *testing.T) {
	ca := newAuthority(t)
	leaf := ca.leaf(t, 90*day, "p.dr.example", "eu20.tenant.example")
	gorouter := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Cf-Routererror", "unknown_route")
		w.WriteHeader(404)
		fmt.Fprintf(w, "404 Not Found: Requested route ('%s') does not exist.\n", r.Host)
	}
	complaining := func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(403)
		fmt.Fprint(w, "Unknown host")
	}
	for name, c := range map[string]struct {
		no   http.HandlerFunc
		says string
	}{
		"421":       {status(421), "status 421"},
		"router":    {gorouter, "unknown_route"},
		"404":       {status(404), "status 404, and 401 for eu20.tenant.example"},
		"complaint": {complaining, "Unknown host"},
	} {
		t.Run(name, func(t *testing.T) {
			origin := secureOrigin(t, false, byHost([]string{"eu20.tenant.example"}, status(401), c.no), leaf)
			port := originOf(&profile.Endpoint{Origin: origin}).Port()
			tools := Tools{Roots: ca.roots(), Resolver: resolver(t, map[string][]string{"eu20.tenant.example": {"127.0.0.1"}})}
			in := one(t, "p.dr.example", "target: eu20.tenant.example, origin: \"https://eu20.tenant.example:"+port+"\"", secure+", host: target, expect: {status: [\"401\"]}")
			list := run(t, in, tools)
			want(t, list, NameRefused, Error, c.says, "custom domain", "Host eu20.tenant.example: status 401")
			without(t, list, NameAccepted, NameDoubtful)
		})
	}
}

func TestAnswersThatProveNothing(t *testing.T) {
	origin := plainOrigin(t, status(404))
	list := run(t, one(t, "p.dr.example", "target: 127.0.0.1, origin: \""+origin+"\"", "path: /nowhere"), Tools{})
	want(t, list, NameDoubtful, Warning, "status 404")
	without(t, list, NameRefused, NameAccepted)
}

func TestJudge(t *testing.T) {
	ok, created := &answer{status: 200}, &answer{status: 201}
	for name, c := range map[string]struct {
		a, own *answer
		want   accepted
	}{
		"expected":              {ok, &answer{status: 404}, taken},
		"as for its own name":   {created, created, taken},
		"different":             {&answer{status: 302}, created, doubtful},
		"silence":               {&answer{why: "connection closed"}, ok, refused},
		"silence for both":      {&answer{why: "x"}, &answer{why: "x"}, doubtful},
		"misdirected":           {&answer{status: 421}, &answer{status: 421}, refused},
		"no route":              {&answer{status: 404, router: "unknown_route"}, &answer{status: 404}, refused},
		"404 against 200":       {&answer{status: 404}, ok, refused},
		"404 for both":          {&answer{status: 404}, &answer{status: 404}, doubtful},
		"503 for both":          {&answer{status: 503}, &answer{status: 503}, doubtful},
		"401 for both":          {&answer{status: 401}, &answer{status: 401}, taken},
		"400 without a word":    {&answer{status: 400}, ok, doubtful},
		"400 about the name":    {&answer{status: 400, body: "Invalid Hostname"}, ok, refused},
		"500 about a hostname":  {&answer{status: 500, body: "hostname"}, &answer{status: 500}, doubtful},
		"own name unknown, 404": {&answer{status: 404}, &answer{why: "x"}, doubtful},
	} {
		got, reason := judge(c.a, c.own, "own", func(s int) bool { return s == 200 })
		if got != c.want || reason == "" {
			t.Errorf("%s: %d (%s), want %d", name, got, reason, c.want)
		}
	}
}

func TestTLSThatDoesNotWork(t *testing.T) {
	ca := newAuthority(t)
	plain := strings.Replace(plainOrigin(t, status(200)), "http:", "https:", 1)
	list := run(t, one(t, "p.dr.example", "target: 127.0.0.1, origin: \""+plain+"\"", secure), Tools{Roots: ca.roots()})
	want(t, list, HandshakeFailed, Error, "write http", "no TLS handshake succeeds")
	without(t, list, NameRefused, NameAccepted, NameDoubtful)
}

func TestSendersWithoutSNI(t *testing.T) {
	ca := newAuthority(t)
	strict := secureOrigin(t, true, status(200), ca.leaf(t, 90*day, "p.dr.example"))
	list := run(t, one(t, "p.dr.example", "target: 127.0.0.1, origin: \""+strict+"\"", secure), Tools{Roots: ca.roots()})
	want(t, list, NeedsSNI, Info, "without SNI there is no handshake")
	shared := secureOrigin(t, false, status(200), ca.leaf(t, 90*day, "default.tenant.example"), ca.leaf(t, 90*day, "p.dr.example"))
	list = run(t, one(t, "p.dr.example", "target: 127.0.0.1, origin: \""+shared+"\"", secure), Tools{Roots: ca.roots()})
	want(t, list, NeedsSNI, Info, "certificate of default.tenant.example")
	want(t, list, CertificateFine, Info)
}

func TestAddresses(t *testing.T) {
	o, err := testbed.StartOrigin("eu20", nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(o.Kill)
	_, port, _ := net.SplitHostPort(o.Addr())
	names := resolver(t, map[string][]string{
		"both.test": {"127.0.0.1", "127.0.0.2"}, "one.test": {"127.0.0.1"}, "alias.test": {"127.0.0.1"}, "six.test": {"::1"},
	})
	tools := Tools{Resolver: names}

	list := run(t, one(t, "p.dr.example", "target: both.test, origin: \"http://both.test:"+port+"\"", ""), tools)
	want(t, list, AddressDead, Warning, "1 of 2 addresses", "127.0.0.2:"+port+": connection refused")
	want(t, list, NameAccepted, Info)

	list = run(t, one(t, "p.dr.example", "target: missing.test", ""), tools)
	want(t, list, Unresolved, Error, "missing.test does not resolve: no such host")
	without(t, list, NotConnecting)

	list = run(t, one(t, "p.dr.example", "target: 127.0.0.1, origin: \"http://"+freeAddr(t)+"\"", ""), tools)
	want(t, list, NotConnecting, Error, "no connection to 127.0.0.1:", "connection refused")
	without(t, list, NameRefused, TargetDead)

	list = run(t, one(t, "p.dr.example", "target: 127.0.0.3, origin: \"http://one.test:"+port+"\"", ""), tools)
	want(t, list, TargetDead, Info, "127.0.0.3")
	list = run(t, one(t, "p.dr.example", "target: missing.test, origin: \"http://one.test:"+port+"\"", ""), tools)
	want(t, list, Unresolved, Error, "target missing.test")

	in := Input{File: file(t, fmt.Sprintf("endpoints:\n  - {name: a, target: one.test, monitor: {port: %s}}\n  - {name: b, target: alias.test, monitor: {port: %s}}\n  - {name: c, target: six.test, monitor: {port: %s}}\n", port, port, port))}
	list = run(t, in, tools)
	want(t, list, SameAddress, Info, "a, b are all at 127.0.0.1", "resolve to it now")
	want(t, list, FamiliesDiffer, Warning, "IPv6: c")
}

// TestAGuessedPortIsNoError: nothing says which port an endpoint has that no probe asks.
func TestAGuessedPortIsNoError(t *testing.T) {
	for _, monitor := range []string{"assume: up", "calculated: {of: [b]}"} {
		f := file(t, "endpoints:\n  - {name: a, target: 127.0.0.93, monitor: {"+monitor+"}}\n  - {name: b, target: 127.0.0.1, monitor: {assume: up}}\n")
		list := slices.DeleteFunc(run(t, Input{File: f}, Tools{}), func(f Finding) bool { return f.Endpoint != "a" })
		want(t, list, NotConnecting, Info, "guess", "127.0.0.93:80")

		elsewhere := &trial{p: &f.Profiles[0], e: &f.Profiles[0].Endpoints[0], at: at{profile: "p", endpoint: "a"}}
		elsewhere.notConnecting([]string{"192.0.2.93"}, 80, []string{"192.0.2.93:80: connection refused"})
		want(t, elsewhere.findings, NotConnecting, Warning, "guess", "192.0.2.93:80")
	}
	list := run(t, one(t, "p.dr.example", "target: 127.0.0.93", "protocol: tcp, port: 1"), Tools{})
	want(t, list, NotConnecting, Error, "127.0.0.93:1")
}

func TestWhatIsSwitchedOffIsNoError(t *testing.T) {
	in := one(t, "p.dr.example", "enabled: false, target: 127.0.0.1, origin: \"http://"+freeAddr(t)+"\"", "")
	list := run(t, in, Tools{})
	want(t, list, NotConnecting, Info, "switched off")
}

func TestNothingSecretIsSentOrSaid(t *testing.T) {
	var leaked atomic.Bool
	origin := plainOrigin(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "" || r.Header.Get("X-Key") != "" {
			leaked.Store(true)
		}
		if r.Header.Get("X-Plain") != "yes" {
			w.WriteHeader(500)
			return
		}
		w.WriteHeader(401)
	})
	t.Setenv("PREFLIGHT_TEST_KEY", "s3cret")
	text := "node: {secrets: {KEY: {env: PREFLIGHT_TEST_KEY}}}\nprofiles:\n  - name: p\n    hostnames: [p.dr.example]\n" +
		"    monitor: {expect: {status: [\"401\"]}, headers: {Authorization: Basic dG9wOnNlY3JldA==, X-Key: {secret: KEY}, X-Plain: \"yes\"}}\n" +
		"    endpoints:\n      - {name: a, target: 127.0.0.1, origin: \"" + origin + "\"}\n"
	list := run(t, Input{File: file(t, text)}, Tools{Secret: func(profile.Value) (string, error) { return "s3cret", nil }})
	want(t, list, NameAccepted, Info, "status 401")
	if leaked.Load() {
		t.Error("a credential was sent to find out whether a name is accepted")
	}
	if all := fmt.Sprintf("%+v", list); strings.Contains(all, "s3cret") || strings.Contains(all, "dG9wOnNlY3JldA") {
		t.Error("a secret is told: " + all)
	}
}

func TestProbeResults(t *testing.T) {
	origin := plainOrigin(t, status(200))
	in := one(t, "p.dr.example", "target: 127.0.0.1, origin: \""+origin+"\"", "interval: 10s, timeout: 5s")
	log := []string{"connect 1ms 127.0.0.1:80"}
	for _, c := range []struct {
		code     Code
		severity Severity
		prober   probes
		says     string
	}{
		{ProbePassed, Info, probes{results: []ProbeResult{{OK: true, Reason: "status 200", Latency: 3 * time.Millisecond, Log: log}}}, "in 3ms: status 200"},
		{ProbeFailed, Error, probes{results: []ProbeResult{{Reason: "status 500, expected 200", Log: log}}}, "connect 1ms"},
		{ProbeSlow, Warning, probes{results: []ProbeResult{{OK: true, Reason: "status 200", Latency: 3 * time.Second}}}, "3s of its timeout 5s"},
		{ProbeImpossible, Error, probes{err: errors.New("secret KEY is not set")}, "secret KEY is not set"},
	} {
		want(t, run(t, in, Tools{Prober: c.prober}), c.code, c.severity, c.says)
	}
	in = one(t, "p.dr.example", "target: 127.0.0.1, origin: \""+origin+"\"", "combine: any, checks: [{name: up}, {name: flow}]")
	list := run(t, in, Tools{Prober: probes{results: []ProbeResult{{Check: "up", OK: true}, {Check: "flow", Reason: "status 500"}}}})
	want(t, list, ProbeFailed, Warning, "check flow fails")
	want(t, list, ProbePassed, Info, "check up passes")
}

func TestOtherVantagePoints(t *testing.T) {
	origin := plainOrigin(t, status(200))
	in := one(t, "p.dr.example", "target: 127.0.0.1, origin: \""+origin+"\"", "")
	here := probes{results: []ProbeResult{{OK: true, Reason: "status 200"}}}
	since := time.Now().Add(-time.Minute)
	up := Vote{Endpoint: "a", Node: "n1", Location: "eu", Opinion: "up", Since: since, Reason: "status 200"}
	down := Vote{Endpoint: "a", Node: "n2", Location: "us", Opinion: "down", Since: since, Reason: "timeout"}
	members := []Node{{"n1", "eu"}, {"n2", "us"}}

	list := run(t, in, Tools{Prober: here, Cluster: peers{nodes: members, votes: []Vote{up}}})
	want(t, list, VantageVotes, Info, "n1 (eu): up for 60s, status 200")
	want(t, list, QuorumTie, Info)
	without(t, list, SingleNode, VantageDisagrees)

	list = run(t, in, Tools{Prober: here, Cluster: peers{nodes: members, votes: []Vote{up, down}}})
	want(t, list, VantageDisagrees, Warning, "the nodes do not agree", "n2 (us): down", "timeout")
	list = run(t, in, Tools{Prober: here, Cluster: peers{nodes: members, votes: []Vote{down}}})
	want(t, list, VantageDisagrees, Warning, "this machine sees it differently")
	blind := down
	blind.Blind = true
	list = run(t, in, Tools{Prober: here, Cluster: peers{nodes: members, votes: []Vote{up, blind}}})
	want(t, list, VantageVotes, Info, "blind")

	list = run(t, in, Tools{Cluster: peers{nodes: members, votesErr: ErrUnknownProfile}})
	want(t, list, VantageVotes, Info, "does not have this profile yet")
	list = run(t, in, Tools{Cluster: peers{err: errors.New("connection refused")}})
	want(t, list, NodeUnreachable, Warning, "connection refused")
}

func TestNameServers(t *testing.T) {
	soa := &dns.SOA{Hdr: dns.RR_Header{Name: "dr.example.", Rrtype: dns.TypeSOA, Class: dns.ClassINET}, Ns: "ns1.dr.example.", Mbox: "o.dr.example.", Serial: 7}
	zone := func(rcode, forName int) string {
		return nameServer(t, func(w dns.ResponseWriter, q *dns.Msg) {
			m := new(dns.Msg)
			m.SetReply(q)
			m.Rcode = rcode
			switch {
			case rcode != dns.RcodeSuccess:
			case q.Question[0].Qtype == dns.TypeSOA:
				m.Authoritative, m.Answer = true, []dns.RR{soa}
			default:
				m.Authoritative, m.Rcode = true, forName
			}
			_ = w.WriteMsg(m)
		})
	}
	in := func(listen string) Input {
		return Input{File: file(t, "node: {nameserver: {listen: [\""+listen+"\"]}}\nzones:\n  - name: dr.example\n    hostmaster: o.dr.example\n    nameservers: [ns1.dr.example]\n"+
			"    records: |\n      ns1 300 A 127.0.0.1\nprofiles:\n  - name: p\n    hostnames: [p.dr.example]\n    endpoints: [{name: a, target: 192.0.2.1, enabled: false, always_serve: true}]\n")}
	}
	// The endpoint is not for trying: its address belongs to nobody.
	ask := func(input Input, tools Tools) findings {
		r := newRunner(input, tools)
		return r.zone(t.Context(), &input.File.Zones[0])
	}
	want(t, ask(in(zone(dns.RcodeSuccess, dns.RcodeSuccess)), Tools{}), NameserverFine, Info, "SOA serial 7", "p.dr.example A: no record")
	want(t, ask(in(zone(dns.RcodeSuccess, dns.RcodeServerFailure)), Tools{}), NameserverWrong, Warning, "SERVFAIL for p.dr.example")
	want(t, ask(in(zone(dns.RcodeRefused, 0)), Tools{}), NameserverWrong, Error, "REFUSED")
	want(t, ask(in(freeAddr(t)), Tools{}), NameserverSilent, Info, "not to be running")

	away := in("127.0.0.1:5300")
	away.File.Zones[0].Nameservers = []string{"ns9.dr.example"}
	want(t, ask(away, Tools{Resolver: resolver(t, nil)}), NameserverUnknown, Error, "ns9.dr.example has no address")
}

func TestNameServersOfAZone(t *testing.T) {
	text := func(records string) *profile.File {
		return file(t, "zones:\n  - name: dr.example\n    hostmaster: o.dr.example\n    nameservers: [ns1.dr.example, ns2.dr.example]\n    records: |\n"+records+"profiles: []\n")
	}
	list := Static(Input{File: text("      ns1 300 A 127.0.0.1\n      ns2 300 A 127.0.0.1\n")})
	want(t, list, SingleNameserver, Warning, "ns1.dr.example, ns2.dr.example are all at 127.0.0.1")
	list = Static(Input{File: text("      ns1 300 A 127.0.0.1\n      ns2 300 A 127.0.0.2\n")})
	without(t, list, SingleNameserver)
}

func TestTimeIsBounded(t *testing.T) {
	o, err := testbed.StartOrigin("hung", nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(o.Kill)
	o.Misbehave(func(*http.Request) testbed.Fault { return testbed.Hang })
	calls := 0
	list := run(t, one(t, "p.dr.example, q.dr.example", "target: 127.0.0.1, origin: \""+o.URL()+"\"", ""), Tools{
		Timeout: 200 * time.Millisecond, Progress: func(done, total int) {
			if calls++; done != calls || total != 1 {
				t.Errorf("progress %d of %d at call %d", done, total, calls)
			}
		},
	})
	want(t, list, OutOfTime, Warning, "200ms")
	if calls != 1 {
		t.Errorf("progress was told %d times", calls)
	}

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	report := Run(ctx, one(t, "p.dr.example", "target: 127.0.0.1, origin: \""+o.URL()+"\"", ""), Tools{})
	want(t, report.Findings, OutOfTime, Warning)
}

func TestManyEndpointsAtOnce(t *testing.T) {
	origin := plainOrigin(t, status(200))
	u, err := url.Parse(origin)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	b.WriteString("endpoints:\n")
	for i := range 100 {
		fmt.Fprintf(&b, "  - {name: e%d, target: 127.0.0.1, origin: \"http://127.0.0.1:%s\"}\n", i, u.Port())
	}
	list := run(t, Input{File: file(t, b.String())}, Tools{Parallel: 4})
	n := 0
	for i := range list {
		if list[i].Code == NameAccepted {
			n++
		}
	}
	if n != 100 {
		t.Errorf("%d of 100 endpoints were tried", n)
	}
}
