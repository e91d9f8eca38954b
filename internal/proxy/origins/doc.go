// Package origins keeps the proxy's connections to origins: it dials them, lends an idle one to one exchange at a time,
// and takes it back when the exchange ended cleanly. It never reads or writes a request, never tries an endpoint again,
// and never lends a connection that is known to be unfit.
//
//	          Dial                    Put: complete, unambiguous answer
//	(none) ---------> lent ------------------------------------------------> idle
//	                   |  ^                                                   |
//	                   |  '---------------------------------------------------'
//	                   |        Take: newest first, still fit, nothing to read and no end
//	                   v                                                      v
//	                closed <---------------------------------------------- closed
//	  the owner closes; or Put finds it unfit        idle too long, old, dropped, stale, its address gone from DNS
//
// A connection that belongs to one client (Private, and all with a PROXY protocol header) never becomes idle here: who
// has that client keeps it.
//
// One Pool per Key, cut into shards: a lock is held only to push or pop one pointer, and the shard a goroutine takes
// from is the one its processor put to last. Take and Put allocate nothing. There are three clocks: a sweep each second
// while anything is idle, one look-up per host name each half minute while a pool wants it, and the owner's deadlines.
package origins
