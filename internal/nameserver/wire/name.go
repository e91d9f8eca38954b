package wire

// Limits of a name in wire form [RFC 1035 2.3.4].
const (
	MaxName   = 255 // bytes, the root label included
	MaxLabel  = 63  // bytes of one label
	maxLabels = 127 // labels before the root
)

// Name is one name made ready for look-up: its bytes as they came, the same in ASCII lower case, and where each label
// starts. The zero Name is not a name; Set makes it one. It is reused from question to question.
type Name struct {
	wire []byte // as given, letter case kept; not copied
	key  [MaxName]byte
	offs [maxLabels + 1]uint8
	n    int // labels before the root
}

// Set reads the uncompressed name at the start of b and returns its length in bytes, or 0 when there is none: a
// compression pointer, a label type of RFC 6891's past, more than 255 bytes, or the end of b.
func (n *Name) Set(b []byte) int {
	i := 0
	n.n = 0
	for {
		if i >= len(b) || i >= MaxName {
			return 0
		}
		l := int(b[i])
		n.key[i] = b[i]
		n.offs[n.n] = uint8(i)
		if l == 0 {
			n.wire = b[:i+1]
			return i + 1
		}
		if l > MaxLabel || i+1+l >= len(b) || i+1+l >= MaxName {
			return 0
		}
		for j := i + 1; j <= i+l; j++ {
			n.key[j] = Lower(b[j])
		}
		n.n++
		i += 1 + l
	}
}

// Labels before the root.
func (n *Name) Labels() int { return n.n }

// Wire is the name as it came, from label i on; 0 is the whole name, Labels() the root.
func (n *Name) Wire(i int) []byte { return n.wire[n.offs[i]:] }

// Key is the name in ASCII lower case [RFC 4343], from label i on.
func (n *Name) Key(i int) []byte { return n.key[n.offs[i]:len(n.wire)] }

// Lower folds one ASCII letter.
func Lower(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		return c + ('a' - 'A')
	}
	return c
}

// EqualFold compares two names in wire form without regard to ASCII case. Length bytes are below 64 and so never
// letters.
func EqualFold(a, b []byte) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] && Lower(a[i]) != Lower(b[i]) {
			return false
		}
	}
	return true
}
