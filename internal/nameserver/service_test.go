package nameserver_test

import (
	"bytes"
	"net/netip"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"jurymast/internal/health"
	"jurymast/internal/nameserver"
	"jurymast/internal/profile"
	"jurymast/internal/snapshot"
)

// httpsOf publishes one profile with HTTPS records and asks for them.
func httpsOf(t *testing.T, p *profile.Profile, word string, change func(*health.View), options nameserver.Options) *fixture {
	t.Helper()
	f := create(options)
	f.publish(t, 7, []*profile.Zone{testZone("web A 192.0.2.80\n")}, profiles(p), []*health.View{view(p, word, change)})
	return f
}

// HTTPS records follow the choice: they lead to the name itself with hints that are the addresses a question for A gets,
// or without hints where that question would throw its own dice.
func TestHTTPS(t *testing.T) {
	const pair = "https: {}, endpoints: [{name: a, target: [192.0.2.1, 192.0.2.2, \"2001:db8::1\"]}, {name: b, target: 192.0.2.3}]"
	const hosts = "https: {}, endpoints: [{name: a, target: one.elsewhere.test}, {name: b, target: two.elsewhere.test}]"
	for _, c := range []struct {
		name, mode, rest, word string
		change                 func(*health.View)
		want                   string
	}{
		{"preferred", "none", pair, "uu", nil, `HTTPS 1 . alpn="h2,http/1.1" ipv4hint="192.0.2.1,192.0.2.2" ipv6hint="2001:db8::1"`},
		{"standby", "none", pair, "du", nil, `HTTPS 1 . alpn="h2,http/1.1" ipv4hint="192.0.2.3"`},
		{"all down", "none", pair, "dd", nil, `HTTPS 1 . alpn="h2,http/1.1" ipv4hint="192.0.2.1,192.0.2.2" ipv6hint="2001:db8::1" (0)`},
		{"all down, nobody", "none", "all_down: none, " + pair, "dd", nil, "NODATA (0)"},
		{"not ready", "none", pair, "cc", unready, "SERVFAIL (14)"},
		{"stale", "none", pair, "uu", stale, `HTTPS 1 . alpn="h2,http/1.1" ipv4hint="192.0.2.1,192.0.2.2" ipv6hint="2001:db8::1" (3)`},
		{"disabled", "none", pair, "uu", disabled, "NODATA (0)"},
		{"disabled, azure", "azure", "https: {}, endpoints: [{name: a, target: 192.0.2.1}]", "u", disabled, "NXDOMAIN (0)"},
		{"own protocols", "none", "https: {alpn: [h3]}, endpoints: [{name: a, target: 192.0.2.1}]", "u", nil, `HTTPS 1 . alpn="h3" ipv4hint="192.0.2.1"`},
		{"none configured", "none", "endpoints: [{name: a, target: 192.0.2.1}]", "u", nil, "NODATA"},
		{"none configured, not ready", "none", "endpoints: [{name: a, target: 192.0.2.1}]", "c", unready, "NODATA"},
		{"host name", "none", hosts, "uu", nil, "CNAME one.elsewhere.test."},
		{"host name, standby", "none", hosts, "du", nil, "CNAME two.elsewhere.test."},
		{"addresses of last resort beside host names", "none", "all_down: {target: 192.0.2.9}, " + hosts, "dd", nil, `HTTPS 1 . alpn="h2,http/1.1" ipv4hint="192.0.2.9" (0)`},
		{"weighted", "none", "routing: weighted, " + pair, "uu", nil, `HTTPS 1 . alpn="h2,http/1.1"`},
		{"multivalue", "none", "routing: multivalue, " + pair, "uu", nil, `HTTPS 1 . alpn="h2,http/1.1"`},
		{
			"many addresses", "none", "https: {}, endpoints: [{name: a, target: [192.0.2.1, 192.0.2.2, 192.0.2.3, 192.0.2.4, 192.0.2.5, 192.0.2.6, 192.0.2.7, 192.0.2.8, 192.0.2.9]}]", "u", nil,
			`HTTPS 1 . alpn="h2,http/1.1" ipv4hint="192.0.2.1,192.0.2.2,192.0.2.3,192.0.2.4,192.0.2.5,192.0.2.6,192.0.2.7,192.0.2.8"`,
		},
	} {
		f := httpsOf(t, one(t, c.mode, c.rest), c.word, c.change, nameserver.Options{})
		m := f.put(t, "p.dr.example", "HTTPS", t0Addr, netip.Prefix{})
		if got := told(m); got != c.want {
			t.Errorf("%s:\ngot  %s\nwant %s", c.name, got, c.want)
		}
		agrees(t, c.name, m, f.put(t, "p.dr.example", "A", t0Addr, netip.Prefix{}), f.put(t, "p.dr.example", "AAAA", t0Addr, netip.Prefix{}))
	}
}

