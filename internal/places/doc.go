// Package places knows where clients are: it reads a location database in MaxMind's format and an operator's latency
// table, and answers from memory.
//
//	start            both files are read; a missing or broken one is an error
//	file changed     read again beside the old one -> good: swapped in one step -> broken: the old one stays, Status says why
//	Place, Row       one atomic load, then values that never change: no lock, no allocation, no file
//
// It reads every record when it loads, so that a damaged file is refused as a whole and never met by a question. In
// memory are the bytes of the database file (no mapping: a file that is cut short in place cannot kill the process) and
// about 100 bytes for each different record; during a swap both generations. BenchmarkLoad measures that.
// It never asks a network service, never writes, and decides nothing.
package places
