package nameserver_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"jurymast/internal/health"
	"jurymast/internal/nameserver"
	"jurymast/internal/nameserver/sign"
	"jurymast/internal/profile"
	"jurymast/internal/snapshot"
)

// signZones switches signing on and gives the server the keys. Zones in plain are left alone.
func (f *fixture) signZones(t testing.TB, denial profile.Denial, zones []*profile.Zone, plain ...string) *judge {
	t.Helper()
	j := &judge{realms: map[string]*realm{}, now: time.Now(), held: map[string]bool{}}
	for i, z := range zones {
		r := &realm{apex: dns.Fqdn(z.Name), compact: denial != profile.DenialNSEC}
		j.realms[z.Name] = r
		if slices.Contains(plain, z.Name) {
			continue
		}
		z.DNSSEC = profile.DNSSEC{Enabled: true, Denial: denial}
		keys := newCSK(t, z.Name, []uint8{sign.ECDSAP256, sign.Ed25519}[i%2])
		r.keys = append(r.keys, dnskey(z.Name, &keys.Publish[0]))
		f.srv.UseKeys(keys)
	}
	return j
}

// say asks over a stream; flags are those of EDNS, 0: without.
func (f *fixture) say(t testing.TB, name string, typ uint16, do, co bool, from netip.Addr) *dns.Msg {
	t.Helper()
	q := query(name, typ)
	if do || co {
		q.SetEdns0(1232, do)
		if o := q.IsEdns0(); co {
			o.Hdr.Ttl |= 1 << 14
		}
	}
	pkt, err := q.Pack()
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	m := new(dns.Msg)
	if err := m.Unpack(f.srv.RawFrom(pkt, true, from)); err != nil {
		t.Fatalf("%s %s: %v", name, dns.Type(typ), err)
	}
	return m
}

// plainly is the verdict an answer without DNSSEC speaks for itself.
func plainly(m *dns.Msg) string {
	has := func(section []dns.RR, typ uint16) bool {
		return slices.ContainsFunc(section, func(rr dns.RR) bool { return rr.Header().Rrtype == typ })
	}
	switch {
	case m.Rcode == dns.RcodeNameError:
		return saysNoName
	case m.Rcode != dns.RcodeSuccess && m.Rcode != dns.RcodeYXDomain:
		return dns.RcodeToString[m.Rcode]
	case has(m.Ns, dns.TypeSOA):
		return saysNoData
	case has(m.Ns, dns.TypeNS):
		return saysReferral
	}
	return saysAnswer
}

// records are the sets of a section without signatures and proofs, in order.
func bare(section []dns.RR) (out []string) {
	for _, rr := range section {
		switch rr.Header().Rrtype {
		case dns.TypeRRSIG, dns.TypeNSEC, dns.TypeDS, dns.TypeSOA, dns.TypeOPT:
		default:
			rr = dns.Copy(rr)
			rr.Header().Ttl = 0
			out = append(out, rr.String())
		}
	}
	slices.Sort(out)
	return out
}

// TestDenialOfLandscapes asks thousands of questions about zones with everything zone text can have, next to names that
// are there and far from them: what is answered validates, says the same as without DNSSEC, and tells of no other name
// where the denial is compact.
func TestDenialOfLandscapes(t *testing.T) {
	questions := manyTimes(400, 13_000)
	for _, denial := range []profile.Denial{profile.DenialCompact, profile.DenialNSEC} {
		for seed := uint64(101); seed <= 104; seed++ {
			t.Run(fmt.Sprintf("%s/%d", denial, seed), func(t *testing.T) {
				l := newLandscape(seed, false)
				f := create(optionsOf(t))
				var plain []string
				if seed%2 == 0 { // a zone below a signed one that is not signed itself
					plain = append(plain, l.zones[len(l.zones)-1].Name)
				}
				j := f.signZones(t, denial, l.zones, plain...)
				f.publish(t, 7, l.zones, nil, nil)
				ahead := f.srv.Denials()
				for range questions {
					q := l.ask()
					if q.qtype == dns.TypeDNSKEY || l.one(20) {
						q.qtype = dns.TypeNSEC
					}
					m := f.compare(t, j, q.name, q.qtype, l.one(3), t0Addr)
					foreseen(t, ahead, m)
				}
			})
		}
	}
}

