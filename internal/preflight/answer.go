package preflight

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"
	"unicode"

	"jurymast/internal/profile"
	"jurymast/internal/question"
)

const (
	answerLimit  = 64 << 10 // bytes read of one answer
	excerptLimit = 2 << 10  // bytes of a body that are searched for a complaint
	shownLimit   = 80       // bytes of a body that are shown
)

// asker makes one request after another to one address, each on a connection of its own. It never sends credentials: what
// it wants to know is whether the name is accepted, and a 401 says so too.
type asker struct {
	site
	method, path string
	headers      []string // "Name: value", without credentials and secrets
	minVersion   uint16
	client       []tls.Certificate
	roots        *x509.CertPool
	now          time.Time
}

// answer is what one request got.
type answer struct {
	status int
	router string // X-Cf-Routererror
	body   string // the start of it
	shaken bool   // the TLS handshake succeeded
	chain  []*x509.Certificate
	why    string // why there is no answer; "" with a status
}

func (a *answer) text() string {
	if a.why != "" {
		return a.why
	}
	text := fmt.Sprintf("status %d", a.status)
	if a.router != "" {
		text += ", router error " + a.router
	}
	if shown := oneLine(a.body, shownLimit); shown != "" && a.status >= 400 {
		text += fmt.Sprintf(", %q", shown)
	}
	return text
}

func (t *trial) asker(s site) *asker {
	m := t.monitor()
	a := &asker{site: s, method: http.MethodGet, path: "/", minVersion: tls.VersionTLS12, roots: t.Roots, now: t.Now()}
	if isHTTP(m.Protocol) {
		a.path = m.Path
		if m.Method == http.MethodHead {
			a.method = m.Method
		}
		for name, v := range m.Headers {
			if v.Secret == "" && v.Env == "" && !slices.Contains(credentials, strings.ToLower(name)) {
				a.headers = append(a.headers, name+": "+v.Text)
			}
		}
		slices.Sort(a.headers)
	}
	if m.TLS.MinVersion == profile.TLS13 {
		a.minVersion = tls.VersionTLS13
	}
	if pem := t.text(m.TLS.CA); pem != "" {
		pool := x509.NewCertPool()
		if pool.AppendCertsFromPEM([]byte(pem)) {
			a.roots = pool
		}
	}
	if pem := t.text(m.TLS.ClientCert); pem != "" {
		if pair, err := tls.X509KeyPair([]byte(pem), []byte(pem)); err == nil {
			a.client = []tls.Certificate{pair}
		}
	}
	return a
}

// text resolves a value; what cannot be had is left out, and the probe says why.
func (t *trial) text(v profile.Value) string {
	if v.Secret == "" && v.Env == "" {
		return v.Text
	}
	if t.Secret == nil {
		return ""
	}
	text, err := t.Secret(v)
	if err != nil {
		return ""
	}
	return text
}

