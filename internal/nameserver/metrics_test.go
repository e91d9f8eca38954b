package nameserver_test

import (
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"

	"jurymast/internal/nameserver"
	"jurymast/internal/profile"
)

// After every packet all counters are what they should be: those named have grown by one, the others have not.
func TestEveryPacketIsCounted(t *testing.T) {
	f := standardFixture(t)
	const optDO = "00 0029 1000 00008000 0000"
	for _, c := range []struct {
		name string
		pkt  []byte
		want string // counters that grow
	}{
		{"a question", packet(head, apex, soa), "responses_total rcode=NOERROR,size_bytes"},
		{"with EDNS", packet(opt, apex, soa, "00 0029 1000 00000000 0000"), "responses_total rcode=NOERROR,edns_total kind=any,size_bytes"},
		{"with DO", packet(opt, apex, soa, optDO), "responses_total rcode=NOERROR,edns_total kind=any,edns_total kind=do,size_bytes"},
		{"with a subnet", packet(opt, apex, soa, "00 0029 1000 00000000 000b", "0008 0007 0001 18 00 c00002"), "responses_total rcode=NOERROR,edns_total kind=any,ecs_total,size_bytes"},
		{"EDNS 1", packet(opt, apex, soa, "00 0029 1000 00010000 0000"), "responses_total rcode=BADVERS,edns_total kind=any,edns_total kind=version,size_bytes"},
		{"a name elsewhere", packet(head, "name:other.test", soa), "responses_total rcode=REFUSED,size_bytes"},
		{"no question", packet("1234 0100 0000 0000 0000 0000"), "responses_total rcode=FORMERR,malformed_total why=question,size_bytes"},
		{"a byte too much", packet(head, apex, soa, "00"), "responses_total rcode=FORMERR,malformed_total why=rest,size_bytes"},
		{"eleven bytes", packet("1234 0100 0001 0000 0000 00"), "dropped_total why=short"},
		{"a response", packet("1234 8100 0001 0000 0000 0000", apex, soa), "dropped_total why=response"},
		{"UPDATE", packet("1234 2800 0001 0000 0000 0000", apex, soa), "responses_total rcode=NOTIMP,size_bytes"},
		{"too large", packet(head, "name:big.dr.example", "0010 0001"), "responses_total rcode=NOERROR,truncated_total,size_bytes"},
	} {
		before := f.counters(t)
		f.srv.Raw(c.pkt, false)
		var grown []string
		for name, n := range f.counters(t) {
			if d := n - before[name]; d == 1 {
				grown = append(grown, name)
			} else if d != 0 {
				t.Errorf("%s: %s grew by %v", c.name, name, d)
			}
		}
		if want := strings.Split(c.want, ","); !sameWords(grown, want) {
			t.Errorf("%s: %v grew, want %v", c.name, grown, want)
		}
	}
}

func sameWords(a, b []string) bool {
	seen := map[string]int{}
	for _, w := range a {
		seen[w]++
	}
	for _, w := range b {
		seen[w]--
	}
	for _, n := range seen {
		if n != 0 {
			return false
		}
	}
	return true
}

// counters are all counters, and how often histograms were fed.
func (f *fixture) counters(t testing.TB) map[string]float64 {
	t.Helper()
	families, err := f.reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]float64{}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			name := strings.TrimPrefix(family.GetName(), "jurymast_dns_")
			for _, l := range m.GetLabel() {
				name += " " + l.GetName() + "=" + l.GetValue()
			}
			switch {
			case m.Counter != nil:
				out[name] = m.GetCounter().GetValue()
			case m.Histogram != nil:
				out[name] = float64(m.GetHistogram().GetSampleCount())
			}
		}
	}
	return out
}

func TestTransportsAndFamiliesAreCounted(t *testing.T) {
	f := standardFixture(t, "127.0.0.1:0", "[::1]:0")
	f.serve(t)
	for i, at := range f.srv.Addrs() {
		for range 1 + i {
			ask(t, "udp", at, query("dr.example.", dns.TypeSOA))
		}
		for range 3 + i {
			ask(t, "tcp", at, query("dr.example.", dns.TypeSOA))
		}
	}
	for name, want := range map[string]float64{
		"queries_total family=ipv4 transport=udp": 1, "queries_total family=ipv6 transport=udp": 2,
		"queries_total family=ipv4 transport=tcp": 3, "queries_total family=ipv6 transport=tcp": 4,
		"dropped_total why=buffer": 0,
	} {
		if got := f.counter(t, name); got != want {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
}

// Sizes and times lie in the bucket that ends at or above them.
func TestHistograms(t *testing.T) {
	f := standardFixture(t)
	f.srv.Sized(12, 64, 65, 512, 513, 65535)
	f.srv.Took(0, 512*time.Nanosecond, 513*time.Nanosecond, 8*time.Millisecond, time.Hour)
	for name, want := range map[string]map[float64]uint64{
		"jurymast_dns_size_bytes": {64: 2, 128: 3, 256: 3, 512: 4, 1024: 5, 32768: 5, 65536: 6},
		"jurymast_dns_seconds":    {512e-9: 2, 1024e-9: 3, 4.194304e-3: 3, 8.388608e-3: 4},
	} {
		families, err := f.reg.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, family := range families {
			if family.GetName() != name {
				continue
			}
			found := 0
			for _, b := range family.GetMetric()[0].GetHistogram().GetBucket() {
				for bound, n := range want {
					if d := b.GetUpperBound()/bound - 1; d > -1e-9 && d < 1e-9 {
						found++
						if b.GetCumulativeCount() != n {
							t.Errorf("%s up to %v: %d, want %d", name, bound, b.GetCumulativeCount(), n)
						}
					}
				}
			}
			if found != len(want) {
				t.Errorf("%s: %d of %d buckets are there: %v", name, found, len(want), family)
			}
		}
	}
}

func TestStateIsShown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := standardFixture(t)
		time.Sleep(90 * time.Second)
		if got := f.counter(t, "snapshot_age_seconds"); got != 90 {
			t.Errorf("age %v", got)
		}
		if got := f.counter(t, "zone_serial zone=dr.example"); got != 7 {
			t.Errorf("serial %v", got)
		}
		f.publish(t, 8, []*profile.Zone{testZone(records)}, standard(), standardViews(standard()))
		if age, serial := f.counter(t, "snapshot_age_seconds"), f.counter(t, "zone_serial zone=dr.example"); age != 0 || serial != 8 {
			t.Errorf("age %v, serial %v", age, serial)
		}
	})
}

// Counts are handed on from one connection to the next, so that they are as many as there were connections at once,
// and nothing that was counted is lost or counted twice.
func TestCountsAreHandedOn(t *testing.T) {
	f := standardFixture(t, "127.0.0.1:0")
	at := f.serve(t)
	var clients sync.WaitGroup
	for range 4 {
		clients.Go(func() {
			for range 25 {
				ask(t, "tcp", at, query("dr.example.", dns.TypeSOA))
			}
		})
	}
	clients.Wait()
	if n := f.counter(t, "queries_total family=ipv4 transport=tcp"); n != 100 {
		t.Errorf("%v questions counted", n)
	}
	if n := f.srv.Counts(); n > 40 {
		t.Errorf("%d counts for 4 clients", n)
	}
}

func BenchmarkScrape(b *testing.B) {
	f := create(nameserver.Options{Listen: []string{"127.0.0.1:0"}})
	f.srv.TakeCounts(1000)
	for b.Loop() {
		if _, err := f.reg.Gather(); err != nil {
			b.Fatal(err)
		}
	}
}
