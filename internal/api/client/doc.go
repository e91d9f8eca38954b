// Package client talks to a node's API for the command line and for programs: one typed method per route, over
// loopback TCP or the unix socket.
//
//	request -> node answers            -> value, or a typed error: NotFound, Conflict, Invalid, Refused, Unavailable
//	        -> nobody, or no node, does -> Unreachable
//
// It never retries what changes something, and it never reads a file or an environment variable.
package client
