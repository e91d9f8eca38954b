//go:build interop && linux

package nameserver_test

import (
	"context"
	"fmt"
	"net/netip"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"jurymast/internal/health"
	"jurymast/internal/nameserver"
	"jurymast/internal/nameserver/sign"
	"jurymast/internal/profile"
	"jurymast/internal/testbed"
)

// proven is the text of each zone that other people's validators are asked about; %s is its name.
const proven = `
$TTL 600
@          IN MX  10 mail
ns1        IN A   127.0.0.1
mail       IN A   192.0.2.25
mail       IN AAAA 2001:db8::25
www        IN CNAME mail
away       IN CNAME www.elsewhere.invalid.
dead       IN CNAME nothing
*.wild     IN TXT "any"
*.walias   IN CNAME mail
a.b.ent    IN A   192.0.2.99
moved      IN DNAME new
host.new   IN A   192.0.2.44
Upper      IN TXT "letter case"
odd\.dot   IN TXT "a dot in a label"
big        IN TXT "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789"
plain      IN NS  ns1
child      IN NS  ns1
side       IN TXT "beside a profile"
`

// provenProfiles are at names of each zone.
const provenProfiles = `
  - {name: four-%[1]s, hostnames: [four.%[1]s, side.%[1]s], ttl: 30s, endpoints: [{name: a, target: 192.0.2.1}, {name: b, target: [192.0.2.2, "2001:db8::2"]}]}
  - {name: dice-%[1]s, hostnames: [dice.%[1]s], ttl: 30s, routing: weighted, endpoints: [{name: a, target: 192.0.2.1}, {name: b, target: "2001:db8::2"}]}
  - {name: many-%[1]s, hostnames: [many.%[1]s, "*.dyn.%[1]s"], ttl: 30s, routing: multivalue, https: {alpn: [h2]}, endpoints: [{name: a, target: 192.0.2.1}, {name: b, target: 192.0.2.2}, {name: c, target: 192.0.2.3}]}
  - {name: alias-%[1]s, hostnames: [alias.%[1]s, "*.dynalias.%[1]s"], ttl: 30s, endpoints: [{name: a, target: mail.%[1]s}]}
  - {name: denied-%[1]s, hostnames: [denied.%[1]s], compat: azure, ttl: 30s, endpoints: [{name: a, target: 192.0.2.1}]}
  - {name: top-%[1]s, hostnames: [%[1]s], ttl: 30s, endpoints: [{name: a, target: 192.0.2.1}]}
`

// provenQuestions are asked of each zone; what is told, for the NSEC chain behind the bar when that differs.
var provenQuestions = []struct{ name, typ, want string }{
	{"", "SOA", "answer"},
	{"", "DNSKEY", "answer"},
	{"", "A", "answer"},
	{"", "TXT", "no data"},
	{"mail", "A", "answer"},
	{"mail", "TXT", "no data"},
	{"upper", "TXT", "answer"},
	{"UPPER", "A", "no data"},
	{`odd\.dot`, "TXT", "answer"},
	{"nothing", "A", "no name"},
	{"a.b.nothing", "AAAA", "no name"},
	{"*", "A", "no name"},
	{`\000`, "A", "no name"},
	{"zzz", "A", "no name"},
	{"www", "A", "answer"},
	{"www", "TXT", "no data"},
	{"dead", "A", "no name"},
	{"any.wild", "TXT", "answer"},
	{"a.b.wild", "TXT", "answer"},
	{"any.wild", "A", "no data"},
	{"x.walias", "AAAA", "answer"},
	{"x.walias", "MX", "no data"},
	{"ent", "A", "no data"},
	{"b.ent", "A", "no data"},
	{"c.ent", "A", "no name"},
	{"host.moved", "A", "answer"},
	{"host.moved", "TXT", "no data"},
	{"gone.moved", "A", "no name"},
	{"plain", "DS", "no data"},
	{"child", "DS", "answer"},
	{"www.child", "A", "answer"},
	{"www.child", "TXT", "no data"},
	{"nothing.child", "A", "no name"},
	{"www.plain", "A", "answer, not signed"},
	{"nothing.plain", "A", "no name, not signed"},
	{"four", "A", "answer"},
	{"four", "AAAA", "no data"},
	{"four", "TXT", "no data"},
	{"side", "TXT", "answer"},
	{"side", "AAAA", "no data"},
	{"many", "A", "answer"},
	{"many", "AAAA", "no data"},
	{"many", "HTTPS", "answer"},
	{"x.dyn", "A", "answer"},
	{"x.dyn", "AAAA", "no data"},
	{"alias", "A", "answer"},
	{"alias", "TXT", "no data"},
	{"x.dynalias", "AAAA", "answer"},
	{"denied", "A", "no name|no data"},
	{"denied", "TXT", "no name|no data"},
	{"dice", "MX", "no data"},
}

