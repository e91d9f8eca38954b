package nameserver_test

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

// packet builds a question byte by byte. Parts are hex; words in quotes become labels.
func packet(parts ...string) []byte {
	var b []byte
	for _, p := range parts {
		if name, ok := strings.CutPrefix(p, "name:"); ok {
			for label := range strings.SplitSeq(name, ".") {
				if label != "" {
					b = append(append(b, byte(len(label))), label...)
				}
			}
			b = append(b, 0)
			continue
		}
		raw, err := hex.DecodeString(strings.ReplaceAll(p, " ", ""))
		if err != nil {
			panic(err)
		}
		b = append(b, raw...)
	}
	return b
}

const (
	head = "1234 0000 0001 0000 0000 0000" // one question
	opt  = "1234 0000 0001 0000 0000 0001" // and one additional record
	soa  = "0006 0001"
	apex = "name:dr.example"
)

func TestPackets(t *testing.T) {
	f := standardFixture(t)
	cases := []struct {
		name string
		pkt  []byte
		want string // "" is no answer: flags word, counts, and what follows the header up to where the rest does not matter
	}{
		{"empty", nil, ""},
		{"11 bytes", packet("1234 0000 0001 0000 0000 00"), ""},
		{"a response", packet("1234 8000 0001 0000 0000 0000", apex, soa), ""},
		{"header of an unassigned opcode", packet("1234 7800 0000 0000 0000 0000"), "f804 0000 0000 0000 0000"},
		{"IQUERY", packet("1234 0900 0001 0000 0000 0000", apex, soa), "8904 0001 0000 0000 0000"},
		{"UPDATE", packet("1234 2800 0001 0000 0000 0000", apex, soa), "a804 0001 0000 0000 0000"},
		{"UPDATE with EDNS gets no OPT", packet("1234 2800 0001 0000 0000 0001", apex, soa, "00 0029 1000 00000000 0000"), "a804 0001 0000 0000 0000"},
		{"DSO, unreadable question", packet("1234 3000 0001 0000 0000 0000", "ff"), "b004 0000 0000 0000 0000"},
		{"NOTIFY for our zone", packet("1234 2000 0001 0000 0000 0000", apex, soa), "a005 0001 0000 0000 0000"},
		{"NOTIFY for another zone", packet("1234 2000 0001 0000 0000 0000", "name:other.test", soa), "a009 0001 0000 0000 0000"},
		{"no question", packet("1234 0100 0000 0000 0000 0000"), "8101 0000 0000 0000 0000"},
		{"two questions", packet("1234 0000 0002 0000 0000 0000", apex, soa, apex, soa), "8001 0000 0000 0000 0000"},
		{"cut question", packet(head, apex, "0006 00"), "8001 0000 0000 0000 0000"},
		{"pointer in the question", packet(head, "c00c", soa), "8001 0000 0000 0000 0000"},
		{"label of 64", packet(head, "40"+strings.Repeat("61", 64)+"00", soa), "8001 0000 0000 0000 0000"},
		{"name of 256", packet(head, strings.Repeat("3f"+strings.Repeat("61", 63), 4)+"00", soa), "8001 0000 0000 0000 0000"},
		{"trailing byte", packet(head, apex, soa, "00"), "8001 0001 0000 0000 0000"},
		{"record announced but missing", packet(opt, apex, soa), "8001 0001 0000 0000 0000"},
		{"two OPT", packet("1234 0000 0001 0000 0000 0002", apex, soa, "00 0029 1000 00000000 0000", "00 0029 1000 00000000 0000"), "8001 0001 0000 0000 0000"},
		{"OPT with an owner", packet(opt, apex, soa, apex, "0029 1000 00000000 0000"), "8001 0001 0000 0000 0000"},
		{"OPT in the answer section", packet("1234 0000 0001 0001 0000 0000", apex, soa, "00 0029 1000 00000000 0000"), "8001 0001 0000 0000 0000"},
		{"option running over", packet(opt, apex, soa, "00 0029 1000 00000000 0004", "0003 0001"), "8001 0001 0000 0000 0000"},
		{"cookie of 7", packet(opt, apex, soa, "00 0029 1000 00000000 000b", "000a 0007 01020304050607"), "8001 0001 0000 0000 0001"},
		{"cookie of 8 is fine", packet(opt, apex, soa, "00 0029 1000 00000000 000c", "000a 0008 0102030405060708"), "8400 0001 0001 0000 0001"},
		{"subnet with bits behind the prefix", packet(opt, apex, soa, "00 0029 1000 00000000 000b", "0008 0007 0001 17 00 c00003"), "8001 0001 0000 0000 0001"},
		{"subnet too short", packet(opt, apex, soa, "00 0029 1000 00000000 000a", "0008 0006 0001 18 00 c000"), "8001 0001 0000 0000 0001"},
		{"subnet without a head", packet(opt, apex, soa, "00 0029 1000 00000000 0007", "0008 0003 0001 18"), "8001 0001 0000 0000 0001"},
		{"subnet of 33 bits", packet(opt, apex, soa, "00 0029 1000 00000000 000d", "0008 0009 0001 21 00 c000020100"), "8001 0001 0000 0000 0001"},
		{"subnet of 129 bits", packet(opt, apex, soa, "00 0029 1000 00000000 0019", "0008 0015 0002 81 00 20010db8"+strings.Repeat("00", 13)), "8001 0001 0000 0000 0001"},
		{"subnet with a byte too many", packet(opt, apex, soa, "00 0029 1000 00000000 000c", "0008 0008 0001 18 00 c0000200"), "8001 0001 0000 0000 0001"},
		{"subnet of an unknown family", packet(opt, apex, soa, "00 0029 1000 00000000 000b", "0008 0007 0063 18 00 ffffff"), "8400 0001 0001 0000 0001"},
		{"subnet as it should be", packet(opt, apex, soa, "00 0029 1000 00000000 000b", "0008 0007 0001 18 00 c00002"), "8400 0001 0001 0000 0001"},
		{"EDNS 1 with DO", packet(opt, apex, soa, "00 0029 1000 0001 8000 0000"), "8000 0001 0000 0000 0001"},
		{"CH", packet(head, "name:version.bind", "0010 0003"), "8005 0001 0000 0000 0000"},
		{"class ANY", packet(head, apex, "0006 00ff"), "8005 0001 0000 0000 0000"},
		{"NXNAME", packet(head, apex, "0080 0001"), "8001 0001 0000 0000 0000"},
		{"AXFR", packet(head, apex, "00fc 0001"), "8005 0001 0000 0000 0000"},
		{"outside", packet(head, "name:other.test", soa), "8005 0001 0000 0000 0000"},
		{"RD copied, AD CD Z cleared", packet("1234 0170 0001 0000 0000 0000", apex, soa), "8500 0001 0001 0000 0000"},
		{"TC and AA of a question do not matter", packet("1234 0600 0001 0000 0000 0000", apex, soa), "8400 0001 0001 0000 0000"},
		{"unknown type", packet(head, apex, "03e8 0001"), "8400 0001 0000 0001 0000"},
		{"records before the additional section are walked over", packet("1234 0000 0001 0000 0001 0001", apex, soa, "c00c 0006 0001 00000000 0000", "00 0029 1000 00000000 0000"), "8400 0001 0001 0000 0001"},
	}
	for _, c := range cases {
		for _, stream := range []bool{false, true} {
			got := f.srv.Raw(c.pkt, stream)
			if c.want == "" {
				if got != nil {
					t.Errorf("%s: answered % x", c.name, got)
				}
				continue
			}
			want := packet("1234", c.want)
			if len(got) < 12 || !bytes.Equal(got[:12], want) {
				t.Errorf("%s: got % x, want % x", c.name, got[:min(len(got), 12)], want)
			}
		}
	}
}

