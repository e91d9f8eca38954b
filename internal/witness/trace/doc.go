// Package trace finds out who holds which answer for one name, and until when: the name servers from the root down, the
// resolvers this host asks, and the caches on this host.
//
//	name --> walk: root, delegation, ... --> every name server, UDP and TCP --> what is true now, with its TTL
//	         resolvers, without recursion first --> what they hold, with the TTL left
//	         hosts file, systemd-resolved, nscd, Java processes --> what this host holds
//	         --> Report: who still holds an older answer, and the time by which the last of them has switched
//
// It changes nothing: a resolver that answers questions without recursion is never made to fetch anything. It writes
// no file, needs no node, and reads command lines of Java processes only for the settings it names. A server that does
// not answer is a line of the report, never an error.
package trace