// estate is a running server with signed zones of every kind, and the anchors to believe it.
type estate struct {
	*fixture
	at    netip.AddrPort
	zones []string
	dir   string
	keys  map[string]*sign.Keys
}

func (e *estate) compact(zone string) bool { return strings.HasPrefix(zone, "compact") }

// settle starts it. clock is what signatures are made by; nil: the time.
func settle(t *testing.T, clock func() time.Time) *estate {
	t.Helper()
	e := &estate{dir: t.TempDir(), keys: map[string]*sign.Keys{}}
	var zones []*profile.Zone
	var text strings.Builder
	e.fixture = create(nameserver.Options{Listen: []string{"127.0.0.1:0"}, Clock: clock})
	for _, kind := range []struct {
		name      string
		denial    profile.Denial
		algorithm uint8
	}{
		{"compact13.example", profile.DenialCompact, sign.ECDSAP256},
		{"compact15.example", profile.DenialCompact, sign.Ed25519},
		{"nsec13.example", profile.DenialNSEC, sign.ECDSAP256},
		{"nsec15.example", profile.DenialNSEC, sign.Ed25519},
	} {
		dnssec := profile.DNSSEC{Enabled: true, Denial: kind.denial}
		child := newCSK(t, "child."+kind.name, kind.algorithm)
		ds := dnskey(child.Zone, &child.Publish[0]).ToDS(dns.SHA256).String()
		below := "www IN A 192.0.2.80\n"
		e.keys[kind.name] = newCSK(t, kind.name, kind.algorithm)
		e.srv.UseKeys(e.keys[kind.name])
		e.srv.UseKeys(child)
		zones = append(zones,
			&profile.Zone{Name: kind.name, Nameservers: []string{"ns1." + kind.name}, Hostmaster: "ops." + kind.name, Records: proven + ds + "\n", DNSSEC: dnssec},
			&profile.Zone{Name: child.Zone, Nameservers: []string{"ns1." + kind.name}, Hostmaster: "ops." + kind.name, Records: below, DNSSEC: dnssec},
			&profile.Zone{Name: "plain." + kind.name, Nameservers: []string{"ns1." + kind.name}, Hostmaster: "ops." + kind.name, Records: below},
		)
		fmt.Fprintf(&text, provenProfiles, kind.name)
		e.zones = append(e.zones, kind.name)
	}
	ps := decoded(t, text.String())
	var views []*health.View
	for _, p := range ps {
		var change func(*health.View)
		if strings.HasPrefix(p.Name, "denied") {
			change = disabled
		}
		views = append(views, view(p, strings.Repeat("u", len(p.Endpoints)), change))
	}
	e.publish(t, 7, zones, ps, views)
	e.at = e.serve(t)
	return e
}

// anchor writes the keys of a zone in the form a tool reads, and returns the file.
func (e *estate) anchor(t *testing.T, zone, form string) string {
	t.Helper()
	key := dnskey(zone, &e.keys[zone].Publish[0])
	text := key.String() + "\n"
	if form == "bind" {
		text = fmt.Sprintf("trust-anchors { %q static-key %d %d %d %q; };\n", zone+".", key.Flags, key.Protocol, key.Algorithm, key.PublicKey)
	}
	return configured(t, e.dir, form+"-"+zone, text)
}

// run runs a program to its end.
func run(t *testing.T, program string, args ...string) (string, error) {
	t.Helper()
	path := testbed.Tool(t, program)
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, path, args...).CombinedOutput()
	return string(out), err
}

func (e *estate) name(label, zone string) string {
	if label == "" {
		return zone + "."
	}
	return label + "." + zone + "."
}

