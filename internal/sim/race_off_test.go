//go:build !race

package sim_test

// defaultSeeds is how many clusters a plain run simulates.
const defaultSeeds = 1000
