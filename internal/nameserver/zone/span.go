package zone

import (
	"regexp"
	"strings"
)

// directives change what the lines behind them mean.
var directives = regexp.MustCompile(`(?i)^\$(TTL|ORIGIN|INCLUDE)\b`)

// place is a line and a byte column, both from 1; line 0 is nowhere.
type place struct{ line, column int }

// span is the lines of one record, which brackets and quotes may draw over several.
type span struct {
	first, last int
	quote       place // the first quote that its line does not close
	open        place // a bracket that nothing closes
}

// spans cuts zone text into records, with an eye on mistakes alone: the zone parser has the last word.
func spans(text string) []span {
	var list []span
	var brackets []place
	quoted := place{}
	now := span{first: 1}
	line, column := 1, 0
	comment := false
	for i := 0; i < len(text); i++ {
		column++
		switch c := text[i]; {
		case c == '\n':
			if quoted.line > 0 && now.quote.line == 0 {
				now.quote = quoted
			}
			if quoted.line == 0 && len(brackets) == 0 {
				now.last = line
				list, now = append(list, now), span{first: line + 1}
			}
			line, column, comment = line+1, 0, false
		case comment:
		case c == '\\':
			if i+1 < len(text) && text[i+1] != '\n' {
				i, column = i+1, column+1
			}
		case c == '"' && quoted.line > 0:
			quoted = place{}
		case c == '"':
			quoted = place{line, column}
		case quoted.line > 0:
		case c == ';':
			comment = true
		case c == '(':
			brackets = append(brackets, place{line, column})
		case c == ')' && len(brackets) > 0:
			brackets = brackets[:len(brackets)-1]
		}
	}
	if quoted.line > 0 && now.quote.line == 0 {
		now.quote = quoted
	}
	if len(brackets) > 0 {
		now.open = brackets[0]
	}
	now.last = line
	return append(list, now)
}

// spanOf is the record a line belongs to; a line behind the end belongs to the last.
func spanOf(text string, line int) span {
	list := spans(text)
	for _, s := range list {
		if line <= s.last {
			return s
		}
	}
	return list[len(list)-1]
}

// without blanks the record at a line, and those behind it that take their owner from it, so that the rest can be
// judged under the same line numbers. ok is false when the rest would mean something else without it.
func without(text string, line int) (rest string, ok bool) {
	list := spans(text)
	lines := strings.Split(text, "\n")
	for i, s := range list {
		if line > s.last {
			continue
		}
		head := strings.TrimLeft(lines[s.first-1], " \t")
		generate := len(head) >= len("$GENERATE") && strings.EqualFold(head[:len("$GENERATE")], "$GENERATE")
		if s.open.line > 0 || strings.HasPrefix(head, "$") && !generate && directives.MatchString(head) {
			return "", false
		}
		if s.quote.line > 0 { // everything behind the quote is guesswork: only its line goes
			lines[s.quote.line-1] = ""
			return strings.Join(lines, "\n"), true
		}
		last := s.last
		if len(head) == len(lines[s.first-1]) && !generate {
			for _, next := range list[i+1:] {
				first := lines[next.first-1]
				if strings.TrimLeft(first, " \t") == first && strings.TrimSpace(first) != "" && first[0] != ';' {
					break
				}
				last = next.last
			}
		}
		clear(lines[s.first-1 : last])
		return strings.Join(lines, "\n"), true
	}
	return "", false
}
