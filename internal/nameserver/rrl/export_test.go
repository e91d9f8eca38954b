package rrl

import (
	"hash/maphash"
	"net/netip"
	"time"
)

// AskAt is Ask at a time since the start, for a source that is not exempt.
func (t *Loop) AskAt(now time.Duration, from netip.Addr, kind Kind, name []byte) Action {
	network, family := t.networks.number(from)
	return t.ask(from, kind, name, t.table.hash(kind, network, family, maphash.Bytes(t.table.seed, name)), int64(now))
}

// Lost is how many buckets were forgotten.
func (t *Loop) Lost() uint64 { return t.lost.Load() }

// Filled counts the table at once.
func (t *Loop) Filled(now time.Duration) (used, owing int) {
	return t.table.level(0, len(t.table.lines), int64(now))
}

// Places is how many buckets there are.
func (t *Loop) Places() int { return len(t.table.lines) * ways }

// SecondLine says whether the two lines of a hash differ.
func (t *Loop) SecondLine(h uint64) (first, second uint64) {
	return h & t.table.mask, t.table.second(h)
}
