package nameserver

import (
	"encoding/binary"
	"hash/maphash"
	"math"

	"github.com/miekg/dns"

	"jurymast/internal/nameserver/wire"
	"jurymast/internal/nameserver/zone"
)

// index finds names that exist, by all of their bytes in lower case: one hash instead of a walk over the labels. What
// is not in it (wildcards, names below cuts, names that are not there) is found by the walk.
//
// It is an open-addressing table, at most half full, over one slab of bytes: nothing in it is a pointer, so neither the
// collector nor a processor's cache has to follow any. Hashes are keyed, so that nobody outside can make names collide.
// A name in the slab is followed by its static sets:
//
//	name, lower case | type, records, length: 2 bytes each | data | ... | type 0
type index struct {
	slots []slot
	mask  uint64 // of a slot's number
	slab  []byte
}

// nameSeed keys the hashes of names in this process: those of all indexes, and those of buckets, which outlive them.
var nameSeed = maphash.MakeSeed()

// slot is one name of the table.
type slot struct {
	hash    uint32
	at      uint32 // in the slab
	profile int32  // number, or zone.NoProfile
	length  uint8  // of the name, 0: the slot is free
	alias   bool   // the profile may answer with a CNAME here
	signed  uint16 // number of the signed zone, and one; 0: it is not signed
}

// maxIndexed is how many labels a name may have: compression looks no further, see wire.Writer.
const maxIndexed = 60

// unnumbered are signed zones beyond the numbers of a slot.
const unnumbered = math.MaxUint16

// setHead is the length of what stands before a set's data in the slab, in bytes.
const setHead = 6

// ready is one set as it stands in an answer section behind its question: owners are pointers to the question's name.
type ready struct {
	data    []byte
	records uint16
}

// newIndex indexes every name of the zones that questions reach.
func newIndex(c *config) *index {
	x := new(index)
	count := 0
	for _, z := range c.zones {
		count += z.Size()
	}
	size := 8
	for size < 2*count {
		size *= 2
	}
	x.slots, x.mask = make([]slot, size), uint64(size)-1
	var name wire.Name
	for _, z := range c.zones {
		if z.Unloaded || z.Presigned {
			continue // SERVFAIL, or signatures beside the sets when they are wanted
		}
		for n := range z.All() {
			name.Set(n.Name)
			if m := z.Find(&name); m.Kind == zone.Exact && m.Node == n && name.Labels() > 0 && name.Labels() <= maxIndexed && c.find(&name, dns.TypeA) == z {
				x.enter(name.Key(0), n, c.numbers[z])
			}
		}
	}
	return x
}

func (x *index) enter(key []byte, n *zone.Node, signed uint16) {
	if len(x.slab) > math.MaxInt32 || signed == unnumbered || len(n.Sets) == 0 && n.Profile == zone.NoProfile {
		return // an empty name has nothing ready, and a slab of that size leaves the rest to the walk
	}
	h, mask := maphash.Bytes(nameSeed, key), x.mask
	i := h & mask
	for x.slots[i].length != 0 {
		i = (i + 1) & mask
	}
	//nolint:gosec // a name has at most 255 bytes, the slab is bounded above, profiles are numbered from 0
	x.slots[i] = slot{hash: uint32(h >> 32), length: uint8(len(key)), at: uint32(len(x.slab)), profile: int32(n.Profile), alias: n.Alias, signed: signed}
	x.slab = append(x.slab, key...)
	if n.Profile == zone.NoProfile && n.Set(dns.TypeCNAME) == nil {
		for i := range n.Sets {
			if set := &n.Sets[i]; plain(set.Type) && len(set.Data) == 1 {
				x.add(set)
			}
		}
	}
	x.slab = append(x.slab, 0, 0)
}

func (x *index) add(set *zone.RRset) {
	data := appendReady(nil, set, set.TTL)
	if len(data) > udpSize {
		return
	}
	x.slab = binary.BigEndian.AppendUint16(x.slab, set.Type)
	x.slab = binary.BigEndian.AppendUint16(x.slab, uint16(len(set.Data))) //nolint:gosec // a set fits a message
	x.slab = binary.BigEndian.AppendUint16(x.slab, uint16(len(data)))     //nolint:gosec // see above
	x.slab = append(x.slab, data...)
}

// find is the slot of a name in lower case, or nil.
func (x *index) find(key []byte) *slot { return x.hashed(key, maphash.Bytes(nameSeed, key)) }

// hashed is find for who has the hash.
func (x *index) hashed(key []byte, h uint64) *slot {
	for i := h & x.mask; ; i = (i + 1) & x.mask {
		s := &x.slots[i]
		if s.length == 0 {
			return nil
		}
		if s.hash == uint32(h>>32) && int(s.length) == len(key) && string(x.slab[s.at:int(s.at)+len(key)]) == string(key) {
			return s
		}
	}
}

// static is the set of that type which stands at the name, or one without data.
func (x *index) static(s *slot, typ uint16) ready {
	list := x.slab[int(s.at)+int(s.length):]
	for {
		is := binary.BigEndian.Uint16(list)
		if is == 0 {
			return ready{}
		}
		end := setHead + int(binary.BigEndian.Uint16(list[4:]))
		if is == typ {
			return ready{list[setHead:end], binary.BigEndian.Uint16(list[2:])}
		}
		list = list[end:]
	}
}

// plain are the types whose data is written as it stands, and which nothing but their own name decides about.
func plain(typ uint16) bool {
	switch typ {
	case dns.TypeA, dns.TypeAAAA, dns.TypeTXT, dns.TypeCAA, dns.TypeTLSA, dns.TypeSSHFP:
		return true
	}
	return false
}

// readySet is a set, if there is one, behind an imagined question.
func readySet(set *zone.RRset, ttl uint32) ready {
	if set == nil {
		return ready{}
	}
	return ready{appendReady(nil, set, ttl), uint16(len(set.Data))} //nolint:gosec // a set fits a message
}

// appendReady writes a set behind an imagined question.
func appendReady(to []byte, set *zone.RRset, ttl uint32) []byte {
	for _, data := range set.Data {
		to = append(to, 0xC0, wire.HeaderLen)
		to = binary.BigEndian.AppendUint16(to, set.Type)
		to = append(to, 0, dns.ClassINET)
		to = binary.BigEndian.AppendUint32(to, ttl)
		to = binary.BigEndian.AppendUint16(to, uint16(len(data))) //nolint:gosec // a record's data
		to = append(to, data...)
	}
	return to
}

// readyHead is what stands before the data of a ready record, in bytes.
const readyHead = 12
