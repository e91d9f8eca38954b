package sign

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"

	"jurymast/internal/nameserver/zone"
)

// ErrNoKeys says that there is nothing to sign with.
var ErrNoKeys = errors.New("the keys of the zone are not here yet")

// Clock is the time signatures go by, to the second. It is set now and then and read for every question.
type Clock struct{ atomic.Int64 }

// Set the clock.
func (c *Clock) Set(t time.Time) { c.Store(t.Unix()) }

// Book keeps the signatures of one zone: an open-addressing table of entries that are replaced, never changed. Reading
// takes no lock. Sets that nobody asks to be kept any more go with the second look after that, see Begin.
type Book struct {
	zone  string
	apex  []byte // wire form, lower case
	salt  uint64 // tells the zone's hashes from those of others in a Cache
	clock *Clock
	use   atomic.Pointer[inUse]
	table atomic.Pointer[table]

	mu      sync.Mutex    // held to write
	look    atomic.Uint32 // number of the last look at all sets
	held    int           // entries in the table
	wanted  int           // of them, shown in the last look
	ended   uint32        // the last look that came to its end
	failing map[uint64]bool
	trouble string
	whole   *inUse       // keys with which the look under way began
	longest uint32       // TTL
	missing atomic.Int32 // sets that were looked for in vain and are not signed yet
}

type table struct {
	slots []atomic.Pointer[entry]
	mask  uint64
}

// signers are keys that sign together.
type signers struct {
	keys  []Private
	print uint64
}

// inUse is a set of keys with what follows from it.
type inUse struct {
	keys     *Keys
	live     []zone.RRset
	ksk, zsk signers
	earlier  []signers   // whose signatures can still be checked
	done     atomic.Bool // everything is signed so
}

func ofKeys(typ uint16) bool {
	return typ == dns.TypeDNSKEY || typ == dns.TypeCDS || typ == dns.TypeCDNSKEY
}

func signersOf(keys []Private) signers {
	h := fnv.New64a()
	for i := range keys {
		h.Write(keys[i].Data())
	}
	return signers{keys, h.Sum64()}
}

// holds reports that an entry's signatures may be sent: their time has come and is not over, and the keys published now check
// them. Those of earlier keys serve until everything is signed anew. From then on they are not sent any more, wherever they
// are left: a roll waits from that moment until caches have forgotten them.
func (u *inUse) holds(e *entry, now int64) bool {
	if e.expires <= now || now < e.expires-int64((Validity-Margin+Back)/time.Second) {
		return false
	}
	if e.by == u.zsk.print || e.by == u.ksk.print {
		return true
	}
	if u.done.Load() {
		return false
	}
	for i := range u.earlier {
		if u.earlier[i].print == e.by {
			return true
		}
	}
	return false
}

// fresh reports that an entry need not be made anew. One that begins later than it would if it were made now was made by a
// clock that was ahead; the clocks of those who check may be behind ours by half of what is left for them.
func (u *inUse) fresh(e *entry, now int64) bool {
	by := u.zsk.print
	if ofKeys(e.typ) {
		by = u.ksk.print
	}
	return e.by == by && e.renew > now && now >= e.renew-int64((Period+Back/2)/time.Second)
}

const smallest = 64 // places of a table

// NewBook makes an empty book. name is the zone's as documents write it, apex the same in wire form.
func NewBook(name string, apex []byte, clock *Clock) *Book {
	h := fnv.New64a()
	h.Write([]byte(name))
	b := &Book{zone: name, apex: bytes.ToLower(apex), salt: h.Sum64(), clock: clock, failing: map[uint64]bool{}}
	b.table.Store(newTable(smallest))
	return b
}

func newTable(size int) *table { return &table{make([]atomic.Pointer[entry], size), uint64(size) - 1} } //nolint:gosec // a power of two

// Zone is the zone's name.
func (b *Book) Zone() string { return b.zone }

// HasKeys reports that sets can be signed.
func (b *Book) HasKeys() bool { return b.use.Load() != nil }

