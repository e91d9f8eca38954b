package geo

import "math"

// Position is a point on the earth in degrees: Lat -90 (south pole) to 90, Lon -180 to 180 (east is positive).
type Position struct{ Lat, Lon float64 }

// Valid tells whether the position is on the earth.
func (p Position) Valid() bool {
	return p.Lat >= -90 && p.Lat <= 90 && p.Lon >= -180 && p.Lon <= 180 // false for what is no number
}

// earthRadius is the mean radius of the earth in km (IUGG).
const earthRadius = 6371.0088

// Distance is the great-circle distance in km, by the haversine formula: exact to 0.5 %, the earth is no sphere.
func Distance(a, b Position) float64 {
	const rad = math.Pi / 180
	sinLat := math.Sin((b.Lat - a.Lat) * rad / 2)
	sinLon := math.Sin((b.Lon - a.Lon) * rad / 2)
	h := sinLat*sinLat + math.Cos(a.Lat*rad)*math.Cos(b.Lat*rad)*sinLon*sinLon
	return 2 * earthRadius * math.Asin(math.Sqrt(min(h, 1))) // rounding may lift antipodes above 1
}

// Place is where a client is. The zero value is no location.
type Place struct {
	Code        Code // the most specific one known; World while Known is false
	Known       bool // the database knows the country
	Position    Position
	HasPosition bool
	Bits        uint8 // how long the prefix is the statement holds for: 0-32 for IPv4, 0-128 for IPv6
}
