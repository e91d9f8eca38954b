package sign

import (
	"bytes"
	"encoding/binary"
	"slices"

	"github.com/miekg/dns"

	"jurymast/internal/nameserver/wire"
)

// Set is all records of one type at one name, as they are signed.
type Set struct {
	Owner []byte   // wire form, lower case; of a wildcard its own name
	Type  uint16   //
	TTL   uint32   // the original one [RFC 4034 3.1.4]
	Data  [][]byte // RDATA in wire form, names not compressed, in any order
}

// labels of the owner as RRSIG counts them: without the root and a leading "*" [RFC 4034 3.1.3].
func (s *Set) labels() (n uint8) {
	for i := 0; s.Owner[i] != 0; i += 1 + int(s.Owner[i]) {
		n++
	}
	if s.Owner[0] == 1 && s.Owner[1] == '*' {
		n--
	}
	return n
}

// appendCanonical writes the records in canonical form and order [RFC 4034 6].
func (s *Set) appendCanonical(to []byte) []byte {
	list := make([][]byte, len(s.Data))
	for i, d := range s.Data {
		list[i] = canonical(s.Type, d)
	}
	slices.SortFunc(list, bytes.Compare)
	list = slices.CompactFunc(list, bytes.Equal)
	for _, d := range list {
		to = append(to, s.Owner...)
		to = binary.BigEndian.AppendUint16(to, s.Type)
		to = append(to, 0, dns.ClassINET)
		to = binary.BigEndian.AppendUint32(to, s.TTL)
		to = binary.BigEndian.AppendUint16(to, uint16(len(d))) //nolint:gosec // a record's data
		to = append(to, d...)
	}
	return to
}

// layout of the types whose names are written in lower case to be signed [RFC 4034 6.2 as of RFC 6840 5.1]: bytes before
// the first name, and how many names follow each other.
type layout struct{ head, names int }

var layouts = map[uint16]layout{
	dns.TypeNS: {0, 1}, dns.TypeMD: {0, 1}, dns.TypeMF: {0, 1}, dns.TypeCNAME: {0, 1}, dns.TypeMB: {0, 1}, dns.TypeMG: {0, 1},
	dns.TypeMR: {0, 1}, dns.TypePTR: {0, 1}, dns.TypeDNAME: {0, 1}, dns.TypeSOA: {0, 2}, dns.TypeMINFO: {0, 2}, dns.TypeRP: {0, 2},
	dns.TypeMX: {2, 1}, dns.TypeAFSDB: {2, 1}, dns.TypeRT: {2, 1}, dns.TypeKX: {2, 1}, dns.TypePX: {2, 2}, dns.TypeSRV: {6, 1},
	dns.TypeNAPTR: {4, 1},
}

// canonical is the data in canonical form; it may be d itself.
func canonical(typ uint16, d []byte) []byte {
	l, ok := layouts[typ]
	if !ok {
		return d
	}
	at := l.head
	if typ == dns.TypeNAPTR {
		for range 3 { // flags, services, expression: character strings
			if at >= len(d) {
				return d
			}
			at += 1 + int(d[at])
		}
	}
	var out []byte
	var n wire.Name
	for range l.names {
		if at > len(d) {
			return d
		}
		size := n.Set(d[at:])
		if size == 0 {
			return d // not what its type says; checked when the zone was read
		}
		if out == nil {
			out = bytes.Clone(d)
		}
		at += copy(out[at:], n.Key(0))
	}
	return out
}
