package figures

import (
	"slices"
	"sync/atomic"
)

// other is what a word is called that is not in its list.
const other = "other"

// list are the words a label may have; the last one is other.
type list struct {
	words []string
	at    map[string]int
}

func listOf(words []string) list {
	l := list{at: map[string]int{}}
	for _, w := range words {
		if _, known := l.at[w]; !known && w != other {
			l.at[w] = len(l.words)
			l.words = append(l.words, w)
		}
	}
	l.words = append(l.words, other)
	return l
}

func (l *list) index(word string) int {
	if i, ok := l.at[word]; ok {
		return i
	}
	return len(l.words) - 1
}

func (l *list) counters() []atomic.Uint64 { return make([]atomic.Uint64, len(l.words)) }

// codes are words of two capital letters, found without a search; the last one is other.
type codes struct {
	list []string
	at   [26 * 26]uint8 // index in list; 0: none, for the first one is never looked for
}

func codesOf(words []string) codes {
	c := codes{list: []string{""}}
	for _, w := range words {
		if i, ok := letters(w); ok && !slices.Contains(c.list, w) && len(c.list) < 255 {
			c.at[i] = uint8(len(c.list)) //nolint:gosec // below 255
			c.list = append(c.list, w)
		}
	}
	c.list = append(c.list, other)
	return c
}

func letters(w string) (int, bool) {
	if len(w) != 2 || w[0] < 'A' || w[0] > 'Z' || w[1] < 'A' || w[1] > 'Z' {
		return 0, false
	}
	return int(w[0]-'A')*26 + int(w[1]-'A'), true
}

func (c *codes) index(word string) int {
	if i, ok := letters(word); ok && c.at[i] > 0 {
		return int(c.at[i])
	}
	return len(c.list) - 1
}