// wanted is the outcome of a question in a zone, and whether it is proved.
func (e *estate) wanted(want, zone string) (says string, secure bool) {
	want, plain := strings.CutSuffix(want, ", not signed")
	compact, chain, differs := strings.Cut(want, "|")
	if differs && !e.compact(zone) {
		return chain, !plain
	}
	return compact, !plain
}

func port(at netip.AddrPort) string { return strconv.Itoa(int(at.Port())) }

// TestInteropDelv has BIND's validator judge every kind of answer.
func TestInteropDelv(t *testing.T) {
	e := settle(t, nil)
	for _, zone := range []string{"compact13.example", "nsec15.example"} { // a process for each question takes its time
		anchor := e.anchor(t, zone, "bind")
		for _, q := range provenQuestions {
			out, _ := run(t, "delv", "@127.0.0.1", "-p", port(e.at), "-a", anchor, "+root="+zone, "-t", q.typ, e.name(q.name, zone))
			e.judged(t, zone, q.name+" "+q.typ, q.want, out)
		}
	}
}

// judged compares what delv tells with what it should.
func (e *estate) judged(t *testing.T, zone, q, want, out string) {
	t.Helper()
	says, secure := e.wanted(want, zone)
	if e.compact(zone) && secure && says == "no name" {
		says = "no data" // what compact denial proves [RFC 9824]
	}
	if !delvTells(out, says, secure) {
		t.Errorf("%s in %s: want %s, secure %v, in\n%s", q, zone, says, secure, out)
	}
}

// delvTells: delv has found an answer, no data or no name, and that it is proved, or proved to be not signed.
func delvTells(out, says string, secure bool) bool {
	how := map[bool]string{true: "fully validated", false: "unsigned answer"}[secure]
	if says == "answer" {
		return strings.Contains(out, "; "+how)
	}
	kind := map[string]string{"no data": "ncache nxrrset", "no name": "ncache nxdomain"}[says]
	behind := strings.Contains(out, "; "+how) // an alias, which is told first
	return strings.Contains(out, kind) && (behind || strings.Contains(out, "; negative response, "+how))
}

// unbound starts a validating resolver that knows where our zones are.
func (e *estate) unbound(t *testing.T, more string) netip.AddrPort {
	t.Helper()
	p, ended := startProgram(t, "unbound", func(dir string, port int) []string {
		return []string{"-d", "-c", e.unboundConf(t, dir, fmt.Sprintf("  interface: 127.0.0.1@%d\n%s", port, more))}
	})
	c := dns.Client{Timeout: 2 * time.Second}
	for deadline := time.Now().Add(20 * time.Second); ; {
		if _, _, err := c.Exchange(query(e.zones[0]+".", dns.TypeSOA), p.at.String()); err == nil {
			return p.at
		}
		select {
		case <-ended:
			t.Fatalf("unbound ended: %s", p.said())
		case <-time.After(50 * time.Millisecond): // a real program, real time
		}
		if time.Now().After(deadline) {
			t.Fatalf("unbound does not answer: %s", p.said())
		}
	}
}

func (e *estate) unboundConf(t *testing.T, dir, more string) string {
	t.Helper()
	var b strings.Builder
	fmt.Fprintf(&b, `server:
  username: ""
  chroot: ""
  directory: %q
  pidfile: ""
  use-syslog: no
  verbosity: 1
  num-threads: 1
  do-daemonize: no
  do-not-query-localhost: no
  module-config: "validator iterator"
  val-log-level: 2
  qname-minimisation: no
%s`, dir, more)
	for _, zone := range e.zones {
		fmt.Fprintf(&b, "  trust-anchor-file: %q\n", e.anchor(t, zone, "rr"))
	}
	b.WriteString("remote-control:\n  control-enable: no\n")
	for _, zone := range e.zones {
		for _, name := range []string{zone, "child." + zone, "plain." + zone} {
			fmt.Fprintf(&b, "stub-zone:\n  name: %s\n  stub-addr: 127.0.0.1@%s\n", name, port(e.at))
		}
	}
	return configured(t, dir, "unbound.conf", b.String())
}

