//go:build interop && linux

package xdp_test

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"

	"jurymast/internal/nameserver/xdp"
	"jurymast/internal/testbed"
)

var (
	server4, client4 = netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.9")
	server6, client6 = netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("2001:db8::9")
)

// load a table, or skip where that is not allowed, unless everything is said to be there.
func load(t *testing.T, o xdp.Options) *xdp.Table {
	t.Helper()
	if os.Getuid() != 0 {
		testbed.NeedsRoot(t, "loading a program into the kernel")
	}
	table, err := xdp.Load(o)
	if err != nil {
		testbed.Refused(t, err)
	}
	t.Cleanup(func() {
		if err := table.Close(); err != nil {
			t.Error(err)
		}
	})
	return table
}

func options() xdp.Options {
	return xdp.Options{Answers: 8, Slots: 4, UDPSize: 1232, Addresses: []netip.Addr{server4, server6}}
}

func wireName(name string) []byte {
	var b []byte
	for label := range strings.SplitSeq(strings.TrimSuffix(name, "."), ".") {
		b = append(append(b, byte(len(label))), label...)
	}
	return append(b, 0)
}

// a is an address record behind the question.
func a(addr string) []byte {
	ip := netip.MustParseAddr(addr).AsSlice()
	typ := byte(1)
	if len(ip) == 16 {
		typ = 28
	}
	return append([]byte{0xC0, 12, 0, typ, 0, 1, 0, 0, 0, 30, 0, byte(len(ip))}, ip...)
}

// question without EDNS, with RD.
func question(name string, qtype uint16) []byte {
	q := append([]byte{0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0}, wireName(name)...)
	return append(q, byte(qtype>>8), byte(qtype), 0, 1)
}

func withOPT(q []byte, do bool, options ...byte) []byte {
	q[11]++
	q = append(q, 0, 0, 41, 0x10, 0, 0, 0, 0, 0, 0, byte(len(options)))
	if do {
		q[len(q)-4] = 0x80
	}
	return append(q, options...)
}

// frame4 and frame6 carry a message from client to server.
func frame4(msg []byte) []byte {
	f := []byte("\x02\x00\x00\x00\x00\x01\x02\x00\x00\x00\x00\x02\x08\x00\x45\x10\x00\x00\x77\x88\x00\x00\x33\x11\x00\x00")
	f = append(append(f, client4.AsSlice()...), server4.AsSlice()...)
	binary.BigEndian.PutUint16(f[16:], uint16(28+len(msg)))
	return datagram(f, msg)
}

func frame6(msg []byte) []byte {
	f := []byte("\x02\x00\x00\x00\x00\x01\x02\x00\x00\x00\x00\x02\x86\xdd\x61\x23\x45\x67\x00\x00\x11\x33")
	f = append(append(f, client6.AsSlice()...), server6.AsSlice()...)
	binary.BigEndian.PutUint16(f[18:], uint16(8+len(msg)))
	return datagram(f, msg)
}

func datagram(f, msg []byte) []byte {
	f = binary.BigEndian.AppendUint16(f, 40001)
	f = append(f, 0, 53)
	f = binary.BigEndian.AppendUint16(f, uint16(8+len(msg)))
	return append(append(f, 0xAB, 0xCD), msg...) // half a checksum, as a virtual interface brings it
}

