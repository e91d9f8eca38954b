// Package secondary keeps zones whose content is somebody else's: it looks whether a primary has a newer one, fetches it
// whole or by its differences, checks it, keeps it on disk and gives it to who builds answers. It never answers a question
// itself, never changes a zone, and what is wrong with a transfer changes nothing of what is served.
//
//	documents --> Book.Prepare(zones) --> Set of entries, shared with the documents before; from disk when new
//	Book.Run:     entry due --> Client.Look(primaries) --> same | Content | error --> State.Ended --> Entry.Load
//	NOTIFY        Book.Notify(zone, sender, key) --> the entry is due now
//	questions     are answered from trees made of Content when the configuration was built; Book.Changed says when to
//	              build again
//
//	state.go      when to look and when to give up: pure       zonemd.go    digest of a zone [RFC 8976]
//	client.go     SOA, IXFR, AXFR of one primary               disk.go      the copy that outlives the process
//	reader.go     one transfer, message by message, strict     notify.go    who may tell of a change
//	content.go    records of one serial; differences applied   book.go      all zones, and their life
package secondary
