package profile

import (
	"errors"
	"io/fs"
	"path"
	"slices"
	"strings"
	"unicode/utf8"
)

// Bounds of one zone's $INCLUDE.
const (
	maxIncludeDepth = 8    // files inside files
	maxIncludes     = 1000 // files in all
)

// zoneText is where the lines of a zone's text stand.
type zoneText struct {
	file   string // of the zone, as written
	pieces []piece
}

// piece maps the lines of a text from first on to those of a file from line on.
type piece struct {
	first int
	file  string // in the folder of the zone's file; "" is that file
	line  int
	fixed bool // all lines come from that one
}

// place is where a line of the text stands, as file name beside the configuration file and line.
func (t *zoneText) place(source string, line int) (file string, at int) {
	file = t.file
	if !path.IsAbs(file) {
		file = path.Join(path.Dir(source), file)
	}
	i, found := slices.BinarySearchFunc(t.pieces, line, func(p piece, line int) int { return p.first - line })
	if !found {
		i--
	}
	if i < 0 {
		return file, line
	}
	p := t.pieces[i]
	if p.file != "" {
		file = path.Join(path.Dir(file), p.file)
	}
	if p.fixed {
		return file, p.line
	}
	return file, p.line + line - p.first
}

// includer puts the files that a zone's text includes [RFC 1035 5.1] in the place of the directives. What comes out is
// one text that names no file, with the origin after each file as it was before it. A $TTL goes on to hold, as in BIND.
type includer struct {
	r      *report
	a      *at
	source string                            // of the configuration
	read   func(name string) ([]byte, error) // in the folder of the zone's file

	text   zoneText
	out    strings.Builder
	lines  int
	files  int
	full   bool
	origin string // absolute, in text
}

// context is one file while it is read.
type context struct {
	name      string // "" is the zone's own
	up        *context
	ownerless bool // the next record has none it could take over
	scan      scanner
}

func (c *context) depth() (n int) {
	for ; c.up != nil; c = c.up {
		n++
	}
	return n
}

// includes reports that a text has the directive somewhere, so that others are taken as they are.
func includes(text string) bool { return strings.Contains(strings.ToUpper(text), "$INCLUDE") }

// fault reports a mistake at a place of the file that is being read.
func (in *includer) fault(c *context, line, column int, format string, args ...any) {
	p := &report{file: in.source}
	p.errorf(in.a.child("file"), format, args...)
	at := in.text
	at.pieces = []piece{{first: 1, file: c.name, line: 1}}
	one := p.list[0]
	one.File, one.Line = at.place(in.source, line)
	one.Column = column
	in.r.list = append(in.r.list, one)
}

// write puts one line out. fixed lines are made from the one they are said to come from.
func (in *includer) write(c *context, number int, line string, fixed bool) {
	in.lines++
	next := piece{first: in.lines, file: c.name, line: number, fixed: fixed}
	if n := len(in.text.pieces); n > 0 {
		last := in.text.pieces[n-1]
		if !fixed && !last.fixed && last.file == c.name && last.line+in.lines-last.first == number {
			next.first = 0
		}
	}
	if next.first > 0 {
		in.text.pieces = append(in.text.pieces, next)
	}
	if in.full = in.full || in.out.Len()+len(line) > maxDocumentBytes; !in.full {
		in.out.WriteString(line)
		in.out.WriteByte('\n')
	}
}

// file puts out the lines of one file.
func (in *includer) file(c *context, text string) {
	number := 0
	for line := range strings.Lines(text) {
		number++
		line = strings.TrimSuffix(line, "\n")
		top := c.scan.top()
		words := strings.Fields(line)
		c.scan.line(line)
		switch {
		case in.full:
			return
		case !top || len(words) == 0 || words[0][0] == ';':
		case strings.EqualFold(words[0], "$INCLUDE") && line[0] == '$':
			in.include(c, number, line)
			continue
		case strings.EqualFold(words[0], "$ORIGIN") && line[0] == '$' && len(words) > 1:
			in.origin = absolute(words[1], in.origin)
		case line[0] == '$':
		case line[0] != ' ' && line[0] != '\t':
			c.ownerless = false
		case c.ownerless:
			in.fault(c, number, 1+indent(line), "this record has no name, and the one above it stands in another file; write the name, or @")
			c.ownerless = false
		}
		in.write(c, number, line, false)
	}
	if !c.scan.top() && c.up != nil {
		in.fault(c, max(number, 1), 1, "a quote or bracket is still open at the end of this file; write the closing one")
	}
}

