package geo_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"jurymast/internal/geo"
)

const example = "\ufeffPrefix, Region, ms\r\n" + `# measured by hand
192.0.2.0/24,eu-central,10
192.0.2.0/24,us-west, 150.25
192.0.2.128/25,"EU Central",12.5

2001:db8::/32,North Europe,30
0.0.0.0/0,us-west-1,60000
0.0.0.0/0,us-west1,0
`

func TestTableFindsTheLongestPrefix(t *testing.T) {
	tab, err := geo.ParseTable(strings.NewReader(example))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := tab.Regions(), []string{"eucentral", "uswest", "northeurope", "uswest-1", "uswest1"}; !slices.Equal(got, want) || tab.Len() != 4 {
		t.Errorf("%d rows, regions %v", tab.Len(), got)
	}
	for _, c := range []struct {
		addr, region string
		bits         uint8
		want         time.Duration // -1: no statement
	}{
		{"192.0.2.1", "eu-central", 25, 10 * time.Millisecond},
		{"::ffff:192.0.2.1", "US West", 25, 150250 * time.Microsecond},
		{"192.0.2.200", "eu-central", 25, 12500 * time.Microsecond},
		{"192.0.2.200", "us-west", 25, -1},
		{"2001:db8::1", "northeurope", 32, 30 * time.Millisecond},
		{"198.51.100.1", "us-west-1", 6, time.Minute}, // 196.0.0.0/6: the longest without 192.0.2.0/24
		{"198.51.100.1", "us-west1", 6, 0},
		{"198.51.100.1", "nowhere", 6, -1},
		{"2001:db9::", "northeurope", 32, -1}, // a gap, just as long as it is one
	} {
		row := tab.Find(netip.MustParseAddr(c.addr))
		if row == nil || row.Bits != c.bits {
			t.Errorf("%s: %+v", c.addr, row)
			continue
		}
		if got, ok := row.To(geo.Canonical(c.region)); ok != (c.want >= 0) || (ok && got != c.want) {
			t.Errorf("%s to %s: %v %v, want %v", c.addr, c.region, got, ok, c.want)
		}
	}
	if tab.Find(netip.Addr{}) != nil {
		t.Error("a row was found for no address")
	}
}

func TestNoTableHasNoRows(t *testing.T) {
	var tab *geo.Table
	row := tab.Find(netip.MustParseAddr("192.0.2.1"))
	if _, ok := row.To("eucentral"); ok || row != nil || tab.Len() != 0 || tab.Regions() != nil || row.Len() != 0 {
		t.Error("nil says something")
	}
	empty, err := geo.ParseTable(strings.NewReader("# nothing yet\n"))
	if err != nil || empty.Len() != 0 || empty.Find(netip.MustParseAddr("192.0.2.1")) != nil {
		t.Errorf("%v %v", empty, err)
	}
}

func TestTableRefusesAllMistakesAtOnce(t *testing.T) {
	text := `192.0.2.0/24,eu-central,10
anything,eu-central,1
192.0.2.0/24,EU Central,11
192.0.2.7/24,us,1
192.0.2.7,us,1
::ffff:192.0.2.0/120,us,1
192.0.2.0/24, ,1
192.0.2.0/24,us
192.0.2.0/24,us,60000.1
192.0.2.0/24,us,-1
192.0.2.0/24,us,NaN
192.0.2.0/24,us,0x10
192.0.2.0/24,us,
198.51.100.0/24,us,1
`
	_, err := geo.ParseTable(strings.NewReader(text))
	if err == nil {
		t.Fatal("accepted")
	}
	lines := strings.Split(err.Error(), "\n")
	if len(lines) != 12 {
		t.Errorf("%d mistakes:\n%v", len(lines), err)
	}
	for i, want := range []string{"no prefix", "already", "did you mean 192.0.2.0/24", "192.0.2.7/32", "write it as IPv4", "empty", "2 fields", "0 to 60000"} {
		if !strings.Contains(lines[i], fmt.Sprintf("line %d: ", i+2)) || !strings.Contains(lines[i], want) {
			t.Errorf("%q does not speak of line %d and %q", lines[i], i+2, want)
		}
	}
	_, err = geo.ParseTable(strings.NewReader(strings.Repeat("x\n", 50)))
	if err == nil || !strings.HasSuffix(err.Error(), "and 30 more") || strings.Count(err.Error(), "\n") != 20 {
		t.Errorf("%v", err)
	}
	if _, err = geo.ParseTable(strings.NewReader(strings.Repeat("x", 5000))); err == nil {
		t.Error("a long line was accepted")
	}
}

