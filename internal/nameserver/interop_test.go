//go:build interop

package nameserver_test

import (
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"jurymast/internal/testbed"
)

// TestInteropDig asks as RFC 8906 section 8 does: an answer to everything, and the right one.
func TestInteropDig(t *testing.T) {
	dig := testbed.Tool(t, "dig")
	f := standardFixture(t, "127.0.0.1:0", "[::1]:0")
	f.serve(t)
	cases := []struct {
		args string
		want []string // "!" in front: must not be there
	}{
		{"+noedns +noad +norec dr.example soa", []string{"status: NOERROR", "flags: qr aa;", "ANSWER: 1", "!OPT PSEUDOSECTION"}},
		{"+noedns +noad +norec dr.example type1000", []string{"status: NOERROR", "flags: qr aa;", "ANSWER: 0"}},
		{"+noedns +noad +norec +cd dr.example soa", []string{"status: NOERROR", "flags: qr aa;"}},
		{"+noedns +norec +ad dr.example soa", []string{"status: NOERROR", "flags: qr aa;"}},
		{"+noedns +noad +norec +zflag dr.example soa", []string{"status: NOERROR", "flags: qr aa;", "!MBZ"}},
		{"+noedns +noad +rec dr.example soa", []string{"status: NOERROR", "flags: qr aa rd;"}},
		{"+noedns +noad +norec +opcode=15 +header-only dr.example", []string{"status: NOTIMP", "flags: qr;", "QUERY: 0, ANSWER: 0, AUTHORITY: 0, ADDITIONAL: 0"}},
		{"+noedns +noad +norec +tcp dr.example soa", []string{"status: NOERROR", "flags: qr aa;"}},
		{"+edns=0 +nocookie +noad +norec dr.example soa", []string{"status: NOERROR", "EDNS: version: 0, flags:; udp: 1232"}},
		{"+edns=1 +noednsneg +nocookie +noad +norec dr.example soa", []string{"status: BADVERS", "EDNS: version: 0", "ANSWER: 0"}},
		{"+ednsopt=100 +nocookie +noad +norec dr.example soa", []string{"status: NOERROR", "EDNS: version: 0", "!OPT=100"}},
		{"+ednsflags=0x40 +nocookie +noad +norec dr.example soa", []string{"status: NOERROR", "flags:; udp", "!MBZ"}},
		{"+edns=1 +noednsneg +ednsflags=0x40 +nocookie +noad +norec dr.example soa", []string{"status: BADVERS", "!MBZ"}},
		{"+edns=1 +noednsneg +ednsopt=100 +nocookie +noad +norec dr.example soa", []string{"status: BADVERS", "!OPT=100"}},
		{"+dnssec +nocookie +noad +norec dr.example soa", []string{"status: NOERROR", "flags: do; udp: 1232"}},
		{"+edns=1 +noednsneg +dnssec +nocookie +noad +norec dr.example soa", []string{"status: BADVERS", "flags: do;"}},
		{"+edns=0 +cookie +nsid +expire +subnet=0.0.0.0/0 +noad +norec dr.example soa", []string{"status: NOERROR", "EDNS: version: 0"}},
		{"+bufsize=512 +ignore +norec big.dr.example txt", []string{"flags: qr aa tc", "ANSWER: 0"}},
		{"+bufsize=512 +norec big.dr.example txt", []string{"flags: qr aa", "ANSWER: 5", "!flags: qr aa tc;"}},
		{"+norec x.sub.dr.example a", []string{"flags: qr;", "AUTHORITY: 2", "192.0.2.53"}},
		{"+norec svc.dr.example a", []string{"CNAME\ttwo.elsewhere.test."}},
		{"+norec nothing.dr.example a", []string{"status: NXDOMAIN", "AUTHORITY: 1"}},
		{"+norec other.test a", []string{"status: REFUSED", "EDE: 20"}},
		{"+norec new-svc.dr.example a", []string{"status: SERVFAIL", "EDE: 14"}},
		{"+norec ch version.bind txt", []string{"status: REFUSED"}},
	}
	for _, at := range f.srv.Addrs() {
		for _, c := range cases {
			args := append([]string{"@" + at.Addr().String(), "-p", strconv.Itoa(int(at.Port())), "+time=5", "+tries=1"}, strings.Fields(c.args)...)
			expectOutput(t, dig, args, c.want)
		}
	}
}

