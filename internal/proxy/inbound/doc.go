// Package inbound is everything between a listening socket and the first byte of HTTP: accept loops, limits of
// connections, the PROXY protocol, TLS handshakes, and the book of the client connections that live. It never parses
// HTTP, never chooses a profile or an endpoint, and is not touched by a request but for one word of the connection's.
//
// Life of a connection, as State tells it; each arrow may also be the end:
//
//	accepted -+-> announcing -+-> handshake -+-> fresh --> busy <--> idle      HTTP/1.x: Serve, in the same goroutine
//	          |   (PROXY      |   (TLS)      |              |
//	          |    header)    |              |              +--> tunnel
//	          +-----skip------+-----skip-----+--------> busy <--> idle         HTTP/2: net/http's server
//
// A front's shutdown:
//
//	accept   -> what is queued in the kernel is taken, then the sockets are closed
//	fresh    -> closed when nothing has come a second after it was accepted
//	idle     -> closed at once, unless its next request is here already
//	busy     -> Closing tells whoever serves it, who finishes and closes; HTTP/2 clients get GOAWAY at once
//	all      -> cut when the time is up
package inbound
