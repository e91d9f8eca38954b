// Package preflight judges a configuration before a disaster does: what it can promise, what it depends on, and whether
// the endpoints would take over at all.
//
//	documents, expected load         -> Static -> findings that follow from arithmetic alone
//	documents, resolver, dialer ...  -> Run    -> the same, and what every endpoint and name server really answers
//	monitor, TTL                     -> Predict -> the bracket a failover lasts, used by drills and status as well
//
// It changes nothing, sends no credentials to an endpoint except in the monitor's own probe, and never prints a secret.
// It knows no other edge: the probe, the nodes' votes and the secrets are small interfaces that the shell fills in.
package preflight
