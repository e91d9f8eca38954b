package profile

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
)

// kind of a node, in the words of an error message.
type kind uint8

const (
	kindNull kind = iota
	kindText
	kindInt
	kindFloat
	kindBool
	kindList
	kindMap
	kindBad // already reported
)

func (k kind) String() string {
	return [...]string{"nothing", "text", "a whole number", "a number", "true/false", "a list", "a mapping", "something unclear"}[k]
}

// node is one value of the operator's text with its place. Aliases are resolved: the same node may hang in several
// places, so a node is never changed after it was built.
type node struct {
	kind         kind
	text         string // scalars: the value; numbers are valid JSON numbers
	line, column int
	entries      []entry // kindMap, in the order of the text
	items        []*node // kindList
	size         int     // nodes below and including this one, aliases counted every time
	height       int

	shared string // path of the same value under the file's defaults, for messages

	block  bool // a text written with `|`: its lines stand as they are below this line ...
	indent int  // ... behind this many blanks
}

// entry is one key of a mapping.
type entry struct {
	key          string
	line, column int
	value        *node
}

func (n *node) get(key string) (entry, bool) {
	if n != nil {
		for _, e := range n.entries {
			if e.key == key {
				return e, true
			}
		}
	}
	return entry{}, false
}

// shown is a value as a message quotes it.
func (n *node) shown() string {
	switch n.kind {
	case kindText:
		text := n.text
		if len(text) > 60 {
			text = strings.ToValidUTF8(text[:60], "") + "..."
		}
		return strconv.Quote(text)
	case kindInt, kindFloat, kindBool:
		return n.text
	case kindNull, kindList, kindMap, kindBad:
	}
	return n.kind.String()
}

// writeJSON renders the node as JSON with the keys in the order of the text.
func (n *node) writeJSON(b *bytes.Buffer) {
	switch n.kind {
	case kindNull, kindBad:
		b.WriteString("null")
	case kindInt, kindFloat, kindBool:
		b.WriteString(n.text)
	case kindText:
		writeJSONText(b, n.text)
	case kindList:
		b.WriteByte('[')
		for i, item := range n.items {
			if i > 0 {
				b.WriteByte(',')
			}
			item.writeJSON(b)
		}
		b.WriteByte(']')
	case kindMap:
		b.WriteByte('{')
		for i, e := range n.entries {
			if i > 0 {
				b.WriteByte(',')
			}
			writeJSONText(b, e.key)
			b.WriteByte(':')
			e.value.writeJSON(b)
		}
		b.WriteByte('}')
	}
}

func writeJSONText(b *bytes.Buffer, s string) {
	enc := json.NewEncoder(b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(s); err != nil { // a string always encodes
		b.WriteString(`""`)
		return
	}
	b.Truncate(b.Len() - 1) // the encoder ends with a line break
}

// at is a place in the operator's text: a node and how it was reached. A place that was left out has no node and
// points at the nearest thing above it, so a message about it still has a line.
type at struct {
	up           *at
	key          string // in a mapping
	item         bool   // in a list, at index
	index        int
	n            *node
	line, column int
}

func rootAt(n *node) *at { return &at{n: n, line: n.line, column: n.column} }

// child is the place of one key.
func (a *at) child(key string) *at {
	c := &at{up: a, key: key, line: a.line, column: a.column}
	if e, ok := a.n.get(key); ok {
		c.n, c.line, c.column = e.value, e.value.line, e.value.column
	}
	return c
}

// keyOf is the place of the key itself, for messages about the key.
func (a *at) keyOf(e entry) *at {
	return &at{up: a, key: e.key, n: e.value, line: e.line, column: e.column}
}

// element is the place of one list item.
func (a *at) element(i int) *at {
	c := &at{up: a, item: true, index: i, line: a.line, column: a.column}
	if a.n != nil && i < len(a.n.items) {
		c.n = a.n.items[i]
		c.line, c.column = c.n.line, c.n.column
	}
	return c
}

// given reports that the operator wrote something here.
func (a *at) given() bool { return a.n != nil }

// mapping reports that the operator wrote a mapping here, so that its keys can be asked for.
func (a *at) mapping() bool { return a.n != nil && a.n.kind == kindMap }

// has reports that the operator wrote this key.
func (a *at) has(key string) bool {
	_, ok := a.n.get(key)
	return ok
}

func (a *at) path() string {
	if a.up == nil {
		return ""
	}
	if a.n != nil && a.n.shared != "" {
		return a.n.shared
	}
	up := a.up.path()
	switch {
	case a.item:
		return fmt.Sprintf("%s[%d]", up, a.index)
	case a.key == "" || strings.ContainsAny(a.key, ".[] \"\n"):
		return fmt.Sprintf("%s[%q]", up, a.key)
	case up == "":
		return a.key
	}
	return up + "." + a.key
}
