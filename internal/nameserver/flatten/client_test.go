package flatten

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// What resolvers may answer, and what is made of it.
func TestRead(t *testing.T) {
	t.Parallel()
	const soa = "test. 300 IN SOA ns.test. h.test. 1 2 3 4 60"
	cases := []struct {
		name    string
		rcode   int
		records []string
		change  func(*dns.Msg)
		want    string // outcome, addresses or error, TTL
	}{
		{"an address", 0, []string{"x.test. 60 IN A 192.0.2.1"}, nil, "found [192.0.2.1] 1m0s"},
		{"the smallest TTL", 0, []string{"x.test. 60 IN A 192.0.2.1", "X.test. 30 IN A 192.0.2.2"}, nil, "found [192.0.2.1 192.0.2.2] 30s"},
		{"a chain in any order", 0, []string{"c.test. 60 IN A 192.0.2.1", "b.test. 20 IN CNAME c.test.", "x.test. 90 IN CNAME B.test."}, nil, "found [192.0.2.1] 20s"},
		{"addresses of others are not ours", 0, []string{"x.test. 60 IN A 192.0.2.1", "y.test. 60 IN A 192.0.2.66"}, nil, "found [192.0.2.1] 1m0s"},
		{"only addresses of others", 0, []string{"y.test. 60 IN A 192.0.2.66", soa}, nil, "none [] 1m0s"},
		{"another class", 0, []string{"x.test. 60 CH A 192.0.2.66", soa}, nil, "none [] 1m0s"},
		{"NODATA", 0, []string{soa}, nil, "none [] 1m0s"},
		{"NODATA without an SOA", 0, nil, nil, "none [] 30s"},
		{"NODATA behind an alias", 0, []string{"x.test. 10 IN CNAME b.test.", soa}, nil, "none [] 10s"},
		{"NXDOMAIN", 3, []string{soa}, nil, "none [] 1m0s"},
		{"NXDOMAIN with addresses", 3, []string{"x.test. 60 IN A 192.0.2.1"}, nil, "failed it answers NXDOMAIN, and addresses"},
		{"SERVFAIL", 2, nil, nil, "failed it answers SERVFAIL"},
		{"REFUSED", 5, nil, nil, "failed it answers REFUSED"},
		{"a referral", 0, nil, func(m *dns.Msg) {
			m.Ns = []dns.RR{&dns.NS{Hdr: dns.RR_Header{Name: "test.", Rrtype: dns.TypeNS, Class: 1}, Ns: "ns.test."}}
		}, "failed it answers nothing, and it does not resolve for us"},
		{"nothing, of a server that does not resolve", 0, nil, func(m *dns.Msg) { m.RecursionAvailable = false }, "failed it answers nothing, and it does not resolve for us"},
		{"nothing, of one that is responsible", 0, []string{soa}, func(m *dns.Msg) { m.RecursionAvailable, m.Authoritative = false, true }, "none [] 1m0s"},
		{"an alias away from one that is responsible", 0, []string{"x.test. 10 IN CNAME b.else."}, func(m *dns.Msg) { m.RecursionAvailable, m.Authoritative = false, true }, "failed it answers nothing, and it does not resolve for us"},
		{"a circle", 0, []string{"x.test. 10 IN CNAME b.test.", "b.test. 10 IN CNAME x.test."}, nil, "failed its answer is a chain of aliases without an end"},
		{"a circle of others", 0, []string{"x.test. 10 IN CNAME b.test.", "b.test. 10 IN CNAME c.test.", "c.test. 10 IN CNAME b.test."}, nil, "failed its answer is a chain of aliases without an end"},
		{"a filter's address", 0, []string{"x.test. 60 IN A 0.0.0.0"}, nil, "failed it answers addresses nobody can use, such as 0.0.0.0"},
		{"one usable address", 0, []string{"x.test. 60 IN A 0.0.0.0", "x.test. 60 IN A 192.0.2.1"}, nil, "found [192.0.2.1] 1m0s"},
		{"a TTL with its highest bit", 0, []string{"x.test. 4294967295 IN A 192.0.2.1"}, nil, "found [192.0.2.1] 0s"},
	}
	for _, c := range cases {
		m := reply(new(dns.Msg).SetQuestion("x.test.", dns.TypeA), c.records...)
		m.Rcode = c.rcode
		if c.change != nil {
			c.change(m)
		}
		r := read(m, "X.test", dns.TypeA)
		got := fmt.Sprint(r.outcome, " ", texted(&r), " ", r.ttl)
		if r.outcome == failed {
			got = fmt.Sprint(r.outcome, " ", r.err)
		}
		if got != c.want {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
	long := []string{"x.test. 10 IN CNAME n0.test."}
	for i := range 20 {
		long = append(long, fmt.Sprintf("n%d.test. 10 IN CNAME n%d.test.", i, i+1))
	}
	if r := read(reply(new(dns.Msg).SetQuestion("x.test.", dns.TypeA), long...), "x.test", dns.TypeA); r.outcome != failed {
		t.Errorf("a chain of 21: %v", r.outcome)
	}
}

// Resolvers that misbehave, alone and with a good one behind. What package question passes over is tested there.
func TestMisbehavingResolvers(t *testing.T) {
	quick(t)
	good := records("x.test. 60 IN A 192.0.2.1", "x.test. 60 IN AAAA 2001:db8::1")
	lie := func(q *dns.Msg) *dns.Msg { return reply(q, "x.test. 60 IN A 192.0.2.66") }
	first := func(change func(*dns.Msg)) func(*resolver, dns.ResponseWriter, *dns.Msg) {
		return func(r *resolver, w dns.ResponseWriter, q *dns.Msg) {
			m := lie(q)
			change(m)
			_ = w.WriteMsg(m)
			good(r, w, q)
		}
	}
	other := newResolver(t, good)
	cases := map[string]struct {
		answer func(*resolver, dns.ResponseWriter, *dns.Msg)
		alone  string // what it comes to without the good one
	}{
		"good":                   {good, "192.0.2.1"},
		"silent":                 {mute, "no answer in time"},
		"SERVFAIL":               {code(dns.RcodeServerFailure), "it answers SERVFAIL"},
		"REFUSED":                {code(dns.RcodeRefused), "it answers REFUSED"},
		"lame":                   {func(_ *resolver, w dns.ResponseWriter, q *dns.Msg) { _ = w.WriteMsg(new(dns.Msg).SetReply(q)) }, "it does not resolve for us"},
		"spoofed id, then right": {first(func(m *dns.Msg) { m.Id++ }), "192.0.2.1"},
		"truncated over UDP": {func(r *resolver, w dns.ResponseWriter, q *dns.Msg) {
			if w.RemoteAddr().Network() == "tcp" {
				good(r, w, q)
				return
			}
			m := lie(q)
			m.Truncated = true
			_ = w.WriteMsg(m)
		}, "192.0.2.1"},
		"broken": {func(_ *resolver, w dns.ResponseWriter, q *dns.Msg) {
			pkt, _ := lie(q).Pack()
			_, _ = w.Write(pkt[:len(pkt)-3])
		}, "its answer cannot be read"},
		"late": {func(r *resolver, w dns.ResponseWriter, q *dns.Msg) {
			time.Sleep(400 * time.Millisecond) // longer than anybody waits
			good(r, w, q)
		}, "no answer in time"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			bad := newResolver(t, c.answer)
			r := clientOf(bad).Look(t.Context(), "x.test", dns.TypeA, netip.AddrPort{}, netip.AddrPort{})
			got := strings.Join(texted(&r), " ")
			if r.err != nil {
				got = r.err.Error()
			}
			if !strings.Contains(got, c.alone) {
				t.Errorf("alone: got %q, want %q", got, c.alone)
			}
			r = clientOf(bad, other).Look(t.Context(), "x.test", dns.TypeAAAA, netip.AddrPort{}, netip.AddrPort{})
			if c.alone != "192.0.2.1" && (r.resolver != other.addr || !slices.Equal(texted(&r), []string{"2001:db8::1"})) {
				t.Errorf("with a good one behind: %v %v", r.resolver, r.err)
			}
		})
	}
}

// A resolver that was silent is asked last for a while, so that it delays one look and not every one.
func TestSilentResolverIsAskedLast(t *testing.T) {
	quick(t)
	dead, good := newResolver(t, mute), newResolver(t, records("x.test. 60 IN A 192.0.2.1"))
	c := clientOf(dead, good)
	for range 5 {
		if r := c.Look(t.Context(), "x.test", dns.TypeA, netip.AddrPort{}, netip.AddrPort{}); r.outcome != found {
			t.Fatal(r.err)
		}
	}
	if n := dead.asked.Load(); n != 1 {
		t.Errorf("the dead one was asked %d times", n)
	}
	if got := c.order(dead.addr, netip.AddrPort{}); got[0] != good.addr {
		t.Errorf("preferred although silent: %v", got)
	}
	if got := c.order(netip.AddrPort{}, good.addr); got[0] != dead.addr {
		t.Errorf("a second opinion comes from %v first", got[0])
	}
	if r := NewClient(Fixed(nil)).Look(t.Context(), "x.test", dns.TypeA, netip.AddrPort{}, netip.AddrPort{}); r.outcome != failed || r.err == nil {
		t.Errorf("without resolvers: %+v", r)
	}
}

func TestSystemResolvers(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "resolv.conf")
	write := func(text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("# x\nnameserver 127.0.0.1\nnameserver 192.0.2.53\nnameserver 192.0.2.53\nnameserver 2001:db8::53\nsearch a b\n")
	for own, want := range map[string]string{
		"":             "[127.0.0.1:53 192.0.2.53:53 [2001:db8::53]:53]",
		"127.0.0.1:53": "[192.0.2.53:53 [2001:db8::53]:53]",
		"[::]:53":      "[192.0.2.53:53 [2001:db8::53]:53]",
		"0.0.0.0:5300": "[127.0.0.1:53 192.0.2.53:53 [2001:db8::53]:53]",
	} {
		var ours []netip.AddrPort
		if own != "" {
			ours = append(ours, netip.MustParseAddrPort(own))
		}
		list, _, err := parseConf(path, ours)
		if got := fmt.Sprint(list); err != nil || got != want {
			t.Errorf("own %q: %s %v, want %s", own, got, err, want)
		}
	}
	if _, _, err := parseConf(path+".no", nil); err == nil {
		t.Error("no file is no error")
	}
}
