// Package probe tests endpoints and says what it saw.
//
//	profile.Monitor --ChecksOf--> Check (Spec + interval) --Scheduler--> Report, once per probe and subscriber
//	                              Spec --Run--> Result (observation, log, failure class)
//
// One probe is one new connection: resolve, connect, TLS, request, first byte, status, rules; or one question to a name
// server, or one run of a program. The timeout counts from the start of name resolution. A probe keeps nothing: no kept
// connection, no cookie, no proxy from the environment, no followed redirect, no TLS session.
//
// The Scheduler starts every check's probe each interval, whatever the last one took. Shared checks with equal Specs and
// intervals are one run, and every subscriber hears of it. It never judges: a row of failures becomes a vote in health,
// and nothing here knows what a vote is. Secrets are sent and never shown: every text that leaves this package is masked.
package probe
