package zone

import (
	"sort"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/miekg/dns"
)

// word is one piece of an entry, a quoted one without its quotes.
type word struct {
	text string
	at   int // byte offset in the zone text
}

// entry is one record or directive of a zone text, in words.
type entry struct {
	at          int // byte offset
	first, last int // lines, from 1
	bare        bool
	words       []word
	escape      int  // offset of an escape that is none, or -1
	broken      bool // a quote or bracket in it is not closed where one would expect it
}

// entries cuts zone text into records and directives as spans does, and those into words.
func entries(text string) []entry {
	c := cutter{text: text, line: 1, word: -1}
	c.begin(0)
	for c.i = 0; c.i < len(text); c.i++ {
		c.step(text[c.i])
	}
	c.end(len(text))
	c.now.broken = c.now.broken || c.quoted || c.open > 0
	c.close()
	return c.list
}

// cutter is where entries has come to.
type cutter struct {
	text string
	i    int
	line int
	list []entry
	now  entry

	word    int // where the current one begins, or -1
	quoted  bool
	comment bool
	open    int
}

func (c *cutter) begin(at int) {
	c.now = entry{at: at, first: c.line, escape: -1, bare: at < len(c.text) && (c.text[at] == ' ' || c.text[at] == '\t')}
}

func (c *cutter) end(at int) {
	if c.word >= 0 {
		c.now.words = append(c.now.words, word{c.text[c.word:at], c.word})
		c.word = -1
	}
}

func (c *cutter) close() {
	if c.now.last = c.line; len(c.now.words) > 0 {
		c.list = append(c.list, c.now)
	}
}

func (c *cutter) step(b byte) {
	switch {
	case b == '\n':
		c.newline()
	case c.comment:
	case b == '\\':
		c.escaped()
	case b == '"':
		c.end(c.i)
		if c.quoted = !c.quoted; c.quoted {
			c.word = c.i + 1
		}
	case c.quoted:
	case b == ';':
		c.end(c.i)
		c.comment = true
	case b == ' ', b == '\t', b == '\r', b == '(', b == ')':
		c.end(c.i)
		switch {
		case b == '(':
			c.open++
		case b == ')' && c.open > 0:
			c.open--
		}
	case c.word < 0:
		c.word = c.i
	}
}

func (c *cutter) newline() {
	c.comment = false
	if c.quoted {
		c.now.broken = true
	} else {
		c.end(c.i)
	}
	if c.quoted || c.open > 0 {
		c.line++
		return
	}
	c.close()
	c.line++
	c.begin(c.i + 1)
}

// escaped takes a backslash and what belongs to it: three digits up to 255, or any one character of the line.
func (c *cutter) escaped() {
	if c.word < 0 {
		c.word = c.i
	}
	n := escapeLen(c.text[c.i:])
	if n == 0 {
		if c.now.escape < 0 {
			c.now.escape = c.i
		}
		if c.i+1 < len(c.text) && c.text[c.i+1] != '\n' {
			c.i++
		}
		return
	}
	c.i += n - 1
}

// escapeLen is how many bytes the escape at the beginning of a text has, 0 when it is none.
func escapeLen(text string) int {
	if len(text) < 2 || text[1] == '\n' || text[1] == '\r' {
		return 0
	}
	if text[1] < '0' || text[1] > '9' {
		return 2
	}
	if len(text) < 4 || strings.Trim(text[1:4], "0123456789") != "" || text[1:4] > "255" {
		return 0
	}
	return 4
}

// entryAt is the entry that a line belongs to, or nil.
func entryAt(list []entry, line int) *entry {
	i := sort.Search(len(list), func(i int) bool { return list[i].last >= line })
	if i == len(list) || list[i].first > line {
		return nil
	}
	return &list[i]
}

// directive is the first word in capitals if it is one, or "".
func (e *entry) directive() string {
	if e.bare || !strings.HasPrefix(e.words[0].text, "$") {
		return ""
	}
	return strings.ToUpper(e.words[0].text)
}

// parts are what stands before the data of a record, and the data.
type parts struct {
	ttl  *word // or nil
	typ  *word // or nil: none was found
	data []word
}

// record splits the words of a record behind its owner as the zone parser does: TTL and class in any order, the type.
func record(words []word) (p parts) {
	class := false
	for i := range words {
		w := &words[i]
		_, isType := typeOf(w.text)
		switch {
		case isClass(w.text):
			if class {
				return p
			}
			class = true
		case isType:
			p.typ, p.data = w, words[i+1:]
			return p
		case p.ttl != nil:
			return p
		default:
			p.ttl = w
		}
	}
	return p
}

func isClass(text string) bool {
	text = strings.ToUpper(text)
	_, ok := dns.StringToClass[text]
	return ok || numbered(text, "CLASS")
}

// typeOf is the number of a type by name or as TYPEnnn, which may be too large.
func typeOf(text string) (number int, ok bool) {
	text = strings.ToUpper(text)
	if typ, ok := dns.StringToType[text]; ok {
		return int(typ), true
	}
	if !numbered(text, "TYPE") {
		return 0, false
	}
	if number, err := strconv.Atoi(text[len("TYPE"):]); err == nil && number <= 65535 {
		return number, true
	}
	return 65536, true
}

func numbered(text, prefix string) bool {
	rest, ok := strings.CutPrefix(text, prefix)
	return ok && rest != "" && strings.Trim(rest, "0123456789") == ""
}

// faultAt is a fault at a byte offset of a text.
func faultAt(text string, at int, message string) *Fault {
	before := text[:at]
	return &Fault{
		Line:   1 + strings.Count(before, "\n"),
		Column: 1 + utf8.RuneCountInString(before[strings.LastIndexByte(before, '\n')+1:]),
		Text:   message,
	}
}
