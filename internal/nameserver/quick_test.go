package nameserver_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"jurymast/internal/health"
	"jurymast/internal/profile"
)

// What most resolvers ask is answered the quick way, and nothing else is.
func TestQuickTakesTheOrdinary(t *testing.T) {
	f := standardFixture(t)
	const edns = "00 0029 04d0 00000000 0000"
	for _, c := range []struct {
		what, head, name, tail, rest string
		want                         bool
	}{
		{"address of a profile", plainHead, "dr.example", "0001 0001", "", true},
		{"IPv6 address of a profile", plainHead, "dr.example", "001c 0001", "", true},
		{"letter case", plainHead, "dR.eXAMPLe", "0001 0001", "", true},
		{"EDNS", opt, "dr.example", "0001 0001", edns, true},
		{"a client's cookie", opt, "dr.example", "0001 0001", "00 0029 04d0 00000000 000c 000a 0008 0102030405060708", true},
		{"a client's cookie with a server's", opt, "dr.example", "0001 0001", "00 0029 04d0 00008000 001c 000a 0018 0102030405060708 01000000 00000000 0000000000000000", true},
		{"a cookie of another length", opt, "dr.example", "0001 0001", "00 0029 04d0 00000000 0014 000a 0010 0102030405060708 0102030405060708", false},
		{"a broken cookie", opt, "dr.example", "0001 0001", "00 0029 04d0 00000000 000c 000a 0007 0102030405060708", false},
		{"EDNS with DO", opt, "dr.example", "0001 0001", "00 0029 04d0 00008000 0000", true},
		{"static address", plainHead, "mail.dr.example", "0001 0001", "", true},
		{"static text", plainHead, "mixed.dr.example", "0010 0001", "", true},
		{"not confirmed, so with an extended error", opt, "old.dr.example", "0001 0001", edns, false},
		{"all down", opt, "down.dr.example", "0001 0001", edns, false},
		{"not ready", plainHead, "silent.dr.example", "0001 0001", "", false},
		{"alias", plainHead, "svc.dr.example", "0001 0001", "", true},
		{"alias for itself", plainHead, "svc.dr.example", "0005 0001", "", true},
		{"alias for another type", plainHead, "svc.dr.example", "0010 0001", "", false},
		{"alias into our zones", plainHead, "in.dr.example", "0001 0001", "", false},
		{"static alias", plainHead, "www.dr.example", "0001 0001", "", false},
		{"no such type", plainHead, "mail.dr.example", "0010 0001", "", false},
		{"no such name", plainHead, "nothing.dr.example", "0001 0001", "", false},
		{"below a delegation", plainHead, "ns.sub.dr.example", "0001 0001", "", false},
		{"wildcard", plainHead, "x.wild.dr.example", "0010 0001", "", false},
		{"several texts do not fit", plainHead, "big.dr.example", "0010 0001", "", false},
		{"any type", plainHead, "dr.example", "00ff 0001", "", false},
		{"class CH", plainHead, "dr.example", "0001 0003", "", false},
		{"EDNS version 1", opt, "dr.example", "0001 0001", "00 0029 04d0 00010000 0000", false},
		{"an option", opt, "dr.example", "0001 0001", "00 0029 04d0 00000000 0004 0003 0000", false},
		{"bytes left over", plainHead, "dr.example", "0001 0001", "00", false},
		{"opcode", "1234 2000 0001 0000 0000 0000", "dr.example", "0001 0001", "", false},
		{"a response", "1234 8000 0001 0000 0000 0000", "dr.example", "0001 0001", "", false},
		{"two questions", "1234 0000 0002 0000 0000 0000", "dr.example", "0001 0001", "", false},
	} {
		pkt := packet(c.head, "name:"+c.name, c.tail, c.rest)
		quick, long, ok := f.srv.Ways(pkt, t0Addr)
		if ok != c.want {
			t.Errorf("%s: quick %v, want %v", c.what, ok, c.want)
		}
		if ok && !bytes.Equal(quick, long) {
			t.Errorf("%s:\nquick % x\nlong  % x", c.what, quick, long)
		}
	}
}

const plainHead = "1234 0100 0001 0000 0000 0000"

// Whatever the quick way answers, it answers as the long way does, byte for byte: random questions, whole and broken,
// over all the profiles the other tests use.
func TestQuickEqualsLong(t *testing.T) {
	dice := rand.New(rand.NewPCG(1, 2))
	fixtures := []*fixture{standardFixture(t), methods(t)}
	list := []string{"dr.example", "mail.dr.example", "web.dr.example", "svc.dr.example", "down.dr.example", "old.dr.example", "x.dr.example", "mixed.dr.example", "elsewhere.test"}
	for _, name := range methodNames {
		list = append(list, name+".dr.example")
	}
	types := []uint16{dns.TypeA, dns.TypeAAAA, dns.TypeTXT, dns.TypeMX, dns.TypeSOA, dns.TypeANY, dns.TypeCNAME}
	took := 0
	for range 30_000 {
		pkt := randomQuestion(dice, list[dice.IntN(len(list))], types[dice.IntN(len(types))])
		for i, f := range fixtures {
			quick, long, ok := f.srv.Ways(pkt, inGermany)
			if !ok {
				continue
			}
			if took++; !bytes.Equal(quick, long) {
				t.Fatalf("fixture %d, % x\nquick % x\nlong  % x", i, pkt, quick, long)
			}
		}
	}
	if took < 1000 {
		t.Errorf("only %d questions were answered the quick way", took)
	}
}

