package denial_test

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"jurymast/internal/nameserver/denial"
	"jurymast/internal/nameserver/wire"
	"jurymast/internal/nameserver/zone"
)

func pack(t testing.TB, text string) []byte {
	t.Helper()
	name, err := zone.PackName(text)
	if err != nil {
		t.Fatal(err)
	}
	return name
}

// The order of RFC 4034 6.1, and of names that its example has not.
func TestCompare(t *testing.T) {
	order := []string{
		".", "example.", "a.example.", `\000.a.example.`, "yljkjljk.a.example.", "Z.a.example.", "zABC.a.EXAMPLE.",
		"z.example.", `\001.z.example.`, `\001\000.z.example.`, `\001\001.z.example.`, `\002.z.example.`, "*.z.example.", `@.z.example.`, `[.z.example.`,
		"A.z.example.", `\200.z.example.`, `\255.z.example.`, `z\000.example.`, `z\001.example.`, "z-.example.", "zz.example.",
	}
	for i, a := range order {
		for j, b := range order {
			want := 0
			if i != j {
				want = map[bool]int{true: -1, false: 1}[i < j]
			}
			if got := denial.Compare(pack(t, a), pack(t, b)); got != want {
				t.Errorf("%s and %s: %d, want %d", a, b, got, want)
			}
		}
	}
}

// The bytes are those miekg/dns writes.
func TestBitmap(t *testing.T) {
	for _, types := range [][]uint16{
		nil,
		{1},
		{128, 46, 47},
		{47, 1, 46, 6, 2, 15, 16, 28, 48, 59, 60, 257},
		{65280, 1234, 46, 47, 1},
		{255, 256, 511, 512},
	} {
		got := denial.Bitmap(types)
		sorted := slices.Sorted(slices.Values(types))
		rr := &dns.NSEC{Hdr: dns.RR_Header{Name: ".", Rrtype: dns.TypeNSEC, Class: 1}, NextDomain: ".", TypeBitMap: sorted}
		buf := make([]byte, 1024)
		end, err := dns.PackRR(rr, buf, 0, nil, false)
		if err != nil {
			t.Fatal(err)
		}
		if want := buf[12:end]; !bytes.Equal(got, want) {
			t.Errorf("%v: % x, want % x", types, got, want)
		}
		for _, typ := range []uint16{1, 2, 46, 47, 128, 255, 256, 257, 512, 1234, 65280, 65281} {
			if denial.Has(got, typ) != slices.Contains(types, typ) {
				t.Errorf("%v: has %d is wrong", types, typ)
			}
		}
	}
	if got := denial.Bitmap([]uint16{1, 1, 28, 1}); !bytes.Equal(got, denial.Bitmap([]uint16{1, 28})) {
		t.Errorf("a repeated type counts once: % x", got)
	}
}

func unpack(t testing.TB, owner []byte, set *zone.RRset) *dns.NSEC {
	t.Helper()
	next, off, err := dns.UnpackDomainName(set.Data[0], 0)
	if err != nil {
		t.Fatal(err)
	}
	out := &dns.NSEC{Hdr: dns.RR_Header{Name: zone.Text(owner)}, NextDomain: next}
	for typ := range 300 {
		if denial.Has(set.Data[0][off:], uint16(typ)) {
			out.TypeBitMap = append(out.TypeBitMap, uint16(typ))
		}
	}
	return out
}

func TestCompact(t *testing.T) {
	set := denial.Compact(pack(t, "WWW.dr.example."), pack(t, "dr.example."), []uint16{1, 28}, 300)
	got := unpack(t, pack(t, "www.dr.example."), set)
	if set.Type != dns.TypeNSEC || set.TTL != 300 || got.NextDomain != `\000.www.dr.example.` || !slices.Equal(got.TypeBitMap, []uint16{1, 28, 46, 47}) {
		t.Errorf("%v", got)
	}
	got = unpack(t, pack(t, "x.dr.example."), denial.Nothing(pack(t, "x.dr.example."), pack(t, "dr.example."), 300))
	if !slices.Equal(got.TypeBitMap, []uint16{46, 47, 128}) {
		t.Errorf("%v", got)
	}
}

func labels(parts ...string) []byte {
	var out []byte
	for _, p := range parts {
		out = append(append(out, byte(len(p))), p...)
	}
	return append(out, 0)
}

