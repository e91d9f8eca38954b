// Package testbed holds real parts that misbehave on purpose, for tests only: origins on loopback that refuse, reset,
// hang, talk nonsense or die; and it finds the programs that tests compare us with. It never pretends to be something a test could run for real.
package testbed
