package nameserver_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"jurymast/internal/health"
	"jurymast/internal/nameserver"
	"jurymast/internal/profile"
)

// aQuestion packs a question without EDNS, so that the answer ends with its last record.
func aQuestion(t testing.TB, name string, qtype uint16) []byte {
	t.Helper()
	pkt, err := query(name, qtype).Pack()
	if err != nil {
		t.Fatal(err)
	}
	return pkt
}

// The chi-square test of 100,000 answers: below the critical value for p = 0.001, with fixed dice.
func TestWeightsOverManyAnswers(t *testing.T) {
	weights := []float64{10, 20, 30, 40}
	p := one(t, "none", "routing: weighted, endpoints: [{name: a, target: 192.0.2.1, weight: 10}, {name: b, target: 192.0.2.2, weight: 20}, {name: c, target: 192.0.2.3, weight: 30}, {name: d, target: 192.0.2.4, weight: 40}, {name: e, target: 192.0.2.5, weight: 500}]")
	const draws, critical = 100_000, 16.27 // 3 degrees of freedom
	for _, seed := range []uint64{1, 2, 3} {
		f := asked(t, profiles(p), view(p, "uuuud", nil))
		f.srv.SetDice(rand.NewPCG(seed, 7).Uint64)
		answer, pkt := f.srv.RawLoop(), aQuestion(t, "p.dr.example.", dns.TypeA)
		var seen [6]float64
		for range draws {
			reply := answer(pkt, t0Addr)
			seen[reply[len(reply)-1]]++
		}
		chi := 0.0
		for i, w := range weights {
			want := draws * w / 100
			chi += (seen[i+1] - want) * (seen[i+1] - want) / want
		}
		if chi > critical || seen[0] != 0 || seen[5] != 0 {
			t.Errorf("seed %d: chi-square %.2f, at most %.2f is chance; %v", seed, chi, critical, seen[1:])
		}
	}
}

// many is a multivalue profile of n4 and n6 addresses, two of each endpoint, and how many of a type it returns.
func many(t testing.TB, mode string, n4, n6, most int) (*profile.Profile, *health.View) {
	t.Helper()
	var list []string
	for i := range max(n4, n6) {
		var of []string
		if i < n4 {
			of = append(of, fmt.Sprintf("192.0.2.%d", i+1))
		}
		if i < n6 {
			of = append(of, fmt.Sprintf(`"2001:db8::%d"`, i+1))
		}
		list = append(list, fmt.Sprintf("{name: e%d, target: [%s]}", i, strings.Join(of, ", ")))
	}
	p := one(t, mode, fmt.Sprintf("routing: multivalue, max_return: %d, endpoints: [%s]", most, strings.Join(list, ", ")))
	return p, view(p, strings.Repeat("u", len(p.Endpoints)), nil)
}

// Of each family there are at most as many different answers as addresses, each one of the allowed size and without a
// record twice; the number of records counts for the type that was asked for alone. Every window comes up evenly.
func TestWindows(t *testing.T) {
	for _, c := range []struct{ n4, n6, most int }{{5, 3, 2}, {7, 0, 3}, {2, 4, 10}, {1, 1, 2}, {10, 10, 10}, {3, 2, 1}} {
		p, v := many(t, "none", c.n4, c.n6, c.most)
		f := asked(t, profiles(p), v)
		f.srv.SetDice(rand.NewPCG(5, 6).Uint64)
		for qtype, n := range map[uint16]int{dns.TypeA: c.n4, dns.TypeAAAA: c.n6} {
			answer, pkt := f.srv.RawLoop(), aQuestion(t, "p.dr.example.", qtype)
			windows := map[string]int{}
			const draws = 4000
			for range draws {
				m := new(dns.Msg)
				if err := m.Unpack(answer(pkt, t0Addr)); err != nil {
					t.Fatal(err)
				}
				var set []string
				for _, rr := range m.Answer {
					if rr.Header().Rrtype == qtype {
						set = append(set, rr.String())
					}
				}
				if len(set) != min(n, c.most) || len(set) != len(m.Answer) {
					t.Fatalf("%+v %s: %v", c, dns.Type(qtype), m.Answer)
				}
				slices.Sort(set)
				if len(slices.Compact(slices.Clone(set))) != len(set) {
					t.Fatalf("%+v %s: a record twice: %q", c, dns.Type(qtype), set)
				}
				windows[strings.Join(set, "\n")]++
			}
			want := n
			if n <= c.most {
				want = 1
			}
			if len(windows) != want && n > 0 {
				t.Errorf("%+v %s: %d different answers, want %d", c, dns.Type(qtype), len(windows), want)
			}
			for set, times := range windows {
				if want > 1 && math.Abs(float64(times)-draws/float64(want)) > 0.25*draws/float64(want) {
					t.Errorf("%+v: %d times of %d:\n%s", c, times, draws, set)
				}
			}
		}
	}
}

