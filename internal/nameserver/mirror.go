package nameserver

import (
	"bytes"
	"encoding/binary"
	"iter"
	"time"

	"github.com/miekg/dns"

	"jurymast/internal/nameserver/zone"
	"jurymast/internal/snapshot"
)

// What fits into the driver's table; package xdp, which is there on Linux only, has the same numbers.
const (
	hotName    = 68  // bytes of a name in wire form
	hotLabels  = 8   // of it
	hotRecords = 128 // bytes of an answer section
)

// driverTable is what the network driver answers from. Names are in wire form and lower case.
type driverTable interface {
	// Offer has a question answered so from now on. If that cannot be at once, done is false and the question goes to
	// the sockets from now on: offer it again after Settle.
	Offer(name []byte, typ uint16, answer hot) (done bool, err error)
	Withdraw(name []byte, typ uint16) error
	Clear() error
	Settle() error // waits for tens of milliseconds; the rest may be called meanwhile

	// Alive has the table answer for so long from now; below zero everything goes to the sockets at once.
	Alive(d time.Duration) error
}

// hot is the answer to a question that is asked in the driver.
type hot struct {
	ready
	signed bool   // the zone is: who wants signatures asks the sockets
	slot   uint32 // counts it: slotStatic, or one more than the number of the answer in the book
}

// slotStatic counts answers that are no profile's.
const slotStatic = 0

// hotQuestion is what the driver can be asked: a name in wire form and lower case, and a type.
type hotQuestion struct {
	name string
	typ  uint16
}

// mirror keeps a driver's table equal to what the quick way answers, from one snapshot to the next. What is wrong with a
// new snapshot is taken out, or replaced by what is right in one step, before anything is added.
//
//	view published     the names of its profile
//	documents changed  every answer given so far, then all names
//	Settle is over     what could not be had at once
type mirror struct {
	table driverTable
	book  *book
	most  int    // answers held at once
	slots uint32 // counters there are

	from  responder // from its snapshot, as the quick way sees it
	conf  *config
	limit time.Duration      // that something wrong may be answered
	hosts map[int32][]string // names of profiles, by number

	held  map[hotQuestion]hot
	waits map[hotQuestion]bool // of them, those the table does not have yet
	left  map[hotQuestion]bool // what would be answered if it fitted
	used  []uint32             // slots in the order they came up
	seen  map[uint32]bool      // the same
}

func newMirror(table driverTable, slot snapshot.Slot, b *book, most, slots int) *mirror {
	return &mirror{
		table: table, book: b, most: most, slots: uint32(slots), from: responder{slot: slot}, limit: wrongFor, //nolint:gosec // at most a million
		held: map[hotQuestion]hot{}, waits: map[hotQuestion]bool{}, left: map[hotQuestion]bool{}, seen: map[uint32]bool{},
	}
}

