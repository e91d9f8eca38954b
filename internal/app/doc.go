// Package app is the composition root: it joins the rooms, starts them in order and stops them in reverse. It decides
// nothing about health or traffic; what it does decide is what happens when a part is missing: a store that is not
// there yet, a file that is wrong, a disk that is full.
//
//	file ok, data directory ours -> listeners bound -> last good state served, stale -> store -> session -> file applied -> fresh
package app
