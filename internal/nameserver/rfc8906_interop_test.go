//go:build interop

package nameserver_test

import (
	"bytes"
	"fmt"
	"net/netip"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/miekg/dns"

	"jurymast/internal/nameserver"
	"jurymast/internal/nameserver/wire"
	"jurymast/internal/profile"
	"jurymast/internal/testbed"
)

// aboutName is one name that every row is asked for, and what is said of it.
type aboutName struct {
	name, typ, status string
	aa                bool
	answers           int
}

// The names: apex, static, of a profile, missing, and of a zone that is not ours.
var aboutNames = []aboutName{
	{"dr.example", "soa", "NOERROR", true, 1},
	{"mail.dr.example", "a", "NOERROR", true, 1},
	{"addr.dr.example", "a", "NOERROR", true, 2},
	{"nothing.dr.example", "a", "NXDOMAIN", true, 0},
	{"other.test", "a", "REFUSED", false, 0},
}

// row is one probe of RFC 8906, section 8, and what must come back. What is not said must be as for a plain question.
type row struct {
	number   string
	args     string // without name and type
	typ      string // instead of the name's; then nothing is there
	status   string // instead of the name's
	empty    bool   // no AA, no records
	opt      bool
	do, rd   bool
	contains []string
	never    []string
}

const plainAsk = "+noedns +noad +norec "

// rows 1 to 20; 8b is one for every opcode. The RFC's are 1 to 7 and 9 to 18.
var rows = []row{
	{number: "1", args: plainAsk},
	{number: "2", args: plainAsk, typ: "type1000"},
	{number: "3", args: plainAsk + "+cd"},
	{number: "4", args: "+noedns +norec +ad"},
	{number: "5", args: plainAsk + "+zflag"},
	{number: "6", args: "+noedns +noad +rec", rd: true},
	{number: "7", args: plainAsk + "+opcode=15 +header-only", status: "NOTIMP", empty: true, contains: []string{"QUERY: 0, ANSWER: 0, AUTHORITY: 0, ADDITIONAL: 0"}},
	{number: "8", args: plainAsk + "+opcode=15", status: "NOTIMP", empty: true, contains: []string{"opcode: RESERVED15"}},
	{number: "9", args: plainAsk + "+tcp"},
	{number: "10", args: "+edns=0 +nocookie +noad +norec", opt: true},
	{number: "11", args: "+edns=1 +noednsneg +nocookie +noad +norec", status: "BADVERS", empty: true, opt: true},
	{number: "12", args: "+ednsopt=100 +nocookie +noad +norec", opt: true, never: []string{"OPT=100"}},
	{number: "13", args: "+ednsflags=0x40 +nocookie +noad +norec", opt: true},
	{number: "14", args: "+edns=1 +noednsneg +ednsflags=0x40 +nocookie +noad +norec", status: "BADVERS", empty: true, opt: true},
	{number: "15", args: "+edns=1 +noednsneg +ednsopt=100 +nocookie +noad +norec", status: "BADVERS", empty: true, opt: true, never: []string{"OPT=100"}},
	{number: "17", args: "+dnssec +nocookie +noad +norec", opt: true, do: true},
	{number: "18", args: "+edns=1 +noednsneg +dnssec +nocookie +noad +norec", status: "BADVERS", empty: true, opt: true, do: true},
	{number: "19", args: "+edns=0 +cookie +nsid +expire +subnet=0.0.0.0/0 +noad +norec", opt: true, contains: []string{"; COOKIE: ", "(good)", "; NSID: 6e 31"}, never: []string{"EXPIRE"}},
	{number: "20", args: "+edns=0 +cookie=0123456789abcdef +header-only +noad +norec", status: "NOERROR", empty: true, opt: true, contains: []string{"QUERY: 0", "; COOKIE: 0123456789abcdef", "(good)"}},
}

// opcodeRows is row 8 for opcodes 1 to 14, each asked for its own answer: NOTIFY is known, and nobody is our primary.
func opcodeRows() (list []row) {
	for code := 1; code <= 14; code++ {
		r := row{number: fmt.Sprintf("8, opcode %d", code), args: plainAsk + fmt.Sprintf("+opcode=%d", code), status: "NOTIMP", empty: true}
		if code == 4 {
			r.status = "NOTAUTH" // of an apex of ours: REFUSED
		}
		list = append(list, r)
	}
	return list
}

const largeKeys = `
@ IN DNSKEY 256 3 13 %s
@ IN DNSKEY 256 3 13 %s
@ IN DNSKEY 257 3 13 %s
`

// TestInteropRFC8906 asks every row for every kind of name, over UDP and TCP, IPv4 and IPv6.
func TestInteropRFC8906(t *testing.T) {
	dig := testbed.Tool(t, "dig")
	p := service("addr", names("addr.dr.example"), addrs("192.0.2.70", "192.0.2.71"))
	f := create(nameserver.Options{Listen: []string{"127.0.0.1:0", "[::1]:0"}, EDNS: nameserver.EDNS{NSID: "n1"}})
	key := strings.Repeat("QUJD", 80)
	text := records + fmt.Sprintf(largeKeys, key+"QQ==", key+"Qg==", key+"Qw==")
	f.publish(t, 7, []*profile.Zone{testZone(text)}, profiles(p), nil)
	f.hub.Publish(nil, view(p, "u", nil))
	f.serve(t)
	var wait sync.WaitGroup
	for _, at := range f.srv.Addrs() {
		for _, transport := range []string{"+notcp", "+tcp"} {
			wait.Go(func() {
				d := digger{dig, at, transport}
				for _, r := range append(opcodeRows(), rows...) {
					r.ask(t, &d)
				}
				d.cut(t)
			})
		}
		twoQuestions(t, at)
	}
	wait.Wait()
}

