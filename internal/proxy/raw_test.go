package proxy_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"jurymast/internal/profile"
	"jurymast/internal/proxy"
)

// What tests of bytes are made of: origins and clients that write what they are told, and a reader of messages that is
// deliberately dumb and shares nothing with the proxy's.

// patience is how long anything may take that is not expected to take time at all.
const patience = 5 * time.Second

// The ways a body can be framed.
const (
	framedNone    = "none"
	framedLength  = "length"
	framedChunked = "chunked"
	framedClose   = "close"
)

// message is one request or response as it came, without the framing of its body.
type message struct {
	first    string   // request or status line
	fields   []string // lines
	framing  string
	body     string
	trailers []string // lines
}

// values of the fields with that name, in any case, without the blanks around them.
func (m *message) values(name string) (out []string) {
	for _, line := range m.fields {
		if n, v, _ := strings.Cut(line, ":"); strings.EqualFold(n, name) {
			out = append(out, strings.Trim(v, " \t"))
		}
	}
	return out
}

// has reports that a list field contains a word.
func (m *message) has(name, word string) bool {
	for _, v := range m.values(name) {
		for w := range strings.SplitSeq(v, ",") {
			if strings.EqualFold(strings.Trim(w, " \t"), word) {
				return true
			}
		}
	}
	return false
}

// status is the number of a response, 0 of anything else.
func (m *message) status() int {
	if len(m.first) < 12 || !strings.HasPrefix(m.first, "HTTP/1.") {
		return 0
	}
	n, _ := strconv.Atoi(m.first[9:12])
	return n
}

// method of a request.
func (m *message) method() string {
	method, _, _ := strings.Cut(m.first, " ")
	return method
}

// String is the whole message; long bodies are shown by their length.
func (m *message) String() string {
	body := strconv.Quote(m.body)
	if len(m.body) > 200 {
		body = fmt.Sprintf("%d bytes, %q ...", len(m.body), m.body[:20])
	}
	return fmt.Sprintf("%q %q %s %s %q", m.first, m.fields, m.framing, body, m.trailers)
}

// readLines reads lines up to the empty one.
func readLines(br *bufio.Reader) (lines []string, err error) {
	for {
		l, err := br.ReadString('\n')
		if err != nil {
			return lines, err
		}
		text, ok := strings.CutSuffix(l, "\r\n")
		if !ok {
			return lines, fmt.Errorf("the line %q does not end with CRLF", l)
		}
		if text == "" {
			return lines, nil
		}
		lines = append(lines, text)
	}
}

// readMessage reads a request, or a response that has a body unless bodiless. An empty line before it is skipped. What
// was read is there beside an error.
func readMessage(br *bufio.Reader, response, bodiless bool) (*message, error) {
	if b, err := br.Peek(2); err == nil && string(b) == "\r\n" {
		_, _ = br.Discard(2)
	}
	m := &message{framing: framedNone}
	lines, err := readLines(br)
	if len(lines) > 0 {
		m.first, m.fields = lines[0], lines[1:]
	}
	if err != nil {
		if errors.Is(err, io.EOF) && len(lines) > 0 {
			err = io.ErrUnexpectedEOF
		}
		return m, err
	}
	length := m.values("Content-Length")
	switch {
	case bodiless:
	case m.has("Transfer-Encoding", "chunked"):
		m.framing = framedChunked
		err = m.readChunks(br)
	case len(length) > 0:
		m.framing = framedLength
		err = m.readLength(br, length[0])
	case response:
		m.framing = framedClose
		var b []byte
		b, err = io.ReadAll(br)
		m.body = string(b)
	}
	return m, err
}

func (m *message) readLength(br *bufio.Reader, length string) error {
	n, err := strconv.ParseInt(length, 10, 64)
	if err != nil {
		return err
	}
	b, err := io.ReadAll(io.LimitReader(br, n))
	m.body = string(b)
	if err == nil && int64(len(b)) < n {
		err = io.ErrUnexpectedEOF
	}
	return err
}

func (m *message) readChunks(br *bufio.Reader) error {
	var body strings.Builder
	defer func() { m.body = body.String() }()
	for {
		l, err := br.ReadString('\n')
		if err != nil {
			return noEOF(err)
		}
		size, _, _ := strings.Cut(strings.TrimSuffix(l, "\r\n"), ";")
		n, err := strconv.ParseInt(size, 16, 32)
		if err != nil {
			return err
		}
		if n == 0 {
			m.trailers, err = readLines(br)
			return noEOF(err)
		}
		if _, err := io.CopyN(&body, br, n); err != nil {
			return noEOF(err)
		}
		end := make([]byte, 2)
		if _, err := io.ReadFull(br, end); err != nil || string(end) != "\r\n" {
			return fmt.Errorf("behind a chunk: %q %w", end, noEOF(err))
		}
	}
}

func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// peer is one end of a connection of bytes.
type peer struct {
	*net.TCPConn
	t  testing.TB
	br *bufio.Reader
	n  int // which connection of its origin it is, from 1
}

func newPeer(t testing.TB, c net.Conn) *peer {
	tcp, ok := c.(*net.TCPConn)
	if !ok {
		t.Fatalf("%T is no TCP connection", c)
	}
	_ = tcp.SetDeadline(time.Now().Add(patience))
	return &peer{TCPConn: tcp, t: t, br: bufio.NewReader(tcp)}
}

