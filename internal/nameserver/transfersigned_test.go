package nameserver_test

import (
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"

	"jurymast/internal/nameserver"
	"jurymast/internal/nameserver/sign"
	"jurymast/internal/nameserver/xfr"
	"jurymast/internal/nameserver/zone"
	"jurymast/internal/profile"
	"jurymast/internal/snapshot"
)

// signedTransferable is a zone that is signed with a chain, and may be fetched.
func signedTransferable(text string, t *profile.Transfer) *profile.Zone {
	z := signedZone(text, profile.DenialNSEC)
	z.Transfer = t
	return z
}

// newSignedOutward is newOutward with a signed zone. clock is what it is signed by; nil: the time.
func newSignedOutward(t testing.TB, z *profile.Zone, clock func() time.Time) (*outward, *sign.Keys) {
	t.Helper()
	o := &outward{
		fixture: create(nameserver.Options{Listen: []string{"127.0.0.1:0"}, Clock: clock}), leader: &leader{states: map[string]xfr.State{}},
		zones: []*profile.Zone{z}, gen: 7,
		ps: profiles(
			service("svc", names("svc.dr.example", "*.svcwild.dr.example"), host("one.elsewhere.test"), host("two.elsewhere.test")),
			service("shop", names("shop.dr.example"), addrs("192.0.2.1", "2001:db8::1"), addrs("192.0.2.2")),
		),
	}
	keys := newCSK(t, "dr.example", sign.ECDSAP256)
	o.health(t, "uu")
	o.srv.UseTSIG(transferRing(t))
	o.at = o.serve(t)
	o.lead(t, o.srv)
	if r := ask(t, "tcp", o.at, axfr()); r.Rcode == dns.RcodeSuccess {
		t.Fatal("a signed zone is transferred without its keys")
	}
	o.srv.UseKeys(keys)
	eventually(t, "there is something to fetch", func() bool { st, _ := o.srv.TransferStatus("dr.example"); return st.Version })
	return o, keys
}

// holds checks a fetched zone as a signer's own tools do: every set the zone answers for is signed and valid at a time, a
// proof stands at each name with exactly its types, and each leads to the next, the last to the first.
func holds(t testing.TB, list []dns.RR, keys *sign.Keys, now time.Time) {
	t.Helper()
	v := newValidator(keys)
	sets, sigs := map[string][]dns.RR{}, map[string][]*dns.RRSIG{}
	types, chain := map[string][]uint16{}, map[string]*dns.NSEC{}
	if first, last := list[0], list[len(list)-1]; first.Header().Rrtype != dns.TypeSOA || first.String() != last.String() {
		t.Fatalf("from %v to %v", first, last)
	}
	for _, rr := range list[:len(list)-1] {
		name := strings.ToLower(rr.Header().Name)
		if s, ok := rr.(*dns.RRSIG); ok {
			sigs[fmt.Sprint(name, s.TypeCovered)] = append(sigs[fmt.Sprint(name, s.TypeCovered)], s)
			continue
		}
		key := fmt.Sprint(name, rr.Header().Rrtype)
		if sets[key] = append(sets[key], rr); len(sets[key]) == 1 {
			types[name] = append(types[name], rr.Header().Rrtype)
		}
		if n, ok := rr.(*dns.NSEC); ok {
			chain[name] = n
		}
	}
	cut := func(name string) (at string) {
		for i := range dns.CountLabel(name) {
			labels := dns.SplitDomainName(name)
			at := dns.Fqdn(strings.Join(labels[i:], "."))
			if at != "dr.example." && len(sets[fmt.Sprint(at, dns.TypeNS)]) > 0 {
				return at
			}
		}
		return ""
	}
	for key, set := range sets {
		name, typ := strings.ToLower(set[0].Header().Name), set[0].Header().Rrtype
		at := cut(name)
		if at != "" && (at != name || typ != dns.TypeDS && typ != dns.TypeNSEC) {
			if len(sigs[key]) > 0 {
				t.Errorf("%s %s at or below a delegation is signed", name, dns.TypeToString[typ])
			}
			continue
		}
		if len(sigs[key]) != 1 {
			t.Errorf("%s %s has %d signatures", name, dns.TypeToString[typ], len(sigs[key]))
			continue
		}
		s := sigs[key][0]
		if err := s.Verify(v.keys["dr.example."][0], set); err != nil || !s.ValidityPeriod(now) {
			t.Errorf("%s %s: %v, valid at %v: %t", name, dns.TypeToString[typ], err, now, s.ValidityPeriod(now))
		}
		if s.OrigTtl != set[0].Header().Ttl || s.Hdr.Ttl != s.OrigTtl {
			t.Errorf("%s %s: TTL %d, of the signature %d, original %d", name, dns.TypeToString[typ], set[0].Header().Ttl, s.Hdr.Ttl, s.OrigTtl)
		}
	}
	at, count := "dr.example.", 0
	for n := chain[at]; ; n = chain[at] {
		if count++; n == nil || count > len(chain) {
			t.Fatalf("the chain ends at %s after %d of %d", at, count, len(chain))
		}
		want := append(slices.Clone(types[at]), dns.TypeRRSIG)
		if cut(at) != "" {
			want = slices.DeleteFunc(want, func(typ uint16) bool {
				return typ != dns.TypeNS && typ != dns.TypeDS && typ != dns.TypeNSEC && typ != dns.TypeRRSIG
			})
		}
		slices.Sort(want)
		if !slices.Equal(n.TypeBitMap, want) {
			t.Errorf("%s lists %v, has %v", at, n.TypeBitMap, want)
		}
		if at = strings.ToLower(n.NextDomain); at == "dr.example." {
			break
		}
	}
	if count != len(chain) {
		t.Errorf("the chain has %d of %d links", count, len(chain))
	}
}

