package sign

import (
	"fmt"
	"time"

	"github.com/miekg/dns"

	"jurymast/internal/nameserver/zone"
)

// Signer makes signatures as of a moment, with the keys that a book used when it was taken: the same keys, content and
// moment make the same signatures everywhere. The zero value has no keys.
type Signer struct {
	b *Book
	u *inUse
}

// Signer of the keys in use now.
func (b *Book) Signer() Signer { return Signer{b, b.use.Load()} }

// Now is the clock the book goes by, in seconds since 1970.
func (b *Book) Now() int64 { return b.clock.Load() }

// Ready reports that there are keys.
func (s Signer) Ready() bool { return s.u != nil }

// Live are the sets the keys bring to the apex, DNSKEY first. They are shared and never changed.
func (s Signer) Live() []zone.RRset {
	if s.u == nil {
		return nil
	}
	return s.u.live
}

// Print names the keys that sign, the same on all nodes; "" without keys.
func (s Signer) Print() string {
	if s.u == nil {
		return ""
	}
	return fmt.Sprintf("%016x%016x", s.u.ksk.print, s.u.zsk.print)
}

// At is the signatures of a set as they are, or were, at a moment in seconds since 1970, when they are due for renewal and
// until when they may be sent. They come from the book where it has them; a set it has not is signed for it too.
func (s Signer) At(set *Set, at int64) (made Signatures, renew, until int64, err error) {
	if s.u == nil {
		return Signatures{}, 0, 0, ErrNoKeys
	}
	by, h := s.u.zsk.print, s.b.salted(set)
	if ofKeys(set.Type) {
		by = s.u.ksk.print
	}
	e := s.b.find(set, h)
	if e == nil || e.by != by || at >= e.renew || at < e.renew-int64(Period/time.Second) {
		known := e != nil
		if e, err = newEntry(s.b, s.u, set, h, at); err != nil {
			return Signatures{}, 0, 0, fmt.Errorf("%s %s: %w", zone.Text(set.Owner), dns.Type(set.Type), err)
		}
		s.offer(e, known)
	}
	return e.signatures(), e.renew, e.expires, nil
}

// offer gives an entry to the book if it is as good as what the book would make itself.
func (s Signer) offer(e *entry, known bool) {
	if known || e.renew <= s.b.clock.Load() || s.b.use.Load() != s.u {
		return
	}
	s.b.mu.Lock()
	defer s.b.mu.Unlock()
	e.seen.Store(s.b.look.Load())
	s.b.put(e)
}