// dial connects to the proxy as a client, or to an origin directly.
func dial(t testing.TB, addr string) *peer {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	p := newPeer(t, c)
	t.Cleanup(func() { _ = p.Close() })
	return p
}

// send writes; the other end may be gone.
func (p *peer) send(parts ...string) {
	for _, s := range parts {
		_, _ = io.WriteString(p, s)
	}
}

// request reads one at an origin; nil when the connection has ended.
func (p *peer) request() *message {
	m, err := readMessage(p.br, false, false)
	if err != nil {
		return nil
	}
	return m
}

// answer reads the answer to a request with this method, and the 1xx before it.
func (p *peer) answer(method string) (hints []*message, m *message, err error) {
	for {
		b, _ := p.br.Peek(12)
		status, _ := strconv.Atoi(string(b[min(9, len(b)):]))
		informational := status >= 100 && status < 200
		m, err = readMessage(p.br, true, method == "HEAD" || informational || status == 204 || status == 304)
		if err != nil || !informational || status == 101 {
			return hints, m, err
		}
		hints = append(hints, m)
	}
}

// must reads a whole answer.
func (p *peer) must(method string) *message {
	p.t.Helper()
	_, m, err := p.answer(method)
	if err != nil {
		p.t.Fatalf("no answer: %v; read %v", err, m)
	}
	return m
}

// ends reports how the connection ends: "" cleanly and without another byte, else what came instead.
func (p *peer) ends() string {
	b, err := io.ReadAll(p.br)
	switch {
	case err != nil:
		return err.Error()
	case len(b) > 0:
		return fmt.Sprintf("bytes: %q", b)
	}
	return ""
}

// stays reports that the connection carries another request.
func (p *peer) stays() bool {
	p.send("GET /stays HTTP/1.1\r\nHost: a.example\r\n\r\n")
	_, m, err := p.answer("GET")
	return err == nil && m.status() != 0
}

// abort closes with RST.
func (p *peer) abort() {
	_ = p.SetLinger(0)
	_ = p.Close()
}

// scripted is an origin that leaves each connection to a function and ends it afterwards.
type scripted struct {
	ln    *net.TCPListener
	done  sync.WaitGroup
	mu    sync.Mutex
	conns map[*peer]struct{}
	n     int
	ended bool
}

func startScripted(t testing.TB, serve func(*peer)) *scripted {
	t.Helper()
	ln, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	s := &scripted{ln: ln, conns: map[*peer]struct{}{}}
	s.done.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			p := newPeer(t, c)
			s.mu.Lock()
			s.n++
			p.n = s.n
			if s.ended {
				p.abort()
			}
			s.conns[p] = struct{}{}
			s.mu.Unlock()
			s.done.Go(func() {
				serve(p)
				_ = p.Close()
				s.mu.Lock()
				delete(s.conns, p)
				s.mu.Unlock()
			})
		}
	})
	t.Cleanup(s.end)
	return s
}

func (s *scripted) end() {
	_ = s.ln.Close()
	s.mu.Lock()
	s.ended = true
	for p := range s.conns {
		p.abort()
	}
	s.mu.Unlock()
	s.done.Wait()
}

func (s *scripted) addr() string { return s.ln.Addr().String() }

// accepted is the number of connections so far.
func (s *scripted) accepted() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.n
}

// inFrontOf is a proxy whose first endpoint is an origin of bytes.
func inFrontOf(t *testing.T, serve func(*peer), change func(*proxy.Options, *profile.Profile)) (*rig, *scripted) {
	t.Helper()
	s := startScripted(t, serve)
	r := newRig(t, func(o *proxy.Options, p *profile.Profile) {
		p.Endpoints[0].Origin = "http://" + s.addr()
		if change != nil {
			change(o, p)
		}
	})
	return r, s
}

// saying answers every request with the same bytes and keeps the connection.
func saying(text string) func(*peer) {
	return func(p *peer) {
		for p.request() != nil {
			p.send(text)
		}
	}
}

// once answers one request and ends the connection.
func once(text string) func(*peer) {
	return func(p *peer) {
		if p.request() != nil {
			p.send(text)
		}
	}
}

// logged waits for line n of the access log, counted from 0.
func (r *rig) logged(n int) (l map[string]any) {
	r.t.Helper()
	r.eventually(fmt.Sprintf("line %d of the log", n), func() bool {
		all := strings.SplitN(r.log.String(), "\n", n+2)
		return len(all) == n+2 && json.Unmarshal([]byte(all[n]), &l) == nil
	})
	return l
}

// hop are the fields of one connection [RFC 9110 7.6.1] and those the proxy adds.
var hop = []string{
	"connection", "keep-alive", "proxy-connection", "proxy-authorization", "proxy-authenticate", "te", "transfer-encoding", "upgrade",
	"x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-forwarded-port",
}

// endToEnd is a message without what may differ between direct and proxied. The version is of the connection, too.
func (m *message) endToEnd() *message {
	out := *m
	out.first = strings.Replace(out.first, "HTTP/1.0", "HTTP/1.1", 1)
	out.fields = nil
	for _, line := range m.fields {
		name, _, _ := strings.Cut(line, ":")
		if !slices.Contains(hop, strings.ToLower(name)) && !m.has("Connection", name) {
			out.fields = append(out.fields, line)
		}
	}
	if out.framing == framedClose { // only a connection that ends can carry it on as it is
		out.framing = framedChunked
	}
	return &out
}
