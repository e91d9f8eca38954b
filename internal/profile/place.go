package profile

import (
	"fmt"
	"strings"
)

// Problem is a finding of another package about a place of the file. The place is a path of keys (string) and list
// indexes (int); what is not there points at the nearest thing above it.
func (f *File) Problem(s Severity, message string, steps ...any) Problem {
	a := &at{line: 1, column: 1}
	if f.root != nil {
		a = rootAt(f.root)
	}
	for _, step := range steps {
		switch step := step.(type) {
		case string:
			a = a.child(step)
		case int:
			a = a.element(step)
		}
	}
	return Problem{File: f.source, Line: max(a.line, 1), Column: max(a.column, 1), Path: a.path(), Message: message, Severity: s}
}

// RecordProblem is a finding about a zone's records. line and column count in their text from 1; 0 is unknown. It
// points into the zone file they were read from, or the file included there, or at their line of the configuration; a text written in quotes has
// no lines of its own, and the finding points at its beginning.
func (f *File) RecordProblem(s Severity, zone, line, column int, message string) Problem {
	if text, ok := f.zoneFiles[zone]; ok {
		p := f.Problem(s, message, "zones", zone, "file")
		if line > 0 {
			p.Column = max(column, 1)
			p.File, p.Line = text.place(f.source, line)
		}
		return p
	}
	p := f.Problem(s, message, "zones", zone, "records")
	n := f.place("zones", zone).child("records").n
	if line <= 0 {
		return p
	}
	if n == nil || !n.block {
		p.Message = fmt.Sprintf("line %d of the text: %s", line, message)
		return p
	}
	if column <= 0 {
		column = 1 + indent(recordLine(n.text, line))
	}
	p.Line, p.Column = n.line+line, n.indent+column
	return p
}

func recordLine(text string, number int) string {
	for range number - 1 {
		_, text, _ = strings.Cut(text, "\n")
	}
	line, _, _ := strings.Cut(text, "\n")
	return line
}
