package wire

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if role := os.Getenv(peerRole); role != "" {
		bePeer(role)
		return
	}
	goleak.VerifyTestMain(m)
}

// kinds are the connections everything must hold for: the Conn under test and its peer.
var kinds = []struct {
	name string
	make func(testing.TB) (c, peer *Conn)
}{
	{"plain", plainPair},
	{"tls", tlsPair},
	{"pipe", pipePair},
}

func each(t *testing.T, f func(t *testing.T, c, peer *Conn)) {
	t.Helper()
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			c, peer := k.make(t)
			f(t, c, peer)
		})
	}
}

// sockets is a TCP connection on loopback.
func sockets(t testing.TB) (client, server *net.TCPConn) {
	t.Helper()
	l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	client, ok := conn.(*net.TCPConn)
	if !ok {
		t.Fatal("no TCP")
	}
	server, err = l.AcceptTCP()
	if err != nil {
		t.Fatal(err)
	}
	return client, server
}

func plainPair(t testing.TB) (c, peer *Conn) {
	a, b := sockets(t)
	return closing(t, Plain(a), Plain(b))
}

func tlsPair(t testing.TB) (c, peer *Conn) {
	a, b := sockets(t)
	c, peer = secure(t, a, b)
	if !c.Alive() { // reads the session tickets: closing with something unread would be a reset
		t.Fatal("a fresh connection is not alive")
	}
	return c, peer
}

func pipePair(t testing.TB) (c, peer *Conn) {
	a, b := net.Pipe()
	return closing(t, Wrap(a), Wrap(b))
}

func closing(t testing.TB, c, peer *Conn) (*Conn, *Conn) {
	t.Cleanup(func() { _ = c.Reset(); _ = peer.Reset() })
	return c, peer
}

// secure does the handshake; the first is the client.
func secure(t testing.TB, a, b net.Conn) (c, peer *Conn) {
	t.Helper()
	client := tls.Client(a, &tls.Config{RootCAs: roots(t), ServerName: "wire.test", MinVersion: tls.VersionTLS13, DynamicRecordSizingDisabled: true, ClientSessionCache: tls.NewLRUClientSessionCache(1)})
	server := tls.Server(b, &tls.Config{Certificates: []tls.Certificate{certificate(t)}, MinVersion: tls.VersionTLS13, DynamicRecordSizingDisabled: true})
	done := make(chan error, 1)
	go func() { done <- server.HandshakeContext(t.Context()) }()
	if err := client.HandshakeContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	return closing(t, Wrap(client), Wrap(server))
}

var forged tls.Certificate

func certificate(t testing.TB) tls.Certificate {
	t.Helper()
	if forged.Leaf != nil {
		return forged
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"wire.test"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	forged = tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
	return forged
}

func roots(t testing.TB) *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(certificate(t).Leaf)
	return pool
}

// waitBlocked gives a goroutine that signalled its start the time to enter the poller. Being early makes a test
// weaker, never wrong: every operation has to behave the same before and after it blocks.
func waitBlocked(started <-chan struct{}) {
	<-started
	for range 3 {
		time.Sleep(time.Millisecond) // outside a bubble: sockets do not work in one
	}
}
