package probe

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"jurymast/internal/profile"
)

// BodyLimit is how much of an answer's body is looked at, in bytes.
const BodyLimit = 64 << 10

// Key is the identity of a Spec: two specs with equal keys make the same probe, secrets included. It is a SHA-256 sum
// and shows nothing of what went into it.
type Key [sha256.Size]byte

// Spec is everything one probe needs, resolved. It holds secrets; String masks them.
type Spec struct {
	Protocol profile.Protocol // http, https or tcp
	Targets  []string         // host names or addresses, tried in order
	Port     int              // 1..65535
	Timeout  time.Duration    // from the start of name resolution to the decision

	// The rest is for http and https.
	Method  string
	Path    string   // as sent, starts with /
	Host    string   // the Host header
	Headers []Header // without Host, in the order of their names
	Expect  Expect

	// TLS side of https. ServerName is sent as SNI when it is a name, and is what the certificate must be valid for.
	ServerName string
	Verify     bool
}

// Expect is what a healthy answer looks like. All rules must hold.
type Expect struct {
	Status    []profile.StatusRange // never empty
	Body      string                // substring within BodyLimit; "" is no rule
	BodyRegex *regexp.Regexp        // nil is no rule
	Headers   []Header              // name and exact value
}

// hasBody reports that the body matters. Without a body rule the status line and the headers decide.
func (e *Expect) hasBody() bool { return e.Body != "" || e.BodyRegex != nil }

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

// SpecOf resolves the monitor of one endpoint. The endpoint's Monitor is complete: the profile's keys with the
// endpoint's own on top. secrets is asked for every value that is not written as plain text. An error names the
// profile, the endpoint and the key; it never holds a secret.
func SpecOf(p *profile.Profile, e *profile.Endpoint, secrets func(profile.Value) (string, error)) (Spec, error) {
	s, err := specOf(p, e, secrets)
	if err != nil {
		return Spec{}, fmt.Errorf("profile %s, endpoint %s: %w", p.Name, e.Name, err)
	}
	return s, nil
}

func specOf(p *profile.Profile, e *profile.Endpoint, secrets func(profile.Value) (string, error)) (Spec, error) {
	m := &e.Monitor
	s := Spec{Protocol: m.Protocol, Timeout: m.Timeout, Verify: m.TLS.Verify}
	switch m.Protocol {
	case profile.HTTP, profile.HTTPS, profile.TCP:
	case profile.DNS, profile.Exec:
		return s, fmt.Errorf("monitor.protocol %s: this version runs http, https and tcp probes", m.Protocol)
	default:
		return s, fmt.Errorf("monitor.protocol %q is unknown; allowed: http, https, tcp", m.Protocol)
	}
	if m.Timeout <= 0 {
		return s, fmt.Errorf("monitor.timeout %s must be above 0", m.Timeout)
	}
	origin, err := s.place(e)
	if err != nil || m.Protocol == profile.TCP {
		return s, err
	}
	if s.Host, err = hostOf(p, e, origin); err != nil {
		return s, err
	}
	if s.ServerName = m.TLS.SNI; s.ServerName == "" {
		s.ServerName = withoutPort(s.Host)
	}
	if err := s.request(m, secrets); err != nil {
		return s, err
	}
	return s, s.expect(m, secrets)
}

// place fills in where the probe goes: the origin, else the target.
func (s *Spec) place(e *profile.Endpoint) (*url.URL, error) {
	m := &e.Monitor
	s.Port = m.Port
	var origin *url.URL
	switch {
	case e.Origin != "":
		u, err := url.Parse(e.Origin)
		if err != nil || u.Hostname() == "" {
			return nil, fmt.Errorf("origin %q is no http(s)://host[:port]", e.Origin)
		}
		origin, s.Targets = u, []string{u.Hostname()}
		if port, err := strconv.ParseUint(u.Port(), 10, 16); err == nil && s.Port == 0 {
			s.Port = int(port)
		}
	case e.Target.Host != "":
		s.Targets = []string{e.Target.Host}
	case len(e.Target.Addrs) > 0:
		s.Targets = slices.Clone(e.Target.Addrs)
	case e.Target.Profile != "":
		return nil, fmt.Errorf("the endpoint is the profile %s: its status is computed, it is never probed", e.Target.Profile)
	default:
		return nil, errors.New("neither origin nor target says where to probe")
	}
	if s.Port == 0 {
		s.Port = 80
		if m.Protocol == profile.HTTPS || (m.Protocol == profile.TCP && origin != nil && origin.Scheme == "https") {
			s.Port = 443
		}
	}
	if s.Port < 1 || s.Port > 65535 {
		return nil, fmt.Errorf("monitor.port %d; allowed: 1 to 65535", s.Port)
	}
	return origin, nil
}

