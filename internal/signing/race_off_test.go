//go:build !race

package signing

// lives of the simulation; the race detector makes each many times as long and finds nothing in a package without locks.
const lives uint64 = 1000
