package places_test

import (
	"bytes"
	"flag"
	"net/netip"
	"os"
	"testing"

	"github.com/maxmind/mmdbwriter"

	"jurymast/internal/geo"
	"jurymast/internal/places"
)

var update = flag.Bool("update", false, "write examples/data/geo-example.mmdb anew")

const (
	exampleDatabase = "../../examples/data/geo-example.mmdb"
	exampleLatency  = "../../examples/data/latency-example.csv"
)

// exampleNetworks are documentation prefixes, and loopback ones so that a demonstration on one machine can have clients
// in several places. A later line wins where it is more specific.
var exampleNetworks = []network{
	{"192.0.2.0/25", "DE", "HE", "Frankfurt am Main", 50.11, 8.68},
	{"192.0.2.128/25", "FR", "IDF", "Paris", 48.86, 2.35},
	{"198.51.100.0/25", "US", "CA", "San Francisco", 37.77, -122.42},
	{"198.51.100.128/25", "US", "NY", "New York", 40.71, -74.01},
	{"203.0.113.0/24", "JP", "13", "Tokyo", 35.68, 139.69},
	{"2001:db8:49::/48", "DE", "HE", "Frankfurt am Main", 50.11, 8.68},
	{"127.0.0.0/8", "DE", "HE", "Frankfurt am Main", 50.11, 8.68},
	{"127.1.0.0/16", "US", "CA", "San Francisco", 37.77, -122.42},
	{"127.2.0.0/16", "JP", "13", "Tokyo", 35.68, 139.69},
}

func exampleFile(t *testing.T) []byte {
	t.Helper()
	records := make([]written, 0, len(exampleNetworks))
	for _, n := range exampleNetworks {
		records = append(records, written{n.prefix, cityRecord(n)})
	}
	return write(t, mmdbwriter.Options{
		DatabaseType: "Jurymast-Example-City", RecordSize: 24, Languages: []string{"en"},
		Description: map[string]string{"en": "Documentation and loopback networks at made-up places; go test ./internal/places -update writes it"},
	}, records)
}

func TestExampleDatabaseIsWhatItsGeneratorWrites(t *testing.T) {
	want := exampleFile(t)
	if again := exampleFile(t); !bytes.Equal(again, want) {
		t.Fatal("the generator writes another file every time")
	}
	if *update {
		if err := os.WriteFile(exampleDatabase, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(exampleDatabase)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s is not what the generator writes; go test ./internal/places -update", exampleDatabase)
	}
}

func TestExamplesAnswer(t *testing.T) {
	p, err := places.Open(places.Options{Database: exampleDatabase, Latency: exampleLatency})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	for addr, want := range map[string]struct {
		code, nearest string
		bits          uint8
	}{
		"192.0.2.1":        {"DE", "eu-central", 25},
		"192.0.2.129":      {"FR", "eu-central", 25},
		"198.51.100.1":     {"US-CA", "us-west", 25},
		"198.51.100.200":   {"US-NY", "us-west", 25},
		"203.0.113.7":      {"JP", "ap-northeast", 24},
		"2001:db8:49::1":   {"DE", "eu-central", 48},
		"127.0.0.1":        {"DE", "eu-central", 16},
		"127.200.0.1":      {"DE", "eu-central", 9},
		"127.1.0.1":        {"US-CA", "us-west", 16},
		"::ffff:127.2.3.4": {"JP", "ap-northeast", 16},
		"127.2.3.4":        {"JP", "ap-northeast", 16},
	} {
		a := netip.MustParseAddr(addr)
		got, row := p.Place(a), p.Row(a)
		if got.Code.String() != want.code || !got.Known || !got.HasPosition || got.Bits != want.bits {
			t.Errorf("%s: %s %+v, want %+v", addr, got.Code, got, want)
		}
		best, least := "", -1.0
		for _, region := range []string{"eu-central", "us-west", "ap-northeast"} {
			d, ok := row.To(geo.Canonical(region))
			if !ok {
				t.Errorf("%s: no latency to %s", addr, region)
			}
			if ms := d.Seconds(); least < 0 || ms < least {
				best, least = region, ms
			}
		}
		if best != want.nearest {
			t.Errorf("%s: nearest is %s, want %s", addr, best, want.nearest)
		}
	}
	if got := p.Place(netip.MustParseAddr("8.8.8.8")); got.Known || got.HasPosition || got.Code != geo.World || got.Bits == 0 {
		t.Errorf("8.8.8.8: %+v", got)
	}
}
