// Package dnstap copies questions and answers as they were on the wire to a collector, in the dnstap format over Frame
// Streams: to a unix socket, over TCP, or into a file.
//
//	loop: Seen(question, answer) -> a copy into the loop's ring       full: dropped and counted
//	writer, twenty times a second: rings -> messages -> collector     away: dropped and counted, tried again later
//
// Loops never wait, lock or, below 4 KiB a message, allocate. A collector that is slow, away or hostile costs messages,
// never an answer. Unless whole addresses are allowed, clients are told by their network, client subnets in the
// messages too.
package dnstap
