package nameserver_test

import (
	"bytes"
	"encoding/hex"
	"net/netip"
	"strings"
	"testing"

	"jurymast/internal/nameserver"
	"jurymast/internal/nameserver/cookie"
	"jurymast/internal/profile"
)

// The parts packets of these tests are made of.
const (
	anOPT = "00 0029 1000 00000000 " // of a question, its length follows
	ours  = "00 0029 04d0 00000000 " // of an answer
	doOPT = "00 0029 04d0 00008000 " // of an answer to a question with DO
	none  = "0000"                   // no options

	soaData = "036e7331c00c 036f7073c00c 00000007 00000e10 00000258 00127500 0000003c"
	soaAt   = "c00c 0006 0001 00000e10 0020" + soaData
)

// ede is one extended error as an option.
func ede(code byte, text string) string {
	return hex.EncodeToString(append([]byte{0, 15, 0, byte(2 + len(text)), 0, code}, text...))
}

// withOptions is the length of options and they.
func withOptions(list ...string) string {
	b := packet(list...)
	return hex.EncodeToString(append([]byte{byte(len(b) >> 8), byte(len(b))}, b...))
}

const (
	foreign    = "no zone of this server encloses the name"
	notPrimary = "the sender is no primary of this zone"
	noClass    = "nothing of this class is told"
	noTransfer = "zone transfers are not allowed"
	notLoaded  = "the configuration is not loaded yet"
	noChecks   = "first health checks are not done yet"
)

// condition is a packet and the whole answer to it; no answer is a drop.
type condition struct {
	name string
	pkt  []byte
	want []byte
}

var (
	aJar     = cookie.NewJar(cookie.Secrets{Issue: cookie.Secret{1, 2, 3}})
	aClient  = []byte("ABCDEFGH")
	aSender  = netip.MustParseAddr("192.0.2.200")
	thisHour = uint32(1_700_000_000)
)

// baked is a cookie of ours as the option it goes back in, age seconds old.
func baked(age uint32) string {
	data, _ := aJar.Answer(nil, aClient, nil, aSender, thisHour-age)
	return hex.EncodeToString(append([]byte{0, 10, 0, 24}, data...))
}

func hexOf(text string) string { return hex.EncodeToString([]byte(text)) }

const onlyClient = "000a 0008 4142434445464748"

