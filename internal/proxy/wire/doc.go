// Package wire is one connection as the proxy uses it: plain TCP by system calls, or TLS (or anything else) through
// net.Conn. It never reads or writes by itself, never starts a goroutine for a connection, keeps no buffer while a
// connection waits, and knows nothing of HTTP.
//
// An idle connection takes about 4 KiB: 1 KiB here, 1 KiB of net's and the smallest stack (TestIdleSize).
//
// Owner and others: at most one goroutine reads and at most one writes at a time; the reader also calls Unread, Await
// and Alive. Until, Wake, Clear, Left, Written, Close and Reset are safe from everywhere, but the chart below holds
// only where one goroutine, the owner, calls Until and Clear.
//
// A deadline costs one atomic store (Until); a Watch looks at all of them once per tick and wakes who is over time.
// Being woken is a state of its own, which the owner judges afterwards (judge):
//
//	          Wake(why)                 Watch: the deadline is over
//	running ------------> armed(why)   running ----------------> armed
//	armed(why): Read, Write, Await return why     Clear -> running
//	armed:      the deadline is over still        -> ErrTimeout
//	            Until moved it meanwhile          -> running, the operation goes on
//
// So a wake that comes late, for a phase that is over, costs a lock and hurts nobody. Wake stores its reason before
// the socket is unblocked; a second Wake does not replace the first. A Wake before Clear is forgotten, so whoever
// clears looks at the world again afterwards.
package wire
