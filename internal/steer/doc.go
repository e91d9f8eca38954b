// Package steer decides where one question goes, and which endpoint should be the agreed active one. It never looks
// at a clock, a socket or a global: view, client, dice and time are arguments.
//
//	the decision's active is a candidate  -> it                    TTL = min(its horizon, recovery of better ones)
//	it is not, another candidate is       -> the best candidate    the same; the leader will write that down
//	no candidate, someone eligible        -> all down: the preferred (failback auto) or the active, TTL = floor
//	nobody eligible                       -> no answer, said so
//
// Candidates are the eligible endpoints of the best tier of health.View that has any.
package steer
