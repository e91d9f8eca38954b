package profile

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/goccy/go-yaml/token"
)

// syntax reports an error of the YAML library in our words. The library tells where it noticed; a quote or bracket that
// was never closed stands further up, so that is looked for first.
func (r *report) syntax(text string, err error) {
	var located interface {
		error
		GetMessage() string
		GetToken() *token.Token
	}
	if !errors.As(err, &located) {
		r.errorf(&at{line: 1, column: 1}, "not valid YAML: %v; check quotes, brackets and indentation", err)
		return
	}
	message, place := located.GetMessage(), tokenAt(located.GetToken())
	place.line, place.column = max(place.line, 1), max(place.column, 1)
	if strings.Contains(message, "character '\t'") {
		r.errorf(place, "not valid YAML: a tab cannot indent; use spaces")
		return
	}
	lines := strings.Split(text, "\n")
	if m := findMistake(lines, place); m != nil {
		r.errorf(&at{line: m.line, column: m.column}, "not valid YAML: %s", m.text)
		return
	}
	r.errorf(place, "not valid YAML: %s", plainWords(message, place, lines))
}

// mistake is a quote or bracket that explains why a text is no YAML.
type mistake struct {
	line, column int
	text         string
}

var (
	textHeader = regexp.MustCompile(`(^|[:-])[ \t]+[|>][-+0-9]*[ \t]*(#.*)?\r?$`)
	looksBlock = regexp.MustCompile(`^\s*(- |[A-Za-z_][\w.-]*:(\s|$))`)
	glueColon  = regexp.MustCompile(`^\s*(?:- )?([A-Za-z_]\w*):([^\s/].*)$`)
)

// mark is an opening quote or bracket.
type mark struct {
	c            byte
	line, column int
}

// hunter walks over a text that is no YAML, for quotes and brackets alone.
type hunter struct {
	quote    mark
	brackets []mark
	found    *mistake
}

// findMistake looks for the first quote or bracket that cannot be meant, up to the line where the library gave up; a
// bracket or quote still open there is the mistake.
func findMistake(lines []string, place *at) *mistake {
	h := &hunter{}
	skip := -1 // indentation of the key whose block text is being skipped
	for i := 0; i < len(lines) && h.found == nil; i++ {
		line := lines[i]
		if strings.TrimSpace(line) == "" || skip >= 0 && indent(line) > skip {
			continue
		}
		skip = -1
		if i+1 > place.line {
			break
		}
		if h.quote.line > 0 && looksBlock.MatchString(line) {
			break
		}
		if h.quote.line == 0 && len(h.brackets) > 0 && looksBlock.MatchString(line) && !goesOn(lines[i-1]) {
			break
		}
		h.line(i+1, line)
		if h.quote.line == 0 && len(h.brackets) == 0 && textHeader.MatchString(line) {
			skip = indent(line)
		}
	}
	switch n := len(h.brackets); {
	case h.found != nil:
		return h.found
	case h.quote.line > 0:
		return &mistake{h.quote.line, h.quote.column, fmt.Sprintf("the quote that opens here is not closed; write %c at the end of the value", h.quote.c)}
	case n > 0 && (h.brackets[n-1].line < place.line || place.line >= len(lines)-1):
		b := h.brackets[n-1]
		return &mistake{b.line, b.column, fmt.Sprintf("the %c that opens here is not closed; write %c behind its last entry", b.c, closing(b.c))}
	}
	return nil
}

// goesOn reports that inside brackets the next line may hold a further entry.
func goesOn(line string) bool {
	line = strings.TrimRight(line, " \r")
	return line == "" || strings.ContainsAny(line[len(line)-1:], "[{,")
}

func closing(c byte) byte {
	if c == '[' {
		return ']'
	}
	return '}'
}

