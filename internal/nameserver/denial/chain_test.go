package denial_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"jurymast/internal/nameserver/denial"
	"jurymast/internal/nameserver/wire"
	"jurymast/internal/nameserver/zone"
	"jurymast/internal/profile"
)

// everything is a zone with all that makes a difference to a chain.
const everything = `
$TTL 600
@           IN TXT "apex"
www         IN A 192.0.2.1
Upper       IN A 192.0.2.1
a.b.ent     IN TXT "below two empty names"
*.wild      IN TXT "any"
x.y.*.wild2 IN TXT "below an empty wildcard"
cut         IN NS ns.cut
cut         IN A 192.0.2.53
ns.cut      IN A 192.0.2.53
deep.ns.cut IN TXT "hidden"
safe        IN NS ns.elsewhere.test.
safe        IN DS 1 13 2 0000000000000000000000000000000000000000000000000000000000000000
moved       IN DNAME new
new         IN A 192.0.2.2
\000bin     IN A 192.0.2.3
svc         IN TXT "beside a profile"
`

func parse(t testing.TB, text string, hosts ...string) (*zone.Zone, *denial.Chain) {
	t.Helper()
	z, err := zone.Parse(&profile.Zone{Name: "dr.example", Nameservers: []string{"ns1.dr.example"}, Hostmaster: "ops.dr.example", Records: text}, 1)
	if err != nil {
		t.Fatal(err)
	}
	for i, host := range hosts {
		h := zone.Host{Profile: i}
		h.Name.Set(pack(t, host))
		if err := z.Attach(&h); err != nil {
			t.Fatal(err)
		}
	}
	var child wire.Name
	child.Set(pack(t, "other.of.us.dr.example"))
	z.Enclose(&child)
	return z, denial.NewChain(z, func(n *wire.Name) bool { return !strings.HasSuffix(zone.Text(n.Wire(0)), ".other.of.us.dr.example.") })
}

func TestChain(t *testing.T) {
	z, c := parse(t, everything, "svc.dr.example", "*.dyn.dr.example", "only.dr.example")
	var got []string
	for i := range c.Len() {
		set := c.NSEC(i, denial.Static(nil, z, c.Node(i)))
		nsec := unpack(t, c.Node(i).Name, set)
		if set.TTL != z.NegativeTTL {
			t.Errorf("%s: TTL %d", nsec.Hdr.Name, set.TTL)
		}
		var types []string
		for _, typ := range nsec.TypeBitMap {
			types = append(types, dns.TypeToString[typ])
		}
		name := func(n string) string { return strings.TrimSuffix(strings.TrimSuffix(n, "dr.example."), ".") }
		got = append(got, name(nsec.Hdr.Name)+" -> "+name(nsec.NextDomain)+" "+strings.Join(types, " "))
	}
	want := []string{
		` -> \000bin NS SOA TXT RRSIG NSEC`,
		`\000bin -> cut A RRSIG NSEC`,
		`cut -> *.dyn NS RRSIG NSEC`,
		`*.dyn -> a.b.ent RRSIG NSEC`,
		`a.b.ent -> moved TXT RRSIG NSEC`,
		`moved -> new DNAME RRSIG NSEC`,
		`new -> only A RRSIG NSEC`,
		`only -> safe RRSIG NSEC`,
		`safe -> svc NS DS RRSIG NSEC`,
		`svc -> upper TXT RRSIG NSEC`,
		`Upper -> of.us A RRSIG NSEC`,
		`of.us -> *.wild RRSIG NSEC`,
		`*.wild -> x.y.*.wild2 TXT RRSIG NSEC`,
		`x.y.*.wild2 -> www TXT RRSIG NSEC`,
		`www ->  A RRSIG NSEC`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// proofs are as few links as possible, each told once.
func TestProofs(t *testing.T) {
	z, c := parse(t, everything, "svc.dr.example", "*.dyn.dr.example")
	show := func(p denial.Proof) string {
		var list []string
		for _, u := range p.Links[:p.N] {
			name := strings.TrimSuffix(strings.TrimSuffix(zone.Text(c.Node(u.Link).Name), "dr.example."), ".")
			if u.Types {
				name += " with types"
			}
			list = append(list, name)
		}
		return strings.Join(list, ", ")
	}
	name := func(text string) *wire.Name {
		var n wire.Name
		n.Set(pack(t, text+".dr.example"))
		return &n
	}
	node := func(text string) *zone.Node { return z.Glue(name(text)) }
	for what, c := range map[string]struct{ got, want string }{
		"missing, wildcard covered too":       {show(c.Missing(name("aaa"))), `\000bin`},
		"missing, one link for both":          {show(c.Missing(name("x.www"))), "www"},
		"missing, before the first name":      {show(c.Missing(name(`\000`))), `, \000bin`},
		"missing, behind the last name":       {show(c.Missing(name("zzz"))), `www, \000bin`},
		"missing below an empty name":         {show(c.Missing(name("c.ent"))), "a.b.ent, *.dyn"},
		"missing below two empty names":       {show(c.Missing(name("q.b.ent"))), "a.b.ent, *.dyn"},
		"missing, several labels":             {show(c.Missing(name("a.b.c.d.e"))), `*.dyn, \000bin`},
		"no type":                             {show(c.NoType(node("www").Name)), "www with types"},
		"no type, other case":                 {show(c.NoType(name("uPPer").Wire(0))), "Upper with types"},
		"no type at a delegation":             {show(c.NoType(node("cut").Name)), "cut with types"},
		"empty name":                          {show(c.NoType(node("b.ent").Name)), "*.dyn"},
		"empty name above":                    {show(c.NoType(node("ent").Name)), "*.dyn"},
		"empty name above another zone":       {show(c.NoType(node("of.us").Name)), "of.us with types"},
		"empty name above the one above":      {show(c.NoType(node("us").Name)), "Upper"},
		"wildcard answer":                     {show(c.Expanded(name("some.wild"))), "*.wild"},
		"wildcard answer, before the star":    {show(c.Expanded(name("!.wild"))), "of.us"},
		"wildcard without type":               {show(c.NoTypeBelow(name("some.wild"), node("*.wild"))), "*.wild with types"},
		"wildcard without type, before it":    {show(c.NoTypeBelow(name("!.wild"), node("*.wild"))), "*.wild with types, of.us"},
		"dynamic wildcard":                    {show(c.NoTypeBelow(name("a.b.dyn"), node("*.dyn"))), "*.dyn with types"},
		"empty wildcard":                      {show(c.NoTypeBelow(name("some.wild2"), node("*.wild2"))), "*.wild, x.y.*.wild2"},
		"name between a zone's and another's": {show(c.Missing(name("q.of.us"))), "of.us"},
	} {
		if c.got != c.want {
			t.Errorf("%s: %s, want %s", what, c.got, c.want)
		}
	}
}

func TestCover(t *testing.T) {
	_, c := parse(t, everything)
	for i := range c.Len() {
		n := c.Node(i).Name
		if c.At(n) != i || c.Cover(n) != i {
			t.Errorf("%s is at %d and covered by %d, want %d", zone.Text(n), c.At(n), c.Cover(n), i)
		}
		below := append([]byte{1, 0}, n...)
		if c.At(below) >= 0 || c.Cover(below) != i {
			t.Errorf("what is right below %s is covered by %d, want %d", zone.Text(n), c.Cover(below), i)
		}
	}
}
