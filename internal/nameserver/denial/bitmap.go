package denial

import "slices"

// The types that only proofs and signatures have.
const (
	TypeRRSIG  = 46
	TypeNSEC   = 47
	TypeNXNAME = 128 // in the bitmap of a name that is not there [RFC 9824 2]
)

// Bitmap is the Type Bit Maps field of types in any order, repeated ones too [RFC 4034 4.1.2].
func Bitmap(types []uint16) []byte { return appendBitmap(nil, types) }

func appendBitmap(to []byte, types []uint16) []byte {
	var room [24]uint16
	list := append(room[:0], types...)
	slices.Sort(list)
	for i := 0; i < len(list); {
		window := list[i] >> 8
		to = append(to, byte(window), 0)
		at := len(to)
		for ; i < len(list) && list[i]>>8 == window; i++ {
			bit := int(list[i] & 0xFF)
			for len(to)-at <= bit/8 {
				to = append(to, 0)
			}
			to[at+bit/8] |= 0x80 >> (bit % 8)
		}
		to[at-1] = byte(len(to) - at) //nolint:gosec // at most 32
	}
	return to
}

// Has reports that a type is in a valid bitmap.
func Has(bitmap []byte, typ uint16) bool {
	for len(bitmap) > 2 {
		n := int(bitmap[1])
		if bitmap[0] == byte(typ>>8) {
			i := int(typ&0xFF) / 8
			return i < n && bitmap[2+i]&(0x80>>(typ&7)) != 0
		}
		bitmap = bitmap[2+n:]
	}
	return false
}