// Use makes the book sign with these keys from now on. The sets they bring to the apex are signed before they stand
// there. The error says why they cannot be used; then the ones before go on.
func (b *Book) Use(k *Keys) error {
	if err := k.check(); err != nil {
		return fmt.Errorf("zone %s: keys %q: %w", b.zone, k.Mark, err)
	}
	live, err := k.sets(b.apex)
	if err != nil {
		return fmt.Errorf("zone %s: keys %q: %w", b.zone, k.Mark, err)
	}
	u := &inUse{keys: k, live: live, ksk: signersOf(k.KSK), zsk: signersOf(k.ZSK)}
	entries := make([]*entry, len(live))
	for i := range live {
		s := Set{b.apex, live[i].Type, live[i].TTL, live[i].Data}
		if entries[i], err = newEntry(b, u, &s, b.salted(&s), b.clock.Load()); err != nil {
			return fmt.Errorf("zone %s: keys %q: %s: %w", b.zone, k.Mark, dns.Type(live[i].Type), err)
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if was := b.use.Load(); was != nil {
		before := []signers{was.ksk, was.zsk}
		if !was.done.Load() { // else nothing of those earlier ones is sent any more
			before = append(before, was.earlier...)
		}
		for _, old := range before {
			if k.publishesAll(old.keys) {
				u.earlier = append(u.earlier, old)
			}
		}
	}
	for _, e := range entries {
		e.seen.Store(b.look.Load())
		b.put(e)
	}
	b.use.Store(u)
	return nil
}

// publishesAll reports that signatures of all of those keys can be checked with the DNSKEY set.
func (k *Keys) publishesAll(list []Private) bool {
	for i := range list {
		if !k.publishes(&list[i].Public) {
			return false
		}
	}
	return true
}

// Live are the sets the keys bring to the apex, DNSKEY first; none without keys. They are shared and never changed.
func (b *Book) Live() []zone.RRset {
	if u := b.use.Load(); u != nil {
		return u.live
	}
	return nil
}

func (b *Book) salted(s *Set) uint64 { return s.hash() ^ b.salt }

// Find is the signatures of a set of that content that may be sent now. It allocates nothing.
func (b *Book) Find(s *Set) Signatures {
	u := b.use.Load()
	if u == nil {
		return Signatures{}
	}
	if e := b.find(s, b.salted(s)); e != nil && u.holds(e, b.clock.Load()) {
		return e.signatures()
	}
	return Signatures{}
}

func (b *Book) find(s *Set, h uint64) *entry {
	t := b.table.Load()
	for i := h & t.mask; ; i = (i + 1) & t.mask {
		e := t.slots[i].Load()
		if e == nil || e.hash == h && e.is(s) {
			return e
		}
	}
}

// put stores an entry in the place of the one before. It needs mu.
func (b *Book) put(e *entry) {
	t := b.table.Load()
	if 2*(b.held+1) > len(t.slots) {
		t = b.rebuild(2*len(t.slots), func(*entry) bool { return true })
	}
	if b.place(t, e) {
		b.held++
	}
	b.longest = max(b.longest, e.ttl)
	delete(b.failing, e.hash)
}

// place reports that there was none of that content.
func (b *Book) place(t *table, e *entry) bool {
	s := e.set()
	for i := e.hash & t.mask; ; i = (i + 1) & t.mask {
		was := t.slots[i].Load()
		if was == nil || was.hash == e.hash && was.is(&s) {
			t.slots[i].Store(e)
			return was == nil
		}
	}
}

// rebuild makes another table of the entries to keep. It needs mu.
func (b *Book) rebuild(size int, keep func(*entry) bool) *table {
	t, old := newTable(size), b.table.Load()
	b.held, b.longest = 0, 0
	for i := range old.slots {
		if e := old.slots[i].Load(); e != nil && keep(e) {
			b.place(t, e)
			b.held, b.longest = b.held+1, max(b.longest, e.ttl)
		}
	}
	b.table.Store(t)
	return t
}

// set is what the entry signs.
func (e *entry) set() Set {
	s := Set{Owner: e.blob[:e.owner], Type: e.typ, TTL: e.ttl}
	for list := e.blob[e.owner:e.head]; len(list) > 0; {
		end := 2 + int(binary.BigEndian.Uint16(list))
		s.Data, list = append(s.Data, list[2:end]), list[end:]
	}
	return s
}

// Begin starts a look at all sets of the zone: each is shown with Keep, then comes End.
func (b *Book) Begin() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.look.Add(1)
	b.whole, b.failing = b.use.Load(), map[uint64]bool{}
}

// Keep reports that a set stands signed with the keys in use and is not due, and has it stay.
func (b *Book) Keep(s *Set) bool {
	u := b.use.Load()
	if u == nil {
		return true // nothing can be done
	}
	e := b.find(s, b.salted(s))
	if e == nil {
		b.missing.Add(1)
		return false
	}
	e.seen.Store(b.look.Load())
	return u.fresh(e, b.clock.Load())
}

// Sign signs a set that Keep did not find, and keeps it. renewed says that an older signature stood there. When it
// fails the older one stays.
func (b *Book) Sign(s *Set) (renewed bool, err error) {
	u := b.use.Load()
	if u == nil {
		return false, ErrNoKeys
	}
	h := b.salted(s)
	e, err := newEntry(b, u, s, h, b.clock.Load())
	b.mu.Lock()
	defer b.mu.Unlock()
	if err != nil {
		b.failing[h], b.trouble = true, fmt.Sprintf("%s %s: %v", zone.Text(s.Owner), dns.Type(s.Type), err)
		return false, err
	}
	if renewed = b.find(s, h) != nil; !renewed {
		b.missing.Add(-1)
	}
	e.seen.Store(b.look.Load())
	b.put(e)
	return renewed, nil
}

// End ends the look that Begin began: what was not shown in this one and the one before goes.
func (b *Book) End() {
	b.mu.Lock()
	defer b.mu.Unlock()
	kept := 0
	b.wanted = 0
	keep := func(e *entry) bool { return b.look.Load()-e.seen.Load() < 2 }
	t := b.table.Load()
	for i := range t.slots {
		e := t.slots[i].Load()
		if e == nil {
			continue
		}
		if keep(e) {
			kept++
		}
		if e.seen.Load() == b.look.Load() {
			b.wanted++
		}
	}
	if kept < b.held {
		size := smallest
		for size < 3*kept {
			size *= 2
		}
		b.rebuild(size, keep)
	}
	if len(b.failing) == 0 {
		b.trouble = ""
		if u := b.use.Load(); u != nil && u == b.whole {
			u.done.Store(true)
		}
	}
	b.whole, b.ended = nil, b.look.Load()
	b.missing.Store(0)
}

// crowd is how many entries may gather that the last look did not want.
const crowd = 2048

// Crowded reports that more sets are kept than a look at everything would leave, by far: it is time for one.
func (b *Book) Crowded() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.held > 2*b.wanted+crowd
}

