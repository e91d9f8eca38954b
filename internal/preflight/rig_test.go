package preflight

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"jurymast/internal/profile"
)

// authority signs certificates for test origins.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	a := &authority{key: key}
	a.cert = a.sign(t, &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Test Authority"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-1000 * day), NotAfter: time.Now().Add(1000 * day), KeyUsage: x509.KeyUsageCertSign,
	}, key)
	return a
}

func (a *authority) sign(t *testing.T, c *x509.Certificate, key *ecdsa.PrivateKey) *x509.Certificate {
	t.Helper()
	parent := a.cert
	if parent == nil {
		parent = c
	}
	raw, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(raw)
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

func (a *authority) roots() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return pool
}

// leaf is a certificate for the names that ends after left.
func (a *authority) leaf(t *testing.T, left time.Duration, names ...string) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := a.sign(t, &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: names[0]}, DNSNames: names,
		NotBefore: time.Now().Add(-100 * day), NotAfter: time.Now().Add(left),
	}, key)
	return tls.Certificate{Certificate: [][]byte{c.Raw}, PrivateKey: key, Leaf: c}
}

// secureOrigin is an https server on loopback. sniOnly ends handshakes without SNI.
func secureOrigin(t *testing.T, sniOnly bool, handler http.HandlerFunc, certs ...tls.Certificate) (origin string) {
	t.Helper()
	s := httptest.NewUnstartedServer(handler)
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.Listener = tls.NewListener(s.Listener, &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: func(h *tls.ClientHelloInfo) (*tls.Certificate, error) {
		if sniOnly && h.ServerName == "" {
			return nil, errors.New("no name")
		}
		for i := range certs {
			if certs[i].Leaf.VerifyHostname(h.ServerName) == nil {
				return &certs[i], nil
			}
		}
		return &certs[0], nil
	}}) // not StartTLS: that would add a certificate of its own
	s.Start()
	t.Cleanup(s.Close)
	return strings.Replace(s.URL, "http:", "https:", 1)
}

func plainOrigin(t *testing.T, handler http.HandlerFunc) (origin string) {
	t.Helper()
	s := httptest.NewServer(handler)
	t.Cleanup(s.Close)
	return s.URL
}

func status(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
}

// byHost answers known host names with one handler and all others with another.
func byHost(known []string, yes, no http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if slices.Contains(known, r.Host) {
			yes(w, r)
			return
		}
		no(w, r)
	}
}

// nameServer answers on loopback by UDP, as handler wants.
func nameServer(t *testing.T, handler dns.HandlerFunc) (addr string) {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ready := make(chan struct{})
	s := &dns.Server{PacketConn: conn, Handler: handler, NotifyStartedFunc: func() { close(ready) }}
	stopped := make(chan struct{})
	go func() { defer close(stopped); _ = s.ActivateAndServe() }()
	<-ready
	t.Cleanup(func() { _ = s.Shutdown(); <-stopped })
	return conn.LocalAddr().String()
}

// resolver knows these names and no others.
func resolver(t *testing.T, names map[string][]string) *net.Resolver {
	t.Helper()
	addr := nameServer(t, func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg)
		m.SetReply(q)
		m.RecursionAvailable = true
		list, ok := names[strings.TrimSuffix(q.Question[0].Name, ".")]
		if !ok {
			m.Rcode = dns.RcodeNameError
		}
		for _, text := range list {
			a := netip.MustParseAddr(text)
			h := dns.RR_Header{Name: q.Question[0].Name, Class: dns.ClassINET, Ttl: 1}
			switch {
			case a.Is4() && q.Question[0].Qtype == dns.TypeA:
				h.Rrtype = dns.TypeA
				m.Answer = append(m.Answer, &dns.A{Hdr: h, A: a.AsSlice()})
			case a.Is6() && q.Question[0].Qtype == dns.TypeAAAA:
				h.Rrtype = dns.TypeAAAA
				m.Answer = append(m.Answer, &dns.AAAA{Hdr: h, AAAA: a.AsSlice()})
			}
		}
		_ = w.WriteMsg(m)
	})
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "udp", addr)
	}}
}

// freeAddr is an address on loopback where nothing listens.
func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// probes answers with what is set.
type probes struct {
	results []ProbeResult
	err     error
}

func (p probes) Probe(context.Context, *profile.Profile, *profile.Endpoint) ([]ProbeResult, error) {
	return p.results, p.err
}

// peers is a running node.
type peers struct {
	nodes    []Node
	votes    []Vote
	err      error
	votesErr error
}

func (p peers) Nodes(context.Context) ([]Node, error)         { return p.nodes, p.err }
func (p peers) Votes(context.Context, string) ([]Vote, error) { return p.votes, p.votesErr }