// The question comes back byte for byte, and the owner of the answer points to it.
func TestQuestionIsReturnedAsItCame(t *testing.T) {
	f := standardFixture(t)
	got := f.srv.Raw(packet(head, "name:mAiL.Dr.eXAMple", "0001 0001"), false)
	want := packet("1234 8400 0001 0001 0000 0000", "name:mAiL.Dr.eXAMple", "0001 0001", "c00c 0001 0001 00000258 0004 c0000219")
	if !bytes.Equal(got, want) {
		t.Errorf("got  % x\nwant % x", got, want)
	}
}

func TestEDNS(t *testing.T) {
	f := standardFixture(t)
	reply := func(rest ...string) *dns.Msg {
		m := new(dns.Msg)
		if err := m.Unpack(f.srv.Raw(packet(append([]string{opt, "name:other.test", soa}, rest...)...), false)); err != nil {
			t.Fatal(err)
		}
		return m
	}
	m := reply("00 0029 0064 0000 ffff 0000")
	o := m.IsEdns0()
	if o == nil || o.UDPSize() != 1232 || !o.Do() || o.Hdr.Ttl != 0x8000 || len(o.Option) != 1 {
		t.Fatalf("OPT is %v", o)
	}
	if e, ok := o.Option[0].(*dns.EDNS0_EDE); !ok || e.InfoCode != dns.ExtendedErrorCodeNotAuthoritative {
		t.Errorf("option is %v", o.Option[0])
	}
	m = reply("00 0029 0064 0001 0000 0004", "0064 0000")
	if o = m.IsEdns0(); o == nil || o.Version() != 0 || o.Do() || len(o.Option) != 0 || m.Rcode != dns.RcodeBadVers {
		t.Errorf("version 1: %v", m)
	}
}