func sum(parts ...[]byte) uint16 {
	b := bytes.Join(parts, nil)
	if len(b)%2 == 1 {
		b = append(b, 0)
	}
	s := uint32(0)
	for i := 0; i < len(b); i += 2 {
		s += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	for s > 0xFFFF {
		s = s&0xFFFF + s>>16
	}
	return uint16(s)
}

// failer is a test, of either kind.
type failer interface {
	Helper()
	Errorf(format string, args ...any)
}

// unwrap checks the frame of an answer and returns the message in it.
func unwrap(t failer, f []byte) []byte {
	t.Helper()
	if !bytes.HasPrefix(f, []byte("\x02\x00\x00\x00\x00\x02\x02\x00\x00\x00\x00\x01")) {
		t.Errorf("Ethernet addresses % x", f[:12])
	}
	at, from, to := 34, f[26:30], f[30:34]
	wantFrom, wantTo := server4, client4
	if f[12] == 0x86 {
		at, from, to = 54, f[22:38], f[38:54]
		wantFrom, wantTo = server6, client6
		if f[14] != 0x60 || f[20] != 17 || f[21] != 64 || int(binary.BigEndian.Uint16(f[18:])) != len(f)-54 {
			t.Errorf("IPv6 header % x of %d bytes", f[14:22], len(f))
		}
	} else if f[14] != 0x45 || f[22] != 64 || f[23] != 17 || int(binary.BigEndian.Uint16(f[16:])) != len(f)-14 || sum(f[14:34]) != 0xFFFF {
		t.Errorf("IPv4 header % x of %d bytes, sum %04x", f[14:26], len(f), sum(f[14:34]))
	}
	if !bytes.Equal(from, wantFrom.AsSlice()) || !bytes.Equal(to, wantTo.AsSlice()) {
		t.Errorf("from %v to %v", net.IP(from), net.IP(to))
	}
	u := f[at:]
	if binary.BigEndian.Uint16(u) != 53 || binary.BigEndian.Uint16(u[2:]) != 40001 || int(binary.BigEndian.Uint16(u[4:])) != len(u) {
		t.Errorf("UDP header % x of %d bytes", u[:8], len(u))
	}
	if binary.BigEndian.Uint16(u[6:]) == 0 || sum(from, to, []byte{0, 17}, u[4:6], u) != 0xFFFF {
		t.Errorf("UDP checksum %x", u[6:8])
	}
	return u[8:]
}

// The message is the one the sockets would have sent: question as asked, flags, counts, records, OPT.
func TestInteropAnswers(t *testing.T) {
	table := load(t, options())
	two := append(a("203.0.113.1"), a("203.0.113.2")...)
	odd := []byte("\xC0\x0C\x00\x10\x00\x01\x00\x00\x00\x1E\x00\x03\x02ab") // TXT, 15 bytes
	publish(t, table, "www.dr.example", 1, xdp.Answer{Records: two, Count: 2, Slot: 1, Unsigned: true})
	publish(t, table, "ww.dr.example", 16, xdp.Answer{Records: odd, Count: 1, Slot: 2, Unsigned: true})
	publish(t, table, "www.dr.example", 16, xdp.Answer{Records: odd, Count: 1, Slot: 2, Unsigned: true})
	publish(t, table, "a", 28, xdp.Answer{Records: a("2001:db8::7"), Count: 1, Unsigned: true})
	for _, c := range []struct {
		name    string
		qtype   uint16
		records []byte
		count   byte
	}{
		{"www.dr.example", 1, two, 2},
		{"wWw.DR.exampLE", 1, two, 2},
		{"ww.dr.example", 16, odd, 1},
		{"www.dr.example", 16, odd, 1},
		{"A", 28, a("2001:db8::7"), 1},
	} {
		for i, q := range [][]byte{question(c.name, c.qtype), withOPT(question(c.name, c.qtype), false), withOPT(question(c.name, c.qtype), true)} {
			want := append(bytes.Clone(question(c.name, c.qtype)), c.records...)
			want[2], want[7] = 0x85, c.count
			if i > 0 {
				want[11] = 1
				want = append(want, 0, 0, 41, 1232>>8, 1232&0xFF, 0, 0, 0, 0, 0, 0)
			}
			if i == 2 {
				want[len(want)-4] = 0x80
			}
			for _, f := range [][]byte{frame4(q), frame6(q), append(frame4(q), make([]byte, 9)...)} {
				verdict, out := table.Try(t, f)
				if verdict != xdp.VerdictSend {
					t.Fatalf("%s %d, variant %d: verdict %d", c.name, c.qtype, i, verdict)
				}
				if msg := unwrap(t, out); !bytes.Equal(msg, want) || t.Failed() {
					t.Fatalf("%s %d, variant %d:\n%swant\n%s", c.name, c.qtype, i, hex.Dump(msg), hex.Dump(want))
				}
			}
		}
	}
	got, err := table.Counts()
	if want := (xdp.Counts{V4: xdp.Kinds{Plain: 10, EDNS: 10, DO: 10}, V6: xdp.Kinds{Plain: 5, EDNS: 5, DO: 5}}); err != nil || got != want {
		t.Errorf("counted %+v, %v; want %+v", got, err, want)
	}
	all := make([]uint64, 4)
	if err := table.AnsweredAll(all); err != nil || !slices.Equal(all, []uint64{9, 18, 18, 0}) {
		t.Errorf("all slots: %d, %v", all, err)
	}
	if err := table.AnsweredAll(make([]uint64, 5)); err == nil {
		t.Error("five of four slots")
	}
	for slot, want := range []uint64{9, 18, 18, 0} {
		if got, err := table.Answered(uint32(slot)); err != nil || got != want {
			t.Errorf("slot %d: %d, %v; want %d", slot, got, err, want)
		}
	}
}

func publish(t *testing.T, table *xdp.Table, name string, qtype uint16, answer xdp.Answer) {
	t.Helper()
	if err := table.Publish(wireName(name), qtype, answer); err != nil {
		t.Fatal(err)
	}
}

// Everything else reaches the sockets byte for byte.
func TestInteropPasses(t *testing.T) {
	table := load(t, options())
	publish(t, table, "www.dr.example", 1, xdp.Answer{Records: a("203.0.113.1"), Count: 1})
	long := strings.Repeat("abcdefg.", 8) + "xyz" // 69 bytes in wire form
	plain := func() []byte { return question("www.dr.example", 1) }
	set := func(b []byte, at int, v byte) []byte { b[at] = v; return b }
	for what, f := range map[string][]byte{
		"another name":        frame4(question("www2.dr.example", 1)),
		"another type":        frame4(question("www.dr.example", 28)),
		"another class":       frame4(set(plain(), len(plain())-1, 3)),
		"signatures":          frame4(withOPT(plain(), true)),
		"cookie":              frame4(withOPT(plain(), false, 0, 10, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8)),
		"client subnet":       frame4(withOPT(plain(), false, 0, 8, 0, 4, 0, 1, 0, 0)),
		"EDNS version 1":      frame4(set(withOPT(plain(), false), len(plain())+6, 1)),
		"unknown EDNS flag":   frame4(set(withOPT(plain(), false), len(plain())+8, 1)),
		"OPT with an owner":   frame4(set(withOPT(plain(), false), len(plain()), 1)),
		"no OPT":              frame4(set(withOPT(plain(), false), len(plain())+2, 42)),
		"response":            frame4(set(plain(), 2, 0x81)),
		"notify":              frame4(set(plain(), 2, 0x20)),
		"truncated flag":      frame4(set(plain(), 2, 2)),
		"reserved flag":       frame4(set(plain(), 3, 0x40)),
		"two questions":       frame4(set(plain(), 5, 2)),
		"no question":         frame4(set(plain(), 5, 0)),
		"an answer":           frame4(set(plain(), 7, 1)),
		"missing OPT":         frame4(set(plain(), 11, 1)),
		"rest":                frame4(append(plain(), 0)),
		"cut question":        frame4(plain()[:len(plain())-1]),
		"pointer":             frame4(set(plain(), 12, 0xC0)),
		"label beyond":        frame4(set(plain(), 12, 63)),
		"long name":           frame4(question(long, 1)),
		"many labels":         frame4(question("a.b.c.d.e.f.g.h.i", 1)),
		"root":                frame4(question("", 1)),
		"another port":        set(frame4(plain()), 37, 54),
		"from port 0":         set(set(frame4(plain()), 34, 0), 35, 0),
		"another address":     set(frame4(plain()), 33, 2),
		"another address, v6": set(frame6(plain()), 53, 2),
		"to all stations":     set(frame4(plain()), 0, 0xFF),
		"from many stations":  set(frame6(plain()), 6, 0x03),
		"from 0/8":            set(frame4(plain()), 26, 0),
		"from loopback":       set(frame4(plain()), 26, 127),
		"from multicast":      set(frame4(plain()), 26, 224),
		"from broadcast":      set(frame4(plain()), 26, 255),
		"from multicast, v6":  set(frame6(plain()), 22, 0xFF),
		"from ::1":            append(append(frame6(plain())[:22:22], "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01"...), frame6(plain())[38:]...),
		"TCP":                 set(frame4(plain()), 23, 6),
		"TCP, v6":             set(frame6(plain()), 20, 6),
		"IP options":          set(frame4(plain()), 14, 0x46),
		"fragment":            set(frame4(plain()), 20, 0x20),
		"later fragment":      set(frame4(plain()), 21, 1),
		"VLAN":                set(set(frame4(plain()), 12, 0x81), 13, 0),
		"UDP length":          set(frame4(plain()), 39, 20),
		"IP length":           set(frame4(plain()), 17, 255),
		"UDP length, v6":      set(frame6(plain()), 59, 20),
		"short":               frame4(plain())[:58],
		"short, v6":           frame6(plain())[:70],
		"cut frame":           frame4(plain())[:68],
	} {
		in := bytes.Clone(f)
		if verdict, out := table.Try(t, in); verdict != xdp.VerdictPass || !bytes.Equal(f, out) {
			t.Errorf("%s: verdict %d, unchanged: %v", what, verdict, bytes.Equal(f, out))
		}
	}
	if verdict, _ := table.Try(t, frame4(plain())); verdict != xdp.VerdictSend {
		t.Errorf("verdict %d for the plain question", verdict)
	}
}
