package secondary

import (
	"net/netip"
	"time"
)

// Verdict says what becomes of a NOTIFY.
type Verdict uint8

// The verdicts.
const (
	NotHere  Verdict = iota // no secondary zone
	Refused                 // not from a primary, or not signed as it has to be
	Accepted                // the zone is looked for
)

var verdicts = [...]string{"not-here", "refused", "accepted"}

func (v Verdict) String() string { return verdicts[v] }

// Notify judges a NOTIFY [RFC 1996] of a zone, by its name in text without the last dot. It has the zone looked for at once
// when one of its primaries sent it, whatever serial it tells: that is a hint nobody has to believe. key is the name of the
// key that has signed it, "" for none; that a signature holds was seen before.
func (b *Book) Notify(name string, from netip.Addr, key string) (v Verdict) {
	defer func() { b.m.notifies.WithLabelValues(v.String()).Inc() }()
	b.mu.Lock()
	e := b.all[name]
	b.mu.Unlock()
	if e == nil {
		return NotHere
	}
	e.mu.Lock()
	doc := e.doc
	e.mu.Unlock()
	for i := range doc.From {
		p := &doc.From[i]
		if addr, ok := p.Server(); ok && addr.Addr() == from.Unmap() && (p.Key == "" || p.Key == key) {
			e.notified(addr)
			return Accepted
		}
	}
	return Refused
}

func (e *Entry) notified(from netip.AddrPort) {
	e.mu.Lock()
	e.info.first = from
	e.state.Notified(time.Now())
	e.mu.Unlock()
	e.nudge()
}