// line walks over one line. Quotes and brackets count only where a value may begin; in plain text they are text.
func (h *hunter) line(number int, line string) {
	fresh := true
	for i := 0; i < len(line) && h.found == nil; i++ {
		c := line[i]
		blankNext := i+1 >= len(line) || line[i+1] == ' ' || line[i+1] == '\r'
		switch {
		case h.quote.line > 0:
			i = h.inQuote(number, line, i)
			fresh = false
		case c == ' ' || c == '\t' || c == '\r':
		case c == '#' && (i == 0 || line[i-1] == ' '):
			return
		case fresh && (c == '"' || c == '\''):
			h.quote = mark{c, number, i + 1}
		case fresh && (c == '[' || c == '{'):
			h.brackets = append(h.brackets, mark{c, number, i + 1})
		case len(h.brackets) > 0 && (c == ']' || c == '}'):
			h.closed(number, i, c)
			fresh = false
		default:
			fresh = c == ':' && blankNext || c == '-' && fresh && blankNext || c == ',' && len(h.brackets) > 0
		}
	}
}

func (h *hunter) closed(number, i int, c byte) {
	b := h.brackets[len(h.brackets)-1]
	if closing(b.c) != c {
		h.found = &mistake{number, i + 1, fmt.Sprintf("this %c closes the %c in line %d; write %c before it", c, b.c, b.line, closing(b.c))}
		return
	}
	h.brackets = h.brackets[:len(h.brackets)-1]
}

// inQuote handles one byte inside quotes and returns the index to go on from.
func (h *hunter) inQuote(number int, line string, i int) int {
	c := line[i]
	switch {
	case c == '\\' && h.quote.c == '"':
		return i + 1
	case c != h.quote.c:
		return i
	case c == '\'' && i+1 < len(line) && line[i+1] == '\'':
		return i + 1
	}
	if i+1 < len(line) && !strings.ContainsRune(" \t\r,]}:", rune(line[i+1])) {
		how := `\"`
		if c == '\'' {
			how = "''"
		}
		if h.quote.line == number {
			h.found = &mistake{number, i + 1, fmt.Sprintf("the value ends at this quote, and more text stands behind it; write %s for a quote inside the value", how)}
			return i
		}
	}
	h.quote = mark{}
	return i
}

// plainWords says what the library's message means and what to do.
func plainWords(message string, place *at, lines []string) string {
	line, next := "", ""
	if place.line <= len(lines) {
		line = strings.TrimRight(lines[place.line-1], "\r")
	}
	if place.line < len(lines) {
		next = lines[place.line]
	}
	switch {
	case strings.Contains(message, "must be specified"):
		return "a comma or the closing bracket is missing before this; write , between entries and ] or } at the end"
	case strings.Contains(message, "reserved character"):
		return fmt.Sprintf("%s; a value cannot begin with it, write the value in quotes", message)
	case glueColon.MatchString(line) && strings.Contains(message, "non-map value"):
		m := glueColon.FindStringSubmatch(line)
		return fmt.Sprintf("a blank is missing behind the colon; write %s: %s", m[1], m[2])
	case strings.Contains(message, "non-map value"):
		return "this line stands among keys and is none; write key: value, with a blank behind the colon"
	case strings.Contains(message, "mapping value is not allowed") && indent(next) > indent(line) && looksBlock.MatchString(next):
		return fmt.Sprintf("line %d is indented deeper than this one, which has a value already; align it with this key", place.line+1)
	case strings.Contains(message, "mapping value is not allowed"):
		return "a second colon with a blank behind it stands in this line; write the value in quotes, or the second key in a line of its own"
	case strings.HasPrefix(message, "value is not allowed") && strings.ContainsAny(line[min(place.column-1, len(line)):min(place.column, len(line))], "]}"):
		return fmt.Sprintf("this %s closes nothing; remove it, or write the opening bracket", line[place.column-1:place.column])
	case strings.HasPrefix(message, "value is not allowed"):
		return "this line fits nothing above it; align it with the key or dash it belongs beside, and check that the value above is complete"
	}
	return message + "; check quotes, brackets and indentation in this line and the one above"
}
