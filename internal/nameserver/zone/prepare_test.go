package zone_test

import (
	"strings"
	"testing"

	"github.com/miekg/dns"

	"jurymast/internal/nameserver/wire"
	"jurymast/internal/nameserver/zone"
)

// find is the node of a name that a zone has.
func find(t *testing.T, z *zone.Zone, name string) *zone.Node {
	t.Helper()
	packed, err := zone.PackName(name)
	if err != nil {
		t.Fatal(err)
	}
	var n wire.Name
	n.Set(packed)
	m := z.Find(&n)
	if m.Kind != zone.Exact {
		t.Fatalf("%s: %s", name, m.Kind)
	}
	return m.Node
}

// TestGenerateTTL: a record made by $GENERATE has the TTL that one written out there would have.
func TestGenerateTTL(t *testing.T) {
	for _, c := range []struct {
		records string
		want    uint32
	}{
		{"$TTL 300\n$GENERATE 1-2 h$ A 192.0.2.$\n", 300},
		{"$TTL 5m\n$GENERATE 1-2 h$ IN A 192.0.2.$\n", 300},
		{"$TTL 300\n$GENERATE 1-2 h$ 60 A 192.0.2.$\n", 60},
		{"$TTL 300\n$GENERATE 1-2 h$ IN 60 A 192.0.2.$\n", 60},
		{"$GENERATE 1-2 h$ A 192.0.2.$\n", 3600},
		{"a 77 A 192.0.2.9\n$GENERATE 1-2 h$ A 192.0.2.$\n", 77},
		{"a IN 77 A 192.0.2.9\n  88 AAAA ::1\n$GENERATE 1-2 h$ A 192.0.2.$\n", 88},
		{"$TTL 300\na 77 A 192.0.2.9\n$GENERATE 1-2 h$ A 192.0.2.$\n", 300},
		{"$TTL 300\n$GENERATE 1-2 h$ A 192.0.2.$\n$TTL 1\n", 300},
		{"$ttl 300 ; five minutes\n$generate 1-2/1 h$ a 192.0.2.$ ; two", 300},
	} {
		z, err := zone.Parse(doc(c.records), 1)
		if err != nil {
			t.Errorf("%q: %v", c.records, err)
			continue
		}
		for _, name := range []string{"h1.dr.example", "h2.dr.example"} {
			if got := find(t, z, name).Set(dns.TypeA).TTL; got != c.want {
				t.Errorf("%q: %s has TTL %d, want %d", c.records, name, got, c.want)
			}
		}
	}
}

// TestGenerateEscapes: an escape in a $GENERATE means what it means in a record.
func TestGenerateEscapes(t *testing.T) {
	z, err := zone.Parse(doc("$GENERATE 1-2 h\\046$ TXT \"a\\\"b\\\\c\\032\" \\$ $${0,2,x}\n$GENERATE 3-3 q$ TYPE65280 \\# 1 0$\n"), 1)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := string(find(t, z, `h\.1.dr.example`).Set(dns.TypeTXT).Data[0]), "\x06a\"b\\c \x01$\x08${0,2,x}"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got := find(t, z, "q3.dr.example").Set(65280).Data[0]; string(got) != "\x03" {
		t.Errorf("% x", got)
	}
}

