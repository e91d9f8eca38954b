package nameserver_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"jurymast/internal/health"
	"jurymast/internal/nameserver/sign"
	"jurymast/internal/profile"
)

// ahead waits, without a bubble, until a zone is wholly signed.
func (f *fixture) ahead(t testing.TB) {
	t.Helper()
	f.signingNow(t)
	deadline := time.After(time.Minute)
	for len(f.srv.Unsigned()) > 0 {
		select {
		case <-deadline:
			t.Fatalf("%+v", f.srv.SigningStatus("dr.example"))
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// signedAgain publishes the documents of a fixture once more, with the zone signed.
func signedAgain(t testing.TB, f *fixture, d profile.Denial) *validator {
	t.Helper()
	docs := f.hub.Load().Documents()
	var views []*health.View
	for _, p := range docs.Profiles {
		if v := f.hub.Load().View(p.Name); v != nil {
			views = append(views, v)
		}
	}
	f.publish(t, 8, []*profile.Zone{signedZone(records, d)}, docs.Profiles, views)
	k := newCSK(t, "dr.example", sign.ECDSAP256)
	f.srv.UseKeys(k)
	f.ahead(t)
	return newValidator(k)
}

// The quick way answers with signatures too, and byte for byte as the long one.
func TestQuickSigned(t *testing.T) {
	t.Parallel()
	dice := rand.New(rand.NewPCG(5, 6))
	fixtures := []*fixture{standardFixture(t), methods(t)}
	v := make([]*validator, len(fixtures))
	for i, d := range []profile.Denial{profile.DenialCompact, profile.DenialNSEC} {
		v[i] = signedAgain(t, fixtures[i], d)
	}
	list := []string{"dr.example", "mail.dr.example", "web.dr.example", "svc.dr.example", "down.dr.example", "old.dr.example", "x.dr.example", "mixed.dr.example"}
	for _, name := range methodNames {
		list = append(list, name+".dr.example")
	}
	types := []uint16{dns.TypeA, dns.TypeAAAA, dns.TypeTXT, dns.TypeMX, dns.TypeCNAME}
	took, signed := 0, 0
	for range 20_000 {
		pkt := randomQuestion(dice, list[dice.IntN(len(list))], types[dice.IntN(len(types))])
		for i, f := range fixtures {
			quick, long, ok := f.srv.Ways(pkt, inGermany)
			if !ok {
				continue
			}
			if took++; !bytes.Equal(quick, long) {
				t.Fatalf("fixture %d, % x\nquick % x\nlong  % x", i, pkt, quick, long)
			}
			m := unpacked(t, quick)
			if o := m.IsEdns0(); o != nil && o.Do() {
				if good, err := v[i].check(m); err != nil || good != 1 {
					t.Fatalf("%d signatures: %v\n%v", good, err, m)
				}
				signed++
			} else if strings.Contains(m.String(), "RRSIG") {
				t.Fatalf("signatures nobody asked for:\n%v", m)
			}
		}
	}
	if took < 1000 || signed < 300 {
		t.Errorf("only %d questions were answered the quick way, %d with signatures", took, signed)
	}
}

// Existing names are answered with signatures without memory.
func TestQuickSignedAllocatesNothing(t *testing.T) {
	f := standardFixture(t)
	signedAgain(t, f, profile.DenialCompact)
	answer := f.srv.RawLoop()
	for _, name := range []string{"dr.example.", "mail.dr.example.", "svc.dr.example."} {
		pkt := wanting(name, dns.TypeA)
		if m := unpacked(t, answer(pkt, t0Addr)); len(m.Answer) < 2 {
			t.Fatalf("%v", m)
		}
		if n := testing.AllocsPerRun(200, func() { answer(pkt, t0Addr) }); n > 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

// manyProfiles is a zone with so many dynamic names, each with two endpoints of both families.
func manyProfiles(t testing.TB, count int, d profile.DNSSEC) *fixture {
	t.Helper()
	var ps []*profile.Profile
	var views []*health.View
	for i := range count {
		n := fmt.Sprintf("%d.%d", i/250, i%250)
		p := service(fmt.Sprintf("p%d", i), names(fmt.Sprintf("n%06d.dr.example", i)), addrs("10.1."+n, "2001:db8::1"), addrs("10.2."+n))
		ps, views = append(ps, p), append(views, view(p, "uu", nil))
	}
	z := testZone("")
	z.DNSSEC = d
	return build(t, []*profile.Zone{z}, ps, views)
}

// A start with 10,000 dynamic names is signed in seconds.
func TestManyNamesAreSignedSoon(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes a second of every processor")
	}
	count := 10_000
	if raceDetector {
		count = 2000
	}
	for _, algorithm := range []uint8{sign.ECDSAP256, sign.Ed25519} {
		f := manyProfiles(t, count, profile.DNSSEC{Enabled: true})
		f.srv.UseKeys(newCSK(t, "dr.example", algorithm))
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		start := time.Now()
		f.ahead(t)
		took := time.Since(start)
		runtime.GC()
		runtime.ReadMemStats(&after)
		st := f.srv.SigningStatus("dr.example")
		t.Logf("algorithm %d: %d sets in %v, %.1f MiB", algorithm, st.Sets, took.Round(time.Millisecond), float64(int64(after.HeapAlloc)-int64(before.HeapAlloc))/(1<<20))
		if st.Sets < 5*count || took > time.Minute {
			t.Errorf("%d sets in %v", st.Sets, took)
		}
		runtime.KeepAlive(f)
	}
}

// BenchmarkQuickSigned is BenchmarkQuick in a signed zone, without and with DO.
func BenchmarkQuickSigned(b *testing.B) {
	for _, count := range []int{10, 10_000} {
		f := manyProfiles(b, count, profile.DNSSEC{Enabled: true})
		f.srv.UseKeys(newCSK(b, "dr.example", sign.Ed25519))
		f.ahead(b)
		for _, flags := range []string{"00000000", "00008000"} {
			b.Run(fmt.Sprintf("profiles=%d/do=%v", count, flags[4] == '8'), func(b *testing.B) {
				pkt, answer := packet(opt, "name:n000000.dr.example", "0001 0001", "00 0029 04d0 "+flags+" 0000"), f.srv.RawLoop()
				ask := func(n int) {
					for i := 19; i > 13; i-- {
						pkt[i], n = byte('0'+n%10), n/10
					}
					if len(answer(pkt, t0Addr)) == 0 {
						b.Fatal("no answer")
					}
				}
				for i := range count {
					ask(i)
				}
				order := rand.New(rand.NewPCG(3, 4)).Perm(count)
				b.ReportAllocs()
				for i := 0; b.Loop(); i++ {
					ask(order[i%count])
				}
			})
		}
	}
}
