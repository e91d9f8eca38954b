package nameserver_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"

	"jurymast/internal/certificates"
	"jurymast/internal/nameserver"
	"jurymast/internal/nameserver/tap"
	"jurymast/internal/profile"
)

// issue writes a self-signed certificate and its key, and adds it to the pool.
func issue(t testing.TB, pool *x509.CertPool, names ...string) profile.CertificateFiles {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: names[0]}, DNSNames: names,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	pk, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool.AddCert(leaf)
	dir := t.TempDir()
	f := profile.CertificateFiles{Cert: filepath.Join(dir, "c.pem"), Key: filepath.Join(dir, "k.pem")}
	for name, b := range map[string]*pem.Block{f.Cert: {Type: "CERTIFICATE", Bytes: der}, f.Key: {Type: "PRIVATE KEY", Bytes: pk}} {
		if err := os.WriteFile(name, pem.EncodeToMemory(b), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return f
}

func held(t testing.TB, files ...profile.CertificateFiles) *certificates.Holder {
	t.Helper()
	set, err := certificates.Load(files)
	if err != nil {
		t.Fatal(err)
	}
	h := &certificates.Holder{}
	h.Use(set)
	return h
}

// secret is the standard fixture with every encrypted transport on loopback, and whom its clients trust.
type secret struct {
	*fixture
	pool  *x509.CertPool
	certs *certificates.Holder
}

func encrypted(t testing.TB, limits nameserver.TCP) *secret {
	t.Helper()
	s := &secret{pool: x509.NewCertPool()}
	s.certs = held(t, issue(t, s.pool, "ns1.dr.example"), issue(t, s.pool, "ns2.dr.example", "*.w.example"))
	return s.open(t, limits)
}

// open starts it.
func (s *secret) open(t testing.TB, limits nameserver.TCP) *secret {
	t.Helper()
	loopback, ps := []string{"127.0.0.1:0"}, standard()
	s.fixture = create(nameserver.Options{Listen: loopback, TCP: limits, Secure: nameserver.Secure{TLS: loopback, HTTPS: loopback, QUIC: loopback, Certificates: s.certs}})
	s.publish(t, 7, []*profile.Zone{testZone(records)}, ps, standardViews(ps))
	s.serve(t)
	return s
}

func (s *secret) at(via tap.Transport) string { return s.srv.SecureAddrs(via)[0].String() }

// config is a client's.
func (s *secret) config(protocols ...string) *tls.Config {
	return &tls.Config{RootCAs: s.pool, ServerName: "ns1.dr.example", NextProtos: protocols, MinVersion: tls.VersionTLS12}
}

// dot connects.
func (s *secret) dot(t testing.TB, c *tls.Config) *tls.Conn {
	t.Helper()
	return s.dial(t, tap.DoT, c)
}

func (s *secret) dial(t testing.TB, via tap.Transport, c *tls.Config) *tls.Conn {
	t.Helper()
	conn, err := tls.DialWithDialer(&net.Dialer{Timeout: 10 * time.Second}, "tcp", s.at(via), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	return conn
}

// Questions over TLS in one record, in one each and cut anywhere are all answered, also when the client has said goodbye.
func TestDoTPipelining(t *testing.T) {
	s := encrypted(t, nameserver.TCP{})
	for _, cut := range []int{1 << 14, 37, 777} {
		conn := s.dot(t, s.config("dot"))
		if state := conn.ConnectionState(); state.NegotiatedProtocol != "dot" || state.Version != tls.VersionTLS13 {
			t.Errorf("%s, %s", state.NegotiatedProtocol, tls.VersionName(state.Version))
		}
		var all []byte
		const n = 300
		for i := range n {
			q := query("big.dr.example.", dns.TypeTXT)
			q.Id = uint16(i)
			all = append(all, framed(q)...)
		}
		go func() {
			for i := 0; i < len(all); i += cut {
				if _, err := conn.Write(all[i:min(i+cut, len(all))]); err != nil {
					t.Error(err)
				}
			}
			if err := conn.CloseWrite(); err != nil {
				t.Error(err)
			}
		}()
		for i := range n {
			if m := readReply(t, conn); int(m.Id) != i || len(m.Answer) != 5 {
				t.Fatalf("answer %d: %v", i, m)
			}
		}
		if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Errorf("after the last answer: %v", err)
		}
	}
	if n := s.counter(t, "queries_total family=ipv4 transport=dot"); n != 900 {
		t.Errorf("%v questions counted", n)
	}
	if n := s.counter(t, "handshakes_total resumed=false transport=dot version=1.3"); n != 3 {
		t.Errorf("%v handshakes counted", n)
	}
}

// gathered is a client's end of a connection that sends only when it is told to, and counts what comes at once.
type gathered struct {
	net.Conn
	hold bool
	out  []byte
}

func (c *gathered) Write(b []byte) (int, error) {
	if c.hold {
		c.out = append(c.out, b...)
		return len(b), nil
	}
	return c.Conn.Write(b)
}

// counted counts the writes of the server's end.
type counted struct {
	net.Conn
	writes atomic.Int64
}

func (c *counted) Write(b []byte) (int, error) { c.writes.Add(1); return c.Conn.Write(b) }

// Answers to questions that came together leave together, even if each question has a record of its own.
func TestDoTAnswersTogether(t *testing.T) {
	s := encrypted(t, nameserver.TCP{})
	near, far := net.Pipe()
	server := &counted{Conn: far}
	serve := s.srv.SecureConnector()
	done := make(chan struct{})
	go func() { serve(server); close(done) }()
	client := &gathered{Conn: near}
	conn := tls.Client(client, s.config("dot"))
	if err := conn.HandshakeContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	go func() { // takes in the session tickets, and the answers when they come
		client.hold = true
		for range 20 {
			_, _ = conn.Write(framed(query("web.dr.example.", dns.TypeA)))
		}
		_, _ = near.Write(client.out)
	}()
	readReply(t, conn)
	before := server.writes.Load()
	for range 19 {
		readReply(t, conn)
	}
	if got := server.writes.Load() - before; got != 0 {
		t.Errorf("%d more writes for the rest of 20 answers", got)
	}
	_ = near.Close()
	<-done
}

// Clients get the certificate they ask for, new ones with the next handshake, and what stands goes on.
func TestCertificatesByNameAndAnew(t *testing.T) {
	s := encrypted(t, nameserver.TCP{})
	shown := func(name string) *x509.Certificate {
		c := s.config("dot")
		c.ServerName = name
		return s.dot(t, c).ConnectionState().PeerCertificates[0]
	}
	for name, want := range map[string]string{"ns1.dr.example": "ns1.dr.example", "ns2.dr.example": "ns2.dr.example", "any.w.example": "ns2.dr.example", "127.0.0.1": "ns1.dr.example"} {
		if got := shown(name).Subject.CommonName; got != want {
			t.Errorf("%s got the certificate of %s", name, got)
		}
	}
	old := s.dot(t, s.config("dot"))
	set, err := certificates.Load([]profile.CertificateFiles{issue(t, s.pool, "ns1.dr.example", "new.example")})
	if err != nil {
		t.Fatal(err)
	}
	s.certs.Use(set)
	if got := shown("ns1.dr.example").DNSNames; len(got) != 2 {
		t.Errorf("after the change: %v", got)
	}
	if !served(t, old) {
		t.Error("the connection from before was cut")
	}
}

// What cannot become a connection of TLS ends, and is counted by its reason.
func TestHandshakesThatFail(t *testing.T) {
	s := encrypted(t, nameserver.TCP{First: 300 * time.Millisecond})
	dial := func() net.Conn {
		conn, err := net.Dial("tcp", s.at(tap.DoT))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
		return conn
	}
	ended := func(conn net.Conn) {
		if _, err := io.Copy(io.Discard, conn); errors.Is(err, os.ErrDeadlineExceeded) {
			t.Error("it stays open")
		}
	}
	plain := dial()
	_, _ = plain.Write(framed(query("dr.example.", dns.TypeSOA)))
	ended(plain)
	ended(dial()) // says nothing
	_ = dial().Close()
	for _, c := range []*tls.Config{{RootCAs: s.pool, ServerName: "ns1.dr.example", NextProtos: []string{"h2"}}, {RootCAs: s.pool, ServerName: "ns1.dr.example", MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10}} {
		if err := tls.Client(dial(), c).HandshakeContext(t.Context()); err == nil {
			t.Errorf("%v: it succeeded", c)
		}
	}
	distrust := tls.Client(dial(), &tls.Config{RootCAs: x509.NewCertPool(), ServerName: "ns1.dr.example", MinVersion: tls.VersionTLS12})
	if err := distrust.HandshakeContext(t.Context()); err == nil {
		t.Error("an unknown authority")
	}
	for why, want := range map[string]float64{"protocol": 3, "timeout": 1, "client": 2, "no-certificate": 0} {
		eventually(t, why, func() bool { return s.counter(t, "handshakes_failed_total transport=dot why="+why) == want })
	}
	s.certs.Use(nil)
	if err := tls.Client(dial(), s.config()).HandshakeContext(t.Context()); err == nil {
		t.Error("without a certificate")
	}
	eventually(t, "counted", func() bool { return s.counter(t, "handshakes_failed_total transport=dot why=no-certificate") == 1 })
	eventually(t, "closed", func() bool { return s.counter(t, "connections transport=dot") == 0 })
	if n := s.counter(t, "connections_closed_total transport=dot why=handshake"); n != 7 {
		t.Errorf("%v connections ended in their handshake", n)
	}
}

// Sessions are resumed, with TLS 1.2 and 1.3, and early data is not taken.
func TestSessionsAreResumed(t *testing.T) {
	s := encrypted(t, nameserver.TCP{})
	for version, name := range map[uint16]string{tls.VersionTLS12: "1.2", tls.VersionTLS13: "1.3"} {
		c := s.config("dot")
		c.MaxVersion, c.ClientSessionCache = version, tls.NewLRUClientSessionCache(1)
		for i := range 2 {
			conn := s.dot(t, c)
			if !served(t, conn) { // takes in the tickets
				t.Fatal("no answer")
			}
			if got := conn.ConnectionState().DidResume; got != (i == 1) {
				t.Errorf("TLS %s, connection %d: resumed %v", name, i, got)
			}
		}
		if n := s.counter(t, "handshakes_total resumed=true transport=dot version="+name); n != 1 {
			t.Errorf("TLS %s: %v counted", name, n)
		}
	}
}

// Handshakes are bounded per network and second; the others get theirs.
func TestHandshakeRate(t *testing.T) {
	s := encrypted(t, nameserver.TCP{Handshakes: 1000, PerPrefixHandshakes: 3})
	try := func(from string) bool {
		conn := dialFrom(t, from, s.srv.SecureAddrs(tap.DoT)[0])
		return tls.Client(conn, s.config("dot")).HandshakeContext(t.Context()) == nil
	}
	good := 0
	for range 10 {
		if try("127.0.0.1") {
			good++
		}
	}
	if good < 3 || good > 6 {
		t.Errorf("%d of 10 handshakes of one network", good)
	}
	if !try("127.0.7.1") {
		t.Error("another network was turned away")
	}
	if n := s.counter(t, "connections_refused_total transport=dot why=rate"); n != float64(10-good) {
		t.Errorf("%v counted", n)
	}
}

// Answers are padded when the question was, but not where everybody can read them anyway.
func TestPadding(t *testing.T) {
	s := encrypted(t, nameserver.TCP{})
	conn := s.dot(t, s.config("dot"))
	for name, padded := range map[string]bool{"web.dr.example.": true, "big.dr.example.": true, "missing.dr.example.": true, "dr.example.": false} {
		q := query(name, dns.TypeTXT)
		q.SetEdns0(1232, false)
		if padded {
			q.IsEdns0().Option = append(q.IsEdns0().Option, &dns.EDNS0_PADDING{Padding: make([]byte, 40)})
		}
		if _, err := conn.Write(framed(q)); err != nil {
			t.Fatal(err)
		}
		reply, err := framedReply(conn)
		if err != nil {
			t.Fatal(err)
		}
		if got := len(reply)%468 == 0; got != padded {
			t.Errorf("%s: %d bytes", name, len(reply))
		}
		m := new(dns.Msg)
		if err := m.Unpack(reply); err != nil {
			t.Error(err)
		}
		for _, network := range []string{"udp", "tcp"} {
			for _, o := range ask(t, network, s.srv.Addrs()[0], q).IsEdns0().Option {
				if o.Option() == dns.EDNS0PADDING {
					t.Errorf("%s: padding over %s", name, network)
				}
			}
		}
	}
}

// A stop in the middle of handshakes and of silence is quick, and cuts nobody who waits for an answer.
func TestDoTStops(t *testing.T) {
	s := encrypted(t, nameserver.TCP{First: time.Minute, Idle: time.Minute})
	for range 5 {
		dialFrom(t, "127.0.0.1", s.srv.SecureAddrs(tap.DoT)[0])
		s.dot(t, s.config("dot"))
	}
	eventually(t, "connections", func() bool { return s.counter(t, "connections transport=dot") == 10 })
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	start := time.Now()
	if err := s.srv.Close(ctx); err != nil || time.Since(start) > 5*time.Second {
		t.Errorf("%v after %v", err, time.Since(start))
	}
	if n := s.counter(t, "connections transport=dot"); n != 0 {
		t.Errorf("%v connections are left", n)
	}
}
