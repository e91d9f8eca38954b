// Package proxy is the HTTP front: it relays each request to the agreed active endpoint of its profile, or to one that
// the routing method picks for the client, and lets the client wait, bounded, while there is none. It never chooses an
// endpoint by itself: the rules are those of steer. It never sends a request twice that may have been processed and is
// not idempotent, and never changes what client and origin say to each other beyond the hop-by-hop fields and
// X-Forwarded-*.
//
//	listener -> exchange: route -> choice -> attempt -> classify -> again, hold, or relay
//	                        |        |         |                        |
//	                      table   outlook    sender (origin.go)       queue
//	                              + turn
//
// Input is snapshot.Snapshot; output are bytes, access log lines, metrics and Signals, the passive failures that make
// the engine probe now. Three parts know nothing of each other: the listeners (listen.go), the exchange
// (exchange.go, turn.go, attempt.go, hold.go) and what puts a request on a connection (sender, today http.Transport).
package proxy