// followed applies differences as a secondary does.
func followed(t testing.TB, have, difference []dns.RR) []dns.RR {
	t.Helper()
	if len(difference) < 2 || difference[1].Header().Rrtype != dns.TypeSOA {
		t.Fatalf("no difference: %d records", len(difference))
	}
	zone := map[string]dns.RR{}
	for _, rr := range have[1 : len(have)-1] {
		zone[rr.String()] = rr
	}
	gone := false
	for _, rr := range difference[1 : len(difference)-1] {
		switch _, is := zone[rr.String()]; {
		case rr.Header().Rrtype == dns.TypeSOA:
			gone = !gone
		case gone && !is:
			t.Errorf("takes away what is not there: %v", rr)
		case gone:
			delete(zone, rr.String())
		case is:
			t.Errorf("adds what is there: %v", rr)
		default:
			zone[rr.String()] = rr
		}
	}
	out := []dns.RR{difference[0]}
	for _, rr := range zone {
		out = append(out, rr)
	}
	return append(out, difference[0])
}

func textOf(list []dns.RR) string {
	var text []string
	for _, rr := range list {
		text = append(text, rr.String())
	}
	slices.Sort(text)
	return strings.Join(text, "\n")
}

// TestSignedTransfer: the whole zone validates, health arrives as a difference that validates, and what a question is told
// is what was transferred.
func TestSignedTransfer(t *testing.T) {
	o, keys := newSignedOutward(t, signedTransferable(records, byKey()), nil)
	o.await(t, 7)
	have := o.fetch(t, axfr())
	holds(t, have, keys, time.Now())
	o.health(t, "du")
	o.await(t, 8)
	difference := o.fetch(t, ixfr(7))
	have = followed(t, have, difference)
	if whole := o.fetch(t, axfr()); textOf(whole) != textOf(have) {
		t.Errorf("the difference leads to\n%s\nthe zone is\n%s", textOf(have), textOf(whole))
	}
	holds(t, have, keys, time.Now())
	types := map[string]bool{}
	for _, rr := range difference {
		types[dns.TypeToString[rr.Header().Rrtype]] = true
		if rr.Header().Name == "www.dr.example." {
			t.Errorf("what has not changed is told again: %v", rr)
		}
	}
	if !types["RRSIG"] || !types["NSEC"] || !types["AAAA"] {
		t.Errorf("the difference has %v", types)
	}
	for _, rr := range have {
		s, ok := rr.(*dns.RRSIG)
		if !ok || s.TypeCovered == dns.TypeNSEC {
			continue
		}
		m := query(s.Hdr.Name, s.TypeCovered)
		m.SetEdns0(4096, true)
		r := ask(t, "tcp", o.at, m)
		if !slices.ContainsFunc(slices.Concat(r.Answer, r.Ns), func(rr dns.RR) bool {
			got, ok := rr.(*dns.RRSIG)
			return ok && got.TypeCovered == s.TypeCovered && got.Signature == s.Signature
		}) {
			t.Errorf("%s %s is not answered with the signature that is transferred", s.Hdr.Name, dns.TypeToString[s.TypeCovered])
		}
	}
}