// ours are the headers a probe writes itself.
var ours = []string{"host", "connection", "content-length", "transfer-encoding", "upgrade", "expect", "keep-alive"}

// request fills in method, path and headers.
func (s *Spec) request(m *profile.Monitor, secrets func(profile.Value) (string, error)) error {
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
	s.Headers, err = headersOf("monitor.headers", m.Headers, secrets)
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
func (s *Spec) expect(m *profile.Monitor, secrets func(profile.Value) (string, error)) error {
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
	var err error
	s.Expect.Headers, err = headersOf("monitor.expect.header", m.Expect.Header, secrets)
	return err
}

// sensitive are headers whose values are masked even when the operator wrote them as plain text.
var sensitive = []string{"authorization", "proxy-authorization", "cookie", "x-api-key"}

// headersOf resolves a map of headers into a list in the order of the names.
func headersOf(key string, values map[string]profile.Value, secrets func(profile.Value) (string, error)) ([]Header, error) {
	if len(values) == 0 {
		return nil, nil
	}
	list := make([]Header, 0, len(values))
	for name, v := range values {
		h := Header{Name: name, value: v.Text, Secret: slices.Contains(sensitive, strings.ToLower(name))}
		if v.Secret != "" || v.Env != "" {
			h.Secret = true
			text, err := secrets(v)
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

// Key returns the identity of the probe.
func (s Spec) Key() Key {
	h := sha256.New()
	put := func(parts ...string) {
		for _, p := range parts {
			fmt.Fprintf(h, "%d:%s,", len(p), p)
		}
		fmt.Fprint(h, ";")
	}
	put(string(s.Protocol), strconv.Itoa(s.Port), s.Timeout.String(), s.Method, s.Path, s.Host, s.ServerName, strconv.FormatBool(s.Verify))
	put(s.Targets...)
	for _, list := range [][]Header{s.Headers, s.Expect.Headers} {
		for _, l := range list {
			put(l.Name, l.value)
		}
		put()
	}
	put(statusText(s.Expect.Status), s.Expect.Body)
	if s.Expect.BodyRegex != nil {
		put(s.Expect.BodyRegex.String())
	}
	return Key(h.Sum(nil))
}

// String is one line for logs, secrets masked.
func (s Spec) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s port %d, timeout %s", s.Protocol, strings.Join(s.Targets, " "), s.Port, s.Timeout)
	if s.Protocol == profile.TCP {
		return b.String()
	}
	fmt.Fprintf(&b, ", %s %s, Host %s", s.Method, s.Path, s.Host)
	if s.Protocol == profile.HTTPS {
		fmt.Fprintf(&b, ", SNI %s, verify %t", s.ServerName, s.Verify)
	}
	for _, h := range s.Headers {
		fmt.Fprintf(&b, ", %s", h)
	}
	fmt.Fprintf(&b, ", expect %s", statusText(s.Expect.Status))
	for _, h := range s.Expect.Headers {
		fmt.Fprintf(&b, ", header %s", h)
	}
	if s.Expect.Body != "" {
		fmt.Fprintf(&b, ", body contains %q", s.Expect.Body)
	}
	if s.Expect.BodyRegex != nil {
		fmt.Fprintf(&b, ", body matches %q", s.Expect.BodyRegex)
	}
	return b.String()
}

// GoString masks like String.
func (s Spec) GoString() string { return strconv.Quote(s.String()) }

func statusText(ranges []profile.StatusRange) string {
	words := make([]string, len(ranges))
	for i, r := range ranges {
		words[i] = r.String()
	}
	return strings.Join(words, ", ")
}

// withoutPort is the host of a Host header: the name, or the bare address.
func withoutPort(host string) string {
	if _, err := netip.ParseAddr(host); err == nil {
		return host
	}
	u := url.URL{Host: host}
	return u.Hostname()
}
