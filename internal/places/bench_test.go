package places_test

import (
	"fmt"
	"net/netip"
	"runtime"
	"strings"
	"testing"

	"jurymast/internal/places"
)

// large is a database of n /24 networks with different records, about a fifth of GeoLite2-City for 60000.
func large(tb testing.TB, n int) []byte {
	tb.Helper()
	networks := make([]network, 0, n)
	for i := range n {
		networks = append(networks, network{
			prefix: fmt.Sprintf("%d.%d.%d.0/24", 1+i>>16, i>>8&255, i&255),
			iso:    "US", sub: "CA", city: fmt.Sprint("City ", i), lat: float64(i%80) + 0.25, lon: float64(i)/1000 + 0.5,
		})
	}
	return writeCity(tb, networks)
}

// spread are addresses all over the networks of large.
func spread(n int) []netip.Addr {
	out := make([]netip.Addr, 4096)
	for i := range out {
		at := i * 7919 % n
		out[i] = netip.AddrFrom4([4]byte{byte(1 + at>>16), byte(at >> 8 & 255), byte(at & 255), 9})
	}
	return out
}

const networksOfBench = 60000

func BenchmarkPlace(b *testing.B) {
	p, err := places.Open(places.Options{Database: temp(b, "geo.mmdb", large(b, networksOfBench))})
	if err != nil {
		b.Fatal(err)
	}
	defer p.Close()
	clients := spread(networksOfBench)
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		if i++; !p.Place(clients[i&4095]).Known {
			b.Fatal("not known")
		}
	}
}

func BenchmarkRow(b *testing.B) {
	var text strings.Builder
	for i := range networksOfBench {
		fmt.Fprintf(&text, "%d.%d.%d.0/24,eu-central,%d\n", 1+i>>16, i>>8&255, i&255, i%300)
	}
	p, err := places.Open(places.Options{Latency: temp(b, "latency.csv", []byte(text.String()))})
	if err != nil {
		b.Fatal(err)
	}
	defer p.Close()
	clients := spread(networksOfBench)
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		i++
		if _, ok := p.Row(clients[i&4095]).To("eucentral"); !ok {
			b.Fatal("no row")
		}
	}
}

// BenchmarkLoad says what a new database costs: time, and memory kept beside the bytes of the file.
func BenchmarkLoad(b *testing.B) {
	file := large(b, networksOfBench)
	b.SetBytes(int64(len(file)))
	b.ReportAllocs()
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	var keep any
	for b.Loop() {
		place, _, err := places.ReadDatabase(file)
		if err != nil {
			b.Fatal(err)
		}
		keep = place
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	runtime.KeepAlive(keep)
	b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/networksOfBench, "kept-B/record")
}
