package denial

import (
	"slices"

	"jurymast/internal/nameserver/wire"
	"jurymast/internal/nameserver/zone"
)

// Compact is the record that says which types are at a name and that no name is between it and its next one, so that
// nothing else is told [RFC 9824 3]. types are those at the name beside RRSIG and NSEC; none: an empty non-terminal.
// The name is in the zone of apex; ttl is in seconds.
func Compact(name, apex []byte, types []uint16, ttl uint32) *zone.RRset {
	data := appendSuccessor(make([]byte, 0, len(name)+24), name, len(apex))
	return nsec(data, types, ttl)
}

// Nothing is the record of a name that is not there.
func Nothing(name, apex []byte, ttl uint32) *zone.RRset {
	return Compact(name, apex, []uint16{TypeNXNAME}, ttl)
}

// nsec makes a set of a next name and the types beside RRSIG and NSEC.
func nsec(next []byte, types []uint16, ttl uint32) *zone.RRset {
	var room [24]uint16
	all := append(append(room[:0], types...), TypeRRSIG, TypeNSEC)
	return &zone.RRset{Type: TypeNSEC, TTL: ttl, Data: [][]byte{appendBitmap(next, all)}}
}

// appendSuccessor appends the next name in canonical order of which a zone with an apex of that many bytes is able, in
// lower case: the name with the label \000 before it, which is 2 bytes longer. Where these do not fit, nothing can be
// below the name, and its first label, or one above when that is the greatest there is, becomes the next one [RFC 4471
// 3.1.2]. Behind the last name comes the apex.
func appendSuccessor(to, name []byte, apex int) []byte {
	if len(name)+2 <= wire.MaxName {
		return appendLower(append(to, 1, 0), name)
	}
	name = appendLower(nil, name)
	if l := int(name[0]); len(name) < wire.MaxName && l < wire.MaxLabel && len(name) > apex {
		name = slices.Insert(name, 1+l, 0)
		name[0]++
		return append(to, name...)
	}
	for len(name) > apex {
		label := name[1 : 1+name[0]]
		end := len(label)
		for end > 0 && label[end-1] == 0xFF {
			end--
		}
		if end > 0 {
			if label[end-1]++; label[end-1] == 'A' { // read as a, which is behind [
				label[end-1] = 'Z' + 1
			}
			return append(append(append(to, byte(end)), label[:end]...), name[1+len(label):]...) //nolint:gosec // at most 63
		}
		name = name[1+len(label):]
	}
	return append(to, name...)
}

func appendLower(to, name []byte) []byte {
	for _, c := range name {
		to = append(to, wire.Lower(c))
	}
	return to
}
