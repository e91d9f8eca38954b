package zone

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Bounds of one $GENERATE.
const (
	maxGenerated = 65536      // records
	maxNumber    = 2147483647 // that a record may be made with
	minGenerate  = 4          // words: the directive, range, name and type
)

const generateForm = "write $GENERATE START-STOP NAME TTL TYPE VALUE like $GENERATE 1-9 host$ 300 A 192.0.2.$"

// generate looks at a $GENERATE and writes the TTL in force into it, since the zone parser would take another one, and
// its escapes in such a form that it leaves them to the records.
func (p *preparer) generate(e *entry) *Fault {
	if len(e.words) < minGenerate {
		return p.fault(e.words[0].at, "$GENERATE is not complete; %s", generateForm)
	}
	span := e.words[1]
	if _, _, err := numbers(span.text); err != nil {
		return p.fault(span.at, "range %s: %v; write START-STOP or START-STOP/STEP: 0 to %d, STOP not below START, at most %d records",
			span.text, err, maxNumber, maxGenerated)
	}
	p.owner(e.words[2])
	r := record(e.words[3:])
	if r.typ == nil {
		w := e.words[3]
		return p.fault(w.at, "%q is no record type, class or TTL; %s", w.text, generateForm)
	}
	if _, f := p.stored(r.typ); f != nil {
		return f
	}
	name := e.words[2]
	for i, w := range e.words[2:] {
		p.escapes(w)
		if end := name.at + len(name.text); i == 0 && r.ttl == nil {
			p.edits = append(p.edits, edit{end, end, " " + p.ttl})
		}
	}
	if r.ttl == nil || isTTL(r.ttl.text) || strings.Contains(r.ttl.text, "$") {
		return nil
	}
	return p.fault(r.ttl.at, "%q is no record type, class or TTL; %s", r.ttl.text, generateForm)
}

// escapes doubles the backslash of all escapes but \$, which is the expansion's own.
func (p *preparer) escapes(w word) {
	for i := 0; i < len(w.text); i++ {
		if w.text[i] != '\\' {
			continue
		}
		switch n := escapeLen(w.text[i:]); {
		case n == 4:
			p.edits = append(p.edits, edit{w.at + i, w.at + i, `\`})
			i += 3
		case n == 2 && w.text[i+1] == '$':
			i++
		case n == 2 && w.text[i:] == `\#`:
			p.edits = append(p.edits, edit{w.at + i, w.at + i, `\`})
			i++
		case n == 2:
			p.edits = append(p.edits, edit{w.at + i, w.at + i + 2, fmt.Sprintf(`\\%03d`, w.text[i+1])})
			i++
		}
	}
}

// numbers are the first one of a range and the step.
func numbers(text string) (start, step int64, err error) {
	step = 1
	span, by, ok := strings.Cut(text, "/")
	if ok {
		if step, err = strconv.ParseInt(by, 10, 64); err != nil || step < 1 {
			return 0, 0, errors.New("the step is not a number from 1")
		}
	}
	from, to, ok := strings.Cut(span, "-")
	start, err1 := strconv.ParseInt(from, 10, 64)
	stop, err2 := strconv.ParseInt(to, 10, 64)
	switch {
	case !ok || err1 != nil || err2 != nil || stop > maxNumber:
		return 0, 0, errors.New("this is no range of numbers")
	case stop < start:
		return 0, 0, fmt.Errorf("it ends at %d, below its start", stop)
	case (stop-start)/step >= maxGenerated:
		return 0, 0, fmt.Errorf("it makes %d records", (stop-start)/step+1)
	}
	return start, step, nil
}

// expanded says of an error in the text that a $GENERATE made where the directive stands, and for which number.
func (e *entry) expanded(text string, m []string, line int) *Fault {
	token, err := strconv.Unquote(m[2])
	if err != nil {
		token = m[2]
	}
	token = strings.TrimSpace(token)
	start, step, _ := numbers(e.words[1].text) // prepare has read them
	return faultAt(text, e.words[2].at, fmt.Sprintf("the record for %d: %s", start+int64(line-1)*step, words(m[1], token)))
}

// isGenerate reports an entry that the zone parser expands. One that is not complete, such as a directive whose ( is
// never closed, is not expanded: the parser refuses it before.
func (e *entry) isGenerate() bool {
	return e != nil && e.directive() == "$GENERATE" && len(e.words) >= minGenerate
}