// Held is how many sets are kept.
func (b *Book) Held() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.held
}

// Done reports that everything is signed with the keys in use.
func (b *Book) Done() bool {
	u := b.use.Load()
	return u != nil && u.done.Load()
}

// Status of the zone's signatures.
func (b *Book) Status() Status {
	b.mu.Lock()
	ended := b.ended
	s := Status{Zone: b.zone, Failing: len(b.failing), Trouble: b.trouble, LongestTTL: time.Duration(b.longest) * time.Second}
	b.mu.Unlock()
	u := b.use.Load()
	if u == nil {
		return s
	}
	s.HasKeys, s.Using = true, u.keys.Mark
	if u.done.Load() {
		s.Mark = u.keys.Mark
	}
	now, t := b.clock.Load(), b.table.Load()
	var oldest, newest, next int64
	for i := range t.slots {
		e := t.slots[i].Load()
		if e == nil || e.seen.Load() < ended {
			continue
		}
		s.Sets++
		if u.holds(e, now) {
			s.Signed++
		}
		if !u.fresh(e, now) {
			s.Waiting++
		}
		ends := e.expires + int64(Margin/time.Second)
		if oldest == 0 || ends < oldest {
			oldest = ends
		}
		if newest = max(newest, ends); next == 0 || e.renew < next {
			next = e.renew
		}
	}
	more := max(int(b.missing.Load()), 0)
	s.Sets, s.Waiting = s.Sets+more, s.Waiting+more
	if oldest > 0 {
		s.Oldest, s.Newest, s.Next = time.Unix(oldest, 0), time.Unix(newest, 0), time.Unix(next, 0)
	}
	return s
}