// conditions are the rows of the order in which a packet is looked at.
func conditions() []condition {
	q := func(parts ...string) []byte { return packet(parts...) }
	www, missing := "name:mail.dr.example", "name:no.dr.example"
	wrong := "000a 0018 4142434445464748 01000000 6553f100 0102030405060708"
	return []condition{
		// too short, or a response
		{"nothing", nil, nil},
		{"eleven bytes", q("1234 0000 0001 0000 0000 00"), nil},
		{"a response", q("1234 8400 0001 0000 0000 0000", apex, soa), nil},
		{"a response of an unknown opcode", q("1234 f800 0000 0000 0000 0000"), nil},

		// opcodes
		{"IQUERY", q("1234 0800 0000 0001 0000 0000"), q("1234 8804 0000 0000 0000 0000")},
		{"STATUS", q("1234 1000 0001 0000 0000 0000", apex, soa), q("1234 9004 0001 0000 0000 0000", apex, soa)},
		{"opcode 3, RD", q("1234 1900 0001 0000 0000 0000", apex, soa), q("1234 9904 0001 0000 0000 0000", apex, soa)},
		{"UPDATE with OPT", q("1234 2800 0001 0000 0000 0001", apex, soa, anOPT, none), q("1234 a804 0001 0000 0000 0000", apex, soa)},
		{"DSO", q("1234 3000 0000 0000 0000 0000"), q("1234 b004 0000 0000 0000 0000")},
		{"opcode 15, header only", q("1234 7800 0000 0000 0000 0000"), q("1234 f804 0000 0000 0000 0000")},
		{"opcode 15, two questions", q("1234 7800 0002 0000 0000 0000", apex, soa, apex, soa), q("1234 f804 0000 0000 0000 0000")},
		{"opcode 15, unreadable question", q("1234 7800 0001 0000 0000 0000", "c00c", soa), q("1234 f804 0000 0000 0000 0000")},
		{"opcode 15, trailing bytes", q("1234 7800 0001 0000 0000 0000", apex, soa, "ffff"), q("1234 f804 0001 0000 0000 0000", apex, soa)},

		// NOTIFY
		{"NOTIFY for a zone of ours", q("1234 2400 0001 0000 0000 0000", apex, soa), q("1234 a005 0001 0000 0000 0000", apex, soa)},
		{"NOTIFY for another zone", q("1234 2000 0001 0000 0000 0001", "name:x.test", soa, anOPT, none), q("1234 a009 0001 0000 0000 0001", "name:x.test", soa, ours, withOptions(ede(20, foreign)))},
		{"NOTIFY with OPT", q("1234 2000 0001 0000 0000 0001", apex, soa, anOPT, none), q("1234 a005 0001 0000 0000 0001", apex, soa, ours, withOptions(ede(18, notPrimary)))},
		{"NOTIFY without a question, with a cookie", q("1234 2000 0000 0000 0000 0001", anOPT, withOptions(onlyClient)), q("1234 a001 0000 0000 0000 0000")},

		// no question
		{"no question, client cookie", q("1234 0100 0000 0000 0000 0001", anOPT, withOptions(onlyClient)), q("1234 8100 0000 0000 0000 0001", ours, withOptions(baked(0)))},
		{"no question, our cookie", q("1234 0000 0000 0000 0000 0001", anOPT, withOptions(baked(60))), q("1234 8000 0000 0000 0000 0001", ours, withOptions(baked(60)))},
		{"no question, our old cookie", q("1234 0000 0000 0000 0000 0001", anOPT, withOptions(baked(2000))), q("1234 8000 0000 0000 0000 0001", ours, withOptions(baked(0)))},
		{"no question, another's cookie", q("1234 0000 0000 0000 0000 0001", anOPT, withOptions(wrong)), q("1234 8007 0000 0000 0000 0001", "00 0029 04d0 01000000", withOptions(baked(0)))},
		{"no question, no cookie", q("1234 0000 0000 0000 0000 0001", anOPT, none), q("1234 8001 0000 0000 0000 0000")},
		{"no question, no OPT", q("1234 0000 0000 0000 0000 0000"), q("1234 8001 0000 0000 0000 0000")},
		{"no question, cookie, trailing byte", q("1234 0000 0000 0000 0000 0001", anOPT, withOptions(onlyClient), "00"), q("1234 8001 0000 0000 0000 0000")},

		// cannot be read
		{"two questions", q("1234 0100 0002 0000 0000 0000", apex, soa, apex, soa), q("1234 8101 0000 0000 0000 0000")},
		{"65535 questions", q("1234 0000 ffff 0000 0000 0000", apex, soa), q("1234 8001 0000 0000 0000 0000")},
		{"question cut", q(head, apex, "0001 00"), q("1234 8001 0000 0000 0000 0000")},
		{"no bytes of the question", q(head), q("1234 8001 0000 0000 0000 0000")},
		{"pointer", q(head, "c00c", soa), q("1234 8001 0000 0000 0000 0000")},
		{"pointer behind a label", q(head, "0161 c00c", soa), q("1234 8001 0000 0000 0000 0000")},
		{"label type 01", q(head, "41"+strings.Repeat("61", 65)+"00", soa), q("1234 8001 0000 0000 0000 0000")},
		{"name of 256 bytes", q(head, strings.Repeat("3f"+strings.Repeat("61", 63), 4)+"00", soa), q("1234 8001 0000 0000 0000 0000")},
		{"trailing byte", q(head, apex, soa, "00"), q("1234 8001 0001 0000 0000 0000", apex, soa)},
		{"trailing bytes behind OPT", q(opt, apex, soa, anOPT, none, "1234"), q("1234 8001 0001 0000 0000 0000", apex, soa)},
		{"two OPT", q("1234 0000 0001 0000 0000 0002", apex, soa, anOPT, none, anOPT, none), q("1234 8001 0001 0000 0000 0000", apex, soa)},
		{"OPT with an owner", q(opt, apex, soa, apex, "0029 1000 00000000 0000"), q("1234 8001 0001 0000 0000 0000", apex, soa)},
		{"OPT with a pointer as owner", q(opt, apex, soa, "c00c 0029 1000 00000000 0000"), q("1234 8001 0001 0000 0000 0000", apex, soa)},
		{"OPT in the authority section", q("1234 0000 0001 0000 0001 0000", apex, soa, anOPT, none), q("1234 8001 0001 0000 0000 0000", apex, soa)},
		{"half an option head", q(opt, apex, soa, anOPT, "0003 000300"), q("1234 8001 0001 0000 0000 0000", apex, soa)},
		{"option running over", q(opt, apex, soa, anOPT, "0006 0003 0003 6161"), q("1234 8001 0001 0000 0000 0000", apex, soa)},
		{"OPT running over", q(opt, apex, soa, anOPT, "0005 00030000"), q("1234 8001 0001 0000 0000 0000", apex, soa)},
		{"record announced and missing", q(opt, apex, soa), q("1234 8001 0001 0000 0000 0000", apex, soa)},

		// EDNS version
		{"version 1", q(opt, apex, soa, "00 0029 1000 00010000 0000"), q("1234 8000 0001 0000 0000 0001", apex, soa, "00 0029 04d0 01000000 0000")},
		{"version 255, DO, flags, cookie, NSID", q("1234 0170 0001 0000 0000 0001", apex, soa, "00 0029 1000 00ffffff", withOptions(onlyClient, "0003 0000")), q("1234 8100 0001 0000 0000 0001", apex, soa, "00 0029 04d0 01008000 0000")},
		{"version 1, option running over its own rules", q(opt, apex, soa, "00 0029 1000 00010000 0003 000a00"), q("1234 8000 0001 0000 0000 0001", apex, soa, "00 0029 04d0 01000000 0000")},

		// options that must be refused
		{"cookie of 0", q(opt, apex, soa, anOPT, withOptions("000a 0000")), q("1234 8001 0001 0000 0000 0001", apex, soa, ours, none)},
		{"cookie of 7", q(opt, apex, soa, anOPT, withOptions("000a 0007 01020304050607")), q("1234 8001 0001 0000 0000 0001", apex, soa, ours, none)},
		{"cookie of 9", q(opt, apex, soa, anOPT, withOptions("000a 0009 010203040506070809")), q("1234 8001 0001 0000 0000 0001", apex, soa, ours, none)},
		{"cookie of 15", q(opt, apex, soa, anOPT, withOptions("000a 000f"+strings.Repeat("11", 15))), q("1234 8001 0001 0000 0000 0001", apex, soa, ours, none)},
		{"cookie of 41", q(opt, apex, soa, anOPT, withOptions("000a 0029"+strings.Repeat("11", 41))), q("1234 8001 0001 0000 0000 0001", apex, soa, ours, none)},
		{"a second cookie of 7", q(opt, apex, soa, anOPT, withOptions(onlyClient, "000a 0007 01020304050607")), q("1234 8001 0001 0000 0000 0001", apex, soa, ours, none)},
		{"subnet with bits behind the prefix, DO", q(opt, apex, soa, "00 0029 1000 00008000", withOptions("0008 0007 0001 17 00 c00003")), q("1234 8001 0001 0000 0000 0001", apex, soa, doOPT, none)},
		{"subnet one byte short", q(opt, apex, soa, anOPT, withOptions("0008 0006 0001 18 00 c000")), q("1234 8001 0001 0000 0000 0001", apex, soa, ours, none)},
		{"subnet one byte long", q(opt, apex, soa, anOPT, withOptions("0008 0008 0001 18 00 c0000200")), q("1234 8001 0001 0000 0000 0001", apex, soa, ours, none)},
		{"subnet of 33 bits", q(opt, apex, soa, anOPT, withOptions("0008 0009 0001 21 00 c000020100")), q("1234 8001 0001 0000 0000 0001", apex, soa, ours, none)},
		{"subnet of 0 bits with a byte", q(opt, apex, soa, anOPT, withOptions("0008 0005 0001 00 00 c0")), q("1234 8001 0001 0000 0000 0001", apex, soa, ours, none)},

		// classes
		{"CH version.bind", q(opt, "name:VERSION.bind", "0010 0003", anOPT, none), q("1234 8005 0001 0000 0000 0001", "name:VERSION.bind", "0010 0003", ours, withOptions(ede(21, noClass)))},
		{"CH id.server", q(head, "name:id.server", "0010 0003"), q("1234 8005 0001 0000 0000 0000", "name:id.server", "0010 0003")},
		{"class ANY", q(head, apex, "0006 00ff"), q("1234 8005 0001 0000 0000 0000", apex, "0006 00ff")},
		{"class HS", q(opt, apex, "0006 0004", anOPT, none), q("1234 8005 0001 0000 0000 0001", apex, "0006 0004", ours, withOptions(ede(21, noClass)))},
		{"class 0", q(head, apex, "0006 0000"), q("1234 8005 0001 0000 0000 0000", apex, "0006 0000")},

		// types without a meaning here
		{"NXNAME", q(opt, apex, "0080 0001", anOPT, none), q("1234 8001 0001 0000 0000 0001", apex, "0080 0001", ours, withOptions(ede(30, "")))},
		{"OPT", q(opt, apex, "0029 0001", anOPT, none), q("1234 8001 0001 0000 0000 0001", apex, "0029 0001", ours, withOptions(ede(30, "")))},
		{"TSIG without OPT", q(head, apex, "00fa 0001"), q("1234 8001 0001 0000 0000 0000", apex, "00fa 0001")},

		// transfers
		{"AXFR", q(opt, apex, "00fc 0001", anOPT, none), q("1234 8005 0001 0000 0000 0001", apex, "00fc 0001", ours, withOptions(ede(18, noTransfer)))},
		{"AXFR of another zone", q(opt, "name:x.test", "00fc 0001", anOPT, none), q("1234 8005 0001 0000 0000 0001", "name:x.test", "00fc 0001", ours, withOptions(ede(20, foreign)))},

		// not ours, not ready
		{"outside", q(opt, "name:x.test", "0001 0001", anOPT, withOptions(onlyClient)), q("1234 8005 0001 0000 0000 0001", "name:x.test", "0001 0001", ours, withOptions(baked(0), ede(20, foreign)))},
		{"the root", q(head, "00 0002 0001"), q("1234 8005 0001 0000 0000 0000", "00 0002 0001")},
		{"no first round", q(opt, "name:silent.dr.example", "0001 0001", anOPT, none), q("1234 8002 0001 0000 0000 0001", "name:silent.dr.example", "0001 0001", ours, withOptions(ede(14, noChecks)))},

		// answers
		{"a record", q(head, www, "0001 0001"), q("1234 8400 0001 0001 0000 0000", www, "0001 0001", "c00c 0001 0001 00000258 0004 c0000219")},
		{"as it was written", q(head, "name:MaIl.DR.eXample", "0001 0001"), q("1234 8400 0001 0001 0000 0000", "name:MaIl.DR.eXample", "0001 0001", "c00c 0001 0001 00000258 0004 c0000219")},
		{"RD AD CD Z AA TC RA", q("1234 07f5 0001 0000 0000 0000", www, "0001 0001"), q("1234 8500 0001 0001 0000 0000", www, "0001 0001", "c00c 0001 0001 00000258 0004 c0000219")},
		{"SOA", q(head, apex, soa), q("1234 8400 0001 0001 0000 0000", apex, soa, soaAt)},
		{"no such name", q(head, missing, "0001 0001"), q("1234 8403 0001 0000 0001 0000", missing, "0001 0001", "c00f 0006 0001 0000003c 0020", strings.ReplaceAll(soaData, "c00c", "c00f"))},
		{"no such type, DO", q(opt, www, "0010 0001", "00 0029 1000 00008000 0000"), q("1234 8400 0001 0000 0001 0001", www, "0010 0001", "c011 0006 0001 0000003c 0020", strings.ReplaceAll(soaData, "c00c", "c011"), doOPT, none)},
		{"an unknown type", q(head, apex, "ff00 0001"), q("1234 8400 0001 0000 0001 0000", apex, "ff00 0001", "c00c 0006 0001 0000001e 0020", soaData)},
		{
			"options: unknown, padding, keepalive over UDP, NSID without a name", q(opt, www, "0001 0001", "00 0029 1000 00007fff", withOptions("ffdc 0002 6161", "000c 0004 00000000", "000b 0000", "0003 0000")),
			q("1234 8400 0001 0001 0000 0001", www, "0001 0001", "c00c 0001 0001 00000258 0004 c0000219", ours, none),
		},
		{"client cookie", q(opt, www, "0001 0001", anOPT, withOptions(onlyClient)), q("1234 8400 0001 0001 0000 0001", www, "0001 0001", "c00c 0001 0001 00000258 0004 c0000219", ours, withOptions(baked(0)))},
		{"our cookie", q(opt, www, "0001 0001", anOPT, withOptions(baked(1800))), q("1234 8400 0001 0001 0000 0001", www, "0001 0001", "c00c 0001 0001 00000258 0004 c0000219", ours, withOptions(baked(1800)))},
		{"another's cookie", q(opt, www, "0001 0001", anOPT, withOptions(wrong)), q("1234 8400 0001 0001 0000 0001", www, "0001 0001", "c00c 0001 0001 00000258 0004 c0000219", ours, withOptions(baked(0)))},
		{"two cookies", q(opt, www, "0001 0001", anOPT, withOptions(onlyClient, "000a 0008 0000000000000000")), q("1234 8400 0001 0001 0000 0001", www, "0001 0001", "c00c 0001 0001 00000258 0004 c0000219", ours, withOptions(baked(0)))},
		{"subnet, cookie", q(opt, www, "0001 0001", anOPT, withOptions(onlyClient, "0008 0007 0001 18 ff c00002")), q("1234 8400 0001 0001 0000 0001", www, "0001 0001", "c00c 0001 0001 00000258 0004 c0000219", ours, withOptions("0008 0007 0001 18 00 c00002", baked(0)))},
		{"subnet of no bits", q(opt, www, "0001 0001", anOPT, withOptions("0008 0004 0002 00 00")), q("1234 8400 0001 0001 0000 0001", www, "0001 0001", "c00c 0001 0001 00000258 0004 c0000219", ours, withOptions("0008 0004 0002 00 00"))},
		{"subnet of an unknown family", q(opt, www, "0001 0001", anOPT, withOptions("0008 0005 0003 20 00 ff")), q("1234 8400 0001 0001 0000 0001", www, "0001 0001", "c00c 0001 0001 00000258 0004 c0000219", ours, none)},
		{"delegation", q(head, "name:x.sub.dr.example", "0001 0001"), q("1234 8000 0001 0000 0002 0001", "name:x.sub.dr.example", "0001 0001",
			"c00e 0002 0001 00000258 0005 026e73c00e", "c00e 0002 0001 00000258 000f 026e73 056f74686572 0474657374 00", "c02e 0001 0001 00000258 0004 c0000235")},
	}
}

