// Package sign makes and keeps the signatures [RFC 4034 3] of the sets a zone answers. They are found by content: who
// has a set in hand asks the book for (owner, type, original TTL, records) and gets its RRSIG records, whatever
// configuration or health the set came from. It never chooses what is answered, never makes or stores keys and never
// shows one.
//
//	Keys    what one node uses for one zone now, made elsewhere       Signer  a set -> RRSIG data, equal on all nodes
//	Book    content -> signatures of one zone, read without a lock    Cache   the same for what is signed on demand, bounded
package sign