// compare asks with and without DNSSEC.
func (f *fixture) compare(t *testing.T, j *judge, name string, typ uint16, co bool, from netip.Addr) *dns.Msg {
	t.Helper()
	without, with := f.say(t, name, typ, false, false, from), f.say(t, name, typ, true, co, from)
	got, err := j.verdict(with, co)
	want := plainly(without)
	if typ == dns.TypeNSEC && want == saysAnswer && len(without.Answer) == 0 {
		want = saysNoData
	}
	switch {
	case err != nil:
		t.Errorf("%s %s (CO %t): %v\n%v", name, dns.Type(typ), co, err, with)
	case got != want:
		t.Errorf("%s %s (CO %t): %s, without DNSSEC %s\n%v", name, dns.Type(typ), co, got, want, with)
	case typ != dns.TypeANY && (!slices.Equal(bare(with.Answer), bare(without.Answer)) || !slices.Equal(bare(with.Ns), bare(without.Ns))):
		t.Errorf("%s %s: other records\n%v\nwithout DNSSEC\n%v", name, dns.Type(typ), with, without)
	}
	return with
}

// flock are profiles of every method, with endpoints of every kind, at every kind of name.
const flock = `
  - {name: fourfirst, hostnames: [p1.dr.example], ttl: 30s, endpoints: [{name: a, target: 192.0.2.1}, {name: b, target: [192.0.2.2, "2001:db8::2"]}]}
  - {name: sixfirst, hostnames: [p2.dr.example, "*.p2.dr.example"], ttl: 30s, https: {alpn: [h2]}, endpoints: [{name: a, target: "2001:db8::1"}, {name: b, target: 192.0.2.2}]}
  - {name: beside, hostnames: [p3.dr.example], ttl: 20s, endpoints: [{name: a, target: [192.0.2.1, "2001:db8::1"]}]}
  - {name: dice, hostnames: [p4.dr.example, "*.p4.dr.example"], ttl: 20s, routing: weighted, endpoints: [{name: a, target: 192.0.2.1}, {name: b, target: "2001:db8::2"}, {name: c, target: 192.0.2.3}]}
  - {name: many, hostnames: [p5.dr.example], ttl: 20s, routing: multivalue, endpoints: [{name: a, target: 192.0.2.1}, {name: b, target: "2001:db8::2"}, {name: c, target: 192.0.2.3}]}
  - {name: near, hostnames: [p6.dr.example], ttl: 20s, routing: performance, endpoints: [{name: eu, target: 192.0.2.1, location: {region: eu-central}}, {name: us, target: "2001:db8::2", location: {region: us-west}}]}
  - {name: land, hostnames: [p7.dr.example, "*.p7.dr.example"], ttl: 20s, routing: geographic, endpoints: [{name: de, target: 192.0.2.1, geo: [DE]}, {name: world, target: "2001:db8::2", geo: [WORLD]}]}
  - {name: nets, hostnames: [p8.dr.example], compat: azure, ttl: 20s, routing: subnet, endpoints: [{name: a, target: 192.0.2.1, subnets: [203.0.113.0/25]}, {name: b, target: 192.0.2.2, subnets: [198.51.100.0/24]}]}
  - {name: outer, hostnames: [p9.dr.example], ttl: 20s, endpoints: [{name: main, target: {profile: dice}}, {name: spare, target: "2001:db8::9"}]}
  - {name: alias, hostnames: [p10.dr.example, "*.p10.dr.example"], ttl: 20s, endpoints: [{name: a, target: x.elsewhere.test}, {name: b, target: web.dr.example}]}
  - {name: resort, hostnames: [p11.dr.example], ttl: 20s, answer: cname, endpoints: [{name: a, target: x.elsewhere.test}], all_down: {target: 192.0.2.99}}
  - {name: silent, hostnames: [p12.dr.example, "*.p12.dr.example"], compat: azure, ttl: 20s, endpoints: [{name: a, target: 192.0.2.1}], all_down: none}
  - {name: top, hostnames: [dr.example], ttl: 20s, endpoints: [{name: a, target: 192.0.2.1}, {name: b, target: "2001:db8::2"}]}
  - {name: flat, hostnames: [p13.dr.example, mail2.dr.example], ttl: 20s, answer: flatten, https: {alpn: [h2]}, endpoints: [{name: a, target: web.dr.example}, {name: b, target: mail.dr.example}, {name: c, target: p4.dr.example}]}
  - {name: none, hostnames: [p14.dr.example], ttl: 20s, endpoints: [{name: a, target: 192.0.2.1}]}
  - {name: azuredice, hostnames: [p15.dr.example, sub.p15.dr.example], compat: azure, ttl: 20s, routing: weighted, endpoints: [{name: a, target: x.elsewhere.test}, {name: b, target: y.elsewhere.test}]}
`