// include puts out the file of one directive: $INCLUDE NAME [ORIGIN].
func (in *includer) include(c *context, number int, line string) {
	name, rest, column := directive(line)
	origin := in.origin
	words := strings.Fields(rest)
	if len(words) > 0 && words[0][0] != ';' {
		in.origin = absolute(words[0], origin)
		words = words[1:]
	}
	defer func() { in.origin, c.ownerless = origin, true }()
	clean := path.Clean(name)
	switch {
	case name == "":
		in.fault(c, number, column, "$INCLUDE names no file; write $INCLUDE FILE, or $INCLUDE FILE ORIGIN")
		return
	case len(words) > 0 && words[0][0] != ';':
		in.fault(c, number, column, "$INCLUDE has more than a file and an origin; write $INCLUDE FILE ORIGIN, and a name with blanks in quotes")
		return
	case path.IsAbs(name) || clean == ".." || strings.HasPrefix(clean, "../"):
		in.fault(c, number, column, "%q lies outside the folder of the zone's file; write a name relative to that folder, without ..", name)
		return
	case c.depth() >= maxIncludeDepth:
		in.fault(c, number, column, "files include files more than %d deep; allowed: %d", maxIncludeDepth, maxIncludeDepth)
		return
	}
	for up := c; up != nil; up = up.up {
		if up.name == clean || up.up == nil && clean == path.Base(in.text.file) {
			in.fault(c, number, column, "%s includes itself; remove one of the directives", clean)
			return
		}
	}
	if in.files++; in.files > maxIncludes {
		if in.files == maxIncludes+1 {
			in.fault(c, number, column, "more than %d files are included; allowed: %d", maxIncludes, maxIncludes)
		}
		return
	}
	text, err := in.read(clean)
	if err != nil {
		if failed, ok := errors.AsType[*fs.PathError](err); ok {
			err = failed.Err // the name is told already, and how it was looked at is nobody's matter
		}
		in.fault(c, number, column, "cannot include %q: %v; name a readable file in the folder of the zone's file or below it; no link may lead out of there", name, err)
		return
	}
	next := &context{name: clean, up: c, ownerless: true}
	if bad := (&report{}); !bad.plainText(string(text)) {
		in.fault(next, bad.list[0].Line, bad.list[0].Column, "is not text; allowed: UTF-8 without control characters")
		return
	}
	if in.origin != origin {
		in.write(c, number, "$ORIGIN "+in.origin, true)
	}
	in.file(next, string(text))
	in.write(c, number, "$ORIGIN "+origin, true)
}

// directive is the file name of a line with $INCLUDE, what stands behind it, and in which column the name begins.
func directive(line string) (name, rest string, column int) {
	rest = strings.TrimLeft(line[len("$INCLUDE"):], " \t\r")
	column = utf8.RuneCountInString(line[:len(line)-len(rest)]) + 1
	if quoted, ok := strings.CutPrefix(rest, `"`); ok {
		name, rest, _ = strings.Cut(quoted, `"`)
		return name, rest, column
	}
	if end := strings.IndexAny(rest, " \t\r;"); end >= 0 {
		return rest[:end], rest[end:], column
	}
	return rest, "", column
}

// absolute is a name in text below an origin, unless it ends in a dot of its own.
func absolute(name, origin string) string {
	switch {
	case name == "@":
		return origin
	case strings.HasSuffix(name, ".") && !strings.HasSuffix(name, `\.`), origin == "":
		return name
	case origin == ".":
		return name + "."
	}
	return name + "." + origin
}

// scanner follows quotes and brackets, which draw a record over several lines.
type scanner struct {
	quoted bool
	open   int
}

// top reports that a new record begins.
func (s *scanner) top() bool { return !s.quoted && s.open == 0 }

func (s *scanner) line(text string) {
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '\\':
			i++
		case c == '"':
			s.quoted = !s.quoted
		case s.quoted:
		case c == ';':
			return
		case c == '(':
			s.open++
		case c == ')':
			s.open = max(0, s.open-1)
		}
	}
}
