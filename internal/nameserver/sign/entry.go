package sign

import (
	"encoding/binary"
	"hash/maphash"
	"math/bits"
	"sync/atomic"
	"time"
	"unsafe"
)

// Signatures are the RRSIG records of one set, ready to be written. The zero value: there are none.
type Signatures struct {
	records []byte
	n       int
}

const recordHead = 12 // bytes of a record before its data, the owner a pointer

// None reports that there are no signatures.
func (s *Signatures) None() bool { return s.n == 0 }

// Count of records.
func (s *Signatures) Count() int { return s.n }

// Len is what Append appends, in bytes.
func (s *Signatures) Len() int { return len(s.records) }

// Append appends the records as they stand behind a question for the owner, with the given TTL.
func (s *Signatures) Append(to []byte, ttl uint32) []byte {
	at := len(to)
	to = append(to, s.records...)
	for range s.n {
		binary.BigEndian.PutUint32(to[at+6:], ttl)
		at += recordHead + int(binary.BigEndian.Uint16(to[at+10:]))
	}
	return to
}

// Data appends the RDATA of each record. It shares memory and is never changed.
func (s *Signatures) Data(to [][]byte) [][]byte {
	for rest := s.records; len(rest) > 0; {
		end := recordHead + int(binary.BigEndian.Uint16(rest[10:]))
		to = append(to, rest[recordHead:end:end])
		rest = rest[end:]
	}
	return to
}

// entry is one set with its signatures, in as few pieces of memory as a reader can do with. It is never changed, but for
// the mark of the last look.
type entry struct {
	hash    uint64
	of      *Book
	by      uint64 // signers' print
	expires int64  // seconds since 1970: from then on it is not sent
	renew   int64  // from then on it is to be made anew
	blob    []byte // owner, then each record's length and data, then RRSIG records
	ttl     uint32
	head    uint32 // bytes of blob before the RRSIG records
	typ     uint16
	records uint16
	owner   uint8 // bytes
	made    uint8 // RRSIG records
	seen    atomic.Uint32

	room [roomy]byte // of blob, if that fits, so that a reader finds all in one place
}

// roomy makes an entry 256 bytes: room for one address and its signature in most cases.
const roomy = 168

// seed of all hashes: the same for all books, so that nobody outside can make sets collide.
var seed = maphash.MakeSeed()

// hash of the content; the order of the records makes no difference.
func (s *Set) hash() uint64 {
	const odd1, odd2 = 0x9E3779B97F4A7C15, 0xD6E8FEB86659FD93
	h := maphash.Bytes(seed, s.Owner) ^ (uint64(s.Type)<<32|uint64(s.TTL))*odd1
	var sum uint64
	for _, d := range s.Data {
		sum += maphash.Bytes(seed, d) * odd2
	}
	h ^= bits.RotateLeft64(sum, 32)
	h *= odd1
	return h ^ h>>29
}

// is reports that the entry is of that content. A set has no record twice, so as many records of which each is there are
// the same ones.
func (e *entry) is(s *Set) bool {
	if e.typ != s.Type || e.ttl != s.TTL || int(e.records) != len(s.Data) || int(e.owner) != len(s.Owner) || string(e.blob[:e.owner]) != string(s.Owner) {
		return false
	}
	list := e.blob[e.owner:e.head]
	for i, d := range s.Data {
		if i > 0 || !starts(list, d) {
			if !e.has(d) {
				return false
			}
		}
	}
	return true
}

// starts reports that the first record of the list is d.
func starts(list, d []byte) bool {
	return int(binary.BigEndian.Uint16(list)) == len(d) && string(list[2:2+len(d)]) == string(d)
}

func (e *entry) has(d []byte) bool {
	for list := e.blob[e.owner:e.head]; len(list) > 0; list = list[2+int(binary.BigEndian.Uint16(list)):] {
		if starts(list, d) {
			return true
		}
	}
	return false
}

func (e *entry) signatures() Signatures { return Signatures{e.blob[e.head:], int(e.made)} }

// bytes the entry takes, about.
func (e *entry) bytes() int {
	n := int(unsafe.Sizeof(*e))
	if len(e.blob) > roomy {
		n += len(e.blob)
	}
	return n
}

// newEntry signs.
func newEntry(b *Book, u *inUse, s *Set, h uint64, now int64) (*entry, error) {
	by := &u.zsk
	if ofKeys(s.Type) {
		by = &u.ksk
	}
	records, at, err := signatures(by.keys, b.apex, s, now)
	if err != nil {
		return nil, err
	}
	size := len(s.Owner) + len(records)
	for _, d := range s.Data {
		size += 2 + len(d)
	}
	e := &entry{
		hash: h, of: b, by: by.print, typ: s.Type, ttl: s.TTL,
		expires: at + int64((Validity-Margin)/time.Second), renew: at + int64(Period/time.Second),
		owner: uint8(len(s.Owner)), records: uint16(len(s.Data)), made: uint8(len(by.keys)), //nolint:gosec // a name, a set that fits a message, a handful of keys
	}
	if e.blob = e.room[:0]; size > roomy {
		e.blob = make([]byte, 0, size)
	}
	e.blob = append(e.blob, s.Owner...)
	for _, d := range s.Data {
		e.blob = append(binary.BigEndian.AppendUint16(e.blob, uint16(len(d))), d...) //nolint:gosec // a record's data
	}
	e.head = uint32(len(e.blob)) //nolint:gosec // a set fits a message
	e.blob = append(e.blob, records...)
	return e, nil
}