const flockRecords = records + `
p3         IN TXT "beside"
p3         IN CAA 0 issue "ca.test"
b.c.p13    IN TXT "below"
*.p14      IN MX 10 mail
`

// moods gives profiles random states, children to nested ones.
func moods(dice *rand.Rand, ps []*profile.Profile) []*health.View {
	byName := map[string]*health.View{}
	var out []*health.View
	for _, p := range ps {
		if p.Name == "none" {
			continue // never seen yet
		}
		var word strings.Builder
		for range p.Endpoints {
			word.WriteByte("uuuddxrs"[dice.IntN(8)])
		}
		change := func(v *health.View) {
			v.Disabled = dice.IntN(12) == 0
			v.Stale = dice.IntN(12) == 0
			v.Ready = dice.IntN(15) > 0
			for i := range p.Endpoints {
				v.Endpoints[i].Child = byName[p.Endpoints[i].Target.Profile]
			}
		}
		v := view(p, word.String(), change)
		byName[p.Name] = v
		out = append(out, v)
	}
	return out
}

var probed = []uint16{
	dns.TypeA, dns.TypeAAAA, dns.TypeHTTPS, dns.TypeTXT, dns.TypeCAA, dns.TypeMX, dns.TypeCNAME, dns.TypeSOA, dns.TypeNS, dns.TypeDNSKEY, dns.TypeANY, 65280,
}

// TestDenialOfProfiles asks for every type at names of profiles of all methods in random states. What proves that a type
// is not there never denies what the next question gets, and lists nothing that it does not get, but where dice choose.
func TestDenialOfProfiles(t *testing.T) {
	rounds := manyTimes(6, 150)
	names := []string{"dr.example", "mail2.dr.example", "sub.p15.dr.example", "c.p13.dr.example", "x.p14.dr.example", "p3.dr.example"}
	for i := range 15 {
		names = append(names, fmt.Sprintf("p%d.dr.example", i+1), fmt.Sprintf("some.p%d.dr.example", i+1), fmt.Sprintf("*.p%d.dr.example", i+1))
	}
	for _, denial := range []profile.Denial{profile.DenialCompact, profile.DenialNSEC} {
		t.Run(string(denial), func(t *testing.T) {
			dice := rand.New(rand.NewPCG(9, 9))
			ps, zones := decoded(t, flock), []*profile.Zone{testZone(flockRecords)}
			f := create(optionsOf(t))
			j := f.signZones(t, denial, zones)
			f.publish(t, 7, zones, ps, moods(dice, ps))
			ahead := f.srv.Denials()
			for range rounds {
				for _, name := range names {
					f.agreement(t, j, ahead, dns.Fqdn(name), []netip.Addr{inGermany, inFrance, inNowhere}[dice.IntN(3)])
				}
				f.hub.Publish(nil, moods(dice, ps)...)
			}
		})
	}
}

// drawn names of profiles give one question this and the next one that.
func drawn(name string) bool {
	return slices.ContainsFunc([]string{"p4.dr.example.", "p9.dr.example.", "p13.dr.example.", "mail2.dr.example.", "p15.dr.example."}, func(s string) bool { return strings.HasSuffix(name, s) })
}

