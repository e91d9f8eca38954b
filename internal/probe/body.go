package probe

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"regexp/syntax"
)

// matcher looks for the body rules while the body arrives, so that a match ends the probe before the body does.
type matcher struct {
	expect  *Expect
	buf     []byte
	text    bool // the substring was found
	pattern bool // the regular expression matched
	tried   int  // length at which the regular expression was tried last
}

// add takes more of the body. The substring is looked for in the new part only; the regular expression is tried when
// the body has doubled, so that a body sent byte by byte costs no more than one sent at once.
func (m *matcher) add(part []byte) (done bool) {
	from := max(0, len(m.buf)-len(m.expect.Body)+1)
	m.buf = append(m.buf, part...)
	m.text = m.text || m.expect.Body == "" || bytes.Contains(m.buf[from:], []byte(m.expect.Body))
	if m.expect.BodyRegex != nil && !m.pattern && len(m.buf) >= 2*m.tried && prefixSafe(m.expect.BodyRegex.String()) {
		m.tried = len(m.buf)
		m.pattern = m.expect.BodyRegex.Match(m.buf)
	}
	return m.done()
}

// end is called when no more comes; complete says that this is the whole body or all of it we look at.
func (m *matcher) end(complete bool) (done bool) {
	m.text = m.text || m.expect.Body == ""
	if re := m.expect.BodyRegex; re != nil && !m.pattern && (complete || prefixSafe(re.String())) {
		m.pattern = re.Match(m.buf)
	}
	return m.done()
}

func (m *matcher) done() bool { return m.text && (m.pattern || m.expect.BodyRegex == nil) }

// missing names the first rule without a match.
func (m *matcher) missing() string {
	if !m.text {
		return fmt.Sprintf("does not contain %q", m.expect.Body)
	}
	return fmt.Sprintf("does not match %q", m.expect.BodyRegex)
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

// judgeBody reads until the rules hold, the body ends, BodyLimit is reached or the time is over.
func (r *run) judgeBody(ctx context.Context, body io.Reader, m *matcher) *failure {
	part := make([]byte, 4096)
	for {
		n, err := body.Read(part[:min(len(part), BodyLimit-len(m.buf))])
		full := len(m.buf)+n >= BodyLimit
		switch {
		case m.add(part[:n]):
		case err == nil && !full:
			continue
		case m.end(full || errors.Is(err, io.EOF)):
		case full:
			return failed(ClassBody, "body %s in its first %d bytes", m.missing(), BodyLimit)
		case errors.Is(err, io.EOF):
			return failed(ClassBody, "body of %d bytes %s", len(m.buf), m.missing())
		default:
			f := r.broke(ctx, err, ClassBody, fmt.Sprintf("body broke after %d bytes", len(m.buf)), "reading the body")
			f.reason += fmt.Sprintf(" (%d bytes, %s)", len(m.buf), m.missing())
			return f
		}
		r.seen += ", body matches"
		return nil
	}
}