// TestInteropSubnet asks with client subnets, as resolvers do for their clients.
func TestInteropSubnet(t *testing.T) {
	dig := testbed.Tool(t, "dig")
	f := methods(t, "127.0.0.1:0")
	at := f.serve(t)
	for args, want := range map[string][]string{
		"+subnet=203.0.113.0/24 subnet.dr.example a":      {"CLIENT-SUBNET: 203.0.113.0/24/25", "192.0.2.1"},
		"+subnet=198.51.100.0/24 subnet.dr.example a":     {"CLIENT-SUBNET: 198.51.100.0/24/5", "192.0.2.2"},
		"+subnet=2001:db8:1::/56 subnet.dr.example a":     {"CLIENT-SUBNET: 2001:db8:1::/56/48", "192.0.2.1"},
		"+subnet=203.0.113.0/24 geographic.dr.example a":  {"CLIENT-SUBNET: 203.0.113.0/24/24", "192.0.2.1"},
		"+subnet=203.0.113.0/24 nested.dr.example a":      {"CLIENT-SUBNET: 203.0.113.0/24/24", "ANSWER: 1"},
		"+subnet=203.0.113.0/24 priority.dr.example a":    {"CLIENT-SUBNET: 203.0.113.0/24/0", "192.0.2.1"},
		"+subnet=203.0.113.0/24 denied.dr.example aaaa":   {"CLIENT-SUBNET: 203.0.113.0/24/25", "status: NOERROR", "ANSWER: 0"},
		"+subnet=198.51.100.0/24 denied.dr.example a":     {"CLIENT-SUBNET: 198.51.100.0/24/5", "status: NXDOMAIN"},
		"+subnet=0.0.0.0/0 subnet.dr.example a":           {"CLIENT-SUBNET: 0.0.0.0/0/0", "192.0.2.2"},
		"+subnet=0 mail.dr.example a":                     {"status: NOERROR", "192.0.2.25"},
		"+tcp +subnet=203.0.113.0/24 subnet.dr.example a": {"CLIENT-SUBNET: 203.0.113.0/24/25", "192.0.2.1"},
		"subnet.dr.example a":                             {"!CLIENT-SUBNET", "192.0.2.2"},
		"+subnet=203.0.113.0/24 other.test a":             {"!CLIENT-SUBNET", "status: REFUSED"},
	} {
		all := append([]string{"@127.0.0.1", "-p", strconv.Itoa(int(at.Port())), "+time=5", "+tries=1", "+norec", "+nocookie"}, strings.Fields(args)...)
		expectOutput(t, dig, all, want)
	}
}

func TestInteropKdigAndDrill(t *testing.T) {
	f := standardFixture(t, "127.0.0.1:0")
	at := f.serve(t)
	port := strconv.Itoa(int(at.Port()))
	kdig, drill := testbed.Tool(t, "kdig"), testbed.Tool(t, "drill")
	for _, transport := range []string{"+notcp", "+tcp"} {
		expectOutput(t, kdig, []string{"@127.0.0.1", "-p", port, transport, "+edns", "dr.example", "a"}, []string{"status: NOERROR", "192.0.2.1", "192.0.2.2"})
		expectOutput(t, kdig, []string{"@127.0.0.1", "-p", port, transport, "+edns", "host.moved.dr.example", "a"}, []string{"DNAME", "CNAME", "192.0.2.44"})
	}
	expectOutput(t, drill, []string{"-p", port, "@127.0.0.1", "mail.dr.example", "aaaa"}, []string{"rcode: NOERROR", "2001:db8::25"})
	expectOutput(t, drill, []string{"-t", "-p", port, "@127.0.0.1", "nothing.dr.example"}, []string{"rcode: NXDOMAIN", "SOA"})
}

func expectOutput(t *testing.T, program string, args, want []string) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), program, args...).CombinedOutput()
	if err != nil {
		t.Errorf("%s %s: %v\n%s", program, strings.Join(args, " "), err, out)
		return
	}
	for _, w := range want {
		not, forbidden := strings.CutPrefix(w, "!")
		if forbidden && strings.Contains(string(out), not) || !forbidden && !strings.Contains(string(out), w) {
			t.Errorf("%s %s: want %q in\n%s", program, strings.Join(args, " "), w, out)
		}
	}
}
