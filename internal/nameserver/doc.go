// Package nameserver answers DNS questions with authority: static records of the zones, and the host names of
// profiles with what the compiled plan of their view picks. It never resolves for others, never decides itself and
// never keeps state between two questions but its counters and the dice of each loop.
//
//	packet -> wire.Query -> hub.Load() once -> zone -> node -> static set                          -> message
//	                                                       \-> compiled part -> steer.Plan.Pick -> leaf, window /
//
// What most questions ask for goes a shorter way (quick.go): found by one hash (index.go), copied from bytes that stand
// ready in the compiled part or in the index itself. It answers byte for byte what the long way would.
//
// The same core (response.resolve) serves UDP, TCP and Explain. What is fallible (zone text, names in each other's way,
// what nested profiles lead to) happens in preparation (build); everything a profile can answer is put into wire form
// when its view is published (compile), so that a question only chooses and copies. A profile whose choice no question
// can change has chosen by then. Where a CNAME may not stand, the addresses of its target are answered (routes.go,
// flattened.go); package flatten keeps those of targets that are not ours. Where the client is (asker) is found out only as far as a
// plan needs it.
//
//	batch     datagrams, many at a time          cookie    server cookies
//	wire      questions read, answers written    flatten   addresses of targets that are not ours
//	zone      zone text, checked, as a tree      xdp       answers in the network driver (driver.go, mirror.go)
//	tap       facts of questions on their way to traffic (who asks for what) and querylog
package nameserver
