package zone_test

import (
	"strings"
	"testing"

	"github.com/miekg/dns"

	"jurymast/internal/nameserver/wire"
	"jurymast/internal/nameserver/zone"
	"jurymast/internal/profile"
)

func doc(records string) *profile.Zone {
	return &profile.Zone{Name: "dr.example", Nameservers: []string{"ns1.dr.example"}, Hostmaster: "ops.dr.example", Records: records}
}

func TestRefusedZones(t *testing.T) {
	cases := []struct{ records, want string }{
		{"a IN A 192.0.2.1\nb IN A 1.2.3\n", "zone dr.example: records line 2, column 8: record of type A: 1.2.3 is no IPv4 address; write one like 192.0.2.1"},
		{"\n\na IN FOO x\n", "records line 3"},
		{"a IN A 192.0.2.1\nother.test. IN A 192.0.2.2\n", "records line 2: other.test. is outside the zone; the names of this text end in dr.example."},
		{"example. IN A 192.0.2.2", "records line 1: example. is outside the zone"},
		{"a IN CNAME b\na IN A 192.0.2.1", "records line 2: a.dr.example.: CNAME beside other records"},
		{"a IN TXT x\nA IN CNAME b\n", "records line 2: A.dr.example.: CNAME beside other records"},
		{"a IN CNAME b\na IN CNAME c\n", "records line 2: a.dr.example.: a second CNAME"},
		{"a IN CNAME b\na IN CNAME b\n", "a second CNAME"},
		{"@ IN CNAME b\n", "records line 1: dr.example.: a CNAME at the apex"},
		{"a 60 IN A 192.0.2.1\na 61 IN A 192.0.2.2\n", "records line 2: a.dr.example. A: TTL 61, but other records of this set have 60"},
		{"@ IN SOA a b 1 2 3 4 5\n@ IN SOA a b 1 2 3 4 5\n", "records line 2: dr.example.: a second SOA"},
		{"a IN SOA a b 1 2 3 4 5\n", "a.dr.example. SOA: only the apex"},
		{"d IN DNAME e\nx.y.d IN A 192.0.2.1\n", "records line 2: x.y.d.dr.example. lies below the DNAME at d.dr.example."},
		{"d IN DNAME e\nd IN DNAME f\n", "a second DNAME"},
		{"$INCLUDE /etc/passwd\n", "records line 1, column 10: $INCLUDE is possible only in a file that zones[].file names"},
		{"a CH TXT x\n", "class CH: only IN is served"},
		{"a IN TXT \"x\x01\"\n", "records line 1: control character"},
		{"a 3000000000 IN A 192.0.2.1\n", "TTL"},
		{strings.Repeat("a", 64) + " IN A 192.0.2.1\n", "records line 1"},
		{"a IN TYPE1 \\# 3 010203\n", "records line 1"},
		{"a IN TYPE1 \\# 0\n", "records line 1"},
		{"a IN TYPE255 \\# 0\n", "records line 1"},
		{"a IN MX 10\n", "records line 1"},
		{"a (\n", "records"},
		{"$GENERATE 0-9999 a IN A 192.0.2.0\n$GENERATE 0-65535 a IN TXT $\n", "the set is too large for any answer"},
	}
	for _, c := range cases {
		_, err := zone.Parse(doc(c.records), 1)
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), "zone dr.example: ") {
			t.Errorf("%q: got %v, want %s", c.records, err, c.want)
		}
	}
	for _, d := range []*profile.Zone{
		{Name: "dr.example"},
		{Name: "dr.example", Records: "@ IN NS a"},
		{Name: "dr.example", Nameservers: []string{"a b"}},
		{Name: "dr.example", Nameservers: []string{"ns"}, Hostmaster: "a b"},
		{Name: strings.Repeat("a", 64), Nameservers: []string{"ns"}},
		{Name: "a..b", Nameservers: []string{"ns"}},
	} {
		if _, err := zone.Parse(d, 1); err == nil || !strings.HasPrefix(err.Error(), "zone "+d.Name+": ") {
			t.Errorf("%+v: %v", d, err)
		}
	}
}

