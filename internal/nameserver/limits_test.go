package nameserver_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"

	"jurymast/internal/nameserver"
	"jurymast/internal/nameserver/rrl"
	"jurymast/internal/profile"
)

// mallory is the network that asks too much.
var mallory = netip.MustParseAddr("198.51.100.66")

// curbed is the standard fixture with limits.
func curbed(t testing.TB, change func(*nameserver.Options)) *fixture {
	t.Helper()
	opt := nameserver.Options{
		Listen: []string{"127.0.0.1:0"}, Loops: 1, EDNS: nameserver.EDNS{CookiesFirst: true},
		Limits: nameserver.Limits{Answers: true, RRL: rrl.Options{Rate: 5, Slip: 2, Networks: rrl.Networks{Loopback: true}}},
	}
	if change != nil {
		change(&opt)
	}
	f, ps := create(opt), standard()
	f.publish(t, 7, []*profile.Zone{testZone(records)}, ps, standardViews(ps))
	return f
}

// flood asks n times and returns what comes: n none, t empty with TC, c BADCOOKIE, a anything else.
func flood(t testing.TB, loop func([]byte, netip.Addr) []byte, m *dns.Msg, from netip.Addr, n int) string {
	t.Helper()
	pkt, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	for range n {
		raw := loop(pkt, from)
		r := new(dns.Msg)
		switch {
		case raw == nil:
			out.WriteByte('n')
			continue
		case r.Unpack(raw) != nil:
			t.Fatalf("% x", raw)
		case len(r.Question) != 1 || r.Question[0] != m.Question[0] || r.Id != m.Id || (r.IsEdns0() == nil) != (m.IsEdns0() == nil):
			t.Fatalf("%v\nfor %v", r, m)
		}
		word := byte('a')
		switch {
		case r.Rcode == dns.RcodeBadCookie:
			word = 'c'
		case r.Truncated:
			word = 't'
		}
		if word != 'a' && (len(r.Answer) > 0 || len(r.Ns) > 0 || len(raw) > len(pkt)+16+12) {
			t.Errorf("%d bytes for %d: %v", len(raw), len(pkt), r)
		}
		out.WriteByte(word)
	}
	return out.String()
}

func withCookie(m *dns.Msg, cookie string) *dns.Msg {
	m.SetEdns0(1232, false)
	m.IsEdns0().Option = append(m.IsEdns0().Option, &dns.EDNS0_COOKIE{Code: dns.EDNS0COOKIE, Cookie: cookie})
	return m
}

const clientCookie = "0102030405060708"

// Each kind of answer has buckets of its own, and names that were made up share one.
func TestLimitsByKind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := curbed(t, nil)
		loop := f.srv.RawLoop()
		for _, c := range []struct {
			what  string
			names string // with a number in it
			typ   uint16
			want  string // the first ones
		}{
			{"the quick way", "dr.example.", dns.TypeA, "aaaaantntn"},
			{"another type of the name", "dr.example.", dns.TypeMX, "tntn"},
			{"a type it has not", "dr.example.", dns.TypeHINFO, "aaaaantnt"},
			{"names that are not there", "x%d.dr.example.", dns.TypeA, "aaaaantntn"},
			{"deeper ones", "y.z%d.dr.example.", dns.TypeTXT, "tntn"},
			{"a wildcard", "x%d.wild.dr.example.", dns.TypeTXT, "aaaaantntn"},
			{"a wildcard without the type", "x%d.wild.dr.example.", dns.TypeA, "aaaaantntn"},
			{"a wildcard of a profile", "x%d.svcwild.dr.example.", dns.TypeA, "aaaaantntn"},
			{"below a DNAME", "host.moved.dr.example.", dns.TypeA, "aaaaantntn"},
			{"a delegation", "x%d.sub.dr.example.", dns.TypeA, "aaaaantntn"},
			{"not ours", "x%d.elsewhere.test.", dns.TypeA, "aaaaantntn"},
			{"not ready", "silent.dr.example.", dns.TypeA, "tntn"},
			{"another name", "web.dr.example.", dns.TypeA, "aaaaantntn"},
			{"an alias", "www.dr.example.", dns.TypeA, "aaaaantntn"},
		} {
			var got strings.Builder
			for i := range len(c.want) {
				name := c.names
				if strings.Contains(name, "%d") {
					name = fmt.Sprintf(name, i)
				}
				got.WriteString(flood(t, loop, query(name, c.typ), mallory, 1))
			}
			if got.String() != c.want {
				t.Errorf("%s: %s, want %s", c.what, got.String(), c.want)
			}
		}
		if got := flood(t, loop, query("dr.example.", dns.TypeA), t0Addr, 5); got != "aaaaa" {
			t.Errorf("another network: %s", got)
		}
		if got := flood(t, loop, query("dr.example.", dns.TypeA), netip.MustParseAddr("127.0.0.1"), 50); strings.Trim(got, "a") != "" {
			t.Errorf("loopback: %s", got)
		}
		time.Sleep(30 * time.Second)
		if got := flood(t, loop, query("dr.example.", dns.TypeA), mallory, 6); got[:5] != "aaaaa" || got[5] == 'a' {
			t.Errorf("half a minute later: %s", got)
		}
	})
}

