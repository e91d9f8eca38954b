package nameserver_test

import (
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"jurymast/internal/profile"
)

// TestTransfersLoseNothing: while a zone changes as fast as it can be fetched, every question over UDP is answered, from one
// version or the next, and no serial goes back.
func TestTransfersLoseNothing(t *testing.T) {
	u := newUpstream(t)
	text := func(serial int) string {
		return fmt.Sprintf("@ SOA ns1 ops %d 3600 600 86400 60\n@ NS ns1\nns1 A 192.0.2.53\nsvc CNAME v%[1]d.elsewhere.test.\n", serial)
	}
	u.have(t, "dr.example", text(1))
	in := newInward(t, t.TempDir(), "127.0.0.1:0", nil, []*profile.Zone{fetchedZone("dr.example", profile.Primary{Address: u.at.String()})}, nil)
	eventually(t, "the zone is here", func() bool { return in.rcode(t, "ns1.dr.example.") == 0 })
	askers := []*asker{newAsker(t, "udp", in.at), newAsker(t, "udp", in.at), newAsker(t, "udp", in.at)}
	stop := make(chan struct{})
	var clients sync.WaitGroup
	for _, a := range askers {
		clients.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				if err := a.once(); err != nil {
					t.Errorf("question %d: %v", i, err)
					return
				}
			}
		})
	}
	const versions = 60
	for serial := 2; serial <= versions; serial++ {
		u.have(t, "dr.example", text(serial))
		m := new(dns.Msg).SetNotify("dr.example.")
		if r := ask(t, "udp", in.at, m); r.Rcode != dns.RcodeSuccess {
			t.Fatalf("NOTIFY: %v", r)
		}
		eventually(t, "the version", func() bool { return in.status("dr.example").Serial == uint32(serial) })
	}
	eventually(t, "the last version is served", in.answers(t, "svc.dr.example.", dns.TypeA, fmt.Sprintf("v%d.elsewhere.test.", versions)))
	close(stop)
	clients.Wait()
	for _, a := range askers {
		if len(a.targets) < 5 {
			t.Errorf("only %d versions were seen: the test changed nothing", len(a.targets))
		}
	}
	if n := in.counter(t, "panics_total"); n != 0 {
		t.Errorf("%v panics", n)
	}
}

// TestLargeTransferHoldsNothingUp: while a zone of 100,000 records is fetched and put into service again and again, a change
// of health is answered about as soon as ever.
func TestLargeTransferHoldsNothingUp(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes seconds")
	}
	u := newUpstream(t)
	list := make([]dns.RR, 0, 100_003)
	put := func(serial uint32) {
		soa := &dns.SOA{
			Hdr: dns.RR_Header{Name: "big.example.", Rrtype: dns.TypeSOA, Class: dns.ClassINET, Ttl: 300}, Ns: "ns1.big.example.", Mbox: "ops.big.example.",
			Serial: serial, Refresh: 3600, Retry: 600, Expire: 86400, Minttl: 60,
		}
		if next := slices.Clone(list); len(next) > 0 {
			next[0] = soa
			list = next
		} else {
			list = append(list, soa, &dns.NS{Hdr: dns.RR_Header{Name: "big.example.", Rrtype: dns.TypeNS, Class: dns.ClassINET, Ttl: 300}, Ns: "ns1.big.example."})
			for i := range 100_000 {
				at := netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
				list = append(list, &dns.A{Hdr: dns.RR_Header{Name: fmt.Sprintf("h%d.big.example.", i), Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 300}, A: at.AsSlice()})
			}
		}
		u.put("big.example", list)
	}
	u.have(t, "big.example", "@ SOA ns1 ops 1 3600 600 86400 60\n@ NS ns1\n")
	p := service("shop", names("shop.dr.example"), addrs("192.0.2.1"), addrs("192.0.2.2"))
	in := newInward(t, t.TempDir(), "127.0.0.1:0", nil, []*profile.Zone{testZone(""), fetchedZone("big.example", profile.Primary{Address: u.at.String()})},
		profiles(p), view(p, "uu", nil))
	eventually(t, "the zone is here", func() bool { return in.rcode(t, "big.example.") == 0 })

	var took, published []time.Duration
	flip := func() {
		word, want := "uu", "192.0.2.1"
		if len(took)%2 == 0 {
			word, want = "du", "192.0.2.2"
		}
		began := time.Now()
		in.hub.Publish(nil, view(p, word, nil))
		published = append(published, time.Since(began))
		eventually(t, "the change of health", in.answers(t, "shop.dr.example.", dns.TypeA, want))
		took = append(took, time.Since(began))
	}
	for range 200 {
		flip()
	}
	slices.Sort(took)
	quiet := took[len(took)*99/100]
	took, published = took[:0], published[:0]
	began := time.Now()
	for serial := uint32(2); serial <= 3; serial++ {
		put(serial)
		if r := ask(t, "udp", in.at, new(dns.Msg).SetNotify("big.example.")); r.Rcode != dns.RcodeSuccess {
			t.Fatalf("NOTIFY: %v", r)
		}
		for in.status("big.example").Serial != serial {
			flip()
		}
	}
	eventually(t, "the zone is served", func() bool { flip(); return in.rcode(t, "h99999.big.example.") == 0 })
	all := time.Since(began)
	slices.Sort(took)
	slices.Sort(published)
	high, worst := took[len(took)*99/100], published[len(published)-1]
	t.Logf("99 of 100 changes are answered within %v; during 2 transfers of %d records in %v within %v, the longest of %d within %v; published within %v at worst",
		quiet, len(list), all.Round(time.Millisecond), high, len(took), took[len(took)-1], worst)
	if len(took) < 20 || high > 250*time.Millisecond || worst > 250*time.Millisecond { // primary and clients share the processor with it
		t.Errorf("changes of health wait for transfers: %d of them", len(took))
	}
}
