// Package cluster says what the keys of the store mean: nodes and their leases, the leader, documents, votes,
// decisions, acknowledgements, orders, signals and the journal. It keeps one session with the store and turns changes into
// events; what follows from them is decided elsewhere.
//
//	out of reach --connect, lease, list--> in session --watch--> events
//	     ^                                     |
//	     +---- lease ran out, watch broke -----+     (events: Reachable false, Role false; then again)
//
// Time of a lease counts from the sending of the last renewal that succeeded, so this node always stops believing
// before the store does.
package cluster