// Two endpoints with one address give it once, endpoints that are down give none, and all of a window are counted.
func TestWindowsAreOfCandidates(t *testing.T) {
	p := one(t, "none", "routing: multivalue, max_return: 10, endpoints: [{name: a, target: [192.0.2.1, 192.0.2.2]}, {name: b, target: 192.0.2.2}, {name: c, target: 192.0.2.3}, {name: d, target: 192.0.2.4}]")
	f := asked(t, profiles(p), view(p, "uudu", nil))
	f.srv.SetDice(func() uint64 { return 3 << 40 }) // a multiple of three
	if got := told(f.put(t, "p.dr.example", "A", t0Addr, netip.Prefix{})); got != "A 192.0.2.1 A 192.0.2.2 A 192.0.2.4" {
		t.Errorf("got %s", got)
	}
	for name, want := range map[string]float64{"a": 1, "d": 1} {
		if n := f.counter(t, "answers_total endpoint="+name+" profile=p reason=multivalue"); n != want {
			t.Errorf("%s counted %v times", name, n)
		}
	}
	if all := f.series(t, "answers_total"); len(all) != 2 {
		t.Errorf("counted %q", all)
	}
	e, err := f.srv.Explain(f.hub.Load(), "p.dr.example", "A", t0Addr)
	if err != nil || e.Endpoint != "a, d" && e.Endpoint != "d, a" || !slices.Equal(e.Path, names("p")) {
		t.Errorf("%+v %v", e, err)
	}
}

// methods are one profile per routing method, each with the name METHOD.dr.example, and nested ones.
func methods(t testing.TB, listen ...string) *fixture {
	t.Helper()
	ps := decoded(t, `
  - {name: priority, hostnames: [priority.dr.example], ttl: 30s, endpoints: [{name: a, target: 192.0.2.1}, {name: b, target: 192.0.2.2}]}
  - {name: weighted, hostnames: [weighted.dr.example], routing: weighted, endpoints: [{name: a, target: 192.0.2.1}, {name: b, target: 192.0.2.2}]}
  - {name: sticky, hostnames: [sticky.dr.example], routing: weighted, sticky: true, endpoints: [{name: a, target: 192.0.2.1}, {name: b, target: 192.0.2.2}]}
  - {name: performance, hostnames: [performance.dr.example], routing: performance, endpoints: [{name: a, target: 192.0.2.1, location: {region: eu-central}}, {name: b, target: 192.0.2.2, location: {region: us-west}}]}
  - {name: geographic, hostnames: [geographic.dr.example], routing: geographic, endpoints: [{name: a, target: 192.0.2.1, geo: [DE]}, {name: b, target: 192.0.2.2, geo: [WORLD]}]}
  - {name: subnet, hostnames: [subnet.dr.example], routing: subnet, endpoints: [{name: a, target: 192.0.2.1, subnets: [203.0.113.0/25, "2001:db8:1::/48"]}, {name: b, target: 192.0.2.2}]}
  - {name: multivalue, hostnames: [multivalue.dr.example], routing: multivalue, endpoints: [{name: a, target: 192.0.2.1}, {name: b, target: 192.0.2.2}, {name: c, target: 192.0.2.3}]}
  - {name: nested, hostnames: [nested.dr.example], routing: geographic, endpoints: [{name: a, target: {profile: weighted}, geo: [DE]}, {name: b, target: {profile: subnet}, geo: [WORLD]}]}
  - {name: alias, hostnames: [alias.dr.example], routing: weighted, endpoints: [{name: a, target: web.dr.example}, {name: b, target: mail.dr.example}]}
  - {name: denied, hostnames: [denied.dr.example], routing: subnet, compat: azure, endpoints: [{name: a, target: 192.0.2.1, subnets: [203.0.113.0/25]}]}
`)
	var views []*health.View
	for _, p := range ps {
		views = append(views, view(p, strings.Repeat("u", len(p.Endpoints)), func(v *health.View) {
			if p.Name == "nested" {
				v.Endpoints[0].Child, v.Endpoints[1].Child = views[1], views[5]
			}
		}))
	}
	f := create(nameserver.Options{Locator: maps(t), Listen: listen})
	f.publish(t, 7, []*profile.Zone{testZone(records)}, ps, views)
	return f
}

