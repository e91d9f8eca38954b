//go:build interop && linux

package nameserver_test

import (
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	fetch "jurymast/internal/nameserver/secondary"
	"jurymast/internal/nameserver/tsig"
	"jurymast/internal/profile"
)

// inwardRing has the key that primaries have, and one of the same name as theirs with another secret.
func inwardRing(t *testing.T) *tsig.Ring {
	t.Helper()
	good, err := tsig.NewKey("xfr.test", "hmac-sha256", transferSecret)
	if err != nil {
		t.Fatal(err)
	}
	wrong, err := tsig.NewKey(malloryKey, "hmac-sha256", transferSecret)
	if err != nil {
		t.Fatal(err)
	}
	unknown, err := tsig.NewKey("nobody.test", "hmac-sha256", transferSecret)
	if err != nil {
		t.Fatal(err)
	}
	return tsig.NewRing(good, wrong, unknown)
}

const bigZone = 50_000 // records

// TestInteropPrimaries: ours fetches from NSD, Knot and BIND, hears of a change from them, takes it as differences, and
// believes nobody without the right key.
func TestInteropPrimaries(t *testing.T) {
	said := map[string][]string{"nsd": {"ixfr for"}, "knotd": {"IXFR, outgoing", "finished"}, "named": {"IXFR ended"}}
	for name := range primaries {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ours := freePort(t)
			src := startSource(t, name, ours, map[string]string{
				"open.example": sourceText(1, 0), "keyed.example": sourceText(1, 0), "big.example": sourceText(1, bigZone),
				"mallory.example": sourceText(1, 0), "nobody.example": sourceText(1, 0), "unsigned.example": sourceText(1, 0),
			})
			from := func(key string) profile.Primary { return profile.Primary{Address: src.at.String(), Key: key} }
			in := newInward(t, t.TempDir(), ours.String(), inwardRing(t), []*profile.Zone{
				fetchedZone("open.example", from("")), fetchedZone("keyed.example", from("xfr.test")), fetchedZone("big.example", from("xfr.test")),
				fetchedZone("mallory.example", from(malloryKey)), fetchedZone("nobody.example", from("nobody.test")), fetchedZone("unsigned.example", from("")),
			}, nil)
			good := []string{"open.example", "keyed.example", "big.example"}
			for _, z := range good {
				within(t, 20*time.Second, z+" is served", in.answers(t, "www."+z+".", dns.TypeA, "192.0.2.1"))
				if st := in.status(z); st.How != fetch.Whole || st.Trouble != "" {
					t.Errorf("%s: %+v", z, st)
				}
			}
			if st := in.status("big.example"); st.Records < bigZone {
				t.Errorf("%d records", st.Records)
			}
			src.asIts(t, in, "open.example")
			for z, why := range map[string]string{"mallory.example": "BADSIG", "nobody.example": "BADKEY", "unsigned.example": "the primary answers"} {
				within(t, 5*time.Second, "a look for "+z, func() bool { return in.status(z).Failures > 0 })
				if st := in.status(z); st.Phase != fetch.Missing || !strings.Contains(st.Trouble, why) || in.rcode(t, "www."+z+".") != dns.RcodeServerFailure {
					t.Errorf("%s is taken, or not for the right reason: %+v", z, st)
				}
			}

			for _, z := range good {
				n := 0
				if z == "big.example" {
					n = bigZone
				}
				src.write(z, sourceText(2, n)+"fresh A 192.0.2.99\n")
			}
			src.reload()
			for _, z := range good {
				within(t, 15*time.Second, z+" is new", in.answers(t, "www."+z+".", dns.TypeA, "192.0.2.2"))
				if st := in.status(z); st.How != fetch.Differences || st.Refused != "" || st.Serial != 2 || in.rcode(t, "fresh."+z+".") != 0 {
					t.Errorf("%s: %+v", z, st)
				}
			}
			for _, want := range said[name] {
				if !strings.Contains(src.said(), want) {
					t.Errorf("its log does not tell of %q", want)
				}
			}
		})
	}
}

