// Package steer decides where one question goes, and which endpoint should be the agreed active one. It never looks
// at a clock, a socket or a global: view, client, dice and time are arguments.
//
// Compile does once per view what does not depend on the question; Plan.Pick answers one question without allocating.
// The nameserver, the proxy and explain all call Pick: what is explained is what is answered.
//
//	profile disabled, or no endpoint      -> no answer
//	first verdicts are missing            -> not ready
//	a candidate exists                    -> what the routing method says      TTL = min(its horizon, recovery of better ones)
//	none, someone eligible                -> all down: what all_down says      TTL = floor
//	nobody eligible                       -> no answer, said so
//
//	priority     the decision's active, else the lowest number   (the leader will write that down)
//	weighted     dice by weight, or the client's network when sticky
//	performance  the least latency or distance from the client
//	geographic   the most specific code that contains the client, then the next less specific one
//	subnet       the endpoint whose range contains the client, else one without ranges
//	multivalue   a window over all candidates
//
// Candidates are the eligible endpoints of the best tier of health.View that has any. A nested endpoint leads on into
// the plan of its profile: one question ends at one leaf, however many profiles it went through.
package steer