// agrees: hints are among the addresses answered, and are kept as long.
func agrees(t *testing.T, name string, https *dns.Msg, answers ...*dns.Msg) {
	t.Helper()
	known := map[string]uint32{}
	for _, m := range answers {
		for _, rr := range m.Answer {
			switch rr := rr.(type) {
			case *dns.A:
				known[rr.A.String()] = rr.Hdr.Ttl
			case *dns.AAAA:
				known[rr.AAAA.String()] = rr.Hdr.Ttl
			}
		}
	}
	for _, rr := range https.Answer {
		record, ok := rr.(*dns.HTTPS)
		if !ok {
			continue
		}
		for _, p := range record.Value {
			if p.Key() != dns.SVCB_IPV4HINT && p.Key() != dns.SVCB_IPV6HINT {
				continue
			}
			for hint := range strings.SplitSeq(p.String(), ",") {
				if ttl, ok := known[hint]; !ok || ttl != record.Hdr.Ttl {
					t.Errorf("%s: the hint %s for %d s is not what is answered: %v", name, hint, record.Hdr.Ttl, known)
				}
			}
		}
	}
}

// The bytes as RFC 9460 has them, and no allocation beyond the first answer.
func TestHTTPSOnTheWire(t *testing.T) {
	f := httpsOf(t, one(t, "none", `https: {}, endpoints: [{name: a, target: [192.0.2.1, "2001:db8::1"]}]`), "u", nil, nameserver.Options{})
	question := packet(head, "name:P.dr.example", "0041 0001")
	loop := f.srv.RawLoop()
	got := loop(question, t0Addr)
	want := packet("1234 8400 0001 0001 0000 0000", "name:P.dr.example", "0041 0001", "c00c 0041 0001 0000001e 002f", "0001 00",
		"0001 000c 02"+hexOf("h2")+"08"+hexOf("http/1.1"), "0004 0004 c0000201", "0006 0010 20010db8000000000000000000000001")
	if !bytes.Equal(got, want) {
		t.Errorf("got  %x\nwant %x", got, want)
	}
	if n := testing.AllocsPerRun(100, func() { loop(question, t0Addr) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// A wildcard's record leads to the name that was asked for, and other types at the name stay as they were.
func TestHTTPSBesideOthers(t *testing.T) {
	p := one(t, "none", "https: {}, endpoints: [{name: a, target: 192.0.2.1}]")
	p.Hostnames = names("*.p.dr.example", "dr.example")
	f := create(nameserver.Options{})
	f.publish(t, 7, []*profile.Zone{testZone("@ MX 10 mail\nmail A 192.0.2.5\nmail HTTPS 1 . alpn=h2\n")}, profiles(p), []*health.View{view(p, "u", nil)})
	for question, want := range map[string]string{
		"x.p.dr.example HTTPS":  `HTTPS 1 . alpn="h2,http/1.1" ipv4hint="192.0.2.1"`,
		"dr.example HTTPS":      `HTTPS 1 . alpn="h2,http/1.1" ipv4hint="192.0.2.1"`,
		"dr.example MX":         "MX 10 mail.dr.example.",
		"dr.example SVCB":       "NODATA",
		"mail.dr.example HTTPS": `HTTPS 1 . alpn="h2"`,
	} {
		name, typ, _ := strings.Cut(question, " ")
		if got := told(f.put(t, name, typ, t0Addr, netip.Prefix{})); got != want {
			t.Errorf("%s: %s, want %s", question, got, want)
		}
	}
	p.Hostnames = names("mail.dr.example")
	_, err := f.hub.Prepare(&snapshot.Documents{Generation: 8, Zones: []*profile.Zone{testZone("@ MX 10 mail\nmail HTTPS 1 . alpn=h2\n")}, Profiles: profiles(p)})
	if err == nil || !strings.Contains(err.Error(), "has HTTPS records at the same name (records line 2); remove them, or https from the profile") {
		t.Errorf("records beside: %v", err)
	}
}

// A subnet of ::ffff:0:0/96 tells no bit of the IPv4 address it stands for: the resolver's decides, and the answer holds
// for that range alone, not for all of IPv6.
func TestScopeOfMappedNothing(t *testing.T) {
	f := methods(t)
	for option, want := range map[string]string{
		"0008 0010 0002 60 00 00000000000000000000ffff": "0008 0010 0002 60 60 00000000000000000000ffff",
		"0008 0004 0001 00 00":                          "0008 0004 0001 00 00",
	} {
		got := f.srv.RawFrom(packet(opt, "name:subnet.dr.example", "0001 0001", anOPT, withOptions(option)), false, inGermany)
		if !bytes.HasSuffix(got, packet(withOptions(want))) {
			t.Errorf("%s: %x, want %s behind", option, got, want)
		}
	}
}

// dns: required makes an error of what is a warning otherwise.
func TestRequiredNames(t *testing.T) {
	p := one(t, "none", "dns: required, endpoints: [{name: a, target: 192.0.2.1}]")
	p.Hostnames = names("p.dr.example", "p.elsewhere.test")
	docs := &snapshot.Documents{Generation: 1, Zones: []*profile.Zone{testZone("")}, Profiles: profiles(p)}
	if _, err := nameserver.Warnings(docs); err == nil || !strings.Contains(err.Error(), "profile p: host name p.elsewhere.test: it is in no zone, and the profile says dns: required") {
		t.Errorf("got %v", err)
	}
	p.DNS = profile.DNSAnywhere
	if list, err := nameserver.Warnings(docs); err != nil || len(list) != 1 {
		t.Errorf("got %v, %v", list, err)
	}
	f, err := profile.DecodeFile("j.yaml", []byte("zones: [{name: dr.example, nameservers: [ns1.dr.example]}]\nprofiles: [{name: p, dns: required, hostnames: [a.dr.example, b.test], endpoints: [{name: a, target: 192.0.2.1}]}]\n"))
	if err != nil {
		t.Fatal(err)
	}
	found := nameserver.Problems(f)
	if len(found) != 1 || found[0].Path != "profiles[0].hostnames[1]" || found[0].Severity != profile.SeverityError {
		t.Errorf("found %v", found)
	}
	if warned := profile.Warnings(f); strings.Contains(warned.Error(), "hostnames") {
		t.Errorf("the same is a warning, too: %v", warned)
	}
}

// Glue that is needed to reach a delegation's servers is whole, or TC says that something is missing; other addresses
// may be left out without a word [RFC 9471].
func TestGlueSizes(t *testing.T) {
	text := ""
	for _, c := range []string{"a", "b", "c", "d", "e", "f", "g", "h"} {
		name := c + strings.Repeat("x", 40)
		text += "inner NS " + name + ".inner\n" + name + ".inner AAAA 2001:db8::1\n"
		text += "outer NS " + name + ".other\n" + name + ".other AAAA 2001:db8::1\n"
	}
	f := create(nameserver.Options{})
	f.publish(t, 7, []*profile.Zone{testZone(text)}, nil, nil)
	for _, c := range []struct {
		name   string
		stream bool
		size   uint16
		cut    bool
		glue   int
	}{
		{"inner", false, 0, true, 0},
		{"inner", false, 1232, false, 8},
		{"inner", true, 0, false, 8},
		{"inner", false, 700, true, 0},
		{"outer", false, 600, false, -1},
		{"outer", true, 0, false, 8},
	} {
		q := query("x."+c.name+".dr.example.", dns.TypeA)
		if c.size > 0 {
			q.SetEdns0(c.size, false)
		}
		pkt, err := q.Pack()
		if err != nil {
			t.Fatal(err)
		}
		raw, m := f.srv.Raw(pkt, c.stream), new(dns.Msg)
		if err := m.Unpack(raw); err != nil {
			t.Fatal(err)
		}
		glue := len(m.Extra)
		if m.IsEdns0() != nil {
			glue--
		}
		switch {
		case m.Truncated != c.cut, c.glue >= 0 && glue != c.glue, c.glue < 0 && (glue == 0 || glue == 8 || len(m.Ns) != 8), c.cut && len(m.Ns)+len(m.Answer) > 0:
			t.Errorf("%s, %d bytes: %d of %d bytes, TC %v, %d NS, %d addresses", c.name, c.size, len(raw), c.size, m.Truncated, len(m.Ns), glue)
		}
	}
}

// Where no CNAME may stand, a host name outside our zones gets the alias form, and one inside them the form that leads
// nowhere else: two of our names that point to each other would send clients in a circle.
func TestHTTPSWhereNoAliasMayStand(t *testing.T) {
	for _, c := range []struct{ rest, hostname, want string }{
		{"endpoints: [{name: a, target: cdn.elsewhere.test}]", "dr.example", "HTTPS 0 cdn.elsewhere.test."},
		{"endpoints: [{name: a, target: web.dr.example}]", "dr.example", `HTTPS 1 . alpn="h2,http/1.1"`},
		{"answer: flatten, endpoints: [{name: a, target: cdn.elsewhere.test}]", "p.dr.example", "HTTPS 0 cdn.elsewhere.test."},
		{"answer: flatten, endpoints: [{name: a, target: 192.0.2.1}, {name: b, target: cdn.elsewhere.test}]", "p.dr.example", `HTTPS 1 . alpn="h2,http/1.1" ipv4hint="192.0.2.1"`},
		{"routing: weighted, answer: flatten, endpoints: [{name: a, target: cdn.elsewhere.test}]", "p.dr.example", "HTTPS 0 cdn.elsewhere.test."},
		{"endpoints: [{name: a, target: cdn.elsewhere.test}]", "p.dr.example", "CNAME cdn.elsewhere.test."},
	} {
		p := one(t, "none", "https: {}, "+c.rest)
		p.Hostnames = names(c.hostname)
		f := httpsOf(t, p, strings.Repeat("u", len(p.Endpoints)), nil, nameserver.Options{})
		m := f.put(t, c.hostname, "HTTPS", t0Addr, netip.Prefix{})
		if got := told(m); got != c.want {
			t.Errorf("%s at %s:\ngot  %s\nwant %s", c.rest, c.hostname, got, c.want)
		}
	}
}
