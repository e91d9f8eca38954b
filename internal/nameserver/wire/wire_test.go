package wire_test

import (
	"bytes"
	"encoding/binary"
	"testing"

	"jurymast/internal/nameserver/wire"
)

func TestNameLimits(t *testing.T) {
	label := func(n int) []byte { return append([]byte{byte(n)}, bytes.Repeat([]byte{'A'}, n)...) }
	long := bytes.Join([][]byte{label(63), label(63), label(63), label(61), {0}}, nil) // 255 bytes
	tooLong := bytes.Join([][]byte{label(63), label(63), label(63), label(62), {0}}, nil)
	many := append(bytes.Repeat(label(1), 127), 0) // 255 bytes
	cases := []struct {
		in             []byte
		length, labels int
	}{
		{[]byte{0}, 1, 0},
		{[]byte{0, 9, 9}, 1, 0},
		{long, 255, 4},
		{many, 255, 127},
		{tooLong, 0, 0},
		{append(bytes.Repeat(label(1), 128), 0), 0, 0},
		{nil, 0, 0},
		{label(3), 0, 0},
		{[]byte{3, 'a'}, 0, 0},
		{[]byte{64}, 0, 0},
		{[]byte{0xC0, 0}, 0, 0},
	}
	for _, c := range cases {
		var n wire.Name
		if got := n.Set(c.in); got != c.length || got > 0 && n.Labels() != c.labels {
			t.Errorf("% x: %d bytes, %d labels, want %d and %d", c.in, got, n.Labels(), c.length, c.labels)
		}
	}
	var n wire.Name
	n.Set([]byte("\x03wWw\x02Dr\x00rest"))
	if string(n.Key(0)) != "\x03www\x02dr\x00" || string(n.Key(1)) != "\x02dr\x00" || string(n.Wire(1)) != "\x02Dr\x00" || string(n.Key(2)) != "\x00" {
		t.Errorf("%q %q", n.Key(0), n.Wire(0))
	}
}

func TestEqualFold(t *testing.T) {
	if !wire.EqualFold([]byte("\x01aZ"), []byte("\x01Az")) || wire.EqualFold([]byte("\x01[\x00"), []byte("\x01{\x00")) || wire.EqualFold([]byte("a"), []byte("aa")) {
		t.Error("only ASCII letters fold")
	}
}

func question(name string) *wire.Query {
	pkt := append([]byte{0x12, 0x34, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0}, name...)
	q := new(wire.Query)
	q.Parse(append(pkt, 0, 1, 0, 1))
	return q
}

