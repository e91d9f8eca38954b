// Package wire reads DNS questions and writes DNS messages in place. It knows bytes and nothing else: no zone, no
// socket, no clock, no log. Reading never allocates, never recurses and never looks behind the packet; writing appends
// to one buffer and never exceeds the limit it was given.
//
//	packet -> Query.Parse -> Name, Type, Class, EDNS   (or why not: Outcome)
//	Writer: Begin -> RRset ... -> OPT -> Finish        -> message, at most limit bytes
package wire
