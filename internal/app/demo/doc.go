// Package demo runs the main job before the user's eyes: two stand-in tenants, one node, a steady client through the
// proxy and one through DNS; the primary is killed, the failover happens, the primary comes back, and what it cost is
// measured. Everything runs as processes of the same binary on loopback, and nothing outlives it.
//
// It decides nothing about traffic: it only watches, as a user would.
package demo