// TestToldWithPlaceAndRemedy: what the zone parser takes in silence or tells in words of its own.
func TestToldWithPlaceAndRemedy(t *testing.T) {
	for _, c := range []struct{ records, want string }{
		{"c\\256d A 192.0.2.1\n", `1, column 2: \256 is no escape: \DDD is 000 to 255, always three digits`},
		{"a A 192.0.2.1\nd\\2 A 192.0.2.1\n", `2, column 2: \2 is no escape`},
		{"a CAA 0 issue \"x\\256\"\n", `1, column 17: \256 is no escape`},
		{"a TXT x\\\nb TXT y\n", `1, column 8: a backslash ends the line`},
		{"a TXT x\\", `1, column 8: a backslash ends the line`},
		{"a TXT (\n \"ä\\25\" )\n", `2, column 4: \25 is no escape`},
		{"a TYPE65280 \\# 4 0102\n", `1, column 16: \# says 4 bytes, but 2 follow; write \# 2`},
		{"a TYPE65280 \\# 2 01 0z\n", `1, column 22: "z" is no hexadecimal digit; write each byte as two of 0 to 9 and a to f`},
		{"a TYPE65280 \\# 2 010\n", `1, column 16: an odd number of hexadecimal digits`},
		{"a TYPE65280 \\# x 010\n", `1, column 16: "x" is no length`},
		{"a TYPE65280 \\#\n", `1, column 13: \# has no length`},
		{"a TYPE65280 x\n", `1, column 3: the data of type TYPE65280 has no form of its own here; write it as \# LENGTH HEX`},
		{"a TYPE1 \\# 3 010203\n", `1, column 9: these 3 bytes are not the data of a record of type A; it holds an IPv4 address like 192.0.2.1`},
		{"a DS 1 8 2 00zz\n", `1, column 14: record of type DS: "z" is no hexadecimal digit`},
		{"a TLSA 3 1 1 012\n", `1, column 14: record of type TLSA: an odd number of hexadecimal digits; each byte has two`},
		{"a DNSKEY 256 3 8 !!\n", `1, column 18: record of type DNSKEY: this is no base64`},
		{"a TYPE99999 \\# 0\n", `1, column 3: TYPE99999 is no type; allowed: TYPE1 to TYPE65535`},
		{"a OPT x\n", `1, column 3: OPT is not a type that can be stored in a zone`},
		{"a TSIG\n", `1, column 3: TSIG is not a type`},
		{"$GENERATE 10-1 a$ A 192.0.2.$\n", `1, column 11: range 10-1: it ends at 1, below its start; write START-STOP or START-STOP/STEP: 0 to 2147483647, STOP not below START, at most 65536 records`},
		{"$GENERATE 1-100000 a$ A 192.0.2.1\n", `1, column 11: range 1-100000: it makes 100000 records; write`},
		{"$GENERATE 1-3/0 a$ A 192.0.2.1\n", `1, column 11: range 1-3/0: the step is not a number from 1`},
		{"$GENERATE 3 a$ A 192.0.2.1\n", `1, column 11: range 3: this is no range of numbers`},
		{"$GENERATE 1-3\n", `1, column 1: $GENERATE is not complete; write $GENERATE START-STOP`},
		{"$GENERATE 1-2 a${x} A 192.0.2.1\n", `1, column 16: "${x}" cannot stand in a $GENERATE; write ${OFFSET,WIDTH,BASE}`},
		{"$GENERATE 1-2 a$ FOO 192.0.2.1\n", `1, column 18: "FOO" is no record type, class or TTL`},
		{"x A 192.0.2.1\n\n$GENERATE 250-260/5 a$ A 192.0.2.$\n", `3, column 21: the record for 260: record of type A: 192.0.2.260 is no IPv4 address`},
		{"$GENERATE 1-2 a$ MX x\ny A 192.0.2.1\nz A 1\n", `1, column 15: the record for 1: record of type MX: "x" cannot stand there`},
		{"$FOO x\n", `1, column 1: $FOO is no directive; there are $TTL, $ORIGIN, $GENERATE and, in zone files, $INCLUDE; a name that begins with $ is written \$FOO`},
		{"$TTL\n", `1, column 1: $TTL has no value; write seconds like $TTL 300`},
		{"$ORIGIN ; x\n", `1, column 1: $ORIGIN has no value; write a name like $ORIGIN sub.dr.example.`},
		{"  $TTL 300\n", `1, column 3: $TTL stands behind a blank`},
		{"; x\n  A 192.0.2.1\n", `2, column 3: the first record has no name it could take over; write the name before it, or @ for dr.example.`},
		{"\ufeffa A 192.0.2.1\n", `1, column 1: a byte order mark (U+FEFF) stands before the text; remove it`},
		{"\ufeff$TTL 300\na A 192.0.2.1\n", `1, column 1: a byte order mark`},
		{"@ SOA ns1 the.ops@example.org. 1 2 3 4 5\n", `1, column 11: the mailbox the.ops@example.org. has an @; in zone text it is a name, with a dot in its place: write the\.ops.example.org.`},
		{"@ SOA ns1 (\n ops@example.org 1 2 3 4 5 )\n", `2, column 2: the mailbox`},
		{"a SVCB 1 . alpn\n", `1: a.dr.example. SVCB: parameter alpn: it holds protocols, one at least`},
		{"a SVCB 1 . alpn=\n", `parameter alpn`},
		{"a SVCB 1 . alpn=h2 alpn=h3\n", `1: a.dr.example. SVCB: a parameter stands twice; keep one`},
		{"a SVCB 1 . ipv4hint=\n", `1`},
		{"a SVCB 1 . mandatory=port\n", `parameter mandatory: it names port, which the record does not have`},
		{"a SVCB 1 . mandatory=mandatory\n", `parameter mandatory: it names itself`},
		{"a SVCB 1 . mandatory=alpn,alpn alpn=h2\n", `parameter mandatory: alpn stands twice`},
		{"a SVCB 1 . mandatory\n", `parameter mandatory: it holds keys`},
		{"a SVCB 1 . no-default-alpn\n", `parameter no-default-alpn without alpn`},
		{"a HTTPS 1 . ech\n", `parameter ech: it has no value`},
		{"a HTTPS 1 . dohpath=x\n", `parameter dohpath: `},
		{"a TYPE64 \\# 10 0001000004000301020304\n", `1`},
		{"a TYPE64 \\# 10 00010000040003010203\n", `1`},
		{"a SVCB 1 . port\n", `1, column 12: "port" has no value that is allowed there`},
	} {
		_, err := zone.Parse(doc(c.records), 1)
		switch {
		case err == nil:
			t.Errorf("%q is accepted", c.records)
		case !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), "zone dr.example: records line "):
			t.Errorf("%q:\n got %v\nwant %s", c.records, err, c.want)
		case strings.Contains(err.Error(), "encoding/"), strings.Contains(err.Error(), "RFC3597"), strings.Contains(err.Error(), "dns:"):
			t.Errorf("%q: %v", c.records, err)
		}
	}
}