func TestGeneratedAuthority(t *testing.T) {
	for gen, want := range map[uint64]uint32{0: 1, 1: 1, 7: 7, 1<<32 + 5: 5} {
		z, err := zone.Parse(doc(""), gen)
		if err != nil || z.Serial != want || z.NegativeTTL != 60 || z.SOA == nil || z.Apex.Set(dns.TypeNS) == nil {
			t.Errorf("generation %d: %v %+v", gen, err, z)
		}
	}
	d := doc("@ 300 IN SOA a b 42 2 3 4 500\n")
	z, err := zone.Parse(d, 7)
	if err != nil || z.Serial != 42 || z.NegativeTTL != 300 {
		t.Errorf("own SOA: %v %+v", err, z)
	}
	d = doc("")
	d.Hostmaster = "the.ops@example.org"
	if z, err = zone.Parse(d, 7); err != nil || !strings.Contains(string(z.SOA.Data[0]), "\x07the.ops\x07example\x03org\x00") {
		t.Errorf("mailbox: %v %q", err, z.SOA.Data)
	}
}

func TestForms(t *testing.T) {
	z, err := zone.Parse(doc("$TTL 1h\n@ IN TXT ( \"a\"\n \"b\" ) ; note\n\tIN TXT \"c;d\"\nx\\032y 2m IN A 192.0.2.1\nq IN TYPE65534 \\# 2 0102\nq IN TYPE65534 \\# 2 0102\n$ORIGIN sub.dr.example.\nw IN AAAA ::1\n"), 1)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]int{"dr.example": 2, `x\032y.dr.example`: 1, "q.dr.example": 1, "W.Sub.dr.example": 1} {
		packed, err := zone.PackName(name)
		if err != nil {
			t.Fatal(err)
		}
		var n wire.Name
		n.Set(packed)
		m := z.Find(&n)
		if m.Kind != zone.Exact {
			t.Errorf("%s: %s", name, m.Kind)
			continue
		}
		for _, s := range m.Node.Sets {
			if s.Type != dns.TypeNS && s.Type != dns.TypeSOA && len(s.Data) != want {
				t.Errorf("%s: %d records of %s, want %d", name, len(s.Data), dns.Type(s.Type), want)
			}
		}
	}
}

func TestAliasedServersAreWarned(t *testing.T) {
	z, err := zone.Parse(doc("@ IN MX 10 m\nm IN CNAME n\nsub IN NS m\n"), 1)
	if err != nil || len(z.Warnings) != 2 || !strings.Contains(z.Warnings[0].Text, "MX points to m.dr.example., which is a CNAME") {
		t.Errorf("%v %q", err, z.Warnings)
	}
}

// FuzzParseZone: any text is parsed or refused with the zone's name, and what is parsed can be found again.
func FuzzParseZone(f *testing.F) {
	for _, s := range []string{
		"", "a IN A 192.0.2.1\n", "*.w IN CNAME a\n", "s IN NS n.s\nn.s IN A 192.0.2.2\n", "$GENERATE 1-3 h$ A 192.0.2.$\n",
		"@ IN SOA a b 1 2 3 4 5\n@ IN NS a\n", "x\\.y IN TXT \"a\\\"b\"\n", "q IN TYPE9 \\# 1 00\n", "d IN DNAME @\n", "o IN HTTPS 1 . alpn=h2\n",
		"$GENERATE (", "$GENERATE\"\t", "$TTL (", "$ORIGIN\"", "a TXT (", "$GENERATE 1-2 (",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if strings.Count(text, "$") > 1 && len(text) > 60 {
			return // $GENERATE makes a short text long, which is slow and not what is looked for
		}
		z, err := zone.Parse(doc(text), 1)
		if err != nil {
			if !strings.HasPrefix(err.Error(), "zone dr.example: ") {
				t.Fatal(err)
			}
			return
		}
		var n wire.Name
		count := 0
		for node := range z.All() {
			if n.Set(node.Name) != len(node.Name) {
				t.Fatalf("name % x", node.Name)
			}
			for i := range node.Sets {
				if count++; count < 1000 {
					written(t, node, &node.Sets[i])
				}
			}
		}
		n.Set(z.Apex.Name)
		if m := z.Find(&n); m.Kind != zone.Exact || m.Node != z.Apex {
			t.Fatalf("the apex is %s", m.Kind)
		}
	})
}

