// Package xfr is what a primary remembers of a zone: versions with their serials and what changed between them, which
// serial the next version gets, and which secondaries have to be told. It maps values to values: it has no socket, clock
// or goroutine, and now is an argument.
//
//	Serial   RFC 1982 and the rule of the next serial     Journal  the current version and steps towards it
//	Version  all records of a zone under one serial       Notifier who is to be told of which serial, and when again
package xfr
