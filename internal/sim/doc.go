// Package sim tests the brain as a whole and holds nothing else: text scenarios (testdata/*.txt, one story each, run by
// scenario_test.go, regenerated with -update) and whole clusters in a testing/synctest bubble with a store that
// misbehaves (cluster_test.go), where only invariants are checked.
package sim
