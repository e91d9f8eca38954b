// Package snapshot is the one thing all readers read: an immutable picture of every profile and of what the fronts
// compiled from it, behind one atomic pointer.
//
//	app:    hub.Prepare(documents)            fallible: zone trees, host tables
//	engine: hub.Publish(prepared, views...)   cannot fail: changed profiles get new parts, the rest is shared
//	fronts: s := hub.Load()                   once per query or request; never a lock
//
// All parts of one change are published together. Publishing one changed profile copies its chunk of 256 and the list of
// chunks, some kilobytes for 100,000 profiles, and a reader is two steps from any of them.
package snapshot
