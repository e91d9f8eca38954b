package sign

import (
	"bytes"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"jurymast/internal/nameserver/zone"
)

// Book keeps the signatures of one zone.
type Book struct {
	zone string
	apex []byte // wire form, lower case
	use  atomic.Pointer[inUse]
	mu   sync.Mutex // held to write
}

// inUse is a set of keys with what follows from it.
type inUse struct {
	keys *Keys
	live []zone.RRset
}

// NewBook makes an empty book. name is the zone's as documents write it, apex the same in wire form.
func NewBook(name string, apex []byte) *Book {
	return &Book{zone: name, apex: bytes.ToLower(apex)}
}

// Use makes the book sign with these keys from now on. The error says why they cannot; then the ones before go on.
func (b *Book) Use(k *Keys, _ time.Time) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := k.check(); err != nil {
		return fmt.Errorf("zone %s: keys %q: %w", b.zone, k.Mark, err)
	}
	live, err := k.sets(b.apex)
	if err != nil {
		return fmt.Errorf("zone %s: keys %q: %w", b.zone, k.Mark, err)
	}
	b.use.Store(&inUse{keys: k, live: live})
	return nil
}

// Live are the sets the keys bring to the apex, DNSKEY first; none without keys. They are shared and never changed.
func (b *Book) Live() []zone.RRset {
	if u := b.use.Load(); u != nil {
		return u.live
	}
	return nil
}

// Status of the zone's signatures.
func (b *Book) Status() Status {
	s := Status{Zone: b.zone}
	if u := b.use.Load(); u != nil {
		s.HasKeys, s.Using = true, u.keys.Mark
	}
	return s
}