// TestConditions compares whole answers with what each condition asks for, over UDP; over streams only cookies and
// keepalive differ, and the rows without those are the same.
func TestConditions(t *testing.T) {
	ps := standard()
	f := create(nameserver.Options{Cookies: aJar})
	f.srv.SetNow(thisHour)
	f.publish(t, 7, []*profile.Zone{testZone(records)}, ps, standardViews(ps))
	loop := f.srv.RawLoop()
	for _, c := range conditions() {
		for transport, got := range map[string][]byte{"udp": f.srv.RawFrom(c.pkt, false, aSender), "tcp": f.srv.RawFrom(c.pkt, true, aSender), "loop": loop(c.pkt, aSender)} {
			if transport == "tcp" && strings.Contains(c.name, "keepalive") {
				continue
			}
			if !bytes.Equal(got, c.want) || (got == nil) != (c.want == nil) {
				t.Errorf("%s over %s:\ngot  %x\nwant %x", c.name, transport, got, c.want)
			}
		}
	}
}

// A server that has no documents yet says so, and never that a name is not there.
func TestNothingLoaded(t *testing.T) {
	f := create(nameserver.Options{})
	got := f.srv.RawFrom(packet(opt, apex, soa, anOPT, none), false, aSender)
	if want := packet("1234 8002 0001 0000 0000 0001", apex, soa, ours, withOptions(ede(14, notLoaded))); !bytes.Equal(got, want) {
		t.Errorf("got  %x\nwant %x", got, want)
	}
}
