package probe

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"time"

	"jurymast/internal/profile"
)

// BodyLimit is how much of an answer is looked at when the Spec sets no limit, in bytes.
const BodyLimit = 64 << 10

// Key is the identity of a Spec: two specs with equal keys make the same probe, secrets included. It is a SHA-256 sum
// and shows nothing of what went into it.
type Key [sha256.Size]byte

// Spec is everything one probe needs, resolved. It holds secrets; String masks them.
type Spec struct {
	Protocol   profile.Protocol
	Targets    []string                // host names or addresses, tried in order
	Port       int                     // 1..65535; 0 for exec
	Timeout    time.Duration           // from the start of name resolution to the decision
	Parts      profile.MonitorTimeouts // bounds inside Timeout; 0 is none
	MaxLatency time.Duration           // a success that took longer is a failure; 0 is no rule
	BodyLimit  int                     // bytes of an answer that are looked at; 0 means the constant BodyLimit
	Invert     bool                    // success and failure swap
	Announce   profile.OriginHeader    // the PROXY protocol header that begins the connection; "" and off: none
	Expect     Expect

	// For http and https.
	Method  string
	Path    string   // as sent, starts with /
	Host    string   // the Host header
	Headers []Header // without Host, in the order of their names

	// TLS side of https. ServerName is sent as SNI when it is a name, and is what the certificate must be valid for.
	ServerName string
	Verify     bool
	MinVersion uint16        // 0 means TLS 1.2
	ExpiryWarn time.Duration // a certificate that ends sooner earns a remark in the log
	identity   *identity     // nil: the Prober's roots and no client certificate

	// For tcp.
	Send  string // said after connecting
	Reset bool   // end with RST instead of FIN

	Question *Question // dns
	Program  []string  // exec: program and arguments; addressMark stands for the address
}

// Expect is what a healthy answer looks like. All rules must hold.
type Expect struct {
	Status    []profile.StatusRange // http and https: never empty
	Body      string                // substring within the body limit; "" is no rule
	BodyRegex *regexp.Regexp        // nil is no rule
	Headers   []Header              // name and exact value
	JSON      *JSONRule             // nil is no rule
	Complete  bool                  // the body must arrive whole
	Text      string                // tcp: substring of what the peer says; "" is no rule
}

// hasBody reports that the body matters. Without a body rule the status line and the headers decide.
func (e *Expect) hasBody() bool {
	return e.Body != "" || e.BodyRegex != nil || e.JSON != nil || e.Complete
}

// Node is what a check takes from the machine that runs it.
type Node struct {
	Location string                                     // compared with monitor.vantage
	Secrets  func(profile.Value) (string, error)        // asked for every value that is not written as plain text
	Programs func(name string) (argv []string, ok bool) // node.exec; nil: there is none
}

// secret is the text of v, asked for only when v is not plain.
func (n *Node) secret(v profile.Value) (string, error) {
	switch {
	case v.Secret == "" && v.Env == "":
		return v.Text, nil
	case n.Secrets == nil:
		return "", fmt.Errorf("%s: this node has no secrets", v)
	default:
		return n.Secrets(v)
	}
}

// SpecOf resolves the monitor of one endpoint. The endpoint's Monitor is complete: the profile's keys with the
// endpoint's own on top. An error names the profile, the endpoint and the key; it never holds a secret.
func SpecOf(p *profile.Profile, e *profile.Endpoint, n Node) (Spec, error) {
	s, err := specOf(p, e, &e.Monitor, &n)
	if err != nil {
		return Spec{}, fmt.Errorf("profile %s, endpoint %s: %w", p.Name, e.Name, err)
	}
	return s, nil
}

func specOf(p *profile.Profile, e *profile.Endpoint, m *profile.Monitor, n *Node) (Spec, error) {
	s := Spec{
		Protocol: m.Protocol, Timeout: m.Timeout, Parts: m.Timeouts, MaxLatency: m.MaxLatency,
		BodyLimit: int(m.BodyLimit), Invert: m.Invert, Verify: m.TLS.Verify,
	}
	if m.Timeout <= 0 {
		return s, fmt.Errorf("monitor.timeout %s must be above 0", m.Timeout)
	}
	if s.Parts.Connect < 0 || s.Parts.Status < 0 || s.Parts.Body < 0 || s.MaxLatency < 0 || s.BodyLimit < 0 {
		return s, errors.New("monitor.timeouts, max_latency and body_limit must not be negative; 0 is no bound of its own")
	}
	origin, err := s.place(e, m)
	if err != nil {
		return s, err
	}
	switch m.Protocol {
	case profile.HTTP, profile.HTTPS:
		return s, s.http(p, e, m, n, origin)
	case profile.TCP:
		return s, s.talk(m)
	case profile.DNS:
		return s, s.ask(p, m)
	case profile.Exec:
		return s, s.program(p, e, m, n)
	default:
		return s, fmt.Errorf("monitor.protocol %q is unknown; allowed: http, https, tcp, dns, exec", m.Protocol)
	}
}

// http fills in what http and https need.
func (s *Spec) http(p *profile.Profile, e *profile.Endpoint, m *profile.Monitor, n *Node, origin *url.URL) (err error) {
	if s.Host, err = hostOf(p, e, m, origin); err != nil {
		return err
	}
	if s.ServerName = m.TLS.SNI; s.ServerName == "" {
		s.ServerName = withoutPort(s.Host)
	}
	if err := s.request(m, n); err != nil {
		return err
	}
	if err := s.expect(m, n); err != nil || m.Protocol == profile.HTTP {
		return err
	}
	return s.identify(m, n)
}

// place fills in where the probe goes: the origin, else the target.
func (s *Spec) place(e *profile.Endpoint, m *profile.Monitor) (*url.URL, error) {
	s.Port = m.Port
	var origin *url.URL
	switch {
	case e.Target.Profile != "":
		return nil, fmt.Errorf("the endpoint is the profile %s: its status is computed, it is never probed", e.Target.Profile)
	case e.Origin != "":
		u, err := url.Parse(e.Origin)
		if err != nil || u.Hostname() == "" {
			return nil, fmt.Errorf("origin %q is no http(s)://host[:port]", e.Origin)
		}
		origin, s.Targets = u, []string{u.Hostname()}
	case e.Target.Host != "":
		s.Targets = []string{e.Target.Host}
	case len(e.Target.Addrs) > 0:
		s.Targets = slices.Clone(e.Target.Addrs)
	default:
		return nil, errors.New("neither origin nor target says where to probe")
	}
	if s.Port == 0 {
		s.Port = usualPort(m.Protocol, origin)
	}
	if s.Port < 0 || s.Port > 65535 {
		return nil, fmt.Errorf("monitor.port %d; allowed: 1 to 65535", s.Port)
	}
	s.announce(e, m, origin)
	return origin, nil
}

// usualPort is the port when monitor.port names none: the origin's, else the usual one. A question about names goes to
// port 53, whatever the web server listens on.
func usualPort(protocol profile.Protocol, origin *url.URL) int {
	if protocol == profile.DNS {
		return 53
	}
	if protocol == profile.Exec {
		return 0
	}
	if origin != nil {
		if port, err := strconv.ParseUint(origin.Port(), 10, 16); err == nil && port > 0 {
			return int(port)
		}
	}
	if protocol == profile.HTTPS || (protocol == profile.TCP && origin != nil && origin.Scheme == "https") {
		return 443
	}
	return 80
}
