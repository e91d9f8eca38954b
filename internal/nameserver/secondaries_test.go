package nameserver_test

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"jurymast/internal/health"
	"jurymast/internal/profile"
)

const fedText = `@ SOA ns1 ops 1 3600 600 86400 60
@ NS ns1
@ MX 10 mail
ns1 A 192.0.2.53
www 120 A 192.0.2.80
www TXT "theirs"
https HTTPS 1 . alpn=h2
alias 60 CNAME www
out CNAME www.elsewhere.test.
one CNAME two
two CNAME one
sub NS ns.sub
ns.sub A 192.0.2.54
moved DNAME new
host.new A 192.0.2.44
`

// fed is a server with fed.example fetched from u, and the profiles.
func fed(t *testing.T, u *upstream, zones []*profile.Zone, ps ...*profile.Profile) *inward {
	t.Helper()
	views := make([]*health.View, len(ps))
	for i, p := range ps {
		views[i] = view(p, strings.Repeat("u", len(p.Endpoints)), nil)
	}
	zones = append(zones, fetchedZone("fed.example", profile.Primary{Address: u.at.String()}))
	return newInward(t, t.TempDir(), "127.0.0.1:0", nil, zones, ps, views...)
}

// data of all answers to a question, in order.
func (in *inward) data(t *testing.T, name string, typ uint16) string {
	t.Helper()
	r := ask(t, "udp", in.at, query(name, typ))
	list := []string{}
	for _, rr := range r.Answer {
		list = append(list, dns.TypeToString[rr.Header().Rrtype]+" "+dns.Field(rr, 1))
	}
	slices.Sort(list)
	return strings.TrimSpace(dns.RcodeToString[r.Rcode] + " " + strings.Join(list, ", "))
}

// TestProfilesInTransferredZones: a profile answers in place of addresses and aliases of the primary, other types stay the
// primary's, and where DNS cannot answer it, it is hidden: documents are not refused.
func TestProfilesInTransferredZones(t *testing.T) {
	u := newUpstream(t)
	in := fed(t, u, nil,
		service("shop", names("www.fed.example", "alias.fed.example", "new-one.fed.example", "fed.example"), addrs("192.0.2.1")),
		service("cname", names("out.fed.example"), host("target.test")),
		service("deep", names("x.sub.fed.example", "y.moved.fed.example"), addrs("192.0.2.2")),
	)
	for _, name := range []string{"www.fed.example.", "nothing.fed.example.", "fed.example."} { // never fetched
		if got := in.data(t, name, dns.TypeA); got != "SERVFAIL" {
			t.Errorf("%s before the zone is here: %s", name, got)
		}
	}
	u.have(t, "fed.example", fedText)
	in.book.Refresh(t.Context(), "fed.example", false)
	eventually(t, "the zone is here", func() bool { return in.rcode(t, "ns1.fed.example.") == 0 })
	for _, c := range []struct {
		name string
		typ  uint16
		want string
	}{
		{"www.fed.example.", dns.TypeA, "NOERROR A 192.0.2.1"},
		{"www.fed.example.", dns.TypeTXT, "NOERROR TXT theirs"},
		{"alias.fed.example.", dns.TypeA, "NOERROR A 192.0.2.1"},
		{"alias.fed.example.", dns.TypeCNAME, "NOERROR"},
		{"new-one.fed.example.", dns.TypeA, "NOERROR A 192.0.2.1"},
		{"fed.example.", dns.TypeA, "NOERROR A 192.0.2.1"},
		{"fed.example.", dns.TypeMX, "NOERROR MX 10"},
		{"out.fed.example.", dns.TypeA, "NOERROR CNAME target.test."},
		{"x.sub.fed.example.", dns.TypeA, "NOERROR"},
		{"host.moved.fed.example.", dns.TypeA, "NOERROR A 192.0.2.44, CNAME host.new.fed.example., DNAME new.fed.example."},
	} {
		if got := in.data(t, c.name, c.typ); got != c.want {
			t.Errorf("%s %s: %s, want %s", c.name, dns.Type(c.typ), got, c.want)
		}
	}
	hidden := strings.Join(in.srv.Hidden(), "\n")
	if n := len(in.srv.Hidden()); n != 2 || !strings.Contains(hidden, "x.sub.fed.example") || !strings.Contains(hidden, "y.moved.fed.example") {
		t.Errorf("%d hidden: %s", n, hidden)
	}

	// The primary takes its delegation and its alias away: what was hidden is answered, what was displaced has nothing to displace.
	u.have(t, "fed.example", "@ SOA ns1 ops 2 3600 600 86400 60\n@ NS ns1\nns1 A 192.0.2.53\n")
	in.book.Refresh(t.Context(), "fed.example", false)
	eventually(t, "it is answered", in.answers(t, "x.sub.fed.example.", dns.TypeA, "192.0.2.2"))
	if got := in.data(t, "www.fed.example.", dns.TypeTXT); got != "NOERROR" || len(in.srv.Hidden()) > 0 {
		t.Errorf("of the version before: %s, hidden %v", got, in.srv.Hidden())
	}
	if set := in.data(t, "www.fed.example.", dns.TypeA); set != "NOERROR A 192.0.2.1" {
		t.Error(set)
	}
}