// agreement asks one name for all types.
func (f *fixture) agreement(t *testing.T, j *judge, ahead map[string]map[string]bool, name string, from netip.Addr) {
	t.Helper()
	proofs, there := map[uint16]*dns.Msg{}, map[uint16]bool{}
	for _, typ := range append(slices.Clone(probed), dns.TypeNSEC) {
		for range map[bool]int{true: 4, false: 1}[drawn(name)] {
			m := f.say(t, name, typ, true, typ%2 == 0, from)
			got, err := j.verdict(m, typ%2 == 0)
			if err != nil {
				t.Errorf("%s %s: %v\n%v", name, dns.Type(typ), err, m)
			}
			foreseen(t, ahead, m)
			if got == saysAnswer && typ != dns.TypeNSEC && m.Answer[0].Header().Rrtype == typ {
				there[typ] = true
			}
			if got == saysNoData {
				proofs[typ] = m
			}
			if len(m.Answer) > 0 && typ == dns.TypeNSEC {
				proofs[typ] = m
			}
		}
	}
	for typ, m := range proofs {
		at := slices.IndexFunc(append(slices.Clone(m.Ns), m.Answer...), func(rr dns.RR) bool { return rr.Header().Rrtype == dns.TypeNSEC && same(rr.Header().Name, name) })
		if at < 0 {
			continue // an empty name, or a wildcard's proof: judged already
		}
		n, _ := append(slices.Clone(m.Ns), m.Answer...)[at].(*dns.NSEC)
		for _, other := range probed {
			lists := slices.Contains(n.TypeBitMap, other)
			switch {
			case other == typ || other == dns.TypeANY || there[dns.TypeCNAME] && other != dns.TypeCNAME:
			case there[other] && !lists:
				t.Errorf("%s: what proves %s denies %s, which is answered: %v", name, dns.Type(typ), dns.Type(other), n)
			case lists && !there[other] && !drawn(name) && f.ready(t, name, other, from):
				t.Errorf("%s: what proves %s lists %s, which is not answered: %v", name, dns.Type(typ), dns.Type(other), n)
			}
		}
	}
}

// foreseen fails when a record that proves something at a name of the tree is not among those that are signed ahead.
func foreseen(t *testing.T, ahead map[string]map[string]bool, m *dns.Msg) {
	t.Helper()
	for _, rr := range append(slices.Clone(m.Ns), m.Answer...) {
		n, is := rr.(*dns.NSEC)
		if !is {
			continue
		}
		list, inTree := ahead[strings.ToLower(n.Hdr.Name)]
		data := make([]byte, 1024)
		end, err := dns.PackRR(&dns.NSEC{Hdr: dns.RR_Header{Name: ".", Rrtype: dns.TypeNSEC}, NextDomain: n.NextDomain, TypeBitMap: n.TypeBitMap}, data, 0, nil, false)
		if err != nil {
			t.Fatal(err)
		}
		if inTree && !list[string(data[11:end])] && !slices.Contains(n.TypeBitMap, dns.TypeNXNAME) {
			t.Errorf("nobody signs ahead: %v", n)
		}
	}
}

// ready reports that a name does not answer SERVFAIL.
func (f *fixture) ready(t *testing.T, name string, typ uint16, from netip.Addr) bool {
	t.Helper()
	return f.say(t, name, typ, true, false, from).Rcode != dns.RcodeServerFailure
}

