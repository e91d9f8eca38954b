package probe

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"jurymast/internal/profile"
)

// Header is one header line. Its value is printed only when it is no secret.
type Header struct {
	Name   string
	Secret bool
	value  string
}

func (h Header) String() string {
	if h.Secret {
		return h.Name + ": " + masked
	}
	return h.Name + ": " + h.value
}

// GoString masks like String.
func (h Header) GoString() string { return strconv.Quote(h.String()) }

// ours are the headers a probe writes itself.
var ours = []string{"host", "connection", "content-length", "transfer-encoding", "upgrade", "expect", "keep-alive"}

// request fills in method, path and headers.
func (s *Spec) request(m *profile.Monitor, n *Node) error {
	if s.Method = m.Method; s.Method == "" {
		s.Method = "GET"
	}
	if !isToken(s.Method) || s.Method == "CONNECT" {
		return fmt.Errorf("monitor.method %q is no method a probe can send", s.Method)
	}
	if s.Path = m.Path; s.Path == "" {
		s.Path = "/"
	}
	if s.Path[0] != '/' {
		return fmt.Errorf("monitor.path %q must start with /", s.Path)
	}
	s.Path = escaped(s.Path)
	var err error
	s.Headers, err = headersOf("monitor.headers", m.Headers, n)
	if err != nil {
		return err
	}
	for _, h := range s.Headers {
		if slices.Contains(ours, strings.ToLower(h.Name)) {
			return fmt.Errorf("monitor.headers.%s: a probe writes this header itself; take it out", h.Name)
		}
	}
	return nil
}

// escaped writes what a request line cannot hold as %XX and leaves everything else as the operator wrote it.
func escaped(path string) string {
	var b strings.Builder
	for _, c := range []byte(path) {
		if c <= ' ' || c >= 0x7f {
			fmt.Fprintf(&b, "%%%02X", c)
			continue
		}
		b.WriteByte(c)
	}
	return b.String()
}

// expect fills in the rules.
func (s *Spec) expect(m *profile.Monitor, n *Node) error {
	s.Expect.Status = slices.Clone(m.Expect.Status)
	if len(s.Expect.Status) == 0 {
		s.Expect.Status = []profile.StatusRange{{Min: 200, Max: 200}}
	}
	s.Expect.Body = m.Expect.Body
	if m.Expect.BodyRegex != "" {
		re, err := regexp.Compile(m.Expect.BodyRegex)
		if err != nil {
			return fmt.Errorf("monitor.expect.body_regex: %w", err)
		}
		s.Expect.BodyRegex = re
	}
	s.Expect.Complete = m.Expect.Complete
	var err error
	if s.Expect.JSON, err = jsonRuleOf(m.Expect.JSON); err != nil {
		return err
	}
	s.Expect.Headers, err = headersOf("monitor.expect.header", m.Expect.Header, n)
	return err
}

// sensitive are headers whose values are masked even when the operator wrote them as plain text.
var sensitive = []string{"authorization", "proxy-authorization", "cookie", "x-api-key"}

// headersOf resolves a map of headers into a list in the order of the names.
func headersOf(key string, values map[string]profile.Value, n *Node) ([]Header, error) {
	if len(values) == 0 {
		return nil, nil
	}
	list := make([]Header, 0, len(values))
	for name, v := range values {
		h := Header{Name: name, value: v.Text, Secret: slices.Contains(sensitive, strings.ToLower(name))}
		if v.Secret != "" || v.Env != "" {
			h.Secret = true
			text, err := n.secret(v)
			if err != nil {
				return nil, fmt.Errorf("%s.%s: %w", key, name, err)
			}
			h.value = text
		}
		if !isToken(name) {
			return nil, fmt.Errorf("%s: %q is no header name", key, name)
		}
		if strings.ContainsFunc(h.value, func(r rune) bool { return (r < ' ' && r != '\t') || r == 0x7f }) {
			return nil, fmt.Errorf("%s.%s: the value holds a line break or control character; take it out "+
				"(a secret file often ends in a newline)", key, name)
		}
		list = append(list, h)
	}
	slices.SortFunc(list, func(a, b Header) int { return strings.Compare(strings.ToLower(a.Name), strings.ToLower(b.Name)) })
	for i := 1; i < len(list); i++ {
		if strings.EqualFold(list[i-1].Name, list[i].Name) {
			return nil, fmt.Errorf("%s.%s is given twice; names compare without case", key, list[i].Name)
		}
	}
	return list, nil
}

func isToken(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return r <= ' ' || r >= 0x7f || strings.ContainsRune("\"(),/:;<=>?@[\\]{}", r)
	})
}
