package http1

// Classes of bytes.
const (
	token  = 1 << iota // of names and methods [RFC 9110 5.6.2]
	value              // of field values: visible, blank, tab, and bytes above ASCII [RFC 9110 5.5]
	target             // of request targets: visible ASCII but #
	host               // of names in Host: letters, digits, - . _
	digit
)

var class = func() (t [256]byte) {
	for c := range 256 {
		b := byte(c)
		alpha := b|0x20 >= 'a' && b|0x20 <= 'z'
		number := b >= '0' && b <= '9'
		visible := b > ' ' && b < 0x7F
		set := func(bit byte, on bool) {
			if on {
				t[c] |= bit
			}
		}
		set(digit, number)
		set(host, alpha || number || b == '-' || b == '.' || b == '_')
		set(token, alpha || number || contains("!#$%&'*+-.^_`|~", b))
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

// trim cuts blanks and tabs at both ends and returns how many bytes were cut in front.
func trim(b []byte) ([]byte, int) {
	from, to := 0, len(b)
	for from < to && (b[from] == ' ' || b[from] == '\t') {
		from++
	}
	for to > from && (b[to-1] == ' ' || b[to-1] == '\t') {
		to--
	}
	return b[from:to], from
}

// words calls f for each element of a comma-separated list, empty ones left out [RFC 9110 5.6.1.2], until f says false.
func words(b []byte, f func([]byte) bool) {
	for len(b) > 0 {
		i := 0
		for i < len(b) && b[i] != ',' {
			i++
		}
		if word, _ := trim(b[:i]); len(word) > 0 && !f(word) {
			return
		}
		b = b[min(i+1, len(b)):]
	}
}
