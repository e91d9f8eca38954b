package places_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"

	"github.com/maxmind/mmdbwriter"
	"github.com/maxmind/mmdbwriter/mmdbtype"

	"jurymast/internal/geo"
	"jurymast/internal/places"
)

func read(tb testing.TB, file []byte) func(netip.Addr) geo.Place {
	tb.Helper()
	place, _, err := places.ReadDatabase(file)
	if err != nil {
		tb.Fatal(err)
	}
	return place
}

func TestPlacesOfACityDatabase(t *testing.T) {
	place := read(t, writeCity(t, []network{
		{"192.0.2.0/26", "DE", "BY", "München", 48.14, 11.58},
		{"192.0.2.64/26", "US", "CA", "San Francisco", 37.77, -122.42},
		{"192.0.2.128/26", "CA", "QC", "Montréal", 45.5, -73.57},
		{"192.0.2.192/26", "AU", "NSW", "Sydney", -33.87, 151.21},
		{"198.51.100.0/26", "UA", "43", "Simferopol", 44.95, 34.1},
		{"198.51.100.64/26", "BQ", "SE", "Oranjestad", 17.48, -62.98},
		{"198.51.100.128/26", "BQ", "BO", "Kralendijk", 12.15, -68.27},
		{"198.51.100.192/26", "SJ", "", "", 0, 0},
		{"203.0.113.0/24", "ZZ", "", "", 1, 1},
		{"2001:db8:1::/48", "US", "", "", 0, 0},
		{"2001:db8:2::/47", "DE", "", "", 91, 8},
	}))
	for _, c := range []struct {
		addr, code string // no code: not known
		bits       uint8
		position   bool
	}{
		{"192.0.2.1", "DE", 26, true},
		{"::ffff:192.0.2.1", "DE", 26, true},
		{"192.0.2.65", "US-CA", 26, true},
		{"192.0.2.129", "CA-QC", 26, true},
		{"192.0.2.193", "AU-NSW", 26, true},
		{"198.51.100.1", "UA-CR", 26, true},
		{"198.51.100.65", "XE", 26, true},
		{"198.51.100.129", "BQ", 26, true},
		{"198.51.100.193", "SJ", 26, false},
		{"203.0.113.9", "", 24, true},
		{"2001:db8:1:2::3", "US", 48, false},
		{"2001:db8:3::1", "DE", 47, false},
		{"192.0.3.1", "", 24, false},
		{"2001:db9::", "", 32, false},
		{"2001:db8:1:2::3%eth0", "US", 48, false},
	} {
		p := place(addr(c.addr))
		if p.Known != (c.code != "") || (p.Known && p.Code.String() != c.code) || (!p.Known && p.Code != geo.World) || p.HasPosition != c.position || p.Bits != c.bits {
			t.Errorf("%s: %s %+v, want %+v", c.addr, p.Code, p, c)
		}
		if !p.HasPosition && p.Position != (geo.Position{}) {
			t.Errorf("%s: %+v", c.addr, p)
		}
	}
	if p := place(netip.Addr{}); p != (geo.Place{}) {
		t.Errorf("no address: %+v", p)
	}
	if p := place(addr("192.0.2.65")); p.Position != (geo.Position{Lat: 37.77, Lon: -122.42}) {
		t.Errorf("%+v", p)
	}
}

func TestRecordsOfOtherShapes(t *testing.T) {
	iso := func(s string) mmdbtype.Map { return mmdbtype.Map{"iso_code": mmdbtype.String(s)} }
	for _, size := range []int{24, 28, 32} {
		for _, version := range []int{4, 6} {
			place := read(t, write(t, mmdbwriter.Options{RecordSize: size, IPVersion: version}, []written{
				{"192.0.2.0/25", mmdbtype.Map{"country": iso("FR")}},
				{"192.0.2.128/25", mmdbtype.Map{"registered_country": iso("US"), "subdivisions": mmdbtype.Slice{iso("CA")}}},
				{"198.51.100.0/25", mmdbtype.Map{"continent": mmdbtype.Map{"code": mmdbtype.String("EU")}}},
				{"198.51.100.128/25", mmdbtype.Map{"subdivisions": mmdbtype.Slice{}, "country": iso("JP"), "traits": mmdbtype.Map{"is_anycast": mmdbtype.Bool(true)}}},
				{"203.0.113.0/25", mmdbtype.Map{"country": iso("ZZ"), "registered_country": iso("US")}},
				{"203.0.113.128/25", mmdbtype.Map{"location": mmdbtype.Map{"latitude": mmdbtype.Float64(5)}}},
			}))
			for a, want := range map[string]string{
				"192.0.2.1": "FR", "192.0.2.200": "US", "198.51.100.1": "", "198.51.100.200": "JP", "203.0.113.1": "", "203.0.113.200": "",
			} {
				p := place(addr(a))
				if p.Known != (want != "") || (p.Known && p.Code.String() != want) || p.HasPosition || p.Bits != 25 {
					t.Errorf("%d bits, IPv%d, %s: %s %+v, want %q", size, version, a, p.Code, p, want)
				}
			}
			if p := place(addr("2001:db8::1")); p.Known || (version == 4 && p != geo.Place{}) {
				t.Errorf("IPv%d: %+v", version, p)
			}
		}
	}
}

