package inbound

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"jurymast/internal/proxy/wire"
)

func TestMain(m *testing.M) {
	if child := os.Getenv(childEnv); child != "" {
		beChild(child)
		return
	}
	goleak.VerifyTestMain(m)
}

const patience = 20 * time.Second // far more than anything here takes

// rig is a front with a small HTTP server behind it: it answers with what it knows of the connection. A request for
// /slow waits for release.
type rig struct {
	t       testing.TB
	front   *Front
	log     *syncBuffer
	plain   string
	secure  string
	roots   *x509.CertPool
	release chan struct{}
	waiting chan struct{} // one word for each request that waits
}

func newRig(t testing.TB, change func(*Options)) *rig {
	t.Helper()
	config, roots := certificate(t)
	watch := wire.NewWatch(0)
	r := &rig{t: t, log: &syncBuffer{}, roots: roots, release: make(chan struct{}), waiting: make(chan struct{}, 1000)}
	o := Options{
		Plain: []string{"127.0.0.1:0"}, Secure: []string{"127.0.0.1:0"}, TLS: config, Watch: watch, Serve: r.serve,
		HTTP2: http.HandlerFunc(r.http2), Logger: slog.New(slog.NewTextHandler(r.log, nil)),
	}
	if change != nil {
		change(&o)
	}
	front, err := Listen(o)
	if err != nil {
		t.Fatal(err)
	}
	r.front = front
	plain, secure := front.Addrs()
	if len(plain) > 0 {
		r.plain = plain[0].String()
	}
	if len(secure) > 0 {
		r.secure = secure[0].String()
	}
	front.Start()
	t.Cleanup(func() {
		if err := front.Close(); err != nil {
			t.Error(err)
		}
		if n := front.Connections(); n != 0 {
			t.Errorf("%d connections after Close", n)
		}
		if n := watch.Len(); n != 0 {
			t.Errorf("%d connections under watch after Close", n)
		}
		watch.Close()
	})
	return r
}

func certificate(t testing.TB) (*tls.Config, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "p.example"}, DNSNames: []string{"p.example"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}, pool
}

// serve is a server of HTTP/1.1 that is good for these tests only.
func (r *rig) serve(c *Conn) {
	for {
		c.Until(time.Now().Add(time.Minute))
		if c.Next() != nil {
			return
		}
		head, ok := readHead(c)
		switch {
		case !ok:
			return
		case !strings.HasPrefix(head, "GET /"):
			_, _ = io.WriteString(c, "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
			return
		case strings.HasPrefix(head, "GET /panic"):
			panic("asked for")
		case strings.HasPrefix(head, "GET /tunnel"):
			c.Tunnelling()
			r.waiting <- struct{}{}
			_, _ = io.Copy(io.Discard, c)
			return
		case strings.HasPrefix(head, "GET /slow"):
			r.waiting <- struct{}{}
			<-r.release
		}
		last := c.Closing()
		text, hint := describe(c), ""
		if last {
			hint = "Connection: close\r\n"
		}
		if _, err := fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n%s\r\n%s", len(text), hint, text); err != nil || last {
			return
		}
	}
}

func readHead(c *Conn) (string, bool) {
	buf := wire.Get(4096)
	defer wire.Put(buf)
	have := 0
	for have < len(*buf) {
		n, err := c.Read((*buf)[have:])
		have += n
		if head, rest, found := bytes.Cut((*buf)[:have], []byte("\r\n\r\n")); found {
			c.Unread(bytes.Clone(rest))
			return string(head), true
		}
		if err != nil {
			break
		}
	}
	return "", false
}

func describe(c *Conn) string {
	text := fmt.Sprintf("peer=%s local=%s socket=%s listener=%s", c.Peer, c.Local, c.Socket.Addr(), c.Listener)
	if c.TLS != nil {
		text += " sni=" + c.TLS.ServerName
	}
	return text
}

