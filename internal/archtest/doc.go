// Package archtest keeps the rules of the house as tests: which room may import which, what the core never
// touches, one comment per package, lengths, and documents whose examples really load. It never runs anything
// of the product and nothing imports it.
//
// A rule is a function from parsed packages to findings, so the same rule judges the repository and the small
// forged trees of the self-tests. A finding says where, what, and what to do about it.
//
//	row 6  cmd  bench
//	row 5  app  lab  sim  testbed
//	row 4  engine probe places cluster nameserver proxy domain witness preflight report notify api console
//	row 3  snapshot certificates question
//	row 2  steer  drill
//	row 1  health
//	row 0  profile  session  signing  store
//	row -1 geo
package archtest