// Names that have no room for \000 before them are followed by the next one that a zone is able to have.
func TestCompactOverlong(t *testing.T) {
	a, f := strings.Repeat("a", 63), strings.Repeat("\xFF", 63)
	apex := labels(strings.Repeat("x", 59), "test") // 66 bytes
	for what, c := range map[string]struct{ name, next []byte }{
		"253 bytes": {
			labels(a, a, strings.Repeat("b", 58), strings.Repeat("x", 59), "test"),
			labels("\x00", a, a, strings.Repeat("b", 58), strings.Repeat("x", 59), "test"),
		},
		"254 bytes, room in the label": {
			labels(strings.Repeat("b", 59), a, a, strings.Repeat("x", 59), "test"),
			labels(strings.Repeat("b", 59)+"\x00", a, a, strings.Repeat("x", 59), "test"),
		},
		"254 bytes, no room in the label": {
			labels(a, a, strings.Repeat("b", 59), strings.Repeat("x", 59), "test"),
			labels(strings.Repeat("a", 62)+"b", a, strings.Repeat("b", 59), strings.Repeat("x", 59), "test"),
		},
		"255 bytes": {
			labels(strings.Repeat("B", 60), a, a, strings.Repeat("x", 59), "test"),
			labels(strings.Repeat("b", 59)+"c", a, a, strings.Repeat("x", 59), "test"),
		},
		"255 bytes, last byte before the letters": {
			labels(strings.Repeat("b", 59)+"@", a, a, strings.Repeat("x", 59), "test"),
			labels(strings.Repeat("b", 59)+"[", a, a, strings.Repeat("x", 59), "test"),
		},
		"255 bytes, last byte the greatest": {
			labels(strings.Repeat("b", 59)+"\xFF", a, a, strings.Repeat("x", 59), "test"),
			labels(strings.Repeat("b", 58)+"c", a, a, strings.Repeat("x", 59), "test"),
		},
		"255 bytes, label the greatest": {
			labels(f[:60], a, a, strings.Repeat("x", 59), "test"),
			labels(a[:62]+"b", a, strings.Repeat("x", 59), "test"),
		},
		"the last name of all": {
			labels(f[:60], f, f, strings.Repeat("x", 59), "test"),
			apex,
		},
	} {
		set := denial.Nothing(c.name, apex, 1)
		var next wire.Name
		if n := next.Set(set.Data[0]); n == 0 || !bytes.Equal(set.Data[0][:n], c.next) {
			t.Errorf("%s: %q (%d bytes), want %q", what, set.Data[0], len(c.name), c.next)
		}
	}
}

// No name fits between a long name and its successor: of many random ones near it, none is.
func TestNothingBetween(t *testing.T) {
	dice := rand.New(rand.NewPCG(1, 2))
	apex := labels("test")
	alphabet := "\x00\x01@A[az\xFE\xFF"
	random := func() []byte {
		var parts []string
		left := wire.MaxName - len(apex) - dice.IntN(4)
		for left > 1 {
			n := min(1+dice.IntN(63), left-1)
			if dice.IntN(3) == 0 {
				n = min(63, left-1)
			}
			b := bytes.Repeat([]byte{alphabet[dice.IntN(len(alphabet))]}, n)
			b[n-1] = alphabet[dice.IntN(len(alphabet))]
			parts = append(parts, string(b))
			left -= 1 + n
		}
		return labels(append(parts, "test")...)
	}
	for range 20_000 {
		name := random()
		var next wire.Name
		set := denial.Nothing(name, apex, 1)
		if next.Set(set.Data[0]) == 0 {
			t.Fatalf("%q: next is no name: %q", name, set.Data[0])
		}
		last := bytes.Equal(next.Wire(0), apex)
		if !last && denial.Compare(name, next.Wire(0)) >= 0 {
			t.Fatalf("%q: %q is not behind", name, next.Wire(0))
		}
		for range 20 {
			other := bytes.Clone(name)
			i := 1 + dice.IntN(int(other[0]))
			other[i] = alphabet[dice.IntN(len(alphabet))]
			if dice.IntN(2) == 0 && len(other) < wire.MaxName && other[0] < 63 {
				other = slices.Insert(other, 1+int(other[0]), alphabet[dice.IntN(len(alphabet))])
				other[0]++
			}
			if denial.Compare(name, other) < 0 && (last || denial.Compare(other, next.Wire(0)) < 0) {
				t.Fatalf("%q is between %q and %q", other, name, next.Wire(0))
			}
		}
	}
}
