package places

import (
	"net/netip"

	"jurymast/internal/geo"
)

// ReadDatabase gives the lookups of a database in memory.
func ReadDatabase(file []byte) (place func(netip.Addr) geo.Place, records int, err error) {
	db, err := openDatabase(file)
	if err != nil {
		return nil, 0, err
	}
	return db.place, len(db.records), nil
}