// No answer is larger than allowed, and what does not fit is cut whole.
func TestSizes(t *testing.T) {
	f := standardFixture(t)
	for _, size := range []int{0, 1, 512, 513, 606, 607, 608, 609, 1000, 1232, 4096, 65535} {
		q := query("big.dr.example.", dns.TypeTXT)
		limit := 512
		if size > 0 {
			q.SetEdns0(uint16(size), false)
			limit = min(max(size, 512), 1232)
		}
		pkt, _ := q.Pack()
		raw := f.srv.Raw(pkt, false)
		m := new(dns.Msg)
		if err := m.Unpack(raw); err != nil {
			t.Fatal(err)
		}
		fits := len(m.Answer) == 5 && !m.Truncated
		cut := len(m.Answer) == 0 && m.Truncated
		if len(raw) > limit || fits == cut || (limit >= 608) != fits || (m.IsEdns0() != nil) != (size > 0) {
			t.Errorf("size %d: %d bytes, limit %d, %d records, TC %v", size, len(raw), limit, len(m.Answer), m.Truncated)
		}
	}
}

func TestPanicIsServfail(t *testing.T) {
	f := standardFixture(t)
	f.srv.Break("dr.example")
	got := f.srv.Raw(packet("1234 0170 0001 0000 0000 0000", "name:nothing.dr.example", "0001 0001"), false)
	if want := packet("1234 8102 0000 0000 0000 0000"); !bytes.Equal(got, want) {
		t.Errorf("got % x, want % x", got, want)
	}
	if got := f.srv.Raw(packet(head, "name:mail.dr.example", "0001 0001"), false); binary.BigEndian.Uint16(got[2:]) != 0x8400 {
		t.Errorf("afterwards % x", got)
	}
	if n := f.counter(t, "panics_total"); n != 1 {
		t.Errorf("%v panics counted", n)
	}
}

