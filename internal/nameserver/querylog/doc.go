// Package querylog writes questions and their answers as JSON lines: every one that ended in an error (as many as
// 100 a second of each loop), one in so many of the rest, and for a while all of a watched profile.
//
//	loop: Seen(facts) -> is it to be written? -> a copy into the loop's ring      full: dropped and counted
//	writer, twenty times a second: rings -> lines -> file                         moved or removed: opened anew
//
// Loops never wait for the file, lock or allocate. Whatever bytes a name has, a line stays one line of valid JSON in
// ASCII. Contents of answers are not written.
package querylog