// TestRightAsItIs: what looks like a mistake above and is none.
func TestRightAsItIs(t *testing.T) {
	for _, records := range []string{
		"c\\255d A 192.0.2.1\n", "d\\.2 A 192.0.2.1\n", "a TXT x ; \\\n", "a TXT \"\\\\\"\n", "\\$FOO A 192.0.2.1\n", "a TYPE1 \\# 4 c0000201\n", "a TYPE65280 \\# 0\n",
		"a SVCB 0 b\n", "a SVCB 0 b alpn=h2\n", "a SVCB 1 . alpn=h2,h3 port=53 ipv4hint=192.0.2.1,192.0.2.2 ipv6hint=::1\n", "a HTTPS 1 . mandatory=alpn,port alpn=h2 port=1\n",
		"a SVCB 1 . alpn=h2 no-default-alpn ohttp dohpath=/q{?dns} key667=x\n", "a HTTPS 1 . key667\n", "@ SOA ns1 @ 1 2 3 4 5\n", "@ SOA ns1 a\\@b 1 2 3 4 5\n",
		"a RP @ .\n", "$GENERATE 0-65535 a$ A 192.0.2.1\n", "$TTL 5 ; x\n",
	} {
		if _, err := zone.Parse(doc(records), 1); err != nil {
			t.Errorf("%q: %v", records, err)
		}
	}
}
