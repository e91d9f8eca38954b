//go:build linux

package app_test

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// writeCertificate makes a self-signed certificate for the public name and returns it as the trust of a client.
func writeCertificate(t *testing.T, dir string, serial int64) *x509.CertPool {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	c := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: host}, DNSNames: []string{host},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	must(t, err)
	pkcs, err := x509.MarshalPKCS8PrivateKey(key)
	must(t, err)
	must(t, os.WriteFile(filepath.Join(dir, "site.pem"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	must(t, os.WriteFile(filepath.Join(dir, "site.key"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs}), 0o600))
	pool := x509.NewCertPool()
	parsed, err := x509.ParseCertificate(der)
	must(t, err)
	pool.AddCert(parsed)
	return pool
}

// secureSite is a site with an HTTPS listener, its address returned.
func secureSite(t *testing.T) (*site, string) {
	s := newSite(t)
	ip, _, err := net.SplitHostPort(s.web)
	must(t, err)
	s.listeners = fmt.Sprintf(", https: [%q], tls: {certificates: [{cert: %q, key: %q}]}",
		ip+":8443", filepath.Join(s.dir, "site.pem"), filepath.Join(s.dir, "site.key"))
	return s, ip + ":8443"
}

// overTLS sends one request on a connection of its own and says what came back, under which protocol and certificate.
func overTLS(addr string, pool *x509.CertPool) (body, proto string, serial int64) {
	tr := &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: pool, ServerName: host}, ForceAttemptHTTP2: true,
	}
	defer tr.CloseIdleConnections()
	req, err := http.NewRequest(http.MethodGet, "https://"+addr+"/http/health", nil)
	if err != nil {
		return err.Error(), "", 0
	}
	req.Host = host
	resp, err := (&http.Client{Transport: tr, Timeout: 5 * time.Second}).Do(req)
	if err != nil {
		return err.Error(), "", 0
	}
	defer func() { _ = resp.Body.Close() }()
	text, _ := io.ReadAll(resp.Body) // a broken body shows as a wrong one
	return strings.TrimPrefix(strings.TrimSpace(string(text)), "hello from "), resp.Proto, resp.TLS.PeerCertificates[0].SerialNumber.Int64()
}

// TestSecureFront: HTTP/2 over TLS, and a new certificate with the next reload, but never with one that is refused.
func TestSecureFront(t *testing.T) {
	t.Parallel()
	s, addr := secureSite(t)
	first := writeCertificate(t, s.dir, 1)
	s.up()
	if body, proto, serial := overTLS(addr, first); body != "EU20" || proto != "HTTP/2.0" || serial != 1 {
		t.Fatalf("got %q over %s with certificate %d", body, proto, serial)
	}

	second := writeCertificate(t, s.dir, 2)
	s.write(strings.Replace(s.text(), "ttl: 5s", "ttl: 5s\n    hostnames: [twice.dr.example]", 1))
	eventually(t, 5*time.Second, "the file is refused", func() bool { return s.nodeStatus().Config.Error != "" })
	if body, _, serial := overTLS(addr, first); body != "EU20" || serial != 1 {
		t.Errorf("after a refused file: %q with certificate %d", body, serial)
	}
	s.head, s.euMore = "  secrets: {NONE: {env: JURYMAST_NO_SUCH_VARIABLE}}\n", ", monitor: {headers: {X-Key: {secret: NONE}}}"
	s.write(s.text())
	eventually(t, 5*time.Second, "a file with a secret that is not there is refused", func() bool {
		return strings.Contains(s.nodeStatus().Config.Error, "JURYMAST_NO_SUCH_VARIABLE")
	})
	if body, _, serial := overTLS(addr, first); body != "EU20" || serial != 1 {
		t.Errorf("after a file with a secret that is not there: %q with certificate %d", body, serial)
	}
	s.head, s.euMore = "", ""
	s.write(s.text())
	s.hangup()
	eventually(t, 5*time.Second, "the new certificate is in use", func() bool {
		body, _, serial := overTLS(addr, second)
		return body == "EU20" && serial == 2
	})
	must(t, os.WriteFile(filepath.Join(s.dir, "site.pem"), []byte("no certificate"), 0o600))
	s.hangup()
	eventually(t, 5*time.Second, "a damaged certificate is refused", func() bool { return strings.Contains(s.nodeStatus().Config.Error, "site.pem") })
	if body, _, serial := overTLS(addr, second); body != "EU20" || serial != 2 {
		t.Errorf("after a damaged certificate: %q with certificate %d", body, serial)
	}
}

// upgrader answers health, and upgrades to an echo of lines that it never ends.
type upgrader struct{ sick atomic.Bool }

func (u *upgrader) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.Header.Get("Upgrade") == "":
		if u.sick.Load() {
			w.WriteHeader(http.StatusInternalServerError)
		}
	default:
		c, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer func() { _ = c.Close() }()
		_, _ = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
		_, _ = io.Copy(c, rw) // ends with the connection
	}
}

// TestUpgradeEndsWithFailover: a connection that was handed over ends when its endpoint is no longer the active one,
// although the old origin would go on, so that the client comes back and reaches the new one.
func TestUpgradeEndsWithFailover(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	origin := &upgrader{}
	ln, err := net.Listen("tcp", s.eu20)
	must(t, err)
	srv := &http.Server{Handler: origin}
	go func() { _ = srv.Serve(ln) }()
	defer func() { _ = srv.Close() }()
	start(t, "us21", "tenant", nil, s.us21, "US21")
	eventually(t, 10*time.Second, "tenant listens", func() bool { return accepts(s.us21) })
	s.write(s.text())
	s.startNode()
	s.awaitReady(20 * time.Second)
	s.awaitActive(5*time.Second, "eu20")

	c, err := net.Dial("tcp", s.web)
	must(t, err)
	defer func() { _ = c.Close() }()
	must(t, c.SetDeadline(time.Now().Add(20*time.Second)))
	_, err = io.WriteString(c, "GET /chat HTTP/1.1\r\nHost: "+host+"\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
	must(t, err)
	r := bufio.NewReader(c)
	resp, err := http.ReadResponse(r, nil)
	must(t, err)
	must(t, resp.Body.Close()) // there is none: what follows is the connection
	if resp.StatusCode != http.StatusSwitchingProtocols {
		t.Fatal(resp.Status)
	}
	_, err = io.WriteString(c, "ping\n")
	must(t, err)
	if line, err := r.ReadString('\n'); line != "ping\n" {
		t.Fatalf("%q %v", line, err)
	}
	origin.sick.Store(true)
	s.awaitActive(5*time.Second, "us21")
	began := time.Now()
	if n, err := io.Copy(io.Discard, r); n != 0 {
		t.Errorf("%d bytes, %v", n, err)
	}
	t.Logf("the upgraded connection has ended %v after the decision", time.Since(began).Round(time.Millisecond))
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("it took %v to end", took)
	}
	if got := s.browse(); got != "US21" {
		t.Errorf("the proxy answers %q", got)
	}
}