// asIts compares what the primary and ours answer, record for record.
func (s *source) asIts(t *testing.T, in *inward, zone string) {
	t.Helper()
	for _, q := range []struct {
		name string
		typ  uint16
	}{
		{"", dns.TypeSOA},
		{"", dns.TypeNS},
		{"", dns.TypeMX},
		{"www", dns.TypeA},
		{"a.b.wild", dns.TypeTXT},
		{"nothing", dns.TypeA},
		{`odd\.dot`, dns.TypeTXT},
		{"upper", dns.TypeMX},
		{"unknown", 65280},
		{"x.sub", dns.TypeA},
		{"host.moved", dns.TypeA},
		{"wild", dns.TypeA},
	} {
		name := strings.TrimPrefix(q.name+"."+zone+".", ".")
		theirs, ours := ask(t, "udp", s.at, query(name, q.typ)), ask(t, "udp", in.at, query(name, q.typ))
		if theirs.Rcode != ours.Rcode || theirs.Authoritative != ours.Authoritative || !strings.EqualFold(fmt.Sprint(theirs.Answer), fmt.Sprint(ours.Answer)) { // names are compressed against others of another case
			t.Errorf("%s %s: %s has\n%v\nours\n%v", name, dns.Type(q.typ), s.name, theirs, ours)
		}
	}
}

// TestInteropPrimaryInterrupted: a transfer that breaks off changes nothing; when the primary is back, the zone is; without
// any primary ours goes on from its copy, even after a restart, until the zone expires.
func TestInteropPrimaryInterrupted(t *testing.T) {
	ours := freePort(t)
	short := strings.Replace(sourceText(1, 0), "3600 600 86400", "1 1 6", 1)
	src := startSource(t, "knotd", ours, map[string]string{"open.example": sourceText(1, bigZone), "openshort.example": short})
	cut := newCutter(t, src.at, 300_000)
	dir := t.TempDir()
	zones := []*profile.Zone{
		fetchedZone("open.example", profile.Primary{Address: cut.at.String()}),
		fetchedZone("openshort.example", profile.Primary{Address: src.at.String()}),
	}
	in := newInward(t, dir, ours.String(), nil, zones, nil)
	within(t, 10*time.Second, "the transfer breaks off", func() bool { return strings.Contains(in.status("open.example").Trouble, "before the end of the zone") })
	if in.rcode(t, "www.open.example.") != dns.RcodeServerFailure {
		t.Error("a part of a zone is served")
	}
	cut.limit(1 << 40)
	in.book.Refresh(t.Context(), "open.example", false)
	within(t, 10*time.Second, "the zone is here", in.answers(t, "www.open.example.", dns.TypeA, "192.0.2.1"))

	// Interrupted while there is something: that is kept.
	src.write("open.example", strings.ReplaceAll(sourceText(2, bigZone), " 10.", " 11."))
	cut.limit(300_000)
	src.reload()
	within(t, 10*time.Second, "the primary has news", func() bool {
		soa, ok := ask(t, "udp", src.at, query("open.example.", dns.TypeSOA)).Answer[0].(*dns.SOA)
		return ok && soa.Serial == 2
	})
	in.book.Refresh(t.Context(), "open.example", false)
	if st := in.status("open.example"); st.Serial != 1 || st.Phase != fetch.Failing || !in.answers(t, "h7.open.example.", dns.TypeA, "10.0.0.7")() {
		t.Errorf("after a transfer that broke off: %+v", st)
	}
	cut.limit(1 << 40)
	in.book.Refresh(t.Context(), "open.example", false)
	within(t, 10*time.Second, "the news are here", in.answers(t, "h7.open.example.", dns.TypeA, "11.0.0.7"))

	// The primary dies, ours restarts.
	within(t, 5*time.Second, "the short zone is here", in.answers(t, "www.openshort.example.", dns.TypeA, "192.0.2.1"))
	src.end(os.Kill)
	in.stop()
	in = newInward(t, dir, ours.String(), nil, zones, nil)
	for _, name := range []string{"www.open.example.", "www.openshort.example."} {
		if in.rcode(t, name) != 0 {
			t.Errorf("%s is not served from its copy", name)
		}
	}
	within(t, 12*time.Second, "the short zone expires", func() bool { return in.rcode(t, "www.openshort.example.") == dns.RcodeServerFailure })
	m := query("www.openshort.example.", dns.TypeA)
	m.SetEdns0(1232, false)
	if r := ask(t, "udp", in.at, m); !hasEDE(r, dns.ExtendedErrorCodeNotReady) {
		t.Errorf("without its reason: %v", r)
	}
	if in.rcode(t, "www.open.example.") != 0 {
		t.Error("the long zone expired too")
	}
	src.start()
	within(t, 8*time.Second, "it is served again", in.answers(t, "www.openshort.example.", dns.TypeA, "192.0.2.1"))
}

