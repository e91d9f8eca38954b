//go:build race

package sim_test

// defaultSeeds is smaller under the race detector, which makes a cluster ten times as dear; make test runs the full
// number without it.
const defaultSeeds = 60
