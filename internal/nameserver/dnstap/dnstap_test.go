package dnstap

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	pb "github.com/dnstap/golang-dnstap"
	framestream "github.com/farsightsec/golang-framestream"
	"github.com/miekg/dns"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/protobuf/proto"

	"jurymast/internal/nameserver/tap"
)

var client = netip.MustParseAddrPort("192.0.2.77:4711")

// message is a packed question or answer with a client subnet.
func message(t *testing.T, subnet string) []byte {
	t.Helper()
	m := new(dns.Msg).SetQuestion("www.dr.example.", dns.TypeA)
	m.SetEdns0(1232, false)
	if subnet != "" {
		p := netip.MustParsePrefix(subnet)
		family := uint16(1)
		if p.Addr().Is6() {
			family = 2
		}
		m.IsEdns0().Option = []dns.EDNS0{&dns.EDNS0_SUBNET{Code: dns.EDNS0SUBNET, Family: family, SourceNetmask: uint8(p.Bits()), Address: p.Addr().AsSlice()}}
	}
	b, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// read takes all messages of a stream until it ends in order.
func read(t *testing.T, from io.Reader, both bool) (list []*pb.Dnstap) {
	t.Helper()
	r, err := framestream.NewReader(from, &framestream.ReaderOptions{ContentTypes: [][]byte{pb.FSContentType}, Bidirectional: both})
	if err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 1<<17)
	for {
		n, err := r.ReadFrame(buf)
		if errors.Is(err, io.EOF) {
			return list
		}
		if err != nil {
			t.Fatal(err)
		}
		m := new(pb.Dnstap)
		if err := proto.Unmarshal(buf[:n], m); err != nil {
			t.Fatal(err)
		}
		list = append(list, m)
	}
}

// counts are what the metric says.
func counts(t *testing.T, d *Tap) map[string]float64 {
	t.Helper()
	reg := prometheus.NewRegistry()
	reg.MustRegister(d)
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			switch f.GetName() {
			case "jurymast_dns_dnstap_messages_total":
				out[m.GetLabel()[0].GetValue()] = m.GetCounter().GetValue()
			case "jurymast_dns_dnstap_unanswered_total":
				out["unanswered"] = m.GetCounter().GetValue()
			default:
				out["connected"] = m.GetGauge().GetValue()
			}
		}
	}
	return out
}

func TestFile(t *testing.T) {
	name := filepath.Join(t.TempDir(), "tap")
	if err := os.WriteFile(name, []byte("the last life's"), 0o600); err != nil {
		t.Fatal(err)
	}
	d, err := Open(Options{File: name, Identity: "n1", Version: "v", Queries: true, Responses: true})
	if err != nil {
		t.Fatal(err)
	}
	l := d.Loop()
	asked := time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)
	l.Seen(message(t, "198.51.100.99/32"), message(t, "2001:db8:1:2:3::/128"), client, tap.UDP, asked)
	l.Seen(message(t, ""), make([]byte, 9000), netip.MustParseAddrPort("[2001:db8:1:ff02::1]:1"), tap.DoT, time.Time{})
	stop := make(chan struct{})
	close(stop)
	d.Run(stop)
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	list := read(t, f, false)
	if len(list) != 4 {
		t.Fatalf("%d messages", len(list))
	}
	q, r := list[0].GetMessage(), list[1].GetMessage()
	if string(list[0].GetIdentity()) != "n1" || q.GetType() != pb.Message_AUTH_QUERY || r.GetType() != pb.Message_AUTH_RESPONSE {
		t.Errorf("%v\n%v", list[0], list[1])
	}
	if net.IP(q.GetQueryAddress()).String() != "192.0.2.0" || q.QueryPort != nil || q.GetSocketProtocol() != pb.SocketProtocol_UDP {
		t.Errorf("a client is told by its network: %v", q)
	}
	if q.GetQueryTimeSec() != uint64(asked.Unix()) || q.GetQueryTimeNsec() != 6 || r.GetResponseTimeSec() < uint64(asked.Unix()) {
		t.Errorf("times: %v %v", q, r)
	}
	for _, c := range []struct {
		pkt  []byte
		want string
	}{{q.GetQueryMessage(), "198.51.100.0/24"}, {r.GetResponseMessage(), "2001:db8:1::/56"}} {
		m := new(dns.Msg)
		if err := m.Unpack(c.pkt); err != nil {
			t.Fatal(err)
		}
		s, ok := m.IsEdns0().Option[0].(*dns.EDNS0_SUBNET)
		if !ok || s.Address.String()+"/"+itoa(s.SourceNetmask) != c.want {
			t.Errorf("subnet %v, want %s", s, c.want)
		}
	}
	if m := list[3].GetMessage(); net.IP(m.GetQueryAddress()).String() != "2001:db8:1:ff00::" || m.GetSocketProtocol() != pb.SocketProtocol_DOT || len(m.GetResponseMessage()) != 9000 {
		t.Errorf("%v", m)
	}
	if old, err := os.ReadFile(name + ".old"); err != nil || string(old) != "the last life's" {
		t.Errorf("what was there is gone: %q, %v", old, err)
	}
	if c := counts(t, d); c["written"] != 4 || c["connected"] != 0 {
		t.Errorf("%v", c)
	}
}