func TestMetrics(t *testing.T) {
	f := standardFixture(t)
	f.srv.Raw(packet(head, "name:svc.dr.example", "0001 0001"), false)
	f.srv.Raw(packet(head, "name:svc.dr.example", "0010 0001"), false)
	f.srv.Raw(packet(head, "name:other.test", soa), false)
	f.srv.Raw(packet(head, "ff"), false)
	f.srv.Raw(packet("12"), false)
	f.srv.Raw(packet(head, "name:big.dr.example", "0010 0001"), false)
	if _, err := f.srv.Explain(f.hub.Load(), "svc.dr.example", "A", t0Addr); err != nil { // counts nothing
		t.Fatal(err)
	}
	for name, want := range map[string]float64{
		"answers_total endpoint=b profile=svc reason=lowest-number": 2, "malformed_total why=question": 1, "dropped_total why=short": 1, "truncated_total": 1, "responses_total rcode=REFUSED": 1,
		"responses_total rcode=FORMERR": 1, "responses_total rcode=NOERROR": 3, "panics_total": 0,
	} {
		if got := f.counter(t, name); got != want {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
}

// counter is the value of one counter, named without its prefix and followed by its labels.
func (f *fixture) counter(t testing.TB, want string) float64 {
	t.Helper()
	families, err := f.reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			name := strings.TrimPrefix(family.GetName(), "jurymast_dns_")
			for _, l := range m.GetLabel() {
				name += " " + l.GetName() + "=" + l.GetValue()
			}
			if name == want {
				return m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	t.Fatalf("no metric %s", want)
	return 0
}

func TestNoAllocationPerQuestion(t *testing.T) {
	f := standardFixture(t)
	answer := f.srv.RawLoop()
	for name, pkt := range map[string][]byte{
		"profile":    packet(opt, "name:svc.dr.example", "0001 0001", "00 0029 1000 00000000 0000"),
		"addresses":  packet(head, apex, "0001 0001"),
		"static":     packet(head, "name:www.dr.example", "0001 0001"),
		"missing":    packet(head, "name:nothing.dr.example", "0001 0001"),
		"delegation": packet(head, "name:x.sub.dr.example", "0001 0001"),
		"refused":    packet(opt, "name:other.test", "0001 0001", "00 0029 1000 00000000 0000"),
	} {
		if n := testing.AllocsPerRun(100, func() {
			if answer(pkt, t0Addr) == nil {
				t.Error("no answer")
			}
		}); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

func BenchmarkAnswer(b *testing.B) {
	f := standardFixture(b)
	answer := f.srv.RawLoop()
	pkt := packet(opt, "name:svc.dr.example", "0001 0001", "00 0029 1000 00000000 0000")
	b.ReportAllocs()
	for b.Loop() {
		answer(pkt, t0Addr)
	}
}

// FuzzAnswer: whatever arrives, the answer is a readable message with the same id, never larger than allowed, and
// there is one exactly when the packet is a question with a whole header. A client subnet comes back exactly when there
// was one, unchanged but for its scope.
func FuzzAnswer(f *testing.F) {
	fixtures := []*fixture{standardFixture(f), methods(f)}
	for _, q := range questions {
		name, typ, _ := strings.Cut(q, " ")
		m := new(dns.Msg).SetQuestion(dns.Fqdn(name), dns.StringToType[strings.ToUpper(typ)])
		m.SetEdns0(1232, true)
		if pkt, err := m.Pack(); err == nil {
			f.Add(pkt, false)
			f.Add(pkt[:len(pkt)-11], true)
		}
	}
	for _, name := range methodNames {
		f.Add(subnetQuestion(name), false)
		f.Add(packet(opt, "name:"+name+".dr.example", "00ff 0001", "00 0029 1000 00000000 0010", "0008 000c 0002 40 00 20010db800010000"), true)
	}
	f.Add(packet(opt, apex, soa, "00 0029 1000 00000000 000b", "0008 0007 0001 17 00 c00003"), false)
	f.Fuzz(func(t *testing.T, pkt []byte, stream bool) {
		if len(pkt) > 65535 {
			return
		}
		for _, fix := range fixtures {
			fuzzed(t, fix.srv.RawFrom(pkt, stream, inGermany), pkt, stream)
			if quick, long, ok := fix.srv.Ways(pkt, inGermany); ok && !bytes.Equal(quick, long) {
				t.Fatalf("quick % x\nlong  % x", quick, long)
			}
		}
	})
}

func fuzzed(t *testing.T, got, pkt []byte, stream bool) {
	if question := len(pkt) >= 12 && pkt[2]&0x80 == 0; question != (got != nil) {
		t.Fatalf("question %v, answer %x", question, got)
	}
	if got == nil {
		return
	}
	limit := 65535
	if !stream {
		limit = 1232
	}
	m := new(dns.Msg)
	if err := m.Unpack(got); err != nil {
		t.Fatalf("answer % x: %v", got, err)
	}
	if len(got) > limit || !stream && m.IsEdns0() == nil && len(got) > 512 || !bytes.Equal(got[:2], pkt[:2]) || !m.Response {
		t.Fatalf("%d bytes: %v", len(got), m)
	}
	if m.Rcode == dns.RcodeServerFailure && m.IsEdns0() == nil && len(m.Question) == 0 {
		t.Fatalf("a panic was answered for % x", pkt)
	}
	q, back := new(dns.Msg), returned(m)
	if q.Unpack(pkt) != nil { // it refuses more than we do
		return
	}
	sent := returned(q)
	switch known := sent != nil && (sent.Family == 1 || sent.Family == 2); {
	case back != nil && !known:
		t.Fatalf("nobody sent %v", back)
	case known && back == nil && (m.Rcode == dns.RcodeSuccess || m.Rcode == dns.RcodeNameError):
		t.Fatalf("%v is not returned: %v", sent, m)
	case back != nil && (back.Family != sent.Family || back.SourceNetmask != sent.SourceNetmask || !back.Address.Equal(sent.Address)):
		t.Fatalf("%v came back as %v", sent, back)
	case back != nil && (back.Family == 1 && back.SourceScope > 32 || back.SourceScope > 128):
		t.Fatalf("scope %d", back.SourceScope)
	}
}