// ask makes one request with this Host, and inside TLS with this SNI; "" sends none.
func (a *asker) ask(ctx context.Context, host, sni string) (out answer) {
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	conn, err := (&net.Dialer{KeepAlive: -1}).DialContext(ctx, "tcp", a.addr)
	if err != nil {
		out.why = "no connection: " + cause(err)
		return out
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if _, err := conn.Write([]byte(a.header.Local())); err != nil {
		out.why = "sending the PROXY protocol header: " + cause(err)
		return out
	}
	if a.tls {
		secure, why := a.handshake(ctx, conn, sni, &out)
		if out.why = why; why != "" {
			return out
		}
		conn = secure
	}
	a.exchange(conn, host, &out)
	return out
}

// handshake accepts every certificate: what is wrong with it is told by name, beside the answer.
func (a *asker) handshake(ctx context.Context, conn net.Conn, sni string, out *answer) (net.Conn, string) {
	secure := tls.Client(conn, &tls.Config{
		ServerName:         sni,
		InsecureSkipVerify: true, //nolint:gosec // the chain is judged separately, and nothing secret is sent
		MinVersion:         a.minVersion,
		NextProtos:         []string{"http/1.1"},
		Certificates:       a.client,
	})
	if err := secure.HandshakeContext(ctx); err != nil {
		return nil, "TLS handshake: " + cause(err)
	}
	out.shaken, out.chain = true, secure.ConnectionState().PeerCertificates
	return secure, ""
}

func (a *asker) exchange(conn net.Conn, host string, out *answer) {
	lines := append([]string{
		a.method + " " + a.path + " HTTP/1.1", "Host: " + host, "User-Agent: jurymast-preflight", "Accept: */*", "Connection: close",
	}, a.headers...)
	if _, err := io.WriteString(conn, strings.Join(lines, "\r\n")+"\r\n\r\n"); err != nil {
		out.why = "no answer: " + cause(err)
		return
	}
	resp, err := http.ReadResponse(bufio.NewReader(io.LimitReader(conn, answerLimit)), &http.Request{Method: a.method})
	if err != nil {
		out.why = "no HTTP answer: " + cause(err)
		return
	}
	defer func() {
		conn.Close() // first, because closing the body reads the rest of it
		resp.Body.Close()
	}()
	out.status, out.router = resp.StatusCode, oneLine(resp.Header.Get("X-Cf-Routererror"), shownLimit)
	body, _ := io.ReadAll(io.LimitReader(resp.Body, excerptLimit)) // what came is enough
	out.body = string(body)
}

// accepted says what an answer means for the name it was asked for.
type accepted uint8

const (
	taken    accepted = iota // the endpoint serves the name
	doubtful                 // the answer does not tell
	refused                  // the endpoint does not know the name
)

// complaints are words of routers and servers that do not know a host name. All lower case.
var complaints = []string{
	"requested route", "unknown_route", "misdirected", "virtual host", "hostname", "host name", "host header", "unknown host",
	"invalid host", "no such host", "host not", "unknown domain", "unrecognized domain", "server name", "no such app",
}

// judge compares the answer for a public name with that for the endpoint's own. First match:
//
//	no answer, but one for the own name          refused
//	421, or a router that knows no route         refused
//	a status the monitor expects                 taken
//	400, 403, 404 with words about the name      refused
//	404, and something else for the own name     refused
//	no answer at all, 404 or 5xx for both        doubtful
//	the same status as for the own name          taken
//	otherwise                                    doubtful
func judge(a, own *answer, ownHost string, expected func(int) bool) (accepted, string) {
	switch {
	case a.why != "" && own.why == "":
		return refused, a.why
	case a.why != "":
		return doubtful, a.why
	case a.status == http.StatusMisdirectedRequest:
		return refused, a.text()
	case strings.Contains(a.router, "unknown_route"):
		return refused, a.text()
	case expected(a.status):
		return taken, fmt.Sprintf("status %d, which the monitor expects", a.status)
	case complains(a):
		return refused, a.text()
	case a.status == http.StatusNotFound && own.why == "" && own.status != http.StatusNotFound:
		return refused, fmt.Sprintf("status 404, and %d for %s", own.status, ownHost)
	case a.status == http.StatusNotFound || a.status >= 500:
		return doubtful, a.text()
	case own.why == "" && a.status == own.status:
		return taken, fmt.Sprintf("status %d, as for %s", a.status, ownHost)
	}
	return doubtful, a.text()
}

func complains(a *answer) bool {
	switch a.status {
	case http.StatusBadRequest, http.StatusForbidden, http.StatusNotFound:
	default:
		return false
	}
	body := strings.ToLower(a.body)
	return slices.ContainsFunc(complaints, func(w string) bool { return strings.Contains(body, w) })
}

// cause is the part of a network error an operator can search for.
func cause(err error) string {
	var errno syscall.Errno
	var dns *net.DNSError
	switch {
	case err == nil:
		return "no address"
	case errors.As(err, &dns):
		return dns.Err
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded), errors.Is(err, question.ErrTime):
		return "timeout"
	case errors.As(err, &errno):
		return errno.Error()
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "connection closed"
	}
	return oneLine(err.Error(), 200)
}

func resolveCause(err error) string {
	var dns *net.DNSError
	if errors.As(err, &dns) && dns.IsTimeout {
		return "the resolver does not answer"
	}
	return cause(err)
}

// oneLine is the start of a text from outside, printable and on one line.
func oneLine(text string, limit int) string {
	text = strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) && r != unicode.ReplacementChar {
			return r
		}
		return ' '
	}, text)
	text = strings.Join(strings.Fields(text), " ")
	if len(text) > limit {
		text = strings.ToValidUTF8(text[:limit], "") + " ..."
	}
	return text
}
