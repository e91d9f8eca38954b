// Package flatten keeps the addresses of host names that profiles point to where a CNAME may not stand: at the apex of
// a zone, beside other records, in a profile that answers addresses too. It asks resolvers and never answers anybody,
// never follows a delegation itself and never believes what was not asked for.
//
//	documents --> Book.Prepare(names) --> targets, shared with the documents before
//	Book.Run:  due target --> Client.Look A and AAAA --> state.learn(replies, now) --> Target.Store
//	question:  Target.Load, one atomic pointer; no lock, no allocation, no waiting
//
// What a look changes:
//
//	reply                                  what is answered from then on
//	addresses                              they, for their TTL
//	none of this family, nothing lost      none, for the negative TTL
//	none, where there were addresses, or   what was known, until a second reply in a row, of another resolver if
//	  none of either family                  there is one, says the same
//	SERVFAIL, REFUSED, silence, nonsense   what was known, for its TTL and Options.MaxStale; then nothing is known
//
// The last row is that of RFC 8767: a resolver that is lost takes nothing away. Nothing known is SERVFAIL, never an
// empty answer.
package flatten
