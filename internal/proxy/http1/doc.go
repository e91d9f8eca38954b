// Package http1 reads heads and bodies of HTTP/1.1 messages [RFC 9112] as bytes with offsets. What is not exactly right
// is refused with the name of the rule it breaks, never mended: whoever reads the bytes after us must not be able to read
// them otherwise. It never opens or reads a connection, never copies a field and never changes a byte.
//
//	bytes so far -> Request.Parse  -> needs more | a fault | the head: target, host, framing, fields
//	             -> Response.Parse -> the same for an origin's answer
//	             -> Chunks.Next    -> framing to skip, data to pass on, trailers, the end, or a fault
//
// Fields stay as they came: order, letter case, repetition and blanks inside values are those of the sender.
package http1
