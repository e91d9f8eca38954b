// Package health turns observations into votes, votes into a verdict, and lays orders over it.
//
//	observation --Tracker.Step--> vote --Quorum--> verdict --Layer (overrides)--> status, tier, horizon
//
// Four layers stay apart: evidence (observations and votes), verdict, intent (overrides) and decision. Nothing here
// knows a clock, a socket or a lock: time is an argument, the same input gives the same output on every node.
package health
