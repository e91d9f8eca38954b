//go:build race

package signing

const lives uint64 = 40
