package nameserver_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"jurymast/internal/nameserver/sign"
	"jurymast/internal/profile"
)

// signedZone is testZone, signed.
func signedZone(text string, d profile.Denial) *profile.Zone {
	z := testZone(text)
	z.DNSSEC = profile.DNSSEC{Enabled: true, Denial: d}
	return z
}

// newKey makes a key that signs zones.
func newKey(t testing.TB, algorithm, flags uint16) sign.Private {
	t.Helper()
	k, err := sign.NewPrivate(flags, newSigner(t, uint8(algorithm)))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func newSigner(t testing.TB, algorithm uint8) (signer crypto.Signer) {
	t.Helper()
	var err error
	if algorithm == sign.Ed25519 {
		_, signer, err = ed25519.GenerateKey(rand.Reader)
	} else {
		signer, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	}
	if err != nil {
		t.Fatal(err)
	}
	return signer
}

// csk are the keys of a zone signed with one key.
func csk(zone, mark string, k sign.Private) *sign.Keys {
	list := []sign.Private{k}
	return &sign.Keys{Zone: zone, Publish: []sign.Public{k.Public}, KSK: list, ZSK: list, Announce: []sign.Public{k.Public}, Mark: mark}
}

// newCSK makes a key and those keys.
func newCSK(t testing.TB, zone string, algorithm uint8) *sign.Keys {
	t.Helper()
	return csk(zone, "first", newKey(t, uint16(algorithm), sign.FlagZone|sign.FlagSEP))
}

// validator checks signatures with the DNSKEY sets of zones. now is the time they have to hold at; zero: any.
type validator struct {
	keys map[string][]*dns.DNSKEY
	now  time.Time
}

func newValidator(list ...*sign.Keys) *validator {
	v := &validator{keys: map[string][]*dns.DNSKEY{}}
	for _, k := range list {
		v.keys[dns.Fqdn(k.Zone)] = nil
		for i := range k.Publish {
			v.keys[dns.Fqdn(k.Zone)] = append(v.keys[dns.Fqdn(k.Zone)], dnskey(k.Zone, &k.Publish[i]))
		}
	}
	return v
}

func dnskey(zone string, p *sign.Public) *dns.DNSKEY {
	head := []byte{0, 0, byte(dns.TypeDNSKEY), 0, 1, 0, 0, 0, 0, 0, byte(len(p.Data()))}
	rr, _, err := dns.UnpackRR(append(head, p.Data()...), 0)
	if err != nil {
		panic(err)
	}
	k, ok := rr.(*dns.DNSKEY)
	if !ok {
		panic("not a key")
	}
	k.Hdr.Name = dns.Fqdn(zone)
	return k
}

// zone is the deepest of the validator's zones that encloses the name, "" for none.
func (v *validator) zone(name string, typ uint16) (zone string) {
	for z := range v.keys {
		if dns.IsSubDomain(z, strings.ToLower(name)) && len(z) > len(zone) && (typ != dns.TypeDS || !strings.EqualFold(z, name)) {
			zone = z
		}
	}
	return zone
}

// check looks at every set of the answer and authority sections: signed, by the right zone, and valid; never signed where
// it must not be. It returns how many signatures were good.
func (v *validator) check(m *dns.Msg) (good int, err error) {
	redirected := func(rr dns.RR) bool {
		for _, d := range m.Answer {
			if d.Header().Rrtype == dns.TypeDNAME && rr.Header().Rrtype == dns.TypeCNAME && dns.IsSubDomain(d.Header().Name, rr.Header().Name) {
				return true
			}
		}
		return false
	}
	for i, section := range [][]dns.RR{m.Answer, m.Ns} {
		sets, sigs, order := map[string][]dns.RR{}, map[string][]*dns.RRSIG{}, []string{}
		for _, rr := range section {
			h := rr.Header()
			key := fmt.Sprintf("%s %d", strings.ToLower(h.Name), h.Rrtype)
			if s, ok := rr.(*dns.RRSIG); ok {
				key = fmt.Sprintf("%s %d", strings.ToLower(h.Name), s.TypeCovered)
				sigs[key] = append(sigs[key], s)
				continue
			}
			if len(sets[key]) == 0 {
				order = append(order, key)
			}
			sets[key] = append(sets[key], rr)
		}
		for _, key := range order {
			set := sets[key]
			h := set[0].Header()
			zone := v.zone(h.Name, h.Rrtype)
			referral := i == 1 && h.Rrtype == dns.TypeNS
			if zone == "" || referral || redirected(set[0]) {
				if len(sigs[key]) > 0 {
					return good, fmt.Errorf("%s must not be signed", key)
				}
				continue
			}
			if len(sigs[key]) == 0 {
				return good, fmt.Errorf("%s is not signed:\n%v", key, m)
			}
			for _, s := range sigs[key] {
				if err := v.verify(s, zone, set); err != nil {
					return good, fmt.Errorf("%s: %w:\n%v", key, err, m)
				}
				good++
			}
			delete(sigs, key)
		}
		if len(sigs) > 0 && m.Question[0].Qtype != dns.TypeRRSIG {
			return good, fmt.Errorf("signatures of what is not there: %v", sigs)
		}
	}
	return good, nil
}

func (v *validator) verify(s *dns.RRSIG, zone string, set []dns.RR) error {
	switch {
	case s.SignerName != zone:
		return fmt.Errorf("signed by %s", s.SignerName)
	case s.Hdr.Ttl != set[0].Header().Ttl, s.Hdr.Ttl > s.OrigTtl:
		return fmt.Errorf("TTL %d of the signature, %d of the set, %d at first", s.Hdr.Ttl, set[0].Header().Ttl, s.OrigTtl)
	case !v.now.IsZero() && !s.ValidityPeriod(v.now):
		return fmt.Errorf("valid from %d to %d only", s.Inception, s.Expiration)
	}
	for _, k := range v.keys[zone] {
		if k.KeyTag() == s.KeyTag && k.Algorithm == s.Algorithm {
			return s.Verify(k, set)
		}
	}
	return fmt.Errorf("there is no key %d", s.KeyTag)
}

// wanting is a question that wants signatures.
func wanting(name string, typ uint16) []byte {
	m := query(name, typ)
	m.Id = 0x1234
	m.SetEdns0(1232, true)
	pkt, err := m.Pack()
	if err != nil {
		panic(err)
	}
	return pkt
}

func unpacked(t testing.TB, reply []byte) *dns.Msg {
	t.Helper()
	m := new(dns.Msg)
	if err := m.Unpack(reply); err != nil {
		t.Fatalf("%v: % x", err, reply)
	}
	return m
}

// signedStandard is the standard fixture, signed.
func signedStandard(t testing.TB, d profile.Denial, algorithm uint8) (*fixture, *validator) {
	t.Helper()
	ps := standard()
	f := build(t, []*profile.Zone{signedZone(records, d)}, ps, standardViews(ps))
	k := newCSK(t, "dr.example", algorithm)
	f.srv.UseKeys(k)
	return f, newValidator(k)
}

// Every kind of answer carries signatures that hold.
func TestSignedAnswers(t *testing.T) {
	t.Parallel()
	for _, algorithm := range []uint8{sign.ECDSAP256, sign.Ed25519} {
		for _, d := range []profile.Denial{profile.DenialCompact, profile.DenialNSEC} {
			f, v := signedStandard(t, d, algorithm)
			for _, c := range []struct {
				name string
				typ  uint16
				want string // types of the answer section, without signatures
				good int    // signatures there at least, in answer and authority
			}{
				{"dr.example.", dns.TypeSOA, "SOA", 1},
				{"dr.example.", dns.TypeNS, "NS NS", 1},
				{"DR.example.", dns.TypeMX, "MX", 1},
				{"dr.example.", dns.TypeDNSKEY, "DNSKEY", 1},
				{"dr.example.", dns.TypeCDS, "CDS", 1},
				{"dr.example.", dns.TypeCDNSKEY, "CDNSKEY", 1},
				{"dr.example.", dns.TypeA, "A A", 1},
				{"dr.example.", dns.TypeAAAA, "AAAA", 1},
				{"mail.dr.example.", dns.TypeA, "A", 1},
				{"Mail.Dr.Example.", dns.TypeAAAA, "AAAA", 1},
				{"web.dr.example.", dns.TypeA, "A A", 1},
				{"www.dr.example.", dns.TypeA, "CNAME A A", 2},
				{"out.dr.example.", dns.TypeA, "CNAME CNAME", 0},
				{"x.wild.dr.example.", dns.TypeTXT, "TXT", 1},
				{"X.walias.dr.example.", dns.TypeA, "CNAME A", 2},
				{"*.wild.dr.example.", dns.TypeTXT, "TXT", 1},
				{"host.moved.dr.example.", dns.TypeA, "DNAME CNAME A", 2},
				{"moved.dr.example.", dns.TypeDNAME, "DNAME", 1},
				{"x.sub.dr.example.", dns.TypeA, "", 1},
				{"sub.dr.example.", dns.TypeDS, "DS", 1},
				{"tosub.dr.example.", dns.TypeA, "CNAME", 2},
				{"svc.dr.example.", dns.TypeA, "CNAME", 1},
				{"any.svcwild.dr.example.", dns.TypeA, "CNAME", 1},
				{"in.dr.example.", dns.TypeA, "CNAME A A", 2},
				{"down.dr.example.", dns.TypeA, "A", 1},
				{"old.dr.example.", dns.TypeA, "A", 1},
				{"mail.dr.example.", dns.TypeANY, "A", 1},
				{"odd\\.dot.dr.example.", dns.TypeA, "A", 1},
				{"mixed.dr.example.", dns.TypeTXT, "TXT", 1},
				{"unknown.dr.example.", 65280, "TYPE65280", 1},
			} {
				q := wanting(c.name, c.typ)
				m := unpacked(t, f.srv.Raw(q, true))
				var types []string
				for _, rr := range m.Answer {
					if typ := rr.Header().Rrtype; typ != dns.TypeRRSIG {
						types = append(types, dns.Type(typ).String())
					}
				}
				if c.want == "CNAME CNAME" { // one of them of the zone, the other's name is not ours
					c.want, c.good = "CNAME", 1
				}
				if got := strings.Join(types, " "); got != c.want || m.Rcode != dns.RcodeSuccess || m.AuthenticatedData {
					t.Errorf("%s %s: %s %q, want %q", c.name, dns.Type(c.typ), dns.RcodeToString[m.Rcode], got, c.want)
				}
				good, err := v.check(m)
				if err != nil || good < c.good {
					t.Errorf("%v %s: %d signatures hold, want %d: %v", d, q2(q), good, c.good, err)
				}
				if m.IsEdns0() == nil || !m.IsEdns0().Do() {
					t.Errorf("%s: DO is not copied", q2(q))
				}
				if plain := unpacked(t, f.srv.Raw(pack(t, query(c.name, c.typ)), true)); strings.Contains(plain.String(), "RRSIG") {
					t.Errorf("signatures nobody asked for: %v", plain)
				}
			}
		}
	}
}

func q2(pkt []byte) string {
	m := new(dns.Msg)
	_ = m.Unpack(pkt)
	return m.Question[0].String()
}

func pack(t testing.TB, m *dns.Msg) []byte {
	t.Helper()
	pkt, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return pkt
}

// A wildcard's answer is signed as the wildcard where names are denied by a chain, and as the name itself where denial is
// compact.
func TestSignedWildcard(t *testing.T) {
	t.Parallel()
	for d, labels := range map[profile.Denial]uint8{profile.DenialCompact: 4, profile.DenialNSEC: 3} {
		f, _ := signedStandard(t, d, sign.Ed25519)
		m := unpacked(t, f.srv.Raw(wanting("x.wild.dr.example.", dns.TypeTXT), true))
		for _, rr := range m.Answer {
			if s, ok := rr.(*dns.RRSIG); ok && s.Labels != labels {
				t.Errorf("%s: %d labels, want %d", d, s.Labels, labels)
			}
		}
	}
}

// Questions for signatures alone get those of one set.
func TestSignaturesAlone(t *testing.T) {
	t.Parallel()
	f, v := signedStandard(t, profile.DenialCompact, sign.ECDSAP256)
	for _, name := range []string{"mail.dr.example.", "dr.example.", "down.dr.example.", "svc.dr.example.", "x.wild.dr.example."} {
		m := unpacked(t, f.srv.Raw(wanting(name, dns.TypeRRSIG), true))
		if len(m.Answer) != 1 || m.Answer[0].Header().Rrtype != dns.TypeRRSIG {
			t.Errorf("%s: %v", name, m)
			continue
		}
		covered, _ := m.Answer[0].(*dns.RRSIG)
		of := unpacked(t, f.srv.Raw(wanting(name, covered.TypeCovered), true))
		if good, err := v.check(of); err != nil || good == 0 || !strings.Contains(of.String(), covered.Signature) {
			t.Errorf("%s: it is not that of the set: %v", name, err)
		}
	}
}

// Without keys nothing of a signed zone is told to who wants signatures, and all as ever to the others.
func TestSignedWithoutKeys(t *testing.T) {
	t.Parallel()
	ps := standard()
	f := build(t, []*profile.Zone{signedZone(records, profile.DenialCompact)}, ps, standardViews(ps))
	for _, name := range []string{"mail.dr.example.", "dr.example.", "nothing.dr.example.", "svc.dr.example."} {
		m := unpacked(t, f.srv.Raw(wanting(name, dns.TypeA), false))
		if m.Rcode != dns.RcodeServerFailure || !strings.Contains(m.String(), "keys of the zone are not here yet") {
			t.Errorf("%s: %v", name, m)
		}
		if m := unpacked(t, f.srv.Raw(pack(t, query(name, dns.TypeA)), false)); m.Rcode == dns.RcodeServerFailure {
			t.Errorf("%s without DO: %v", name, m)
		}
	}
	if s := f.srv.SigningStatus("dr.example"); s.HasKeys || s.Mark != "" {
		t.Errorf("%+v", s)
	}
}

// Answers through several zones are signed each by its own, and what is not signed stays so.
func TestSignedChains(t *testing.T) {
	t.Parallel()
	other := &profile.Zone{Name: "two.test", Nameservers: []string{"ns.two.test"}, Records: "www IN CNAME www.plain.test.\nto IN CNAME a\na IN A 192.0.2.9\n", DNSSEC: profile.DNSSEC{Enabled: true}}
	plain := &profile.Zone{Name: "plain.test", Nameservers: []string{"ns.plain.test"}, Records: "www IN CNAME to.two.test.\n"}
	f := build(t, []*profile.Zone{signedZone("start IN CNAME www.two.test.\nmoved IN DNAME two.test.\n", profile.DenialCompact), other, plain}, nil, nil)
	k1, k2 := newCSK(t, "dr.example", sign.ECDSAP256), newCSK(t, "two.test", sign.Ed25519)
	f.srv.UseKeys(k1)
	f.srv.UseKeys(k2)
	v := newValidator(k1, k2)
	for name, want := range map[string]int{"start.dr.example.": 4, "to.moved.dr.example.": 3} {
		m := unpacked(t, f.srv.Raw(wanting(name, dns.TypeA), true))
		if good, err := v.check(m); err != nil || good != want {
			t.Errorf("%s: %d signatures, want %d: %v\n%v", name, good, want, err, m)
		}
	}
}

// The secret of a key shows nowhere.
func TestKeysDoNotShow(t *testing.T) {
	t.Parallel()
	k := newKey(t, uint16(sign.ECDSAP256), sign.FlagZone)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d"} {
		if text := fmt.Sprintf(verb, []sign.Private{k}); strings.Contains(text, "D:") || len(text) > 100 {
			t.Errorf("%s: %s", verb, text)
		}
	}
}

func mustAddr(text string) netip.Addr { return netip.MustParseAddr(text) }
