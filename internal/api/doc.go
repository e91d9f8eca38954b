// Package api is the JSON API of a node and its status page: it shows what snapshot, health and steer say, takes
// documents and orders, and explains itself.
//
//	connection -> peer (socket: uid; TCP: loopback) -> guard (Host, Origin, Content-Type, size) -> route -> answer
//	                                                                                 any error -> problem details
//
// It decides nothing about health and keeps no state but its connections. It never listens beyond this machine,
// never names a secret's value, and never lets an internal error out: one mapping, in errors.go, words them all.
// What it needs from other edges are the small interfaces and functions of Options; app joins them.
package api
