package profile

import (
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// Bounds of one text. They keep a hostile document from costing more than its size.
const (
	maxFileBytes     = 16 << 20 // a configuration file
	maxDocumentBytes = 1 << 20  // one shared document: what one write to the store can carry
	maxDepth         = 64       // nesting, aliases expanded
	maxSiblings      = 10_000   // keys of one block mapping (the parser's work grows with their square)
	maxBare          = 1000     // keys and entries without a value (the same square)
	maxExpansion     = 4        // aliases may multiply a text this often ...
	freeExpansion    = 10_000   // ... and small texts may grow to this many values
)

// parse turns JSON or YAML text into a tree, or reports why it cannot. A tree may come with problems: parts that could
// not be understood are kindBad, and decoding goes on around them.
func (r *report) parse(data []byte, limit int) (root *node) {
	start := &at{line: 1, column: 1}
	defer func() { // the YAML library is not ours: whatever it does, an operator gets a message and no crash
		if p := recover(); p != nil {
			r.errorf(start, "cannot be read as YAML: the parser gave up (%v); check quotes, brackets and indentation", p)
			root = nil
		}
	}()
	if len(data) > limit {
		r.errorf(start, "%d bytes are too many; allowed: at most %d bytes; split it", len(data), limit)
		return nil
	}
	text := strings.TrimPrefix(string(data), "\ufeff")
	if !r.plainText(text) {
		return nil
	}
	tokens := lexer.Tokenize(text)
	if !r.boundedTokens(tokens) {
		return nil
	}
	file, err := parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		mended := mendBlockComments(text)
		if mended == text {
			r.syntax(text, err)
			return nil
		}
		var again error
		if file, again = parser.Parse(lexer.Tokenize(mended), 0, parser.AllowDuplicateMapKey()); again != nil {
			r.syntax(text, err)
			return nil
		}
	}
	return r.build(file)
}

// blockHeader ends a line that opens a block text and has a comment behind it.
var blockHeader = regexp.MustCompile(`[:-][ \t]+[|>][-+0-9]*[ \t]+#[^\n]*$`)

// mendBlockComments blanks comment lines that continue the comment behind `|`: to YAML they are the first line of the
// text, and being indented deeper than the rest they make it invalid. People write them all the same, our own
// documentation does. It is asked only about text that cannot be parsed, so it changes the meaning of nothing.
func mendBlockComments(text string) string {
	lines := strings.Split(text, "\n")
	for i := 0; i < len(lines); i++ {
		if !blockHeader.MatchString(strings.TrimSuffix(lines[i], "\r")) {
			continue
		}
		first := i + 1
		for first < len(lines) && strings.HasPrefix(strings.TrimLeft(lines[first], " "), "#") {
			first++
		}
		for j := i + 1; j < first && first < len(lines) && indent(lines[j]) > indent(lines[first]); j++ {
			lines[j] = ""
		}
		i = first - 1
	}
	return strings.Join(lines, "\n")
}

func indent(line string) int { return len(line) - len(strings.TrimLeft(line, " ")) }

// plainText refuses what is not UTF-8 text, with the place of the first bad byte.
func (r *report) plainText(text string) bool {
	for i, c := range text {
		bad := c < ' ' && c != '\t' && c != '\n' && c != '\r' || c == 0x7f
		if c == utf8.RuneError {
			_, size := utf8.DecodeRuneInString(text[i:])
			bad = size == 1
		}
		if bad {
			line := 1 + strings.Count(text[:i], "\n")
			column := 1 + utf8.RuneCountInString(text[strings.LastIndexByte(text[:i], '\n')+1:i])
			r.errorf(&at{line: line, column: column}, "byte 0x%02x is not text; allowed: UTF-8 without control characters; save the file as UTF-8", text[i])
			return false
		}
	}
	return true
}

// boundedTokens refuses nesting that would make the recursive parser expensive, before it runs.
func (r *report) boundedTokens(tokens token.Tokens) bool {
	flow, line, inLine, bare := 0, 0, 0, 0
	siblings := map[int]int{} // column -> keys seen there since something stood further left
	for _, tk := range tokens {
		pos := tk.Position
		if withoutValue(tk) {
			if bare++; bare > maxBare {
				r.errorf(tokenAt(tk), "more than %d keys or list entries without a value; remove them", maxBare)
				return false
			}
		}
		if pos.Line != line {
			line, inLine = pos.Line, 0
		}
		switch tk.Type { // only what nests is counted
		case token.MappingStartType, token.SequenceStartType:
			flow++
		case token.MappingEndType, token.SequenceEndType:
			flow--
		case token.SequenceEntryType:
			inLine++
			forget(siblings, pos.Column)
		case token.MappingKeyType, token.TagType, token.AnchorType:
			inLine++
		case token.MappingValueType:
			if flow > 0 || tk.Prev == nil {
				continue
			}
			column := tk.Prev.Position.Column
			siblings[column]++
			forget(siblings, column)
			if siblings[column] > maxSiblings {
				r.errorf(tokenAt(tk), "more than %d keys in one mapping; split the file", maxSiblings)
				return false
			}
		}
		if flow > maxDepth || inLine > maxDepth || pos.Column > 16*maxDepth && tk.Type == token.MappingValueType && flow == 0 {
			r.errorf(tokenAt(tk), "nested too deeply; allowed: %d levels", maxDepth)
			return false
		}
	}
	return true
}

// withoutValue reports a dash or colon with nothing behind it before the next key or entry.
func withoutValue(tk *token.Token) bool {
	next := tk.Next
	if next == nil || next.Position.Line <= tk.Position.Line {
		return false
	}
	switch tk.Type { // the two that want a value
	case token.SequenceEntryType:
		return next.Position.Column <= tk.Position.Column
	case token.MappingValueType:
		if tk.Prev == nil {
			return false
		}
		key := tk.Prev.Position.Column
		return next.Position.Column < key || next.Position.Column == key && next.Type != token.SequenceEntryType
	}
	return false
}

// forget drops the counts of what stood further right: a new key or list item ends those mappings.
func forget(siblings map[int]int, column int) {
	for c := range siblings {
		if c > column {
			delete(siblings, c)
		}
	}
}

func tokenAt(tk *token.Token) *at {
	if tk == nil || tk.Position == nil {
		return &at{line: 1, column: 1}
	}
	return &at{line: tk.Position.Line, column: tk.Position.Column}
}
