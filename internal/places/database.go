package places

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/oschwald/maxminddb-golang/v2"

	"jurymast/internal/geo"
)

// database is one generation of the location database. It is immutable.
type database struct {
	reader  *maxminddb.Reader
	records map[uint32]geo.Place // by offset in the data section; Bits are of the network, not of the record
}

// record is what we read of a record in the style of GeoLite2-City and -Country. Other fields are skipped.
type record struct {
	Country      country       `maxminddb:"country"`
	Registered   country       `maxminddb:"registered_country"`
	Subdivisions []subdivision `maxminddb:"subdivisions"`
	Location     struct {
		Latitude  *float64 `maxminddb:"latitude"`
		Longitude *float64 `maxminddb:"longitude"`
	} `maxminddb:"location"`
}

type country struct {
	ISO string `maxminddb:"iso_code"`
}

type subdivision struct {
	ISO string `maxminddb:"iso_code"`
}

// place is what a record says. The country a network is registered in stands in where the database does not know where
// it is used; its subdivisions are not those of that country.
func (r *record) place() geo.Place {
	var p geo.Place
	sub := ""
	if len(r.Subdivisions) > 0 {
		sub = r.Subdivisions[0].ISO
	}
	if p.Code, p.Known = geo.FromISO(r.Country.ISO, sub); !p.Known && r.Country.ISO == "" {
		p.Code, p.Known = geo.FromISO(r.Registered.ISO, "")
	}
	if r.Location.Latitude != nil && r.Location.Longitude != nil {
		p.Position = geo.Position{Lat: *r.Location.Latitude, Lon: *r.Location.Longitude}
		if p.HasPosition = p.Position.Valid(); !p.HasPosition {
			p.Position = geo.Position{}
		}
	}
	return p
}

var errNoPlaces = errors.New("no record names a country (country.iso_code) or a position (location.latitude, longitude)")

// openDatabase reads every record of a database. The bytes belong to it from now on.
func openDatabase(file []byte) (db *database, err error) {
	defer func() {
		if p := recover(); p != nil { // the reader checks its bounds; a file from outside is no reason to rely on it
			db, err = nil, fmt.Errorf("the file is damaged: %v", p)
		}
	}()
	reader, err := maxminddb.OpenBytes(file)
	if err != nil {
		return nil, err
	}
	db = &database{reader: reader, records: map[uint32]geo.Place{}}
	useful := false
	leaves, most := uint(0), 4*(reader.Metadata.NodeCount+1) // a tree of n nodes has n+1 leaves
	for net := range reader.Networks(maxminddb.IncludeNetworksWithoutData()) {
		if leaves++; leaves > most {
			return nil, errors.New("the file is damaged: its search tree is no tree")
		}
		if err := net.Err(); err != nil {
			return nil, err
		}
		if !net.Found() {
			continue
		}
		at := uint32(net.Offset()) //nolint:gosec // G115: files are at most maxFile long
		if _, seen := db.records[at]; seen {
			continue
		}
		var r record
		if err := net.Decode(&r); err != nil {
			return nil, fmt.Errorf("the record of %s: %w", net.Prefix(), err)
		}
		p := r.place()
		useful = useful || p.Known || p.HasPosition
		db.records[at] = p
	}
	if !useful {
		return nil, errNoPlaces
	}
	return db, nil
}

// place is where a is; the zero Place, with Bits where they are known, when the database does not say.
func (db *database) place(a netip.Addr) geo.Place {
	if db == nil || !a.IsValid() {
		return geo.Place{}
	}
	a = a.Unmap()
	if a.Is6() && db.reader.Metadata.IPVersion == 4 {
		return geo.Place{}
	}
	found := db.reader.Lookup(a)
	if found.Err() != nil { // every path of the tree was walked when it was loaded
		return geo.Place{}
	}
	var p geo.Place
	if found.Found() {
		p = db.records[uint32(found.Offset())] //nolint:gosec // G115: files are at most maxFile long
	}
	// In an IPv6 tree the whole of IPv4 may be part of a larger network.
	if net := found.Prefix(); net.Addr().Is4() == a.Is4() {
		p.Bits = uint8(net.Bits()) //nolint:gosec // G115: at most 128
	}
	return p
}
