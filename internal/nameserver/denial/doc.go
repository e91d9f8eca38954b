// Package denial makes the records that prove what is not there: NSEC [RFC 4034 4], as a chain over the names of a zone
// [RFC 4035 2.3, 3.1.3] or made for one name at a time [RFC 9824]. It signs nothing and chooses nothing: it knows no key,
// no clock and no socket, and what a name answers just now is told to it.
//
//	name, types            -> Compact              one record, next name right behind the name
//	zone.Zone -> NewChain  -> At, Cover, proofs    links of the chain; Chain.NSEC makes a record of one
//
// What each negative answer needs from a chain:
//
//	the name has not the type          the link at the name
//	nothing is at the name, but below  the link that covers the name
//	there is no such name              the links that cover the name and the wildcard at its closest encloser
//	a wildcard answered                the link that covers the name
//	a wildcard has not the type        that, and the link at the wildcard
//	a delegation without DS            the link at the delegation
package denial
