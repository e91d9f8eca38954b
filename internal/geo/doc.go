// Package geo holds what the routing methods know about places: the geographic hierarchy, the regions of the large
// clouds with their coordinates, and the latency table of an operator.
//
//	code of an endpoint's mapping   -> ParseCode -> Code -> Parent -> ... -> World
//	record of a location database   -> FromISO   -> the most specific Code
//	name of a region                -> FindRegion -> Position -> Distance
//	CSV text                        -> ParseTable -> Table -> Find(address) -> Row -> To(region)
//
// It never opens a file, looks at a clock or changes anything after it was built: the tables are embedded and read-only,
// a Table is immutable. Where a client is comes from the room places, as a Place.
package geo