func itoa(n uint8) string { return map[uint8]string{24: "24", 56: "56", 32: "32", 128: "128"}[n] }

func TestWholeAddresses(t *testing.T) {
	name := filepath.Join(t.TempDir(), "tap")
	d, err := Open(Options{File: name, Responses: true, Full: true})
	if err != nil {
		t.Fatal(err)
	}
	answer := message(t, "198.51.100.99/32")
	d.Loop().Seen(message(t, ""), answer, client, tap.TCP, time.Time{})
	stop := make(chan struct{})
	close(stop)
	d.Run(stop)
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	list := read(t, f, false)
	if len(list) != 1 {
		t.Fatalf("%d messages, and only answers were wanted", len(list))
	}
	m := list[0].GetMessage()
	if net.IP(m.GetQueryAddress()).String() != "192.0.2.77" || m.GetQueryPort() != 4711 || string(m.GetResponseMessage()) != string(answer) {
		t.Errorf("%v", m)
	}
}

// A collector comes late, goes and comes again: what it misses is counted, and nobody waits.
func TestCollectorAway(t *testing.T) {
	dir, err := os.MkdirTemp("", "tap") //nolint:usetesting // the name of the test would make the path of a socket too long
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	name := filepath.Join(dir, "s")
	d, err := Open(Options{Socket: name, Queries: true})
	if err != nil {
		t.Fatal(err)
	}
	d.backOff = time.Millisecond // the first miss is at once then
	l := d.Loop()
	stop, done := make(chan struct{}), make(chan struct{})
	go func() { defer close(done); d.Run(stop) }()
	await := func(what string, n float64) {
		t.Helper()
		for end := time.Now().Add(20 * time.Second); counts(t, d)[what] < n; time.Sleep(10 * time.Millisecond) { // a real socket, real time
			if time.Now().After(end) {
				t.Fatalf("%s never %v: %v", what, n, counts(t, d))
			}
		}
	}
	l.Seen(message(t, ""), nil, client, tap.UDP, time.Time{})
	await("away", 1)
	for range 2 {
		listener, err := net.Listen("unix", name)
		if err != nil {
			t.Fatal(err)
		}
		conn, err := listener.Accept()
		if err != nil {
			t.Fatal(err)
		}
		r, err := framestream.NewReader(conn, &framestream.ReaderOptions{ContentTypes: [][]byte{pb.FSContentType}, Bidirectional: true})
		if err != nil {
			t.Fatal(err)
		}
		await("connected", 1)
		l.Seen(message(t, ""), nil, client, tap.UDP, time.Time{})
		if _, err := r.ReadFrame(make([]byte, 4096)); err != nil {
			t.Fatal(err)
		}
		_, _ = conn.Close(), listener.Close()
		failed := counts(t, d)["failed"]
		for end := time.Now().Add(20 * time.Second); counts(t, d)["failed"] == failed; time.Sleep(10 * time.Millisecond) {
			l.Seen(message(t, ""), nil, client, tap.UDP, time.Time{})
			if time.Now().After(end) {
				t.Fatal("a lost collector is never noticed")
			}
		}
	}
	close(stop)
	<-done
	if c := counts(t, d); c["written"] < 2 || c["away"] < 1 {
		t.Errorf("%v", c)
	}
}

