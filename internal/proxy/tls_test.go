package proxy_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"jurymast/internal/certificates"
	"jurymast/internal/profile"
	"jurymast/internal/proxy"
)

// issue writes a self-signed certificate and its key.
func issue(t *testing.T, names ...string) (profile.CertificateFiles, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: names[0]}, DNSNames: names,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	pk, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	f := profile.CertificateFiles{Cert: filepath.Join(t.TempDir(), "c.pem"), Key: filepath.Join(t.TempDir(), "k.pem")}
	write := func(name, kind string, b []byte) {
		if err := os.WriteFile(name, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: b}), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(f.Cert, "CERTIFICATE", der)
	write(f.Key, "PRIVATE KEY", pk)
	pool := x509.NewCertPool()
	leaf, _ := x509.ParseCertificate(der)
	pool.AddCert(leaf)
	return f, pool
}

func load(t *testing.T, files ...profile.CertificateFiles) *certificates.Set {
	t.Helper()
	c, err := certificates.Load(files)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func secureClient(t *testing.T, r *rig, pool *x509.CertPool, sni string, h2 bool) *http.Client {
	tr := &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: pool, ServerName: sni}, ForceAttemptHTTP2: h2,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "tcp", r.tlsAddr)
		},
	}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: 5 * time.Second}
}

func TestTLSAndHTTP2(t *testing.T) {
	files, pool := issue(t, "a.example", "*.w.example")
	r := newRig(t, func(o *proxy.Options, _ *profile.Profile) {
		o.HTTPS, o.Certificates = []string{"127.0.0.1:0"}, load(t, files)
	})
	for _, h2 := range []bool{false, true} {
		c := secureClient(t, r, pool, "a.example", h2)
		for _, url := range []string{"https://a.example/x", "https://a.example/y%2f"} {
			req, _ := http.NewRequest("PUT", url, strings.NewReader("body"))
			resp, err := c.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			b, _ := io.ReadAll(resp.Body)
			resp.Body.Close()
			if resp.StatusCode != 200 || string(b) != "eu" || (resp.ProtoMajor == 2) != h2 {
				t.Errorf("h2 %v: %s %s %s", h2, resp.Proto, resp.Status, b)
			}
		}
	}
	protos := map[any]int{}
	for _, l := range r.lines(4) {
		if protos[l["proto"]]++; l["tls"] != "1.3" || l["sni"] != "a.example" {
			t.Errorf("log %v", l)
		}
		if l["proto"] == "HTTP/2.0" && l["req"] != 1.0 {
			t.Errorf("request %v of its connection: %v", l["req"], l)
		}
	}
	if protos["HTTP/1.1"] != 2 || protos["HTTP/2.0"] != 2 {
		t.Errorf("log %v", protos)
	}
}

func TestSNIAndHostMustAgree(t *testing.T) {
	files, pool := issue(t, "a.example", "b.example", "nobody.example")
	r := newRig(t, func(o *proxy.Options, _ *profile.Profile) {
		o.HTTPS, o.Certificates = []string{"127.0.0.1:0"}, load(t, files)
	})
	b := *r.profile
	b.Name, b.Hostnames = "b", []string{"b.example"}
	r.documents(r.profile, &b)
	for sni, want := range map[string]int{"a.example": 200, "b.example": 421, "nobody.example": 421} {
		req, _ := http.NewRequest("GET", "https://a.example/", nil)
		resp, err := secureClient(t, r, pool, sni, false).Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != want || (want == 421) != strings.Contains(string(body), `"PV"`) {
			t.Errorf("SNI %s: %s %s", sni, resp.Status, body)
		}
	}
}

func TestListenerWithoutCertificate(t *testing.T) {
	var log syncBuffer
	r := newRig(t, func(o *proxy.Options, _ *profile.Profile) {
		o.HTTPS, o.Logger = []string{"127.0.0.1:0"}, slog.New(slog.NewTextHandler(&log, nil))
	})
	files, pool := issue(t, "a.example")
	for range 2 {
		if resp, err := secureClient(t, r, pool, "a.example", false).Get("https://a.example/"); err == nil {
			resp.Body.Close()
			t.Fatal("a handshake without a certificate")
		}
	}
	if n := strings.Count(log.String(), "handshakes fail"); n != 1 {
		t.Errorf("%d warnings about handshakes: %s", n, log.String())
	}
	if !strings.Contains(log.String(), "has no certificate yet") {
		t.Error("the start did not say that there is no certificate")
	}
	r.p.SetCertificates(load(t, files)) // as a reload does
	resp, err := secureClient(t, r, pool, "a.example", true).Get("https://a.example/")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
}