func (r *rig) http2(w http.ResponseWriter, req *http.Request) {
	if req.URL.Path == "/slow" {
		r.waiting <- struct{}{}
		<-r.release
	}
	c := ConnOf(req.Context())
	if c.Peer.String() != req.RemoteAddr {
		r.t.Errorf("net/http says %s, we say %s", req.RemoteAddr, c.Peer)
	}
	_, _ = io.WriteString(w, req.Proto+" "+describe(c))
}

// client is one connection to the rig.
type client struct {
	net.Conn
	t testing.TB
	r *bufio.Reader
}

// dial connects from a loopback address, "" is 127.0.0.1.
func (r *rig) dial(from, to string) *client {
	r.t.Helper()
	d := net.Dialer{Timeout: patience}
	if from != "" {
		d.LocalAddr = &net.TCPAddr{IP: net.ParseIP(from)}
	}
	conn, err := d.DialContext(context.Background(), "tcp", to)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		r.t.Fatal(err)
	}
	return newClient(r.t, conn)
}

// refuses says that the front breaks a new connection at once, which may even be before the client has it.
func (r *rig) refuses(from, to string) bool {
	r.t.Helper()
	d := net.Dialer{Timeout: patience, LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	conn, err := d.DialContext(context.Background(), "tcp", to)
	if err != nil {
		return errors.Is(err, syscall.ECONNRESET)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(patience))
	_, err = conn.Read(make([]byte, 1))
	return errors.Is(err, syscall.ECONNRESET)
}

func newClient(t testing.TB, conn net.Conn) *client {
	return &client{Conn: conn, t: t, r: bufio.NewReader(conn)}
}

func (r *rig) tls(under net.Conn, protocols ...string) (*tls.Conn, error) {
	c := tls.Client(under, &tls.Config{RootCAs: r.roots, ServerName: "p.example", NextProtos: protocols, MinVersion: tls.VersionTLS12})
	return c, c.HandshakeContext(context.Background())
}

func (c *client) send(text string) {
	c.t.Helper()
	if _, err := io.WriteString(c.Conn, text); err != nil {
		c.t.Fatal(err)
	}
}

// answer reads one answer: its status and its body.
func (c *client) answer() (int, string) {
	c.t.Helper()
	resp, err := http.ReadResponse(c.r, nil)
	if err != nil {
		c.t.Fatalf("no answer: %v", err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

// get asks and wants 200.
func (c *client) get(path string) string {
	c.t.Helper()
	c.send("GET " + path + " HTTP/1.1\r\nHost: p.example\r\n\r\n")
	status, body := c.answer()
	if status != http.StatusOK {
		c.t.Fatalf("GET %s: %d", path, status)
	}
	return body
}

// over waits until the server has closed the connection, and says whether it did so without an answer.
func (c *client) over() (silent bool) {
	c.t.Helper()
	b, err := io.ReadAll(c.r)
	if ne, ok := err.(net.Error); ok && ne.Timeout() { //nolint:errorlint // the connection's own
		c.t.Fatal("the connection is still open")
	}
	return len(b) == 0
}

// metric reads one value of the front; labels are the values of its labels in any order.
func (r *rig) metric(name string, labels ...string) float64 {
	r.t.Helper()
	reg := prometheus.NewRegistry()
	reg.MustRegister(r.front)
	families, err := reg.Gather()
	if err != nil {
		r.t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != "jurymast_proxy_"+name {
			continue
		}
		for _, m := range f.GetMetric() {
			have := map[string]bool{}
			for _, l := range m.GetLabel() {
				have[l.GetValue()] = true
			}
			all := true
			for _, l := range labels {
				all = all && have[l]
			}
			if all {
				return m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	r.t.Fatalf("no metric %s%v", name, labels)
	return 0
}

// eventually waits for something that another goroutine does.
func (r *rig) eventually(what string, holds func() bool) {
	r.t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	late := time.After(patience)
	for !holds() {
		select {
		case <-tick.C:
		case <-late:
			r.t.Fatalf("not in time: %s", what)
		}
	}
}

func (r *rig) state(s State) int {
	n := 0
	r.front.book.each(func(c *Conn) {
		if c.State() == s {
			n++
		}
	})
	return n
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}