// TestFindAgreesWithAScan compares the table with the dumbest implementation.
func TestFindAgreesWithAScan(t *testing.T) {
	dice := rand.New(rand.NewPCG(7, 9))
	var prefixes []netip.Prefix
	var text strings.Builder
	for i := range 300 {
		a := netip.AddrFrom4([4]byte{10, byte(dice.IntN(4)), byte(dice.IntN(256)), byte(dice.IntN(256))})
		p, _ := a.Prefix(8 + dice.IntN(25))
		if slices.Contains(prefixes, p) {
			continue
		}
		prefixes = append(prefixes, p)
		fmt.Fprintf(&text, "%s,r,%d\n", p, i)
	}
	tab, err := geo.ParseTable(strings.NewReader(text.String()))
	if err != nil {
		t.Fatal(err)
	}
	longest := func(a netip.Addr) (best netip.Prefix) {
		for _, p := range prefixes {
			if p.Contains(a) && (!best.IsValid() || p.Bits() > best.Bits()) {
				best = p
			}
		}
		return best
	}
	// holds: everybody in the block gets the same row, so no prefix lies inside, but the one that decides may be all of it.
	holds := func(block netip.Prefix) bool {
		for _, p := range prefixes {
			if p.Bits() > block.Bits() && block.Contains(p.Addr()) {
				return false
			}
		}
		return true
	}
	for range 5000 {
		a := netip.AddrFrom4([4]byte{10, byte(dice.IntN(5)), byte(dice.IntN(256)), byte(dice.IntN(256))})
		row, want := tab.Find(a), longest(a)
		if row == nil || (row.Len() > 0) != want.IsValid() {
			t.Fatalf("%s: %v, want %v", a, row, want)
		}
		if want.IsValid() {
			if ms, ok := row.To("r"); !ok || !strings.Contains(text.String(), fmt.Sprintf("%s,r,%d\n", want, ms.Milliseconds())) {
				t.Fatalf("%s: %v, want what %v says", a, ms, want)
			}
		}
		block, _ := a.Prefix(int(row.Bits))
		if !holds(block) {
			t.Fatalf("%s: /%d is too wide, a longer prefix lies inside", a, row.Bits)
		}
		if wider, err := a.Prefix(int(row.Bits) - 1); err == nil && holds(wider) && (!want.IsValid() || want.Bits() < int(row.Bits)) {
			t.Fatalf("%s: /%d is narrower than it has to be", a, row.Bits)
		}
	}
}

func TestFindDoesNotAllocate(t *testing.T) {
	tab, err := geo.ParseTable(strings.NewReader(example))
	if err != nil {
		t.Fatal(err)
	}
	a := netip.MustParseAddr("192.0.2.200")
	if n := testing.AllocsPerRun(100, func() { tab.Find(a).To("eucentral") }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func FuzzParseTable(f *testing.F) {
	f.Add(example)
	f.Add("192.0.2.0/24,us,1\n192.0.2.0/24,us,2\n")
	f.Add("::/0,x,1e4\n\"fe80::/10\",\"-\",0.0005")
	f.Fuzz(func(t *testing.T, text string) {
		tab, err := geo.ParseTable(strings.NewReader(text))
		if (tab == nil) == (err == nil) {
			t.Fatalf("table %v and error %v", tab, err)
		}
		for _, a := range []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("fe80::1")} {
			row := tab.Find(a)
			for _, region := range tab.Regions() {
				if d, ok := row.To(region); ok && (d < 0 || d > time.Minute) {
					t.Fatalf("%v to %s", d, region)
				}
				if geo.Canonical(region) != region {
					t.Fatalf("%q is not canonical", region)
				}
			}
		}
	})
}

func BenchmarkFind(b *testing.B) {
	var text strings.Builder
	for i := range 20000 {
		for _, r := range []string{"eu-central", "us-west", "ap-northeast"} {
			fmt.Fprintf(&text, "10.%d.%d.0/24,%s,%d\n", i>>8, i&255, r, i%300)
		}
	}
	tab, err := geo.ParseTable(strings.NewReader(text.String()))
	if err != nil {
		b.Fatal(err)
	}
	a := netip.MustParseAddr("10.20.30.40")
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := tab.Find(a).To("apnortheast"); !ok {
			b.Fatal("no row")
		}
	}
}
