// Package batch reads and writes the datagrams of one UDP socket many at a time. It moves bytes and addresses; what they
// mean, and what is answered, is the business of its caller. A Conn belongs to one goroutine, only Stop may be called
// from elsewhere.
//
//	Listen -> Conn: Receive(batch) -> the caller fills Reply of each message -> Send(batch) -> Receive ...
//	Stop   -> Receive returns what is queued, then ErrStopped
//
// Four shapes exist, measured against each other by bench/dns:
//
//	Polite    recvmmsg without waiting; when nothing is there, again and waiting: the scheduler takes the processor away
//	Raw       recvmmsg that keeps its processor (a P) for a few milliseconds of silence, then polite until traffic
//	          comes back: no hand-over for every batch. Needs one processor more than there are cores for each loop
//	Busy      recvmmsg without waiting, again and again
//	Portable  one message per call through package net, for systems without recvmmsg
//
// What holds the processor must not hold up the rest of the program. A stop of the world sends its threads a signal
// until they answer; a receive on a socket with a time-out ends with EINTR then, so it is over in microseconds.
package batch
