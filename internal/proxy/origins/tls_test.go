package origins

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"
)

// authority signs certificates for tests.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	Pool *x509.CertPool
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t, Pool: x509.NewCertPool()}
	c := a.sign(&x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign,
	})
	var ok bool
	a.cert = c.Leaf
	if a.key, ok = c.PrivateKey.(*ecdsa.PrivateKey); !ok {
		t.Fatal("no key")
	}
	a.Pool.AddCert(a.cert)
	return a
}

func (a *authority) issue(name string) tls.Certificate {
	return a.sign(&x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	})
}

func (a *authority) sign(tmpl *x509.Certificate) tls.Certificate {
	a.t.Helper()
	tmpl.NotBefore, tmpl.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = tmpl, key
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, parent, &key.PublicKey, signer)
	if err != nil {
		a.t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

// secureOrigin answers "hello" to each byte, over TLS.
func secureOrigin(t *testing.T, cfg *tls.Config) string {
	t.Helper()
	ln, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				s := tls.Server(c, cfg)
				for b := make([]byte, 1); ; {
					if _, err := s.Read(b); err != nil {
						return
					}
					if _, err := s.Write([]byte("hello")); err != nil {
						return
					}
				}
			}()
		}
	}()
	return ln.Addr().String()
}

// hello is one exchange with a secureOrigin.
func hello(t *testing.T, c *Conn) {
	t.Helper()
	if _, err := c.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 5)
	if _, err := io.ReadFull(c, b); err != nil || string(b) != "hello" {
		t.Fatalf("%q, %v", b, err)
	}
}

func stateOf(t *testing.T, c *Conn) tls.ConnectionState {
	t.Helper()
	s, ok := c.NetConn().(*tls.Conn)
	if !ok {
		t.Fatalf("%T is no TLS connection", c.NetConn())
	}
	return s.ConnectionState()
}

func TestOriginsOverTLS(t *testing.T) {
	ca := newAuthority(t)
	for name, version := range map[string]uint16{"1.2": tls.VersionTLS12, "1.3": tls.VersionTLS13} {
		t.Run(name, func(t *testing.T) {
			addr := secureOrigin(t, &tls.Config{Certificates: []tls.Certificate{ca.issue("origin.example")}, MaxVersion: version, NextProtos: []string{"h2", "http/1.1"}})
			s := newPools(t, Options{Roots: ca.Pool})
			p := s.For(Key{Secure: true, Addr: addr, ServerName: "origin.example"})
			c := dial(t, p)
			hello(t, c)
			if state := stateOf(t, c); state.Version != version || state.NegotiatedProtocol != "http/1.1" || state.ServerName != "origin.example" {
				t.Errorf("version %x, ALPN %q, SNI %q", state.Version, state.NegotiatedProtocol, state.ServerName)
			}
			p.Put(c)
			if p.Take(Unsafe) != c {
				t.Fatal("not lent again")
			}
			hello(t, c)
			other := dial(t, p)
			hello(t, other)
			if !stateOf(t, other).DidResume {
				t.Error("the second connection made a full handshake")
			}
		})
	}
}

func TestOriginsThatAreNotTrusted(t *testing.T) {
	ca, other := newAuthority(t), newAuthority(t)
	addr := secureOrigin(t, &tls.Config{Certificates: []tls.Certificate{ca.issue("origin.example")}})
	old := secureOrigin(t, &tls.Config{Certificates: []tls.Certificate{ca.issue("origin.example")}, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11})
	plain := newOrigin(t)
	go func() {
		if _, err := plain.accepted(1).Write([]byte("HTTP/1.1 400 Bad Request\r\n\r\n")); err != nil {
			t.Error(err)
		}
	}()
	cases := []struct {
		name  string
		roots *x509.CertPool
		key   Key
		says  string // "": it is trusted
	}{
		{"another name", ca.Pool, Key{Addr: addr, ServerName: "a.example"}, "not a.example"},
		{"another authority", other.Pool, Key{Addr: addr, ServerName: "origin.example"}, "unknown authority"},
		{"the right authority for this origin only", other.Pool, Key{Addr: addr, ServerName: "origin.example", TLS: &TLS{Roots: ca.Pool}}, ""},
		{"whatever it has", other.Pool, Key{Addr: addr, ServerName: "a.example", TLS: &TLS{Unverified: true}}, ""},
		{"TLS 1.1", ca.Pool, Key{Addr: old, ServerName: "origin.example"}, "version"},
		{"no TLS at all", ca.Pool, Key{Addr: plain.Addr, ServerName: "origin.example"}, "does not look like a TLS handshake"},
	}
	for _, tt := range cases {
		t.Run(tt.name, func(t *testing.T) {
			tt.key.Secure = true
			s := newPools(t, Options{Roots: tt.roots})
			c, err := s.For(tt.key).Dial(t.Context(), 10*time.Second)
			if tt.says == "" {
				if err != nil {
					t.Fatal(err)
				}
				hello(t, c)
				discard(c)
				return
			}
			wantPhase(t, err, Handshake)
			if err == nil || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("%v, want %q in it", err, tt.says)
			}
		})
	}
}

func TestOurCertificateForOrigins(t *testing.T) {
	ca := newAuthority(t)
	ours := ca.issue("jurymast.example")
	addr := secureOrigin(t, &tls.Config{
		Certificates: []tls.Certificate{ca.issue("origin.example")}, ClientCAs: ca.Pool, ClientAuth: tls.RequireAndVerifyClientCert,
	})
	s := newPools(t, Options{Roots: ca.Pool})
	hello(t, dial(t, s.For(Key{Secure: true, Addr: addr, ServerName: "origin.example", TLS: &TLS{Certificate: &ours}})))
	c, err := s.For(Key{Secure: true, Addr: addr, ServerName: "origin.example"}).Dial(t.Context(), 10*time.Second)
	if err == nil { // in TLS 1.3 the refusal arrives after our handshake
		_, err = c.Read(make([]byte, 1))
		discard(c)
	}
	if err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("without a certificate: %v", err)
	}
}

// An origin that closes an idle TLS connection says so with an alert, which is no answer to anything.
func TestStaleTLSConnections(t *testing.T) {
	ca := newAuthority(t)
	cfg := &tls.Config{Certificates: []tls.Certificate{ca.issue("origin.example")}}
	o := newOrigin(t)
	s := newPools(t, Options{Roots: ca.Pool})
	p := s.For(Key{Secure: true, Addr: o.Addr, ServerName: "origin.example"})
	peer := make(chan *tls.Conn, 1)
	go func() {
		srv := tls.Server(o.accepted(1), cfg)
		if err := srv.Handshake(); err != nil {
			t.Error(err)
		}
		peer <- srv
	}()
	c := dial(t, p)
	srv := <-peer
	p.Put(c)
	if p.Take(Any) != c { // the session tickets that have arrived are not an answer either
		t.Fatal("not lent")
	}
	p.Put(c)
	if err := srv.CloseWrite(); err != nil { // the alert alone; TCP stays open
		t.Fatal(err)
	}
	settled(t, func() bool { return !c.Alive() })
	if p.Take(Any) != nil || figures(t, s).Stale != 1 {
		t.Error("a connection that has been closed was lent")
	}
}