// A loop that is faster than the writer loses questions and counts them.
func TestFullRing(t *testing.T) {
	d, err := Open(Options{Socket: "/nonexistent/s", Queries: true, Responses: true})
	if err != nil {
		t.Fatal(err)
	}
	l, pkt := d.Loop(), message(t, "")
	for range ringSize + 5 {
		l.Seen(pkt, pkt, client, tap.UDP, time.Time{})
	}
	if c := counts(t, d); c["dropped"] != 10 {
		t.Errorf("%v", c)
	}
	d.empty()
	if n := testing.AllocsPerRun(100, func() { l.Seen(pkt, pkt, client, tap.UDP, time.Time{}) }); n != 0 {
		t.Errorf("%v allocations for a question", n)
	}
}

func TestFileThatCannotBe(t *testing.T) {
	if _, err := Open(Options{File: filepath.Join(t.TempDir(), "no", "such")}); err == nil {
		t.Error("opened")
	}
}

// withSubnet is a question with the raw contents of a client subnet, and other options behind it.
func withSubnet(subnet string, others ...string) []byte {
	options := "\x00\x08\x00" + string(rune(len(subnet))) + subnet + strings.Join(others, "")
	return []byte("\x00\x01\x00\x00\x00\x01\x00\x00\x00\x00\x00\x01\x01x\x00\x00\x01\x00\x01" +
		"\x00\x00\x29\x04\xd0\x00\x00\x00\x00\x00" + string(rune(len(options))) + options)
}

// Whole addresses are told in no question, however it is made.
func TestAddressesNobodyMayKnow(t *testing.T) {
	address := string([]byte{77, 66, 55, 44}) // printable, and nowhere else
	two := withSubnet("\x00\x01\x20\x00" + address)
	two[11] = 2 // two OPT records
	two = append(two, "\x00\x00\x29\x04\xd0\x00\x00\x00\x00\x00\x00"...)
	for name, pkt := range map[string][]byte{
		"in order":                     withSubnet("\x00\x01\x20\x00" + address),
		"bits behind the prefix":       withSubnet("\x00\x01\x08\x00" + address),
		"beside a broken option":       withSubnet("\x00\x01\x20\x00"+address, "\x00\x0f\x00\x01x"),
		"a prefix that is too long":    withSubnet("\x00\x01\x21\x00" + address),
		"an unknown family":            withSubnet("\x00\x09\x20\x00" + address),
		"something behind the end":     append(withSubnet("\x00\x01\x20\x00"+address), "rest"...),
		"two of them":                  two,
		"two subnets":                  withSubnet("\x00\x01\x00\x00", "\x00\x08\x00\x08\x00\x01\x20\x00"+address),
		"an answer section of one OPT": func() []byte { b := withSubnet("\x00\x01\x20\x00" + address); b[7], b[11] = 1, 0; return b }(),
	} {
		if got := withoutSubnet(pkt); bytes.Contains(got, []byte(address)) || len(got) < 12 {
			t.Errorf("%s: %x", name, got)
		}
	}
	plain := message(t, "")
	if !bytes.Equal(withoutSubnet(plain), plain) || len(withoutSubnet([]byte("short"))) != 5 {
		t.Error("what tells nothing is written as it came")
	}
}
