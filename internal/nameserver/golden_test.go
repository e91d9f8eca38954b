package nameserver_test

import (
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"jurymast/internal/nameserver"
)

var update = flag.Bool("update", false, "rewrite golden files")

// questions of the golden file, against the standard zone and profiles.
var questions = []string{
	"dr.example SOA", "dr.example NS", "dr.example MX", "dr.example A", "dr.example AAAA", "dr.example CNAME", "dr.example ANY", "dr.example TYPE1000",
	"DR.Example a", "mail.dr.example A", "mail.dr.example AAAA", "mail.dr.example TXT", "mail.dr.example ANY",
	"www.dr.example A", "www.dr.example AAAA", "www.dr.example CNAME", "www.dr.example ANY", "out.dr.example A", "dead.dr.example A", "loop1.dr.example A",
	"nothing.dr.example A", "below.mail.dr.example A", "ent.dr.example A", "a.ent.dr.example A", "b.ent.dr.example A",
	"x.wild.dr.example TXT", "x.y.wild.dr.example TXT", "x.wild.dr.example A", "*.wild.dr.example TXT", "wild.dr.example TXT", "x.walias.dr.example A",
	"sub.dr.example A", "x.sub.dr.example A", "sub.dr.example NS", "sub.dr.example DS", "x.sub.dr.example DS", "ns.sub.dr.example A", "tosub.dr.example A",
	"moved.dr.example DNAME", "moved.dr.example A", "host.moved.dr.example A", "no.moved.dr.example A", "host.moved.dr.example CNAME", "no.moved.dr.example CNAME", `odd\.dot.dr.example A`, "odd.dot.dr.example A",
	"mixed.dr.example TXT", "unknown.dr.example TYPE65280", "unknown.dr.example A",
	"svc.dr.example A", "svc.dr.example AAAA", "svc.dr.example CNAME", "svc.dr.example TXT", "svc.dr.example ANY", "x.svcwild.dr.example A", "svcwild.dr.example A",
	"below.svc.dr.example A", "tosvc.dr.example A", "in.dr.example A", "in.dr.example AAAA",
	"down.dr.example A", "down.dr.example AAAA", "off.dr.example A", "off.dr.example TXT", "new-svc.dr.example A", "new-svc.dr.example TXT", "newhost.dr.example ANY",
	"old.dr.example A", "silent.dr.example A", "silent.dr.example TXT",
	"example A", ". NS", "dr.example.test A", "other.test A", "dr.example AXFR", "dr.example IXFR", "other.test AXFR", "dr.example TYPE128",
}

func TestGolden(t *testing.T) {
	f := standardFixture(t)
	var b strings.Builder
	for _, q := range questions {
		name, typ, _ := strings.Cut(q, " ")
		e, err := f.srv.Explain(f.hub.Load(), name, typ, netip.MustParseAddr("192.0.2.200"))
		if err != nil {
			t.Fatal(err)
		}
		write(&b, q, &e)
	}
	path := filepath.Join("testdata", "answers.golden")
	if *update {
		if err := os.WriteFile(path, []byte(b.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got := b.String(); got != string(want) {
		t.Errorf("answers changed (-update rewrites, review the difference):\n%s", firstDifference(got, string(want)))
	}
}

func write(b *strings.Builder, q string, e *nameserver.Explanation) {
	fmt.Fprintf(b, "%s\n  %s aa=%v ttl=%d zone=%s match=%s profile=%s endpoint=%s\n", q, e.Rcode, e.AA, e.TTL, e.Zone, e.Match, e.Profile, e.Endpoint)
	for _, list := range []struct {
		mark  string
		lines []string
	}{{"=", e.Answer}, {"^", e.Authority}, {"+", e.Glue}, {"!", e.Errors}} {
		for _, l := range list.lines {
			fmt.Fprintf(b, "  %s %s\n", list.mark, l)
		}
	}
}

func firstDifference(got, want string) string {
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range min(len(g), len(w)) {
		if g[i] != w[i] {
			return fmt.Sprintf("line %d\n got %s\nwant %s", i+1, g[i], w[i])
		}
	}
	return fmt.Sprintf("%d lines, want %d", len(g), len(w))
}
