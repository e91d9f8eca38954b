package denial

import (
	"bytes"

	"jurymast/internal/nameserver/wire"
)

// Bytes of a key: a label ends with one below all that stand in labels.
const (
	endOfLabel = 0
	escape     = 1 // before 0 and 1 of a label, each made one higher
)

// AppendKey appends what makes bytes.Compare order names as RFC 4034 6.1 does: labels in ASCII lower case from the root
// down. A name's key is the beginning of the keys of all names below it. The name is in wire form, valid and not
// compressed; its key is at most 2*255 bytes.
func AppendKey(to, name []byte) []byte {
	var starts [wire.MaxName]uint8
	n := 0
	for i := 0; name[i] != 0; i += 1 + int(name[i]) {
		starts[n] = uint8(i)
		n++
	}
	for n--; n >= 0; n-- {
		at := int(starts[n])
		for _, c := range name[at+1 : at+1+int(name[at])] {
			if c = wire.Lower(c); c <= escape {
				to = append(to, escape)
				c++
			}
			to = append(to, c)
		}
		to = append(to, endOfLabel)
	}
	return to
}

// Compare orders two names in wire form canonically [RFC 4034 6.1]: -1, 0 or 1.
func Compare(a, b []byte) int {
	var one, two [2 * wire.MaxName]byte
	return bytes.Compare(AppendKey(one[:0], a), AppendKey(two[:0], b))
}