// presignedQuestions are asked of each zone that Knot signs. A bar divides what holds with opt-out.
var presignedQuestions = []struct{ name, typ, want string }{
	{"", "SOA", "answer"},
	{"", "DNSKEY", "answer"},
	{"", "NS", "answer"},
	{"", "MX", "no data"},
	{"www", "A", "answer"},
	{"WWW", "AAAA", "no data"},
	{"nothing", "A", "no name"},
	{"a.b.nothing", "AAAA", "no name"},
	{"zzz", "A", "no name"},
	{"*", "A", "no name"},
	{"any.wild", "TXT", "answer|answer, not signed"}, // behind opt-out there may be a name that nobody has signed
	{"a.b.wild", "TXT", "answer|answer, not signed"},
	{"any.wild", "A", "no data"},
	{"a.b.wild", "MX", "no data"},
	{"*.wild", "TXT", "answer"},
	{"*.wild", "A", "no data"},
	{"wild", "A", "no data"},
	{"x.walias", "A", "answer"},
	{"x.walias", "TXT", "no data"},
	{"alias", "A", "answer"},
	{"alias", "MX", "no data"},
	{"dead", "A", "no name"},
	{"ent", "A", "no data"},
	{"b.ent", "A", "no data"},
	{"c.ent", "A", "no name"},
	{"host.moved", "A", "answer"},
	{"host.moved", "TXT", "no data"},
	{"gone.moved", "A", "no name"},
	{`odd\.dot`, "TXT", "answer"},
	{"unknown", "TYPE65280", "answer"},
	{"safe", "DS", "answer"},
	{"sub", "DS", "no data"},
	{"under.plain.ent", "DS", "no data"},
}

