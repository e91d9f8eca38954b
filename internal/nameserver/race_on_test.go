//go:build race

package nameserver_test

// raceDetector: under it everything is many times slower.
const raceDetector = true