// written checks that a set can be written into a message and read again by somebody else.
func written(t *testing.T, node *zone.Node, set *zone.RRset) {
	t.Helper()
	var w wire.Writer
	q := new(wire.Query)
	w.Begin(nil, q, 65535)
	if !w.RRset(wire.Answer, node.Name, set.Type, set.TTL, set.Data, 0) {
		return
	}
	m := new(dns.Msg)
	if err := m.Unpack(w.Finish(q, 0, 0)); err != nil || len(m.Answer) != len(set.Data) {
		t.Fatalf("%s %s % x: %v, %d records", zone.Text(node.Name), dns.Type(set.Type), set.Data, err, len(m.Answer))
	}
}

// TestAllFaultsAtOnce: what cannot be read is left out and the rest is judged, under the line numbers of the text.
func TestAllFaultsAtOnce(t *testing.T) {
	for _, c := range []struct {
		records string
		want    []string // after "zone dr.example: records line "
	}{
		{
			"a A 1.2.3.400\nb AAAA 1.2.3.4\n  TXT left-out\nc FOO x\nother.test. A 192.0.2.1\nd MX mail\ne A 192.0.2.1 x\n",
			[]string{
				"1, column 5: record of type A: 1.2.3.400 is no IPv4 address; write one like 192.0.2.1",
				"2, column 8: record of type AAAA: 1.2.3.4 is no IPv6 address; write one like 2001:db8::1",
				"4, column 3: \"FOO\" is no record type, class or TTL; write NAME TTL TYPE VALUE like www 300 A 192.0.2.1",
				"5: other.test. is outside the zone; the names of this text end in dr.example.",
				"6, column 6: record of type MX: \"mail\" cannot stand there; write a preference and a host name like 10 mail.example.org.",
				"7, column 15: \"x\" stands behind the end of the record; remove it, or put text with blanks in quotes",
			},
		},
		{"a TXT \"x\nb A 1.2.3\n", []string{
			"1, column 7: a quote is opened here and not closed in this line; write the closing quote",
			"2, column 5: record of type A: 1.2.3 is no IPv4 address; write one like 192.0.2.1",
		}},
		{"a A (1.2.3)\nb 5x A 192.0.2.1\nc MX\nd A 192.0.2.1 )\n", []string{
			"1, column 6: record of type A: 1.2.3 is no IPv4 address; write one like 192.0.2.1",
			"2, column 3: \"5x\" is no TTL; write seconds like 300, or 5m",
			"3, column 5: the record ends too early; write NAME TTL TYPE VALUE like www 300 A 192.0.2.1",
			"4, column 15: this ) closes nothing; remove it, or write the opening (",
		}},
		{"$GENERATE (\n", []string{"1, column 11: this ( is never closed; write the closing )"}},
		{"$GENERATE\"\n", []string{"1, column 10: a quote is opened here and not closed in this line; write the closing quote"}},
		{"a TXT (\n x\nb A 192.0.2.1\n", []string{"1, column 7: this ( is never closed; write the closing )"}},
		{"a A 192.0.2.1\na CNAME (\n b\n)\n", []string{"2: a.dr.example.: CNAME beside other records; a name with a CNAME has nothing else"}},
		{"$ORIGIN a..b\nc A x\n", []string{"1, column 9: \"a..b\" is no domain name; write labels of 1 to 63 letters, digits or hyphens with dots between them"}},
		{strings.Repeat("a A x\n", 100), nil},
	} {
		_, err := zone.Parse(doc(c.records), 1)
		if err == nil {
			t.Errorf("%q is accepted", c.records)
			continue
		}
		got := strings.Split(err.Error(), "\n")
		if c.want == nil {
			if len(got) != 20 {
				t.Errorf("%d faults, want 20", len(got))
			}
			continue
		}
		for i := range c.want {
			c.want[i] = "zone dr.example: records line " + c.want[i]
		}
		if strings.Join(got, "\n") != strings.Join(c.want, "\n") {
			t.Errorf("%q:\ngot  %s\nwant %s", c.records, strings.Join(got, "\n     "), strings.Join(c.want, "\n     "))
		}
	}
}
