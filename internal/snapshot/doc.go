// Package snapshot is the one thing all readers read: an immutable picture of every profile and of what the fronts
// compiled from it, behind one atomic pointer.
//
//	app:    hub.Prepare(documents)            fallible: zone trees, host tables
//	engine: hub.Publish(prepared, views...)   cannot fail: changed profiles get new parts, the rest is shared
//	fronts: s := hub.Load()                   once per query or request; never a lock
//
// All parts of one change are published together. Publishing one changed profile copies one path of a tree of fan-out
// 32, so its cost does not depend on how many profiles there are.
package snapshot
