package places_test

import (
	"bytes"
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/maxmind/mmdbwriter"
	"github.com/maxmind/mmdbwriter/mmdbtype"
)

// builtAt is when our databases say they were made: 2026-01-02 03:04:05 UTC. It is fixed so that the files are.
const builtAt = 1767323045

// network is one record of a database as a test writes it.
type network struct {
	prefix   string
	iso, sub string // sub may be empty
	city     string
	lat, lon float64 // none when both are 0
}

// cityRecord is a record in the style of GeoLite2-City.
func cityRecord(n network) mmdbtype.Map {
	r := mmdbtype.Map{
		"country":            mmdbtype.Map{"iso_code": mmdbtype.String(n.iso)},
		"registered_country": mmdbtype.Map{"iso_code": mmdbtype.String(n.iso)},
	}
	if n.sub != "" {
		r["subdivisions"] = mmdbtype.Slice{mmdbtype.Map{"iso_code": mmdbtype.String(n.sub)}}
	}
	if n.city != "" {
		r["city"] = mmdbtype.Map{"names": mmdbtype.Map{"en": mmdbtype.String(n.city)}}
	}
	if n.lat != 0 || n.lon != 0 {
		r["location"] = mmdbtype.Map{"latitude": mmdbtype.Float64(n.lat), "longitude": mmdbtype.Float64(n.lon), "accuracy_radius": mmdbtype.Uint16(50)}
	}
	return r
}

// written is one prefix and its record of any shape.
type written struct {
	prefix string
	record mmdbtype.DataType
}

// write makes a database file.
func write(tb testing.TB, o mmdbwriter.Options, records []written) []byte {
	tb.Helper()
	o.BuildEpoch, o.IncludeReservedNetworks = builtAt, true
	tree, err := mmdbwriter.New(o)
	if err != nil {
		tb.Fatal(err)
	}
	for _, r := range records {
		_, ipnet, err := net.ParseCIDR(r.prefix)
		if err != nil {
			tb.Fatal(err)
		}
		if err := tree.Insert(ipnet, r.record); err != nil {
			tb.Fatal(err)
		}
	}
	var out bytes.Buffer
	if _, err := tree.WriteTo(&out); err != nil {
		tb.Fatal(err)
	}
	return out.Bytes()
}

func writeCity(tb testing.TB, networks []network) []byte {
	tb.Helper()
	records := make([]written, 0, len(networks))
	for _, n := range networks {
		records = append(records, written{n.prefix, cityRecord(n)})
	}
	return write(tb, mmdbwriter.Options{DatabaseType: "Test-City", RecordSize: 24}, records)
}

// put replaces a file as a careful writer does: by renaming.
func put(tb testing.TB, path string, content []byte) {
	tb.Helper()
	if err := os.WriteFile(path+".new", content, 0o600); err != nil {
		tb.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		tb.Fatal(err)
	}
}

// temp is a file with this content in a folder of its own.
func temp(tb testing.TB, name string, content []byte) string {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), name)
	put(tb, path, content)
	return path
}
