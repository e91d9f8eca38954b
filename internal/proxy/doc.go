// Package proxy is the HTTP front: it relays each request to the agreed active endpoint of its profile, or to one that
// the routing method picks for the client, and lets the client wait, bounded, while there is none. It never chooses an
// endpoint by itself: the rules are those of steer. It never sends a request twice that may have been processed and is
// not idempotent, and never changes what client and origin say to each other beyond the hop-by-hop fields and
// X-Forwarded-*.
//
//	inbound -> h1: head as bytes -> exchange: route -> choice -> attempt -> classify -> again, hold, or relay -> h1
//	        -> h2: written as h1 --/              |        |        |                        |
//	                                            table   outlook   origins, upload         queue
//	                                                    + turn
//
// One goroutine does all of this for a client's connection: it reads, chooses, writes to the origin, waits for the answer
// and writes it on. What it needs for that is a lap, which a connection has only while a request is there. Only a body
// that is longer than what came with its head has a goroutine of its own (upload). Others wake a waiting one: a new
// snapshot (service.follow), a client that left or an endpoint that hangs (lookout), a time that is over (wire.Watch).
//
// Input is snapshot.Snapshot; output are bytes, access log lines, metrics and Signals, the passive failures that make
// the engine probe now. The folders below know nothing of exchanges: http1 reads heads and framing, body moves bodies,
// wire is one connection, inbound the listeners, origins the connections to origins, tunnels what follows an upgrade,
// accesslog and figures what is told, and rawcases what tests send.
package proxy
