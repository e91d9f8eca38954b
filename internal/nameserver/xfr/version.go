package xfr

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"iter"
	"slices"

	"jurymast/internal/nameserver/wire"
)

// Record is one record. Its bytes are shared with the zone it is of and never changed.
type Record struct {
	Owner []byte // wire form
	Type  uint16
	TTL   uint32
	Data  []byte // RDATA in wire form, names not compressed
}

// size is roughly what a record takes in a message and in memory.
func (r *Record) size() int { return len(r.Owner) + 10 + len(r.Data) }

// compare orders records; those that are the same to a secondary are equal.
func compare(a, b Record) int {
	return cmp.Or(fold(a.Owner, b.Owner), cmp.Compare(a.Type, b.Type), bytes.Compare(a.Data, b.Data), cmp.Compare(a.TTL, b.TTL))
}

// fold compares names in any order that ignores ASCII case.
func fold(a, b []byte) int {
	for i := range min(len(a), len(b)) {
		if c := cmp.Compare(wire.Lower(a[i]), wire.Lower(b[i])); c != 0 {
			return c
		}
	}
	return cmp.Compare(len(a), len(b))
}

// List is records in order, each once, with their digest. It is never changed.
type List struct {
	Records []Record
	Digest  [sha256.Size]byte
}

// NewList sorts records, which become its own.
func NewList(records []Record) *List {
	slices.SortFunc(records, compare)
	records = slices.CompactFunc(records, func(a, b Record) bool { return compare(a, b) == 0 })
	h := sha256.New()
	var head [8]byte
	for i := range records {
		r := &records[i]
		binary.BigEndian.PutUint16(head[:], r.Type)
		binary.BigEndian.PutUint32(head[2:], r.TTL)
		binary.BigEndian.PutUint16(head[6:], uint16(len(r.Data))) //nolint:gosec // RDATA has at most 65535 bytes
		h.Write(r.Owner)
		h.Write(head[:])
		h.Write(r.Data)
	}
	l := &List{Records: records}
	h.Sum(l.Digest[:0])
	return l
}

// Body is a content: what documents say, and what health says on top. SOA is the SOA's RDATA with the serial that
// documents give it.
type Body struct {
	Apex   []byte // owner of the SOA
	SOA    []byte
	SOATTL uint32
	Keys   string // names what signs; "": the zone is not signed
	Fixed  *List
	Moving *List
	Text   bool // the serial in SOA was written by a person: a change of it alone is a change
}

// soaTail are the five numbers at the end of an SOA, in bytes; the serial is the first.
const soaTail = 20

// Digest names the content: equal on all nodes that see the same documents and health.
func (b *Body) Digest() string {
	h := sha256.New()
	soa := bytes.Clone(b.SOA)
	if !b.Text {
		clear(soa[len(soa)-soaTail : len(soa)-soaTail+4])
	}
	h.Write(b.Apex)
	h.Write(binary.BigEndian.AppendUint32(soa, b.SOATTL))
	h.Write(b.Fixed.Digest[:])
	h.Write(b.Moving.Digest[:])
	h.Write([]byte(b.Keys))
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// WithSerial is an SOA's RDATA with another serial.
func WithSerial(soa []byte, serial uint32) []byte {
	out := bytes.Clone(soa)
	binary.BigEndian.PutUint32(out[len(out)-soaTail:], serial)
	return out
}

// Version is a zone under one serial.
type Version struct {
	Serial uint32
	SOA    Record
	Body   *Body
	Signed Signatures
}

// Signatures are those of a version, all made as of one moment; the zero value: there are none.
type Signatures struct {
	SOA           []Record // over the SOA, which differs from serial to serial
	Fixed, Moving *List    // over the lists of the body; nil: none
	Renew, Until  int64    // when the first is due for renewal, and until when all may be told, in seconds since 1970; 0: unsigned
}

func (l *List) records() []Record {
	if l == nil {
		return nil
	}
	return l.Records
}

// lists are all records but the SOA.
func (v *Version) lists() [5][]Record {
	return [...][]Record{v.Signed.SOA, v.Body.Fixed.Records, v.Signed.Fixed.records(), v.Body.Moving.Records, v.Signed.Moving.records()}
}

// Len is the number of records.
func (v *Version) Len() int {
	n := 1
	for _, list := range v.lists() {
		n += len(list)
	}
	return n
}

// NewVersion gives a content its serial.
func NewVersion(b *Body, serial uint32) *Version {
	return &Version{Serial: serial, Body: b, SOA: Record{Owner: b.Apex, Type: typeSOA, TTL: b.SOATTL, Data: WithSerial(b.SOA, serial)}}
}

const typeSOA = 6

// Size is roughly how large the version is in messages, in bytes.
func (v *Version) Size() int {
	n := 2 * v.SOA.size()
	for r := range v.records() {
		n += r.size()
	}
	return n
}

// records are all but the SOA, signatures of it first.
func (v *Version) records() iter.Seq[*Record] {
	return func(yield func(*Record) bool) {
		for _, list := range v.lists() {
			for i := range list {
				if !yield(&list[i]) {
					return
				}
			}
		}
	}
}

// All is the whole version as AXFR tells it: between two SOAs [RFC 5936 2.2].
func (v *Version) All() iter.Seq[*Record] {
	return func(yield func(*Record) bool) {
		if !yield(&v.SOA) {
			return
		}
		for r := range v.records() {
			if !yield(r) {
				return
			}
		}
		yield(&v.SOA)
	}
}

// sorted are all records but the SOA in order.
func (v *Version) sorted() []Record {
	out := make([]Record, 0, v.Len())
	for r := range v.records() {
		out = append(out, *r)
	}
	slices.SortFunc(out, compare)
	return out
}

// diff is what leads from one version to another.
func diff(from, to *Version) (gone, come []Record) {
	if from.Body.Fixed == to.Body.Fixed { // usual: health alone has changed
		was, is := from.lists(), to.lists()
		for i := range was {
			if same := len(was[i]) > 0 && len(is[i]) > 0 && &was[i][0] == &is[i][0] && len(was[i]) == len(is[i]); !same {
				gone, come = walk(was[i], is[i], gone, come)
			}
		}
		return gone, come
	}
	return walk(from.sorted(), to.sorted(), nil, nil)
}

func walk(from, to, gone, come []Record) ([]Record, []Record) {
	for len(from) > 0 || len(to) > 0 {
		switch c := order(from, to); {
		case c == 0:
			from, to = from[1:], to[1:]
		case c < 0:
			gone, from = append(gone, from[0]), from[1:]
		default:
			come, to = append(come, to[0]), to[1:]
		}
	}
	return gone, come
}

func order(from, to []Record) int {
	switch {
	case len(from) == 0:
		return 1
	case len(to) == 0:
		return -1
	}
	return compare(from[0], to[0])
}
