//go:build race

package origins

const raceEnabled = true
