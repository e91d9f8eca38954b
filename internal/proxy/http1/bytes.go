package http1

import (
	"encoding/binary"
	"math/bits"
)

// Classes of bytes.
const (
	token  = 1 << iota // of names and methods [RFC 9110 5.6.2]
	value              // of field values: visible, blank, tab, and bytes above ASCII [RFC 9110 5.5]
	target             // of request targets: visible ASCII but #
	host               // of names in Host: letters, digits, - . _
	digit
	alphanumeric
)

var class = func() (t [256]byte) {
	for c := range 256 {
		b := byte(c)
		letter := b|0x20 >= 'a' && b|0x20 <= 'z'
		number := b >= '0' && b <= '9'
		visible := b > ' ' && b < 0x7F
		set := func(bit byte, on bool) {
			if on {
				t[c] |= bit
			}
		}
		set(alphanumeric, letter || number)
		set(digit, number)
		set(host, letter || number || b == '-' || b == '.' || b == '_')
		set(token, letter || number || contains("!#$%&'*+-.^_`|~", b))
		set(target, visible && b != '#')
		set(value, visible || b == ' ' || b == '\t' || b >= 0x80)
	}
	return t
}()

func contains(s string, b byte) bool {
	for i := range len(s) {
		if s[i] == b {
			return true
		}
	}
	return false
}

// all reports the first byte that is not of the class, or len(b).
func all(b []byte, of byte) int {
	for i, c := range b {
		if class[c]&of == 0 {
			return i
		}
	}
	return len(b)
}

// Eight bytes at a time. Each function below looks at words of eight bytes, in which it sets the highest bit of every byte
// that it looks for. A borrow may set bits above the lowest one that is right; so only the lowest is used.
const (
	ones  = 0x0101010101010101
	highs = 0x8080808080808080
	cases = 0x2020202020202020 // makes upper-case letters lower
)

// zeros marks bytes that are 0.
func zeros(x uint64) uint64 { return (x - ones) & ^x & highs }

// below marks bytes less than n, which is at most 128.
func below(x, n uint64) uint64 { return (x - n*ones) & ^x & highs }

// lowest is the number of the lowest byte that is marked.
func lowest(marks uint64) int { return bits.TrailingZeros64(marks) / 8 }

// valueEnd is where the first byte from i on stands that no value can have, or len(b).
func valueEnd(b []byte, i int) int {
	for ; i <= len(b)-8; i += 8 {
		x := binary.LittleEndian.Uint64(b[i:])
		marks := below(x, ' ') | zeros(x^0x7F*ones)
		if marks == 0 {
			continue
		}
		if i += lowest(marks); b[i] != '\t' {
			return i
		}
		i -= 7 // behind the tab
	}
	for ; i < len(b) && class[b[i]]&value != 0; i++ { //nolint:revive // the end is the result
	}
	return i
}

// targetEnd is where the first byte from i on stands that no target can have, or len(b).
func targetEnd(b []byte, i int) int {
	for ; i <= len(b)-8; i += 8 {
		x := binary.LittleEndian.Uint64(b[i:])
		if marks := below(x, '!') | zeros(x^'#'*ones) | zeros(x^0x7F*ones) | x&highs; marks != 0 {
			return i + lowest(marks)
		}
	}
	for ; i < len(b) && class[b[i]]&target != 0; i++ { //nolint:revive // the end is the result
	}
	return i
}

// nameEnd is where the first byte from i on stands that no name can have, or len(b). plain: there are only letters and -,
// else there may be others.
func nameEnd(b []byte, i int) (end int, plain bool) {
	for ; i <= len(b)-8; i += 8 {
		x := binary.LittleEndian.Uint64(b[i:])
		low := x&^highs | cases
		letters := (low + (0x80-'a')*ones) &^ (low + (0x7F-'z')*ones) // nothing is carried from one byte to the next
		others := (x&^highs ^ '-'*ones) + 0x7F*ones
		if marks := (others&^letters | x) & highs; marks != 0 {
			if i += lowest(marks); b[i] == ':' {
				return i, true
			}
			break
		}
	}
	for ; i < len(b) && class[b[i]]&token != 0; i++ { //nolint:revive // the end is the result
	}
	return i, false
}

func blank(c byte) bool { return c == ' ' || c == '\t' }

// lower is ASCII's.
func lower(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		return c | 0x20
	}
	return c
}

// equalFold compares with a word in lower case, ASCII only: other letters do not fold [RFC 9110 5.1].
func equalFold(b []byte, word string) bool {
	if len(b) != len(word) {
		return false
	}
	for i, c := range b {
		if lower(c) != word[i] {
			return false
		}
	}
	return true
}

// same compares two texts as equalFold does.
func same(a, b []byte) bool {
	if len(a) != len(b) {
		return false
	}
	for i, c := range a {
		if lower(c) != lower(b[i]) {
			return false
		}
	}
	return true
}

// list is what is left of a comma-separated one [RFC 9110 5.6.1].
type list []byte

// next takes the first element that is not empty; at the end there is none.
func (l *list) next() []byte {
	for len(*l) > 0 {
		b := []byte(*l)
		end := 0
		for end < len(b) && b[end] != ',' {
			end++
		}
		*l = list(b[min(end+1, len(b)):])
		from := 0
		for from < end && blank(b[from]) {
			from++
		}
		for end > from && blank(b[end-1]) {
			end--
		}
		if from < end {
			return b[from:end]
		}
	}
	return nil
}

// IsToken reports that s can be a method or the name of a field [RFC 9110 5.6.2].
func IsToken[T string | []byte](s T) bool {
	for i := range len(s) {
		if class[s[i]]&token == 0 {
			return false
		}
	}
	return len(s) > 0
}

// IsValue reports that s can be the value of a field as it stands, with no blank at its ends [RFC 9110 5.5].
func IsValue[T string | []byte](s T) bool {
	for i := range len(s) {
		if class[s[i]]&value == 0 {
			return false
		}
	}
	return len(s) == 0 || !blank(s[0]) && !blank(s[len(s)-1])
}