func TestUselessDatabasesAreRefused(t *testing.T) {
	for name, c := range map[string]struct {
		records []written
		want    string
	}{
		"networks, no places": {[]written{{"192.0.2.0/24", mmdbtype.Map{"autonomous_system_number": mmdbtype.Uint32(64496)}}}, "country.iso_code"},
		"nothing":             {nil, "country.iso_code"},
		"another shape":       {[]written{{"192.0.2.0/24", mmdbtype.Map{"country": mmdbtype.String("DE")}}}, "192.0.2.0/24"},
	} {
		_, _, err := places.ReadDatabase(write(t, mmdbwriter.Options{}, c.records))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestAStatementHoldsForItsPrefix: answers are cached for the prefix the statement names.
func TestAStatementHoldsForItsPrefix(t *testing.T) {
	dice := rand.New(rand.NewPCG(3, 5))
	place := read(t, writeCity(t, randomNetworks(dice, 400)))
	random := func(within netip.Prefix) netip.Addr {
		raw := within.Addr().AsSlice()
		for i := within.Bits(); i < within.Addr().BitLen(); i++ {
			raw[i/8] |= byte(dice.IntN(2)) << (7 - i%8)
		}
		a, _ := netip.AddrFromSlice(raw)
		return a
	}
	for _, all := range []string{"10.0.0.0/8", "2001:db8::/32", "0.0.0.0/0", "::/0"} {
		for range 3000 {
			a := random(netip.MustParsePrefix(all))
			p := place(a)
			within, err := a.Prefix(int(p.Bits))
			if err != nil {
				t.Fatalf("%s: %v", a, err)
			}
			if b := random(within); place(b) != p {
				t.Fatalf("%s: %+v, but %s: %+v", a, p, b, place(b))
			}
		}
	}
}

// randomNetworks are networks with different records in 10.0.0.0/8 and 2001:db8::/32, some inside others.
func randomNetworks(dice *rand.Rand, n int) []network {
	countries := []string{"DE", "FR", "JP", "ZA", "BR"}
	out := make([]network, 0, n)
	for i := range n {
		prefix := fmt.Sprintf("10.%d.%d.0/%d", dice.IntN(256), dice.IntN(256), 16+dice.IntN(9))
		if i%2 == 1 {
			prefix = fmt.Sprintf("2001:db8:%x::/%d", dice.IntN(65536), 33+dice.IntN(16))
		}
		out = append(out, network{prefix: prefix, iso: countries[dice.IntN(len(countries))], lat: float64(1 + dice.IntN(80)), lon: float64(1 + dice.IntN(170))})
	}
	return out
}

func TestDamagedFilesNeverPanic(t *testing.T) {
	good := writeCity(t, german)
	try := func(file []byte) {
		place, _, err := places.ReadDatabase(file)
		if err == nil {
			place(addr("192.0.2.1"))
			place(addr("2001:db8::1"))
		}
	}
	for n := range good {
		try(good[:n])
		try(good[n:])
	}
	dice := rand.New(rand.NewPCG(1, 2))
	for range 20000 {
		file := append([]byte(nil), good...)
		for range 1 + dice.IntN(4) {
			file[dice.IntN(len(file))] = byte(dice.IntN(256))
		}
		try(file)
	}
}

func FuzzDatabase(f *testing.F) {
	f.Add(writeCity(f, german))
	f.Add(write(f, mmdbwriter.Options{IPVersion: 4, RecordSize: 32}, []written{{"192.0.2.0/24", cityRecord(german[0])}}))
	f.Fuzz(func(t *testing.T, file []byte) {
		place, records, err := places.ReadDatabase(file)
		if err != nil {
			return
		}
		if records == 0 {
			t.Error("a database without records was read")
		}
		for _, a := range []string{"192.0.2.1", "2001:db8::1", "0.0.0.0", "::"} {
			if p := place(addr(a)); int(p.Bits) > addr(a).BitLen() || p.Code >= geo.NumCodes || (p.HasPosition && !p.Position.Valid()) {
				t.Errorf("%s: %+v", a, p)
			}
		}
	})
}

func TestPlaceDoesNotAllocate(t *testing.T) {
	place := read(t, writeCity(t, german))
	for _, a := range []netip.Addr{addr("192.0.2.1"), addr("2001:db8::1"), addr("::ffff:192.0.2.1")} {
		if n := testing.AllocsPerRun(100, func() { place(a) }); n != 0 {
			t.Errorf("%s: %v allocations", a, n)
		}
	}
}