// TestInteropUnbound asks a validating resolver: everything that is signed has AD, nothing is SERVFAIL; with conclusions
// drawn from proofs that are kept [RFC 8198], and without.
func TestInteropUnbound(t *testing.T) {
	e := settle(t, nil)
	for _, more := range []string{"  aggressive-nsec: no\n", "  aggressive-nsec: yes\n  qname-minimisation: yes\n  harden-below-nxdomain: yes\n"} {
		at := e.unbound(t, more)
		for range 2 { // the second time much is known already
			for _, zone := range e.zones {
				for _, q := range provenQuestions {
					e.resolved(t, at, zone, q.name, q.typ, q.want)
				}
			}
		}
	}
}

// resolved asks a resolver as a client that wants to know whether the answer is proved.
func (e *estate) resolved(t *testing.T, at netip.AddrPort, zone, name, typ, want string) {
	t.Helper()
	m := query(e.name(name, zone), dns.StringToType[typ])
	m.RecursionDesired = true
	m.SetEdns0(1232, true)
	r := ask(t, "udp", at, m)
	says, secure := e.wanted(want, zone)
	got := "answer"
	switch {
	case r.Rcode == dns.RcodeNameError:
		got = "no name"
	case r.Rcode != dns.RcodeSuccess:
		got = dns.RcodeToString[r.Rcode]
	case plainly(r) == saysNoData:
		got = "no data"
	}
	if says == "no name" && secure && e.compact(zone) {
		says = "no data" // a resolver that does not know NXNAME
	}
	if got != says || r.AuthenticatedData != secure {
		t.Errorf("%s %s in %s: %s, AD %t; want %s, %t\n%v", name, typ, zone, got, r.AuthenticatedData, says, secure, r)
	}
}

// TestInteropUnboundHost validates by itself, with what the files say.
func TestInteropUnboundHost(t *testing.T) {
	e := settle(t, nil)
	conf := e.unboundConf(t, e.dir, "")
	for _, zone := range e.zones {
		for _, q := range provenQuestions {
			if q.typ == "HTTPS" {
				continue // it knows numbers only
			}
			out, err := run(t, "unbound-host", "-C", conf, "-v", "-t", q.typ, e.name(q.name, zone))
			if _, secure := e.wanted(q.want, zone); err != nil || secure != strings.Contains(out, "(secure)") || strings.Contains(out, "BOGUS") {
				t.Errorf("%s %s in %s: %v\n%s", q.name, q.typ, zone, err, out)
			}
		}
	}
}

// TestInteropDrillChase chases signatures up to the key.
func TestInteropDrillChase(t *testing.T) {
	e := settle(t, nil)
	for _, zone := range e.zones {
		anchor := e.anchor(t, zone, "rr")
		for _, q := range []string{"mail A", "mail AAAA", "four A", "many A", "www.child A"} {
			name, typ, _ := strings.Cut(q, " ")
			out, err := run(t, "drill", "-S", "-k", anchor, "-p", port(e.at), "@127.0.0.1", e.name(name, zone), typ)
			if err != nil || !strings.Contains(out, "Chase successful") {
				t.Errorf("%s in %s: %v\n%s", q, zone, err, out)
			}
		}
	}
}

// TestInteropExpiry asks resolvers whose clocks are right, and such as are ahead: what is signed now has expired for
// these, and a server whose clock is ahead too is believed.
func TestInteropExpiry(t *testing.T) {
	const ahead = 20 * 24 * time.Hour
	for _, c := range []struct {
		name  string
		clock func() time.Time
		valid map[time.Duration]bool // by how far the resolver's clock is ahead
	}{
		{"not renewed", nil, map[time.Duration]bool{0: true, 7 * 24 * time.Hour: true, ahead: false}},
		{"its clock is ahead", func() time.Time { return time.Now().Add(ahead) }, map[time.Duration]bool{0: false, ahead: true}},
	} {
		e := settle(t, c.clock)
		for shift, valid := range c.valid {
			at := e.unbound(t, fmt.Sprintf("  val-override-date: \"%s\"\n", time.Now().Add(shift).UTC().Format("20060102150405")))
			for _, zone := range e.zones {
				for _, q := range []string{"mail A", "nothing A", "four A", "four AAAA", "any.wild TXT", "www.child A"} {
					name, typ, _ := strings.Cut(q, " ")
					m := query(e.name(name, zone), dns.StringToType[typ])
					m.RecursionDesired = true
					r := ask(t, "udp", at, m.SetEdns0(1232, true))
					if got := r.Rcode != dns.RcodeServerFailure && r.AuthenticatedData; got != valid {
						t.Errorf("%s: %s in %s, looked at %v ahead: valid %t\n%v", c.name, q, zone, shift, got, r)
					}
				}
			}
		}
	}
}