var methodNames = []string{"priority", "weighted", "sticky", "performance", "geographic", "subnet", "multivalue", "nested", "alias", "denied"}

// subnetQuestion is a question with the client subnet 203.0.113.0/24.
func subnetQuestion(name string) []byte {
	return packet(opt, "name:"+name+".dr.example", "0001 0001", "00 0029 1000 00000000 000b", "0008 0007 0001 18 00 cb0071")
}

func TestNoAllocationPerMethod(t *testing.T) {
	f := methods(t)
	answer := f.srv.RawLoop()
	for _, name := range methodNames {
		for kind, pkt := range map[string][]byte{
			"plain": packet(opt, "name:"+name+".dr.example", "0001 0001", "00 0029 1000 00000000 0000"), "subnet": subnetQuestion(name),
		} {
			for range 50 { // each reason is met for the first time once
				answer(pkt, inNowhere)
			}
			if n := testing.AllocsPerRun(200, func() {
				if reply := answer(pkt, inNowhere); reply == nil || binary.BigEndian.Uint16(reply[6:]) == 0 && name != "denied" {
					t.Errorf("%s: no answer", name)
				}
			}); n != 0 {
				t.Errorf("%s, %s: %v allocations", name, kind, n)
			}
		}
	}
}

func BenchmarkMethods(b *testing.B) {
	f := methods(b)
	for _, name := range methodNames {
		for kind, pkt := range map[string][]byte{
			"plain": packet(opt, "name:"+name+".dr.example", "0001 0001", "00 0029 1000 00000000 0000"), "subnet": subnetQuestion(name),
		} {
			b.Run(name+"/"+kind, func(b *testing.B) {
				answer := f.srv.RawLoop()
				b.ReportAllocs()
				for b.Loop() {
					answer(pkt, inNowhere)
				}
			})
		}
	}
}

// Loops that answer the same profile at once share its counters.
func TestLoopsCountTogether(t *testing.T) {
	f := methods(t)
	const loops, each = 4, 500
	done := make(chan error, loops)
	for range loops {
		go func() {
			answer, pkt := f.srv.RawLoop(), aQuestion(t, "weighted.dr.example.", dns.TypeA)
			for range each {
				if reply := answer(pkt, t0Addr); !bytes.Equal(reply[2:4], []byte{0x84, 0}) {
					done <- fmt.Errorf("answer % x", reply)
					return
				}
			}
			done <- nil
		}()
	}
	for range loops {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	sum := 0.0
	for _, endpoint := range []string{"a", "b"} {
		sum += f.counter(t, "answers_total endpoint="+endpoint+" profile=weighted reason=weight")
	}
	if sum != loops*each {
		t.Errorf("%v answers counted of %d", sum, loops*each)
	}
}