// What is kept of a denial is kept no longer than what it denies could stay away.
func TestDenialLifetimes(t *testing.T) {
	for _, denial := range []profile.Denial{profile.DenialCompact, profile.DenialNSEC} {
		ps, zones := decoded(t, flock), []*profile.Zone{testZone(flockRecords)}
		f := create(optionsOf(t))
		f.signZones(t, denial, zones)
		var views []*health.View
		for _, p := range ps {
			word := strings.Repeat("u", len(p.Endpoints))
			if p.Name == "sixfirst" {
				word = "dd"
			}
			views = append(views, view(p, word, nil))
		}
		f.publish(t, 7, zones, ps, views)
		recovers := f.say(t, "p2.dr.example.", dns.TypeAAAA, false, false, t0Addr).Answer[0].Header().Ttl
		if recovers >= 30 {
			t.Errorf("all are down, but the TTL is %d", recovers)
		}
		for q, want := range map[string]uint32{
			"p1.dr.example AAAA": 30, "p1.dr.example TXT": 30, "p1.dr.example NSEC": 30, "p3.dr.example MX": 20, "some.p7.dr.example TXT": 20,
			"p2.dr.example A": recovers, "p2.dr.example TXT": recovers, "some.p2.dr.example A": recovers, "p2.dr.example NSEC": recovers,
			"mail.dr.example TXT": 60, "nothing.dr.example A": 60, "mail.dr.example NSEC": 60,
		} {
			name, typ, _ := strings.Cut(q, " ")
			m := f.say(t, dns.Fqdn(name), dns.StringToType[typ], true, false, inGermany)
			for _, rr := range append(m.Ns, m.Answer...) {
				if got := rr.Header().Ttl; got != want {
					t.Errorf("%s, %s: TTL %d, want %d\n%v", denial, q, got, want, m)
					break
				}
			}
		}
	}
}

// CO comes back from zones that deny compactly, to who asks with DO, and from no other [RFC 9824 5.1].
func TestCompactAnswersFlag(t *testing.T) {
	for denial, want := range map[profile.Denial]bool{profile.DenialCompact: true, profile.DenialNSEC: false} {
		zones := []*profile.Zone{testZone(records), {Name: "plain.test", Nameservers: []string{"ns.test"}}}
		f := create(optionsOf(t))
		f.signZones(t, denial, zones, "plain.test")
		f.publish(t, 7, zones, nil, nil)
		for _, c := range []struct {
			name   string
			do, co bool
			want   bool
		}{
			{"mail.dr.example.", true, true, want},
			{"nothing.dr.example.", true, true, want},
			{"nothing.dr.example.", true, false, false},
			{"nothing.dr.example.", false, true, false},
			{"nothing.plain.test.", true, true, false},
			{"not.ours.", true, true, false},
		} {
			for range 2 {
				m := f.say(t, c.name, dns.TypeA, c.do, c.co, t0Addr)
				if got := m.IsEdns0() != nil && m.IsEdns0().Hdr.Ttl&(1<<14) != 0; got != c.want {
					t.Errorf("%s: %s DO %t CO %t: CO %t comes back", denial, c.name, c.do, c.co, got)
				}
			}
		}
	}
}

// What signing makes worse is said before it is served.
func TestWarningsOfSignedZones(t *testing.T) {
	signed := profile.DNSSEC{Enabled: true, Denial: profile.DenialNSEC}
	parent := testZone("proper IN NS ns1.dr.example.\nbroken IN NS ns1.dr.example.\nbroken IN DS 1 13 2 " + strings.Repeat("00", 32) + "\n")
	parent.DNSSEC = signed
	zones := []*profile.Zone{parent}
	for _, name := range []string{"proper", "broken", "lost"} {
		zones = append(zones, &profile.Zone{Name: name + ".dr.example", Nameservers: []string{"ns1.dr.example"}})
	}
	ps := decoded(t, "  - {name: p, compat: azure, ttl: 20s, hostnames: [p.dr.example, dr.example, q.proper.dr.example], endpoints: [{name: a, target: 192.0.2.1}]}\n")
	got, err := nameserver.Warnings(&snapshot.Documents{Generation: 1, Zones: zones, Profiles: ps})
	want := []string{
		"host name p.dr.example of profile p: while nothing can be answered, questions with DNSSEC get no data in place of NXDOMAIN, because zone dr.example denies with nsec, " +
			"and its chain cannot deny a name that is in it; write denial: compact if NXDOMAIN matters",
		"zone broken.dr.example is not signed, but zone dr.example has DS records for it, so resolvers that validate answer nothing from it; remove those records, or sign the zone",
		"zone lost.dr.example lies below zone dr.example, which is signed and does not delegate it, so resolvers that validate take it for forged; " +
			"add NS records for lost.dr.example to zone dr.example, and its DS records when it is signed",
	}
	if err != nil || len(got) < len(want) || !slices.Equal(got[:len(want)], want) {
		t.Errorf("%v\n%s", err, strings.Join(got, "\n"))
	}
}
