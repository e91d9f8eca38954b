package profile

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"
)

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
		return literal(n)
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

// literal is a block text. How far it is indented shows in its first line that is not empty.
func literal(n *ast.LiteralNode) *node {
	out := scalar(n.GetToken(), kindText, n.Value.Value)
	out.block = n.Start.Type == token.LiteralType
	written := strings.TrimLeft(n.Value.GetToken().Origin, "\r\n")
	out.indent = max(0, indent(written)-indent(strings.TrimLeft(out.text, "\n")))
	return out
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
	sep, next := colon.Position, value.Position
	if !plain(key.Type) || !plain(value.Type) || sep.Line != next.Line || sep.Column+1 != next.Column {
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
	case target == nil && strings.HasPrefix(name, "."):
		return b.bad(a, n.GetToken(), "*%s needs quotes, because a bare * repeats an anchor; write \"*%s\"", name, name)
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
