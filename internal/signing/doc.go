// Package signing decides which keys a DNSSEC zone shows and signs with, and when that changes. It is a state machine:
// values in, values out; no clock, no dice, no store, no network, no goroutine. It signs no record, and never prints a
// private key: what can be shown of a key is its tag.
//
// A Set is all keys of one zone. Next takes at most one step; whoever leads writes it by compare-and-swap, and whoever
// leads next goes on from what is stored. A roll goes through stages, and a stage ends when three things are true: every
// live node has acknowledged it (all it answers is signed as the stage says), what caches may hold from before has run
// out, and, where the parent matters, its servers show the DS of the new key and none of the old one.
//
//	no keys --sign the zone--> begin --acknowledged, longest TTL--> steady <-------------------------------.
//	                                                                 | order, or a lifetime is over         |
//	   algorithm or kind of keys        the same algorithm           v                                      |
//	  .-----------------------------------------+---------------------                                      |
//	  v                                         v                                                           |
//	ahead --longest TTL--> publish          publish --DNSKEY TTL--> change --DS seen--> retire --DS TTL and-+
//	 new signs, not          |               new is shown            new signs,          old is     longest |
//	 shown yet               '-DNSKEY TTL--> change --DS seen--> retire old shown        shown      TTL     |
//	                                                               '--DS TTL--> withdraw --DNSKEY TTL-------'
//	                                                                            old signs, not shown any more
//
//	              in publish              in change                  in retire
//	zsk           new: shown              new signs the zone         the same          (no DS is waited for)
//	ksk           new: shown, both sign   the DS of new is asked     the same
//	              the keys                for (CDS, CDNSKEY)
//	csk           as ksk                  as zsk and ksk             the same
//	emergency     new signs the zone, too: all waits run side by side, with larger answers
//	algorithm     new signs everything, beside the old, until withdraw ends
//
//	any stage --signing is switched off--> the stage stands still, and everything is signed on
//	                                       --no DS at any parent server--> --DS TTL--> no keys
//
// The names of RFC 7583: Dprp is Wanted.Propagation; publish waits Ipub, Dprp + TTLkey; retire waits Iret, DprpP + TTLds
// (DprpP is observed, not guessed) and Dprp + TTLsig. The order for another algorithm is RFC 6781 section 4.1.4, the
// conservative approach: no cache ever shows an algorithm in a DNSKEY or DS set that the records beside it lack.
package signing
