package probe

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"regexp/syntax"
	"strings"
)

// matcher looks for the body rules while the body arrives, so that a match ends the probe before the body does.
type matcher struct {
	expect  *Expect
	buf     []byte
	text    bool   // the substring was found
	pattern bool   // the regular expression matched
	json    bool   // the JSON rule holds
	fault   string // why the JSON rule does not hold
	tried   int    // length at which the regular expression was tried last
}

// add takes more of the body. The substring is looked for in the new part only; the regular expression is tried when
// the body has doubled, so that a body sent byte by byte costs no more than one sent at once.
func (m *matcher) add(part []byte) (done bool) {
	from := max(0, len(m.buf)-len(m.expect.Body)+1)
	m.buf = append(m.buf, part...)
	m.text = m.text || m.expect.Body == "" || bytes.Contains(m.buf[from:], []byte(m.expect.Body))
	if len(m.buf) >= 2*m.tried {
		m.tried = len(m.buf)
		if re := m.expect.BodyRegex; re != nil && !m.pattern && prefixSafe(re.String()) {
			m.pattern = re.Match(m.buf)
		}
		if end := bytes.TrimSpace(m.buf); len(end) > 0 && strings.IndexByte("]}", end[len(end)-1]) >= 0 {
			m.tryJSON() // maybe all of it
		}
	}
	return m.done()
}

func (m *matcher) tryJSON() {
	if m.expect.JSON != nil && !m.json {
		m.fault, m.json = m.expect.JSON.match(m.buf)
	}
}

// end is called when no more comes; complete says that this is the whole body or all of it we look at.
func (m *matcher) end(complete bool) (done bool) {
	m.text = m.text || m.expect.Body == ""
	if re := m.expect.BodyRegex; re != nil && !m.pattern && (complete || prefixSafe(re.String())) {
		m.pattern = re.Match(m.buf)
	}
	m.tryJSON()
	return m.done()
}

func (m *matcher) done() bool {
	return m.text && (m.pattern || m.expect.BodyRegex == nil) && (m.json || m.expect.JSON == nil)
}

// missing names the first rule without a match.
func (m *matcher) missing() string {
	switch {
	case !m.text:
		return fmt.Sprintf("does not contain %q", m.expect.Body)
	case m.expect.BodyRegex != nil && !m.pattern:
		return fmt.Sprintf("does not match %q", m.expect.BodyRegex)
	default:
		return m.fault
	}
}

// prefixSafe reports that a match in the first part of a body is a match in the whole: the expression does not look at
// where the text ends.
func prefixSafe(expr string) bool {
	re, err := syntax.Parse(expr, syntax.Perl)
	if err != nil {
		return false
	}
	var safe func(re *syntax.Regexp) bool
	safe = func(re *syntax.Regexp) bool {
		switch re.Op { //nolint:exhaustive // only assertions about what follows matter
		case syntax.OpEndLine, syntax.OpEndText, syntax.OpWordBoundary, syntax.OpNoWordBoundary:
			return false
		}
		for _, sub := range re.Sub {
			if !safe(sub) {
				return false
			}
		}
		return true
	}
	return safe(re)
}

// judgeBody reads until the rules hold, the body ends, the limit is reached or the time is over. A body that must be
// complete is read to its end, whatever its length.
func (r *run) judgeBody(ctx context.Context, body io.Reader, m *matcher) *failure {
	part, limit := takeBuffer(), r.spec.bodyLimit()
	defer giveBuffer(part)
	for {
		n, err := body.Read(part[:min(len(part), limit-len(m.buf))])
		full := len(m.buf)+n >= limit
		switch {
		case m.add(part[:n]):
		case err == nil && !full:
			continue
		case m.end(full || errors.Is(err, io.EOF)):
		case full:
			return failed(ClassBody, "body %s in its first %d bytes", m.missing(), limit)
		case errors.Is(err, io.EOF):
			return failed(ClassBody, "body of %d bytes %s", len(m.buf), m.missing())
		default:
			f := r.broke(ctx, err, ClassBody, fmt.Sprintf("body broke after %d bytes", len(m.buf)), "reading the body")
			f.reason += fmt.Sprintf(" (%d bytes, %s)", len(m.buf), m.missing())
			return f
		}
		if m.expect.Body != "" || m.expect.BodyRegex != nil || m.expect.JSON != nil {
			r.seen += ", body matches"
		}
		if !m.expect.Complete {
			return nil
		}
		return r.rest(ctx, body, len(m.buf), err)
	}
}

// rest reads what follows the match up to the end of the body, and keeps nothing of it.
func (r *run) rest(ctx context.Context, body io.Reader, length int, err error) *failure {
	part := takeBuffer()
	defer giveBuffer(part)
	for err == nil {
		var n int
		n, err = body.Read(part[:])
		length += n
	}
	if errors.Is(err, io.EOF) {
		r.seen += fmt.Sprintf(", body complete (%d bytes)", length)
		return nil
	}
	f := r.broke(ctx, err, ClassBody, fmt.Sprintf("body broke after %d bytes", length), "reading the whole body")
	if f.class == ClassTimeout {
		f.reason += fmt.Sprintf(" (%d bytes)", length)
	}
	return f
}
