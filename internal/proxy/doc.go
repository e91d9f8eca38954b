// Package proxy is the HTTP front: it relays each request to the agreed active endpoint of its profile and lets the
// client wait, bounded, while there is none. It never chooses an endpoint by itself, never sends a request twice that
// may have been processed and is not idempotent, and never changes what client and origin say to each other beyond
// the hop-by-hop fields and X-Forwarded-*.
//
//	listener -> exchange: route -> choice -> attempt -> classify -> again, hold, or relay
//	                        |        |         |                        |
//	                      table   snapshot   sender (origin.go)       queue
//
// Input is snapshot.Snapshot; output are bytes, access log lines, metrics and Signals, the passive failures that make
// the engine probe now. Three parts know nothing of each other: the listeners (listen.go), the exchange
// (exchange.go, attempt.go, hold.go) and what puts a request on a connection (sender, today http.Transport).
package proxy