// walk follows the NSEC chain of a zone and asks for every type its records list: the zone as anybody can see it, in
// master file form.
func (e *estate) walk(t *testing.T, zone string) string {
	t.Helper()
	var out []string
	add := func(section []dns.RR, types ...uint16) {
		_, sigs := gather(section)
		for _, rr := range section {
			typ := rr.Header().Rrtype
			if sig, is := rr.(*dns.RRSIG); is {
				typ = sig.TypeCovered
			}
			rr = dns.Copy(rr) // a file has the TTL that is signed, an answer may have a lower one
			for _, sig := range sigs {
				if sig.TypeCovered == typ && same(sig.Hdr.Name, rr.Header().Name) {
					rr.Header().Ttl = sig.OrigTtl
				}
			}
			if text := rr.String(); slices.Contains(types, typ) && !slices.Contains(out, text) {
				out = append(out, text)
			}
		}
	}
	apex := dns.Fqdn(zone)
	for name := apex; ; {
		m := e.say(t, name, dns.TypeNSEC, true, false, t0Addr)
		add(m.Answer, dns.TypeNSEC)
		var at *dns.NSEC
		for _, rr := range append(m.Answer, m.Ns...) {
			if n, is := rr.(*dns.NSEC); is && same(n.Hdr.Name, name) {
				at = n
			}
		}
		if at == nil {
			t.Fatalf("no NSEC at %s\n%v", name, m)
		}
		add(m.Ns, dns.TypeNS, dns.TypeDS, dns.TypeNSEC)
		for _, typ := range at.TypeBitMap {
			if typ != dns.TypeRRSIG && typ != dns.TypeNSEC {
				add(e.say(t, name, typ, true, false, t0Addr).Answer, typ)
			}
		}
		if name = at.NextDomain; same(name, apex) || len(out) > 10_000 {
			return strings.Join(out, "\n") + "\n"
		}
	}
}

// TestInteropWholeZone puts a zone with a chain together from its answers and has it verified as a whole: every name has
// its place in the chain, every set its signature.
func TestInteropWholeZone(t *testing.T) {
	now := time.Now()
	text := strings.NewReplacer("plain      IN NS  ns1\n", "", "child      IN NS  ns1\n", "").Replace(proven)
	for _, algorithm := range []uint8{sign.ECDSAP256, sign.Ed25519} {
		z := signedZone(text, profile.DenialNSEC)
		ps := decoded(t, strings.ReplaceAll(provenProfiles, "%[1]s", z.Name))
		for _, p := range ps {
			p.Hostnames = slices.DeleteFunc(p.Hostnames, func(h string) bool { return strings.HasPrefix(h, "dice.") }) // each look sees another one
		}
		e := &estate{fixture: create(nameserver.Options{}), dir: t.TempDir(), keys: map[string]*sign.Keys{z.Name: newCSK(t, z.Name, algorithm)}}
		e.srv.UseKeys(e.keys[z.Name])
		var views []*health.View
		for _, p := range ps {
			views = append(views, view(p, strings.Repeat("u", len(p.Endpoints)), nil))
		}
		e.publish(t, 7, []*profile.Zone{z}, ps, views)
		file := configured(t, e.dir, "walked", e.walk(t, z.Name))
		out, err := run(t, "ldns-verify-zone", "-V", "2", "-k", e.anchor(t, z.Name, "rr"), file)
		if err != nil {
			t.Errorf("algorithm %d: %v\n%s", algorithm, err, out)
		}
		late := now.Add(20 * 24 * time.Hour).UTC().Format("20060102150405")
		if out, err = run(t, "ldns-verify-zone", "-t", late, "-k", e.anchor(t, z.Name, "rr"), file); err == nil {
			t.Errorf("algorithm %d: after 20 days it still verifies\n%s", algorithm, out)
		}
		out, err = run(t, "dnssec-verify", "-z", "-o", z.Name, file)
		if err != nil || !strings.Contains(out, "Zone fully signed") {
			t.Errorf("algorithm %d: %v\n%s", algorithm, err, out)
		}
	}
}
