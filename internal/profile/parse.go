package profile

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml/ast"
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
			r.syntax(err)
			return nil
		}
		var again error
		if file, again = parser.Parse(lexer.Tokenize(mended), 0, parser.AllowDuplicateMapKey()); again != nil {
			r.syntax(err)
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
	flow, line, inLine := 0, 0, 0
	siblings := map[int]int{} // column -> keys seen there since something stood further left
	for _, tk := range tokens {
		pos := tk.Position
		if pos.Line != line {
			line, inLine = pos.Line, 0
		}
		switch tk.Type { //nolint:exhaustive // only what nests is counted
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

// syntax reports an error of the YAML library in our shape.
func (r *report) syntax(err error) {
	var located interface {
		error
		GetMessage() string
		GetToken() *token.Token
	}
	if !errors.As(err, &located) {
		r.errorf(&at{line: 1, column: 1}, "not valid YAML: %v", err)
		return
	}
	message := located.GetMessage()
	if strings.Contains(message, "character '\t'") {
		message = "a tab cannot indent; use spaces"
	}
	r.errorf(tokenAt(located.GetToken()), "not valid YAML: %s", message)
}

// build picks the only document of a file and turns it into our tree.
func (r *report) build(file *ast.File) *node {
	var body ast.Node
	for _, doc := range file.Docs {
		switch doc.Body.(type) {
		case nil, *ast.DirectiveNode:
			continue
		}
		if body != nil {
			r.errorf(tokenAt(doc.Body.GetToken()), "a second YAML document begins here; allowed: one per file; remove the --- line or split the file")
			return nil
		}
		body = doc.Body
	}
	if body == nil {
		r.errorf(&at{line: 1, column: 1}, "there is nothing in it; write at least one key")
		return nil
	}
	b := &builder{report: r, anchors: map[string]*node{}, open: map[string]bool{}}
	root := b.node(&at{}, body, 1)
	if b.exhausted {
		return nil
	}
	if root.size > freeExpansion+maxExpansion*b.count {
		r.errorf(rootAt(root), "its aliases expand %d values to %d; write the values out", b.count, root.size)
		return nil
	}
	return root
}

// builder turns the library's tree into ours: aliases resolved, merge keys applied, duplicates reported.
type builder struct {
	*report
	anchors map[string]*node
	open    map[string]bool // anchors whose value is being built
	count   int             // nodes built, aliases not counted
	merged  int             // keys copied by merges

	exhausted bool // a bound was reached: the tree is not complete
}

// bad reports a problem and stands in for the node that could not be built.
func (b *builder) bad(a *at, tk *token.Token, format string, args ...any) *node {
	place := tokenAt(tk)
	place.up, place.key, place.index, place.item = a.up, a.key, a.index, a.item
	b.errorf(place, format, args...)
	return &node{kind: kindBad, line: place.line, column: place.column, size: 1, height: 1}
}

func (b *builder) node(a *at, n ast.Node, depth int) *node {
	if n == nil {
		return b.bad(a, nil, "has no value")
	}
	tk := n.GetToken()
	if depth > maxDepth {
		return b.bad(a, tk, "nested too deeply; allowed: %d levels", maxDepth)
	}
	b.count++
	switch n := n.(type) {
	case *ast.MappingNode:
		return b.mapping(a, n.Values, tk, depth)
	case *ast.MappingValueNode:
		return b.mapping(a, []*ast.MappingValueNode{n}, tk, depth)
	case *ast.SequenceNode:
		return b.list(a, n, depth)
	case *ast.AnchorNode:
		return b.anchor(a, n, depth)
	case *ast.AliasNode:
		return b.alias(a, n, depth)
	case *ast.TagNode:
		return b.bad(a, tk, "YAML tags like %s are not supported; write the plain value", n.Start.Value)
	case *ast.LiteralNode:
		return scalar(tk, kindText, n.Value.Value)
	case *ast.StringNode:
		return scalar(tk, kindText, n.Value)
	case *ast.NullNode:
		return scalar(tk, kindNull, "")
	case *ast.BoolNode:
		return scalar(tk, kindBool, strconv.FormatBool(n.Value))
	case *ast.IntegerNode:
		return scalar(tk, kindInt, fmt.Sprint(n.Value))
	case *ast.InfinityNode, *ast.NanNode:
		return b.bad(a, tk, "%s is not a number we can use; write a finite one", tk.Value)
	case *ast.FloatNode:
		if math.IsInf(n.Value, 0) || math.IsNaN(n.Value) {
			return b.bad(a, tk, "%s is not a number we can use; write a finite one", tk.Value)
		}
		return scalar(tk, kindFloat, strconv.FormatFloat(n.Value, 'g', -1, 64))
	}
	return b.bad(a, tk, "%s is not supported here; write a plain value", n.Type())
}

func scalar(tk *token.Token, k kind, text string) *node {
	place := tokenAt(tk)
	return &node{kind: k, text: text, line: place.line, column: place.column, size: 1, height: 1}
}

func (b *builder) list(a *at, n *ast.SequenceNode, depth int) *node {
	place := tokenAt(n.GetToken())
	out := &node{kind: kindList, line: place.line, column: place.column, size: 1, height: 1}
	for i, v := range n.Values {
		if text, keyToken, ok := glued(v); ok {
			b.count++
			out.adopt(scalar(keyToken, kindText, text))
			continue
		}
		out.adopt(b.node(&at{up: a, item: true, index: i}, v, depth+1))
	}
	return out
}

// glued mends how the library reads `{listen: [127.0.0.1:53]}`: inside braces it takes an unquoted host:port in a
// list for a mapping, although YAML wants a blank behind the colon of a mapping (YAML 1.2.2 section 7.3.3).
func glued(n ast.Node) (text string, key *token.Token, ok bool) {
	m, ok := n.(*ast.MappingNode)
	if !ok || len(m.Values) != 1 || m.GetToken().Type != token.MappingValueType {
		return "", nil, false
	}
	key, colon, value := m.Values[0].Key.GetToken(), m.GetToken(), m.Values[0].Value.GetToken()
	at, next := colon.Position, value.Position
	if !plain(key.Type) || !plain(value.Type) || at.Line != next.Line || at.Column+1 != next.Column {
		return "", nil, false
	}
	return key.Value + ":" + value.Value, key, true
}

// plain reports a scalar without quotes.
func plain(t token.Type) bool {
	return t == token.StringType || t == token.IntegerType || t == token.FloatType
}

// adopt appends a list item or counts a mapping's value.
func (n *node) adopt(child *node) {
	if n.kind == kindList {
		n.items = append(n.items, child)
	}
	n.size = min(n.size+child.size, math.MaxInt32)
	n.height = max(n.height, child.height+1)
}

func (b *builder) anchor(a *at, n *ast.AnchorNode, depth int) *node {
	name := n.Name.GetToken().Value
	outer := b.open[name]
	b.open[name] = true
	out := b.node(a, n.Value, depth)
	b.open[name] = outer
	b.anchors[name] = out
	return out
}

func (b *builder) alias(a *at, n *ast.AliasNode, depth int) *node {
	name := n.Value.GetToken().Value
	target := b.anchors[name]
	switch {
	case b.open[name]:
		return b.bad(a, n.GetToken(), "*%s stands inside &%s itself; write the value out", name, name)
	case target == nil:
		return b.bad(a, n.GetToken(), "*%s has no anchor above it; write &%s before the value it repeats", name, name)
	case depth+target.height > maxDepth:
		return b.bad(a, n.GetToken(), "nested too deeply; allowed: %d levels", maxDepth)
	}
	return target
}

// mapping builds a mapping. Merged keys (`<<`) come after the written ones and never replace them.
func (b *builder) mapping(a *at, values []*ast.MappingValueNode, tk *token.Token, depth int) *node {
	place := tokenAt(tk)
	out := &node{kind: kindMap, line: place.line, column: place.column, size: 1, height: 1}
	seen := make(map[string]entry, len(values))
	var merges []*node
	for i, v := range values {
		keyPlace := tokenAt(v.Key.GetToken())
		if i == 0 { // a block mapping begins at its first key
			if tk.Type != token.MappingStartType {
				out.line, out.column = keyPlace.line, keyPlace.column
			}
		}
		if v.Key.IsMergeKey() {
			merges = append(merges, b.node(&at{up: a, key: "<<"}, v.Value, depth+1))
			continue
		}
		key, ok := keyText(v.Key)
		here := &at{up: a, key: key}
		if !ok {
			b.bad(here, v.Key.GetToken(), "a key must be text; write it in quotes")
			continue
		}
		e := entry{key: key, line: keyPlace.line, column: keyPlace.column}
		if first, twice := seen[key]; twice {
			b.bad(here, v.Key.GetToken(), "duplicate key; the first one is in line %d; keep one of them", first.line)
			continue
		}
		e.value = b.node(here, v.Value, depth+1)
		seen[key] = e
		out.entries = append(out.entries, e)
		out.adopt(e.value)
	}
	for _, m := range merges {
		b.merge(a, out, m, seen)
	}
	return out
}

// merge adds what `<<` names: one mapping, or a list of mappings of which the earlier wins.
func (b *builder) merge(a *at, into, from *node, seen map[string]entry) {
	if b.exhausted || from.kind == kindBad {
		return
	}
	sources := []*node{from}
	if from.kind == kindList {
		sources = from.items
	}
	for _, m := range sources {
		if m.kind != kindMap {
			b.errorf(&at{up: a, key: "<<", line: from.line, column: from.column}, "merges %s; allowed: a mapping or a list of mappings", m.kind)
			return
		}
		for _, e := range m.entries {
			if _, ok := seen[e.key]; !ok {
				seen[e.key] = e
				into.entries = append(into.entries, e)
				into.adopt(e.value)
				b.merged++
			}
		}
		if b.merged > freeExpansion+maxExpansion*b.count {
			b.errorf(&at{up: a, key: "<<", line: from.line, column: from.column}, "merge keys copy more than %d values; write the values out", b.merged-1)
			b.exhausted = true
			return
		}
	}
}

// keyText is the text of a key; numbers, anchors and complex keys are refused.
func keyText(k ast.MapKeyNode) (string, bool) {
	if s, ok := k.(*ast.StringNode); ok {
		return s.Value, true
	}
	return k.GetToken().Value, false
}
