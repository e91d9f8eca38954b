// Package accesslog writes one line of JSON per request. It never makes a request wait: lines are rendered into buffers
// in memory, and a goroutine of its own writes those to the file.
//
//	exchange: Wants? -> Add -> the shard's page --full, or 50 ms old--> written -> free page
//	                        -> no free page: the line is dropped and counted
//
// It knows neither net/http nor the exchange: a Record is a plain struct whose texts are read during Add alone. It has
// no field for cookies, authorization or bodies, so they cannot get in; user info is cut out of a request target, and
// the query is written as a hash unless the operator wants it plain. Whatever bytes a client sends, a line stays one
// line of valid JSON in ASCII.
package accesslog