func TestLoadCertificatesNamesEveryFile(t *testing.T) {
	good, _ := issue(t, "a.example")
	other, _ := issue(t, "b.example")
	_, err := certificates.Load([]profile.CertificateFiles{good, {Cert: "missing.pem", Key: "missing.key"}, {Cert: good.Cert, Key: other.Key}})
	if err == nil || !strings.Contains(err.Error(), "missing.pem") || !strings.Contains(err.Error(), other.Key) || strings.Contains(err.Error(), good.Key) {
		t.Errorf("got %v", err)
	}
}

func TestOriginTLS(t *testing.T) {
	sni := make(chan string, 100)
	files, pool := issue(t, "a.example")
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		sni <- r.TLS.ServerName
		_, _ = io.WriteString(w, r.Proto)
	}))
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelInfo)
	pair, err := tls.LoadX509KeyPair(files.Cert, files.Key)
	if err != nil {
		t.Fatal(err)
	}
	s.TLS = &tls.Config{Certificates: []tls.Certificate{pair}}
	s.StartTLS()
	defer s.Close()
	r := newRig(t, func(o *proxy.Options, p *profile.Profile) {
		o.OriginRoots = pool
		p.Endpoints[0].Origin = s.URL
		p.Proxy.Hold.MaxWait = 50 * time.Millisecond
	})
	if a := r.must("GET", "/", nil); a.StatusCode != 200 || a.body != "HTTP/1.1" {
		t.Errorf("%s %s", a.Status, a.body)
	}
	if got := <-sni; got != "a.example" {
		t.Errorf("SNI %q, the public name is wanted", got)
	}
	if a := r.must("GET", "/", nil, "Host", "x.w.example"); a.StatusCode != 503 || a.reason(t) != "DU" { // not in the certificate
		t.Errorf("%s %s", a.Status, a.body)
	}
	if k := r.kinds(); len(k) == 0 || k[0] != "eu tls" {
		t.Errorf("signals %v", k)
	}
	r.edit(func(p *profile.Profile) { p.Proxy.Hold.MaxWait = 5 * time.Second })
	bad := make(chan answer, 1)
	go func() { bad <- r.must("GET", "/", nil, "Host", "x.w.example") }()
	r.eventually("the bad name waits", func() bool { return r.metric("jurymast_proxy_held") == 1 })
	start := time.Now()
	for range 20 { // while the others pass
		if a := r.must("GET", "/", nil, "Connection", "close"); a.StatusCode != 200 {
			t.Errorf("%s %s", a.Status, a.body)
		}
	}
	if time.Since(start) > 2*time.Second {
		t.Errorf("good requests waited behind a bad name: %v", time.Since(start))
	}
	r.activate(1)
	if a := <-bad; a.body != "us" {
		t.Errorf("%s %s", a.Status, a.body)
	}
	r.edit(func(p *profile.Profile) { p.Proxy.Retry.Attempts = 0 })
	if a := r.must("GET", "/", nil, "Host", "x.w.example"); a.StatusCode != 502 || a.reason(t) != "US" {
		t.Errorf("%s %s", a.Status, a.body)
	}
}

func TestDrain(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	r := behind(t, func(w http.ResponseWriter, _ *http.Request) {
		close(entered)
		<-leave
		_, _ = w.Write(bytes.Repeat([]byte("x"), 10))
	}, nil)
	got := make(chan answer, 1)
	go func() { got <- r.must("GET", "/", nil) }()
	<-entered
	closed := make(chan error, 1)
	go func() { closed <- r.p.Close(context.Background()) }()
	r.eventually("it refuses new connections", func() bool {
		c, err := net.Dial("tcp", r.addr)
		if err == nil {
			c.Close()
		}
		return err != nil
	})
	select {
	case err := <-closed:
		t.Fatal("closed under a running request", err)
	default:
	}
	close(leave)
	if a := <-got; a.StatusCode != 200 || len(a.body) != 10 || !a.Close {
		t.Errorf("%v, Connection: close %v", a.Status, a.Close)
	}
	if err := <-closed; err != nil {
		t.Error(err)
	}
}

func TestDrainIsBounded(t *testing.T) {
	r := newRig(t, nil)
	r.publish(func(v *healthView) { v.Ready = false })
	done := make(chan error, 1)
	go func() { _, err := r.do("GET", "/", nil); done <- err }()
	r.eventually("held", func() bool { return r.metric("jurymast_proxy_held") == 1 })
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Millisecond)
	defer cancel()
	if err := r.p.Close(ctx); err == nil || !strings.Contains(err.Error(), "cut") {
		t.Errorf("Close said %v", err)
	}
	if err := <-done; err == nil {
		t.Error("a cut request was answered")
	}
}
