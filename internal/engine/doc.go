// Package engine is the only place where state changes. Step is the whole brain of one profile and pure; Node is the
// small machine of what concerns the node as a whole; Loop owns them all, one goroutine, and carries their effects
// to the edges.
//
//	observation, votes, members, orders, decision, role --Step--> view, votes, decision to write, probes, journal
//
// Nothing here opens a socket or knows a store key. The edges are interfaces declared here and joined in app.
package engine
