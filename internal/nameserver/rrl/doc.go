// Package rrl limits what one network can make a nameserver send: answers (response rate limiting, a Loop for each UDP
// loop), and new connections (a Gate for each kind of them). It knows networks, kinds of answers, names as bytes and time;
// it never sees a packet or a socket, and writes no answer: who asks does what it says.
//
//	question -> answer chosen -> Loop.Ask(source, kind, name) -> Pass | Drop | Slip
//	accept   -> Gate.Allow(source)
//	both     -> Watch: which networks are limited now, one line in the log when it begins and one when it ends
//
// A Loop belongs to one goroutine: it has no lock, allocates nothing and waits for nobody. Its memory is bounded: 16 bytes
// for each of Options.Buckets, made at the start, and a ring of reports. Buckets are found by a keyed hash, so nobody outside
// can choose who shares one.
package rrl