// TestProfilesInSignedZones: nobody but its primary can change a signed zone.
func TestProfilesInSignedZones(t *testing.T) {
	u := newUpstream(t)
	u.have(t, "fed.example", "@ SOA ns1 ops 1 3600 600 86400 60\n@ NS ns1\n@ DNSKEY 257 3 13 AAAA\n@ RRSIG SOA 13 2 300 20371231000000 20200101000000 1 fed.example. AAAA\nwww A 192.0.2.80\n")
	in := fed(t, u, nil, service("shop", names("www.fed.example", "other.fed.example"), addrs("192.0.2.1")))
	eventually(t, "the zone is here", in.answers(t, "www.fed.example.", dns.TypeA, "192.0.2.80"))
	if hidden := in.srv.Hidden(); len(hidden) != 2 || !strings.Contains(hidden[0], "signed by its primary") || in.data(t, "other.fed.example.", dns.TypeA) != "NXDOMAIN" {
		t.Errorf("hidden %v", hidden)
	}
}

// TestRoutesThroughTransferredZones: targets that are answered with their addresses may lie in a transferred zone. What the
// primary has there never refuses documents.
func TestRoutesThroughTransferredZones(t *testing.T) {
	u := newUpstream(t)
	ps := []*profile.Profile{}
	for _, target := range []string{"www", "alias", "one", "nothing", "host.moved"} {
		p := service("p-"+target, names(strings.ReplaceAll(target, ".", "-")+".dr.example"), host(target+".fed.example"))
		p.Answer = profile.AnswerFlatten
		ps = append(ps, p)
	}
	in := fed(t, u, []*profile.Zone{testZone("")}, ps...)
	for _, name := range []string{"www.dr.example.", "nothing.dr.example."} {
		m := query(name, dns.TypeA)
		m.SetEdns0(1232, false)
		if r := ask(t, "udp", in.at, m); r.Rcode != dns.RcodeServerFailure || !hasEDE(r, dns.ExtendedErrorCodeNotReady) {
			t.Errorf("%s before the zone is here: %v", name, r)
		}
	}
	u.have(t, "fed.example", fedText)
	in.book.Refresh(t.Context(), "fed.example", false)
	eventually(t, "the zone is here", in.answers(t, "www.dr.example.", dns.TypeA, "192.0.2.80"))
	for name, want := range map[string]string{"alias": "NOERROR A 192.0.2.80", "one": "SERVFAIL", "nothing": "NOERROR", "host-moved": "NOERROR A 192.0.2.44"} {
		if got := in.data(t, name+".dr.example.", dns.TypeA); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
	if r := ask(t, "udp", in.at, query("alias.dr.example.", dns.TypeA)); len(r.Answer) != 1 || r.Answer[0].Header().Ttl > 60 {
		t.Errorf("the TTL of an alias on the way is exceeded: %v", r.Answer)
	}
	u.have(t, "fed.example", strings.NewReplacer("ops 1 ", "ops 2 ", "192.0.2.80", "192.0.2.81", "two CNAME one", "two A 192.0.2.82").Replace(fedText))
	in.book.Refresh(t.Context(), "fed.example", false)
	eventually(t, "the new version", in.answers(t, "www.dr.example.", dns.TypeA, "192.0.2.81"))
	if got := in.data(t, "one.dr.example.", dns.TypeA); got != "NOERROR A 192.0.2.82" {
		t.Error(got)
	}
}

// TestPresigned: zones that ldns has signed are answered with what came with them: every set signed, every signature good, and
// what is not there proved.
func TestPresigned(t *testing.T) {
	for _, form := range []string{"nsec", "nsec3"} {
		t.Run(form, func(t *testing.T) {
			u := newUpstream(t)
			text, err := os.ReadFile("testdata/presigned/" + form + ".zone")
			if err != nil {
				t.Fatal(err)
			}
			u.have(t, "signed.example", string(text))
			in := newInward(t, t.TempDir(), "127.0.0.1:0", nil, []*profile.Zone{fetchedZone("signed.example", profile.Primary{Address: u.at.String()})}, nil)
			eventually(t, "the zone is here", func() bool { return in.rcode(t, "www.signed.example.") == 0 })
			key, ok := ask(t, "udp", in.at, query("signed.example.", dns.TypeDNSKEY)).Answer[0].(*dns.DNSKEY)
			if !ok {
				t.Fatal("no key")
			}
			for _, c := range []struct {
				name string
				typ  uint16
				want string // rcode, names whose absence is proved, names that are proved to have no such type
			}{
				{"www", dns.TypeA, "NOERROR"},
				{"www", dns.TypeTXT, "NOERROR -www"},
				{"zzz", dns.TypeA, "NXDOMAIN !zzz !*"},
				{"a.b.zzz", dns.TypeA, "NXDOMAIN !zzz !*"},
				{"x.www", dns.TypeA, "NXDOMAIN !x.www !*.www"},
				{"x.wild", dns.TypeTXT, "NOERROR !x.wild"},
				{"x.y.wild", dns.TypeTXT, "NOERROR !y.wild"},
				{"x.wild", dns.TypeA, "NOERROR !x.wild -*.wild"},
				{"alias", dns.TypeA, "NOERROR"},
				{"alias", dns.TypeTXT, "NOERROR -www"},
				{"sub", dns.TypeDS, "NOERROR -sub"},
				{"x.sub", dns.TypeA, "NOERROR -sub"},
				{"safe", dns.TypeDS, "NOERROR"},
				{"x.safe", dns.TypeA, "NOERROR"},
				{"host.moved", dns.TypeA, "NOERROR"},
				{"x.moved", dns.TypeA, "NXDOMAIN !x.new !*.new"},
				{"b.ent", dns.TypeA, "NOERROR -b.ent"},
			} {
				m := query(c.name+".signed.example.", c.typ)
				m.SetEdns0(4096, true)
				r := ask(t, "udp", in.at, m)
				p := proofsOf(t, key, r)
				rcode, rest, _ := strings.Cut(c.want, " ")
				if dns.RcodeToString[r.Rcode] != rcode {
					t.Errorf("%s %s: %s, want %s", c.name, dns.Type(c.typ), dns.RcodeToString[r.Rcode], rcode)
				}
				asked := c.typ
				if c.name == "x.sub" {
					asked = dns.TypeDS
				}
				for want := range strings.FieldsSeq(rest) {
					if !p.proves(want[0] == '!', want[1:]+".signed.example.", asked) {
						t.Errorf("%s %s: %s is not proved by\n%v", c.name, dns.Type(c.typ), want, r.Ns)
					}
				}
				if rest == "" && len(p.nsec)+len(p.nsec3) > 0 {
					t.Errorf("%s %s: proofs that nobody needs\n%v", c.name, dns.Type(c.typ), r.Ns)
				}
			}
			for _, q := range []uint16{dns.TypeRRSIG, dns.TypeANY} {
				if r := ask(t, "udp", in.at, query("www.signed.example.", q)); len(r.Answer) == 0 {
					t.Errorf("%s: %v", dns.Type(q), r)
				}
			}
			if r := ask(t, "udp", in.at, query("zzz.signed.example.", dns.TypeA)); len(r.Ns) != 1 {
				t.Errorf("who does not ask for signatures gets %v", r.Ns)
			}
		})
	}
}

type proofs struct {
	nsec  []*dns.NSEC
	nsec3 []*dns.NSEC3
}

// proofsOf checks all signatures, and that every set that needs one has one; it returns the proofs.
func proofsOf(t *testing.T, key *dns.DNSKEY, r *dns.Msg) (p proofs) {
	t.Helper()
	for _, section := range [][]dns.RR{r.Answer, r.Ns} {
		sets, sigs := map[string][]dns.RR{}, map[string]*dns.RRSIG{}
		redirected := false
		for _, rr := range section {
			id := fmt.Sprint(strings.ToLower(rr.Header().Name), rr.Header().Rrtype)
			switch v := rr.(type) {
			case *dns.RRSIG:
				sigs[fmt.Sprint(strings.ToLower(v.Hdr.Name), v.TypeCovered)] = v
				continue
			case *dns.NSEC:
				p.nsec = append(p.nsec, v)
			case *dns.NSEC3:
				p.nsec3 = append(p.nsec3, v)
			case *dns.DNAME:
				redirected = true
			case *dns.NS:
				if v.Hdr.Name != "signed.example." {
					continue // of a delegation: not theirs to sign
				}
			case *dns.CNAME:
				if redirected {
					continue
				}
			}
			sets[id] = append(sets[id], rr)
		}
		for id, set := range sets {
			if sig := sigs[id]; sig == nil {
				t.Errorf("%s is not signed", id)
			} else if err := sig.Verify(key, set); err != nil || sig.Hdr.Ttl != set[0].Header().Ttl {
				t.Errorf("%s: %v, TTL %d", id, err, sig.Hdr.Ttl)
			}
		}
		if len(sets) != len(sigs) {
			t.Errorf("%d sets, %d signatures", len(sets), len(sigs))
		}
	}
	return p
}

// proves says whether a name is proved not to be there, or to be there without the type.
func (p *proofs) proves(absent bool, name string, typ uint16) bool {
	for _, n := range p.nsec3 {
		if absent && n.Cover(name) || !absent && n.Match(name) && !slices.Contains(n.TypeBitMap, typ) {
			return true
		}
	}
	for _, n := range p.nsec {
		inside := inOrder(n.Hdr.Name) < inOrder(name) && (inOrder(name) < inOrder(n.NextDomain) || inOrder(n.NextDomain) <= inOrder(n.Hdr.Name))
		under := strings.HasSuffix(n.NextDomain, "."+name) // an empty non-terminal lies below the gap
		if absent && inside && !under || !absent && (inside && under || n.Hdr.Name == name && !slices.Contains(n.TypeBitMap, typ)) {
			return true
		}
	}
	return false
}

// inOrder is a name whose bytes are in the order of names [RFC 4034 6.1].
func inOrder(name string) string {
	labels := dns.SplitDomainName(strings.ToLower(name))
	slices.Reverse(labels)
	return strings.Join(labels, "\x00")
}