// Who sends a cookie is told a fresh one in place of an answer, and is not limited any more with it.
func TestCookiesUnderPressure(t *testing.T) {
	for _, name := range []string{"dr.example.", "nothing.dr.example."} { // the quick way and the long one
		synctest.Test(t, func(t *testing.T) {
			f := curbed(t, nil)
			loop := f.srv.RawLoop()
			if got := flood(t, loop, query(name, dns.TypeA), mallory, 9); got != "aaaaantnt" {
				t.Errorf("without a cookie: %s", got)
			}
			asked := withCookie(query(name, dns.TypeA), clientCookie)
			if got := flood(t, loop, asked, mallory, 9); got != "cccccncnc" {
				t.Errorf("with a client cookie: %s", got)
			}
			pkt, _ := asked.Pack()
			for range 2 {
				r := new(dns.Msg)
				if raw := loop(pkt, mallory); raw == nil {
					continue
				} else if err := r.Unpack(raw); err != nil {
					t.Fatal(err)
				}
				fresh, _ := r.IsEdns0().Option[0].(*dns.EDNS0_COOKIE)
				if got := flood(t, loop, withCookie(query(name, dns.TypeA), fresh.Cookie), mallory, 50); strings.Trim(got, "a") != "" {
					t.Errorf("with the fresh cookie: %s", got)
				}
				if got := flood(t, loop, withCookie(query(name, dns.TypeA), fresh.Cookie), netip.MustParseAddr("198.51.100.67"), 4); strings.Trim(got, "nc") != "" {
					t.Errorf("a neighbour with that cookie: %s", got)
				}
			}
		})
	}
}

// Without pressure, or with cookies off, cookies change nothing.
func TestCookiesNever(t *testing.T) {
	for what, e := range map[string]nameserver.EDNS{"never": {}, "off": {NoCookies: true, CookiesFirst: true}} {
		synctest.Test(t, func(t *testing.T) {
			f := curbed(t, func(o *nameserver.Options) { o.EDNS = e })
			if got := flood(t, f.srv.RawLoop(), withCookie(query("dr.example.", dns.TypeA), clientCookie), mallory, 9); got != "aaaaantnt" {
				t.Errorf("%s: %s", what, got)
			}
		})
	}
}

// A dry run changes no answer, and counts what it would have done.
func TestDryRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := curbed(t, func(o *nameserver.Options) { o.Limits.RRL.Dry = true })
		free := standardFixture(t)
		loop, want := f.srv.RawLoop(), free.srv.RawLoop()
		for _, name := range []string{"dr.example.", "nothing.dr.example.", "elsewhere.test."} {
			for range 20 {
				pkt, _ := query(name, dns.TypeA).Pack()
				if got, want := loop(pkt, mallory), want(pkt, mallory); !bytes.Equal(got, want) {
					t.Fatalf("% x, want % x", got, want)
				}
			}
		}
		if got := f.srv.Suppressed(); got["would_drop"] != 24 || got["would_slip"] != 21 || got["drop"] != 0 || got["slip"] != 0 {
			t.Errorf("%v", got)
		}
	})
}

// Over TCP nothing is limited, however much the network owes.
func TestStreamsAreNotLimited(t *testing.T) {
	f := curbed(t, func(o *nameserver.Options) { o.Limits.RRL.Networks = rrl.Networks{} }) // not even loopback is exempt
	at := f.serve(t)
	c := dns.Client{Net: "udp", Timeout: time.Second}
	answers := 0
	for range 12 {
		if r, _, err := c.Exchange(query("dr.example.", dns.TypeA), at.String()); err == nil && len(r.Answer) > 0 {
			answers++
		}
		if answers > 5 {
			t.Fatal("not limited over UDP")
		}
		if answers == 5 {
			break
		}
	}
	for range 20 {
		if r := ask(t, "tcp", at, query("dr.example.", dns.TypeA)); len(r.Answer) == 0 || r.Truncated {
			t.Fatalf("%v", r)
		}
	}
}