// TestInteropPresigned has BIND's validator judge what ours makes of zones that Knot signs.
func TestInteropPresigned(t *testing.T) {
	ours := freePort(t)
	names := []string{"signed-nsec.example", "signed-nsec3.example", "signed-optout.example"}
	more := "alias CNAME www\n*.walias CNAME www\ndead CNAME nothing\na.b.ent A 192.0.2.9\nsafe NS ns.sub\nsafe DS 1 13 2 0000000000000000000000000000000000000000000000000000000000000000\nunder.plain.ent NS ns.sub\n"
	texts := map[string]string{}
	for _, z := range names {
		texts[z] = sourceText(1, 20) + more
	}
	src := startSource(t, "knotd", ours, texts)
	anchors := map[string]string{}
	var zones []*profile.Zone
	for _, z := range names {
		zones = append(zones, fetchedZone(z, profile.Primary{Address: src.at.String()}))
		anchors[z] = src.anchor(t, z)
	}
	in := newInward(t, t.TempDir(), ours.String(), nil, zones, nil)
	for _, z := range names {
		within(t, 10*time.Second, z+" is served", in.answers(t, "www."+z+".", dns.TypeA, "192.0.2.1"))
		if st := in.status(z); !st.Signed || len(st.Warnings) > 0 {
			t.Errorf("%+v", st)
		}
	}
	for _, z := range names {
		src.write(z, texts[z]+"fresh A 192.0.2.99\n")
	}
	for _, z := range names {
		t.Run(z, func(t *testing.T) {
			for _, q := range presignedQuestions {
				want, optout, differs := strings.Cut(q.want, "|")
				if differs && strings.Contains(z, "optout") {
					want = optout
				}
				if differs || q.typ == "DS" || !strings.Contains(z, "optout") { // a process for each question takes its time
					judgedBy(t, in.at, anchors[z], z, q.name, q.typ, want)
				}
				src.asSigned(t, in, z, q.name, dns.StringToType[q.typ])
			}
		})
	}
	src.reload()
	for _, z := range names {
		within(t, 10*time.Second, z+" is new", in.answers(t, "fresh."+z+".", dns.TypeA, "192.0.2.99"))
		if st := in.status(z); st.How != fetch.Differences || st.Refused != "" || !st.Signed {
			t.Errorf("%+v", st)
		}
		judgedBy(t, in.at, anchors[z], z, "fresh", "A", "answer")
		judgedBy(t, in.at, anchors[z], z, "fresher", "A", "no name")
		judgedBy(t, in.at, anchors[z], z, "", "SOA", "answer")
	}
}

// asSigned compares what the primary and ours tell who validates, as sets.
func (s *source) asSigned(t *testing.T, in *inward, zone, label string, typ uint16) {
	t.Helper()
	if typ == 0 {
		return
	}
	m := query(strings.TrimPrefix(label+"."+zone+".", "."), typ)
	m.SetEdns0(4096, true)
	theirs, ours := ask(t, "tcp", s.at, m), ask(t, "tcp", in.at, m)
	for _, l := range [][2][]dns.RR{{theirs.Answer, ours.Answer}, {theirs.Ns, ours.Ns}} {
		if a, b := asLines(l[0]), asLines(l[1]); a != b || theirs.Rcode != ours.Rcode {
			t.Errorf("%s %s: %s has\n%s\nours\n%s", m.Question[0].Name, dns.Type(typ), s.name, a, b)
		}
	}
}

func asLines(list []dns.RR) string {
	lines := make([]string, len(list))
	for i, rr := range list {
		lines[i] = strings.ToLower(rr.String())
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// anchor writes the keys of a zone it signs in the form BIND reads.
func (s *source) anchor(t *testing.T, zone string) string {
	t.Helper()
	var b strings.Builder
	within(t, 10*time.Second, zone+" is signed", func() bool {
		for _, rr := range ask(t, "tcp", s.at, query(zone+".", dns.TypeDNSKEY)).Answer {
			if k, ok := rr.(*dns.DNSKEY); ok && k.Flags == 257 {
				fmt.Fprintf(&b, "trust-anchors { %q static-key %d %d %d %q; };\n", zone+".", k.Flags, k.Protocol, k.Algorithm, k.PublicKey)
			}
		}
		return b.Len() > 0
	})
	return configured(t, s.dir, "anchor-"+zone, b.String())
}

// judgedBy compares what delv tells of a question to the server at an address with what it should.
func judgedBy(t *testing.T, at netip.AddrPort, anchor, zone, label, typ, want string) {
	t.Helper()
	name := strings.TrimPrefix(label+"."+zone+".", ".")
	out, _ := run(t, "delv", "@127.0.0.1", "-p", port(at), "-a", anchor, "+root="+zone, "-t", typ, name)
	says, plain := strings.CutSuffix(want, ", not signed")
	if !delvTells(out, says, !plain) {
		t.Errorf("%s %s: want %q in\n%s", name, typ, want, out)
	}
}
