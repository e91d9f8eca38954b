// Package traffic tells who asks for what: the networks, names, types, response codes and places with the most questions
// of the last minute and hour, and questions by profile and place since the start.
//
//	loop: Seen(facts) -> one in n is copied into the loop's ring       n is chosen so that a loop copies at most
//	                                                                  some thousand a second; all of them below that
//	reader, ten times a second: rings -> bounded tables of a minute and an hour
//
// A copy counts for all questions since the one before, so that sums are exact and shares are estimates whose error is
// told. Loops never wait, lock or allocate; places are looked up by the reader. Nothing here is ever asked for an
// answer.
package traffic