// digger runs dig against one address over one transport.
type digger struct {
	path      string
	at        netip.AddrPort
	transport string
}

func (d *digger) run(t *testing.T, args string) string {
	t.Helper()
	all := append([]string{"@" + d.at.Addr().String(), "-p", strconv.Itoa(int(d.at.Port())), "+time=5", "+tries=2", d.transport}, strings.Fields(args)...)
	out, err := exec.CommandContext(t.Context(), d.path, all...).CombinedOutput()
	if err != nil {
		t.Errorf("dig %s: %v\n%s", strings.Join(all, " "), err, out)
	}
	return string(out)
}

var (
	digHeader = regexp.MustCompile(`->>HEADER<<- opcode: (\S+), status: (\S+), id: \d+\n;; flags:([^;]*); (MBZ: \S+ )?.*(?:ANSWER|PREREQ): (\d+)`)
	digEDNS   = regexp.MustCompile(`; EDNS: version: (\d+), flags:([^;]*);(.*) udp: (\d+)`)
)

// ask runs one row for all names, in one call.
func (r *row) ask(t *testing.T, d *digger) {
	t.Helper()
	args := r.args
	for _, n := range aboutNames {
		typ := n.typ
		if r.typ != "" {
			typ = r.typ
		}
		args += " " + n.name + " " + typ
	}
	out := strings.Split(d.run(t, args), ";; Got answer:")[1:]
	if len(out) != len(aboutNames) {
		t.Errorf("row %s, %s over %s: %d answers to %d questions: %s", r.number, d.at, d.transport, len(out), len(aboutNames), out)
		return
	}
	for i, n := range aboutNames {
		r.check(t, d, n, out[i])
	}
}

func (r *row) check(t *testing.T, d *digger, n aboutName, out string) {
	t.Helper()
	status, aa, answers := n.status, n.aa, n.answers
	if r.typ != "" {
		answers = 0
	}
	if r.status != "" {
		status = r.status
	}
	if r.empty {
		aa, answers = false, 0
	}
	if status == "NOTAUTH" && n.typ == "soa" {
		status = "REFUSED"
	}
	bad := func(what string) {
		t.Errorf("row %s, %s, %s over %s: %s in\n%s", r.number, n.name, d.at, d.transport, what, out)
	}
	head := digHeader.FindStringSubmatch(out)
	if head == nil {
		bad("no answer")
		return
	}
	flags := " qr"
	if aa {
		flags += " aa"
	}
	if r.rd {
		flags += " rd"
	}
	if head[2] != status || head[3] != flags || head[4] != "" || head[5] != strconv.Itoa(answers) {
		bad(fmt.Sprintf("want status %s, flags%s, %d answers", status, flags, answers))
	}
	if status == "NXDOMAIN" && !strings.Contains(out, "AUTHORITY: 1") {
		bad("no SOA")
	}
	edns := digEDNS.FindStringSubmatch(out)
	if (edns != nil) != r.opt {
		bad("OPT")
	}
	if edns != nil && (edns[1] != "0" || edns[2] != map[bool]string{true: " do"}[r.do] || edns[3] != "" || edns[4] != "1232") {
		bad("version, flags or size of the OPT")
	}
	for _, text := range r.contains {
		if !strings.Contains(out, text) {
			bad("no " + text)
		}
	}
	for _, text := range append(r.never, "MBZ", "Warning", "mismatch") {
		if strings.Contains(out, text) {
			bad(text)
		}
	}
	if foreign := n.status == "REFUSED"; r.number == "19" && strings.Contains(out, "CLIENT-SUBNET: 0.0.0.0/0/0") == foreign {
		bad("the client subnet")
	}
}

// cut is row 16: a large set of keys and little room.
func (d *digger) cut(t *testing.T) {
	t.Helper()
	out := d.run(t, "+dnssec +nocookie +bufsize=512 +ignore +noad +norec dr.example dnskey")
	want := []string{"status: NOERROR", "flags: qr aa tc;", "ANSWER: 0", "EDNS: version: 0, flags: do;"}
	if d.transport == "+tcp" {
		want = []string{"status: NOERROR", "flags: qr aa;", "ANSWER: 3", "EDNS: version: 0, flags: do;"}
	}
	for _, text := range want {
		if !strings.Contains(out, text) {
			t.Errorf("row 16, %s over %s: no %s in\n%s", d.at, d.transport, text, out)
		}
	}
}

// twoQuestions is the second half of row 20, which dig cannot send.
func twoQuestions(t *testing.T, at netip.AddrPort) {
	t.Helper()
	one, err := query("dr.example.", dns.TypeSOA).Pack()
	if err != nil {
		t.Fatal(err)
	}
	pkt := append(slices.Clone(one), one[wire.HeaderLen:]...)
	pkt[5] = 2
	want := []byte{pkt[0], pkt[1], 0x80, dns.RcodeFormatError, 0, 0, 0, 0, 0, 0, 0, 0}
	for network, ask := range map[string]func(*testing.T, string, [][]byte) [][]byte{"UDP": overUDP, "TCP": overTCP} {
		pkt[0], pkt[1] = 0, 0 // overTCP takes ids for numbers
		want[0], want[1] = 0, 0
		if got := ask(t, at.String(), [][]byte{pkt})[0]; !bytes.Equal(got, want) {
			t.Errorf("row 20, two questions to %s over %s: %x, want %x", at, network, got, want)
		}
	}
}