// Compressed names point backwards to the longest tail there is, case aside, and read as what was meant.
func TestCompression(t *testing.T) {
	var w wire.Writer
	q := question("\x01A\x02Dr\x00")
	w.Begin(nil, q, 512)
	owner := []byte("\x01a\x02dr\x00")
	w.RRset(wire.Answer, owner, 5, 1, [][]byte{[]byte("\x01b\x02dR\x00")}, 0)
	w.RRset(wire.Authority, []byte("\x01b\x02dr\x00"), 15, 2, [][]byte{[]byte("\x00\x05\x01c\x01b\x02dr\x00")}, 0)
	w.RRset(wire.Additional, []byte("\x00"), 39, 3, [][]byte{[]byte("\x01a\x02dr\x00")}, 0)
	got := w.Finish(q, wire.FlagAA, 0)
	want := []byte("\x12\x34\x84\x00\x00\x01\x00\x01\x00\x01\x00\x01\x01A\x02Dr\x00\x00\x01\x00\x01" +
		"\xc0\x0c\x00\x05\x00\x01\x00\x00\x00\x01\x00\x04\x01b\xc0\x0e" +
		"\xc0\x22\x00\x0f\x00\x01\x00\x00\x00\x02\x00\x06\x00\x05\x01c\xc0\x22" +
		"\x00\x00\x27\x00\x01\x00\x00\x00\x03\x00\x06\x01a\x02dr\x00")
	if !bytes.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

// A set that does not fit leaves no trace, also not as a target of pointers.
func TestWholeSetsOnly(t *testing.T) {
	var w wire.Writer
	q := question("\x01a\x00")
	w.Begin(nil, q, 60)
	data := [][]byte{[]byte("\x05other\x00"), []byte("\x20" + "01234567890123456789012345678901" + "\x00")}
	if w.RRset(wire.Answer, []byte("\x01a\x00"), 2, 1, data, 0) {
		t.Fatal("it does not fit")
	}
	if !w.RRset(wire.Answer, []byte("\x05other\x00"), 1, 1, [][]byte{{1, 2, 3, 4}}, 0) {
		t.Fatal("it fits")
	}
	got := w.Finish(q, 0, 0)
	if len(got) != 12+7+7+14 || binary.BigEndian.Uint16(got[6:]) != 1 || got[19] != 5 {
		t.Errorf("% x", got)
	}
	if w.RRset(wire.Answer, []byte("\x00"), 1, 1, [][]byte{{1, 2, 3, 4}}, 6) {
		t.Error("the reserve is not kept")
	}
}

func TestExtendedErrorsGiveWay(t *testing.T) {
	q := question("\x00")
	for limit, want := range map[int]int{100: 17 + 11 + 6 + 4, 17 + 11 + 6 + 4: 17 + 11 + 6 + 4, 17 + 11 + 6 + 3: 17 + 11 + 6, 17 + 11 + 5: 17 + 11} {
		var w wire.Writer
		w.Begin(nil, q, limit)
		w.OPT(16, 1232, true, &wire.Options{Errors: []wire.EDE{{Code: 3, Text: "text"}}})
		if got := w.Finish(q, 0, 16); len(got) != want {
			t.Errorf("limit %d: %d bytes, want %d", limit, len(got), want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("\x12\x34\x00\x00\x00\x01\x00\x00\x00\x00\x00\x01\x01a\x00\x00\x01\x00\x01\x00\x00\x29\x04\xd0\x00\x00\x80\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, pkt []byte) {
		var q wire.Query
		before := bytes.Clone(pkt)
		outcome := q.Parse(pkt)
		if !bytes.Equal(before, pkt) {
			t.Fatal("the packet was changed")
		}
		if outcome == wire.OK && (len(q.Question) < 5 || len(q.Name.Wire(0))+4 != len(q.Question)) {
			t.Fatalf("%+v", q.Question)
		}
	})
}

func TestSubnet(t *testing.T) {
	for _, c := range []struct {
		data, addr   string
		bits, mapped int
	}{
		{"\x00\x01\x18\x00\xc0\x00\x02", "192.0.2.0", 24, 0},
		{"\x00\x01\x19\x00\xc0\x00\x02\x80", "192.0.2.128", 25, 0},
		{"\x00\x01\x00\x00", "0.0.0.0", 0, 0},
		{"\x00\x02\x20\x00\x20\x01\x0d\xb8", "2001:db8::", 32, 0},
		{"\x00\x02\x00\x00", "::", 0, 0},
		{"\x00\x02\x78\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff\xc0\x00\x02", "192.0.2.0", 24, 96},
		{"\x00\x02\x5f\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xff\xfe", "::fffe:0:0", 95, 0}, // not wholly mapped
	} {
		addr, bits, mapped := wire.Subnet([]byte(c.data))
		if addr.String() != c.addr || bits != c.bits || mapped != c.mapped {
			t.Errorf("% x: %s/%d, %d mapped", c.data, addr, bits, mapped)
		}
	}
}

// DO and CO are told apart, read and written.
func TestFlagsOfEDNS(t *testing.T) {
	for flags, want := range map[byte][2]bool{0: {}, 0x80: {true, false}, 0x40: {false, true}, 0xC0: {true, true}, 0x3F: {}} {
		pkt := []byte{0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0, 0, 1, 0, 1, 0, 0, wire.TypeOPT, 4, 208, 0, 0, flags, 0, 0, 0}
		q := new(wire.Query)
		if got := q.Parse(pkt); got != wire.OK || [2]bool{q.DO, q.CO} != want {
			t.Errorf("%#x: outcome %d, DO %t, CO %t", flags, got, q.DO, q.CO)
		}
		var w wire.Writer
		w.Begin(nil, q, 512)
		w.OPT(0, 1232, q.DO, &wire.Options{CO: q.CO})
		if got := w.Finish(q, 0, 0); got[17+7] != flags&0xC0 {
			t.Errorf("%#x comes back as %#x", flags, got[17+7])
		}
	}
}