func randomQuestion(dice *rand.Rand, name string, typ uint16) []byte {
	m := new(dns.Msg).SetQuestion(dns.Fqdn(name), typ)
	m.Id, m.RecursionDesired, m.CheckingDisabled, m.AuthenticatedData = uint16(dice.Uint32()), dice.IntN(2) == 0, dice.IntN(4) == 0, dice.IntN(4) == 0
	if dice.IntN(2) == 0 {
		m.SetEdns0([]uint16{0, 100, 512, 600, 1232, 4096}[dice.IntN(6)], dice.IntN(2) == 0)
		if dice.IntN(3) == 0 {
			m.IsEdns0().Option = append(m.IsEdns0().Option, &dns.EDNS0_COOKIE{Code: dns.EDNS0COOKIE, Cookie: strings.Repeat("0102030405060708", 1+2*dice.IntN(3))})
		}
		if dice.IntN(5) == 0 {
			m.IsEdns0().Option = append(m.IsEdns0().Option, &dns.EDNS0_NSID{Code: dns.EDNS0NSID})
		}
	}
	pkt, err := m.Pack()
	if err != nil {
		panic(err)
	}
	switch dice.IntN(10) {
	case 0, 1: // broken somewhere
		pkt[dice.IntN(len(pkt))] = byte(dice.Uint32())
	case 2:
		pkt = pkt[:dice.IntN(len(pkt)+1)]
	case 3, 4: // letter case
		for i := 12; i < 12+len(name); i++ {
			if c := pkt[i]; c >= 'a' && c <= 'z' && dice.IntN(2) == 0 {
				pkt[i] = c - 'a' + 'A'
			}
		}
	}
	return pkt
}

// The target of an alias is written as short as the long way does, whatever it shares with the question.
func TestQuickAliases(t *testing.T) {
	questions := names("a.b.test.example", "test.example.dr.test", "x.elsewhere", `odd\.test.example`, `b\004test\007example`)
	for _, to := range []string{"b.test.example", "B.Test.Example", "test.example", "example", "c.test.example", "a.b.test.example.com", "com", "test"} {
		zones := []*profile.Zone{}
		var ps []*profile.Profile
		var views []*health.View
		for i, q := range questions {
			zones = append(zones, &profile.Zone{Name: q, Nameservers: []string{"ns.other.net"}})
			p := service(fmt.Sprintf("p%d", i), names("www."+q), host(to))
			ps, views = append(ps, p), append(views, view(p, "u", nil))
		}
		f := build(t, zones, ps, views)
		for _, q := range questions {
			m := new(dns.Msg).SetQuestion("wWw."+q+".", dns.TypeA)
			pkt, err := m.Pack()
			if err != nil {
				t.Fatal(err)
			}
			quick, long, ok := f.srv.Ways(pkt, t0Addr)
			if !ok || !bytes.Equal(quick, long) {
				t.Errorf("%s to %s: %v\nquick % x\nlong  % x", q, to, ok, quick, long)
			}
		}
	}
}

// BenchmarkQuick is one question and its answer without the socket, by number of names.
func BenchmarkQuick(b *testing.B) {
	for _, count := range []int{10, 1000, 10_000} {
		b.Run(fmt.Sprintf("profiles=%d", count), func(b *testing.B) {
			var ps []*profile.Profile
			var views []*health.View
			for i := range count {
				p := service(fmt.Sprintf("p%d", i), names(fmt.Sprintf("n%06d.dr.example", i)), addrs("127.0.0.11"), addrs("127.0.0.12"))
				ps, views = append(ps, p), append(views, view(p, "uu", nil))
			}
			askAll(b, build(b, []*profile.Zone{testZone("")}, ps, views), count)
		})
	}
	for _, count := range []int{10, 1000, 100_000} {
		b.Run(fmt.Sprintf("static=%d", count), func(b *testing.B) {
			var text strings.Builder
			for i := range count {
				fmt.Fprintf(&text, "n%06d 30 A 127.0.0.11\n", i)
			}
			askAll(b, build(b, []*profile.Zone{testZone(text.String())}, nil, nil), count)
		})
	}
}

// askAll asks for n000000 to the count-th in no order, again and again. There is one packet, because a loop reads its
// packets to the same place again and again, too.
func askAll(b *testing.B, f *fixture, count int) {
	b.Helper()
	pkt, answer := packet(plainHead, "name:n000000.dr.example", "0001 0001"), f.srv.RawLoop()
	ask := func(n int) {
		for i := 19; i > 13; i-- {
			pkt[i], n = byte('0'+n%10), n/10
		}
		if len(answer(pkt, t0Addr)) == 0 {
			b.Fatal("no answer")
		}
	}
	for i := range count { // counters are made with the first answer
		ask(i)
	}
	order := rand.New(rand.NewPCG(3, 4)).Perm(count)
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		ask(order[i])
		if i++; i == count {
			i = 0
		}
	}
}