// The quick way and the long one suppress the same, byte for byte.
func TestQuickEqualsLongWhenLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, pressure := range []bool{true, false} {
			f := curbed(t, func(o *nameserver.Options) { o.EDNS.CookiesFirst, o.Limits.RRL.Slip = pressure, 3 })
			f.srv.SetNow(1_800_000_000)
			both := f.srv.Limited()
			dice := rand.New(rand.NewPCG(5, 6))
			list := []string{"dr.example", "mail.dr.example", "svc.dr.example", "x.dr.example", "mixed.dr.example", "elsewhere.test", "y.wild.dr.example"}
			types := []uint16{dns.TypeA, dns.TypeAAAA, dns.TypeTXT}
			quick, kinds := 0, map[string]int{}
			for i := range 20_000 {
				pkt := randomQuestion(dice, list[dice.IntN(len(list))], types[dice.IntN(len(types))])
				from := netip.AddrFrom4([4]byte{198, 51, byte(dice.IntN(3)), byte(dice.IntN(256))})
				either, long, ok := both(pkt, from)
				if !bytes.Equal(either, long) {
					t.Fatalf("% x\nquick % x\nlong  % x", pkt, either, long)
				}
				if ok {
					quick++
					switch {
					case either == nil:
						kinds["drop"]++
					case either[2]&2 != 0:
						kinds["slip"]++
					case either[3]&15 == dns.RcodeBadCookie&15:
						kinds["badcookie"]++
					default:
						kinds["whole"]++
					}
				}
				if i%200 == 0 {
					time.Sleep(time.Minute) // nobody owes anything then
				}
			}
			if quick < 3000 || kinds["drop"] < 100 || kinds["slip"] < 100 || kinds["whole"] < 100 || (kinds["badcookie"] > 10) != pressure {
				t.Errorf("%d the quick way: %v", quick, kinds)
			}
		}
	})
}

// What is not sent is not counted as sent, and is seen all the same.
func TestSuppressedIsCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := curbed(t, nil)
		loop := f.srv.RawLoop()
		flood(t, loop, query("dr.example.", dns.TypeA), mallory, 15)
		m := f.counters(t)
		for name, want := range map[string]float64{
			"responses_total rcode=NOERROR": 10, "rrl_total action=drop": 5, "rrl_total action=slip": 5, "rrl_total action=badcookie": 0,
			"rrl_total action=would_drop": 0,
		} {
			if m[name] != want {
				t.Errorf("%s = %v, want %v", name, m[name], want)
			}
		}
		if r := f.srv.Traffic().Top(0, "", time.Minute, 5); r.Queries != 15 || r.Lines[0].Value != "198.51.100.0/24" {
			t.Errorf("%+v", r)
		}
	})
}

func TestLimitsAllocateNothing(t *testing.T) {
	f := curbed(t, nil)
	loop := f.srv.RawLoop()
	for _, m := range []*dns.Msg{query("dr.example.", dns.TypeA), withCookie(query("dr.example.", dns.TypeA), clientCookie)} {
		pkt, _ := m.Pack()
		if n := testing.AllocsPerRun(500, func() { loop(pkt, mallory) }); n != 0 {
			t.Errorf("%v allocations", n)
		}
	}
}

// BenchmarkLimits is what limits cost a question that is answered the quick way: off, for who is exempt, and for all others.
func BenchmarkLimits(b *testing.B) {
	pkt, _ := query("dr.example.", dns.TypeA).Pack()
	for _, c := range []struct {
		what    string
		answers bool
		net     byte
	}{{"off", false, 198}, {"exempt", true, 127}, {"on", true, 198}} {
		b.Run(c.what, func(b *testing.B) {
			f := curbed(b, func(o *nameserver.Options) { o.Limits.Answers, o.Limits.RRL.Rate = c.answers, rrl.MaxRate })
			loop, i := f.srv.RawBatches(16), byte(0)
			for b.Loop() { // from networks enough that none asks more than it may
				i++
				loop(pkt, netip.AddrFrom4([4]byte{c.net, 51, i, 66}))
			}
			if n := f.srv.Suppressed(); n["drop"]+n["slip"] > 0 {
				b.Error(n)
			}
		})
	}
}

// The network driver limits nothing, so it answers nothing while answers are limited, unless that is wanted.
func TestDriverWhileLimited(t *testing.T) {
	for state, list := range map[string][]nameserver.Limits{
		nameserver.DriverRefused: {{Answers: true}},
		nameserver.DriverOn:      {{}, {Answers: true, Driver: true}, {Answers: true, RRL: rrl.Options{Dry: true}}},
	} {
		for _, l := range list {
			k := &kernel{}
			k.pretended, k.slots = pretend(t, 1000), map[uint32]uint64{}
			f, ps := create(nameserver.Options{Listen: []string{"127.0.0.1:0"}, XDP: nameserver.XDP{On: true}, Limits: l}), standard()
			f.srv.Plug(k)
			f.publish(t, 7, []*profile.Zone{testZone(records)}, ps, standardViews(ps))
			f.serve(t)
			if st := f.driverBecomes(t, state); (state == nameserver.DriverRefused) != strings.Contains(st.Reason, "rrl") {
				t.Errorf("%+v: %+v", l, st)
			}
		}
	}
}