// TestSignedTransferRenews: over weeks signatures are renewed in time, at most one serial an hour, and whoever follows the
// differences always has a zone that validates with more than 7 days and 22 hours left.
func TestSignedTransferRenews(t *testing.T) {
	var shift atomic.Int64
	began := time.Now()
	clock := func() time.Time { return began.Add(time.Duration(shift.Load())) }
	o, keys := newSignedOutward(t, signedTransferable("@ IN TXT \"short\"\nsub IN NS ns.elsewhere.test.\n", byKey()), clock)
	o.await(t, 7)
	have := o.fetch(t, axfr())
	const step = 6 * time.Hour
	serials := 0
	for now := step; now <= 16*24*time.Hour; now += step {
		shift.Store(int64(now))
		was := soaOf(have[0]).Serial
		o.srv.Tick()
		eventually(t, "nothing is due", func() bool { o.srv.Tick(); return !o.srv.RenewalDue("dr.example") })
		st, _ := o.srv.TransferStatus("dr.example")
		if st.Serial != was {
			have = followed(t, have, o.fetch(t, ixfr(was)))
			serials += int(st.Serial - was)
		}
		holds(t, have, keys, clock())
		holds(t, have, keys, clock().Add(8*24*time.Hour-90*time.Minute))
	}
	t.Logf("%d serials in 16 days", serials)
	if serials < 10 || serials > 64 {
		t.Errorf("%d serials in 16 days of renewals", serials)
	}
}

// TestSignedTransferExpired: while nothing can be renewed secondaries get nothing rather than what has expired.
func TestSignedTransferExpired(t *testing.T) {
	var shift atomic.Int64
	clock := func() time.Time { return time.Now().Add(time.Duration(shift.Load())) }
	o, _ := newSignedOutward(t, signedTransferable(records, byKey()), clock)
	o.await(t, 7)
	o.mu.Lock() // the leader says nothing any more
	defer o.mu.Unlock()
	shift.Store(int64(sign.Validity))
	o.srv.Tick()
	m := axfr()
	m.SetEdns0(1232, false)
	m.SetTsig("xfr.test.", dns.HmacSHA256, 300, time.Now().Unix())
	client := dns.Client{Net: "tcp", TsigSecret: map[string]string{"xfr.test.": transferSecret}}
	r, _, err := client.Exchange(m, o.at.String())
	if err != nil || r.Rcode != dns.RcodeServerFailure || !hasEDE(r, 14) {
		t.Errorf("%v, %v", err, r)
	}
}

// TestSignedTransferFollowsKeys: other keys make another serial, and all signatures are theirs.
func TestSignedTransferFollowsKeys(t *testing.T) {
	o, _ := newSignedOutward(t, signedTransferable(records, byKey()), nil)
	o.await(t, 7)
	keys := newCSK(t, "dr.example", sign.Ed25519)
	o.srv.UseKeys(keys)
	o.await(t, 8)
	holds(t, o.fetch(t, ixfr(7)), keys, time.Now()) // so much is new that it is the whole zone
}

// TestSameSignaturesEverywhere: two nodes that agree on a serial tell the same bytes, signatures included, though their
// clocks differ.
func TestSameSignaturesEverywhere(t *testing.T) {
	z := signedTransferable(records, byKey())
	a, keys := newSignedOutward(t, z, nil)
	a.await(t, 7)
	b := &outward{
		fixture: create(nameserver.Options{Listen: []string{"127.0.0.1:0"}, Clock: func() time.Time { return time.Now().Add(3 * 24 * time.Hour) }}),
		leader:  a.leader, zones: a.zones, gen: 7, ps: a.ps,
	}
	b.health(t, "uu")
	b.srv.UseTSIG(transferRing(t))
	b.srv.UseKeys(keys)
	b.at = b.serve(t)
	a.mu.Lock()
	state := a.states["dr.example"]
	a.mu.Unlock()
	b.srv.UseSerials(map[string]xfr.State{"dr.example": state})
	b.await(t, 7)
	eventually(t, "there is something to fetch", func() bool { st, _ := b.srv.TransferStatus("dr.example"); return st.Version })
	if one, other := textOf(a.fetch(t, axfr())), textOf(b.fetch(t, axfr())); one != other {
		t.Errorf("one node tells\n%s\nthe other\n%s", one, other)
	}
}

// TestSignedExpire: an SOA that would outlive the signatures is warned of, a generated one does not.
func TestSignedExpire(t *testing.T) {
	z, err := nameserver.ParseZone(signedTransferable("", byKey()), 1)
	if err != nil {
		t.Fatal(err)
	}
	if rr, _, err := dns.UnpackRR(append([]byte{0, 0, 6, 0, 1, 0, 0, 0, 0, 0, byte(len(z.SOA.Data[0]))}, z.SOA.Data[0]...), 0); err != nil || soaOf(rr).Expire != zone.SignedExpire {
		t.Errorf("%v, %v", rr, err)
	}
	old := signedTransferable("@ SOA ns1 ops 1 3600 600 604801 60\n", byKey())
	w, err := nameserver.Warnings(&snapshot.Documents{Generation: 1, Zones: []*profile.Zone{old}})
	if err != nil || !strings.Contains(strings.Join(w, "\n"), "EXPIRE") {
		t.Errorf("warnings: %q, %v", w, err)
	}
}
