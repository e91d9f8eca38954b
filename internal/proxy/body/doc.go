// Package body moves the bodies of HTTP/1.1 messages [RFC 9112 6, 7] from one connection to another: a Reader takes the
// framing of one side off and gives the data in place, a Writer puts the framing of the other side on. Neither looks at
// the data, and neither keeps more than a buffer of it.
//
//	connection -> Reader: length, chunked, until the end -> pieces -> Writer: as they are, or chunked -> connection
package body