// follow makes the table answer as a newer snapshot does.
func (m *mirror) follow(s *snapshot.Snapshot) error {
	before := m.from.snap
	m.from.snap = s
	conf, _ := s.Config(m.from.slot).(*config)
	if before == nil || conf != m.conf {
		m.conf = conf
		return m.reload()
	}
	for i := range s.Changed(before) {
		for _, name := range m.hosts[int32(i)] { //nolint:gosec // profiles are numbered from 0
			for _, typ := range hostTypes {
				if err := m.update(hotQuestion{name, typ}); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// hostTypes are what a profile's host name may have made ready, the last one where its choice is a host name.
var hostTypes = []uint16{dns.TypeA, dns.TypeAAAA, dns.TypeCNAME}

// wrongFor is how long new documents may be looked through while what they make wrong is still answered. Then the sockets
// answer everything until that is done.
const wrongFor = 4 * time.Millisecond

// reload goes through all there is, first through what may be wrong now.
func (m *mirror) reload() error {
	clear(m.left)
	m.hosts = map[int32][]string{}
	if m.conf == nil {
		clear(m.held)
		clear(m.waits)
		return m.table.Clear()
	}
	start, n, quiet := time.Now(), 0, false
	for q := range m.held {
		if n++; n%64 == 0 && !quiet && time.Since(start) >= m.limit {
			quiet = true
			if err := m.table.Alive(-time.Second); err != nil {
				return err
			}
		}
		if err := m.update(q); err != nil {
			return err
		}
	}
	if quiet {
		if err := m.table.Alive(beatLasts); err != nil {
			return err
		}
	}
	for name, at := range m.conf.index.all() {
		if at.profile != zone.NoProfile {
			m.hosts[at.profile] = append(m.hosts[at.profile], name)
		}
		for typ := range m.conf.index.types(at) {
			if err := m.update(hotQuestion{name, typ}); err != nil {
				return err
			}
		}
	}
	return nil
}

// again offers what could not be had at once.
func (m *mirror) again() error {
	for q := range m.waits {
		if err := m.update(q); err != nil {
			return err
		}
	}
	return nil
}

// update makes the table answer one question as the quick way does.
func (m *mirror) update(q hotQuestion) error {
	want := m.want(q)
	has, there := m.held[q]
	switch {
	case want.records == 0 && !there:
		delete(m.left, q)
		return nil
	case there && !m.waits[q] && want.slot == has.slot && want.signed == has.signed && want.records == has.records && bytes.Equal(want.data, has.data):
		m.held[q] = want // the same, and nothing older is kept for it
		return nil
	case want.records == 0 || !m.fits(q, want, there):
		if want.records > 0 {
			m.left[q] = true
		}
		delete(m.held, q)
		delete(m.waits, q)
		if !there {
			return nil
		}
		return m.table.Withdraw([]byte(q.name), q.typ)
	}
	done, err := m.table.Offer([]byte(q.name), q.typ, want)
	if err != nil {
		return err
	}
	m.held[q] = want
	delete(m.left, q)
	delete(m.waits, q)
	if !done {
		m.waits[q] = true
	}
	if !m.seen[want.slot] {
		m.seen[want.slot], m.used = true, append(m.used, want.slot)
	}
	return nil
}

// want is what the quick way answers, without records if it leaves the question to the long one.
func (m *mirror) want(q hotQuestion) (h hot) {
	at := m.conf.index.find([]byte(q.name))
	if at == nil {
		return h
	}
	var by *compiled
	h.signed = at.signed > 0
	if h.ready, by = m.from.made(m.conf.index, at, q.typ); by != nil && at.alias && by.alias() != nil {
		h.ready = m.from.pointed(m.conf, by, []byte(q.name), q.typ)
		h.data = bytes.Clone(h.data) // it belongs to the responder
	}
	if by != nil && h.records > 0 {
		h.slot = by.leaves[by.always.Leaf].number(m.book, by.always.Rule) + 1
	}
	return h
}

// fits reports that an answer may be in the table.
func (m *mirror) fits(q hotQuestion, h hot, there bool) bool {
	switch {
	case len(q.name) > hotName, labels(q.name) > hotLabels, len(h.data) > hotRecords, h.slot >= m.slots:
		return false
	case q.typ >= 'A' && q.typ <= 'z': // folding letters would take it for another
		return false
	}
	return there || len(m.held) < m.most
}

func labels(name string) (n int) {
	for ; name[0] != 0; n++ {
		name = name[1+name[0]:]
	}
	return n
}

// all are the names of the index.
func (x *index) all() iter.Seq2[string, *slot] {
	return func(yield func(string, *slot) bool) {
		for i := range x.slots {
			if s := &x.slots[i]; s.length > 0 && !yield(string(x.slab[s.at:int(s.at)+int(s.length)]), s) {
				return
			}
		}
	}
}

// types are those that have something ready at a name, or may have.
func (x *index) types(s *slot) iter.Seq[uint16] {
	return func(yield func(uint16) bool) {
		if s.profile != zone.NoProfile {
			for _, typ := range hostTypes {
				if typ == dns.TypeCNAME && !s.alias || !yield(typ) {
					return
				}
			}
			return
		}
		for list := x.slab[int(s.at)+int(s.length):]; ; {
			typ := binary.BigEndian.Uint16(list)
			if typ == 0 || !yield(typ) {
				return
			}
			list = list[setHead+int(binary.BigEndian.Uint16(list[4:])):]
		}
	}
}

// size is how many questions the index has something ready for, or may have.
func (x *index) size() (n int) {
	for _, s := range x.all() {
		for range x.types(s) {
			n++
		}
	}
	return n
}
