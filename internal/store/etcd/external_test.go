package etcd_test

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
	"math/big"
	"net"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/zap"

	"jurymast/internal/store"
	"jurymast/internal/store/etcd"
	"jurymast/internal/store/storetest"
)

// authority signs the certificates of one test.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pool *x509.CertPool
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	must(t, err)
	cert, err := x509.ParseCertificate(der)
	must(t, err)
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	return &authority{cert: cert, key: key, pool: pool}
}

// issue returns certificate and key as PEM.
func (a *authority) issue(t *testing.T, name string) (certPEM, keyPEM []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, a.cert, &key.PublicKey, a.key)
	must(t, err)
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	must(t, err)
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw})
}

// clientTLS trusts the authority and shows a certificate of it.
func (a *authority) clientTLS(t *testing.T) *tls.Config {
	t.Helper()
	cert, err := tls.X509KeyPair(a.issue(t, "client"))
	must(t, err)
	return &tls.Config{RootCAs: a.pool, Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}
}

// cluster starts a real etcd with listeners, which demands client certificates, and returns
// how to end it and its address.
func cluster(t *testing.T, a *authority) (stop func(), addr string) {
	t.Helper()
	dir := t.TempDir()
	certPEM, keyPEM := a.issue(t, "server")
	files := map[string][]byte{
		"cert.pem": certPEM, "key.pem": keyPEM,
		"ca.pem": pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw}),
	}
	for name, raw := range files {
		write(t, filepath.Join(dir, name), raw)
	}
	cfg := embed.NewConfig()
	cfg.Dir = filepath.Join(dir, "data")
	cfg.ZapLoggerBuilder = embed.NewZapLoggerBuilder(zap.NewNop())
	client, peer := url.URL{Scheme: "https", Host: "127.0.0.1:0"}, url.URL{Scheme: "http", Host: "127.0.0.1:0"}
	cfg.ListenClientUrls, cfg.AdvertiseClientUrls = []url.URL{client}, []url.URL{client}
	cfg.ListenPeerUrls, cfg.AdvertisePeerUrls = []url.URL{peer}, []url.URL{peer}
	cfg.InitialCluster = cfg.InitialClusterFromName(cfg.Name)
	cfg.ClientTLSInfo.CertFile = filepath.Join(dir, "cert.pem")
	cfg.ClientTLSInfo.KeyFile = filepath.Join(dir, "key.pem")
	cfg.ClientTLSInfo.TrustedCAFile = filepath.Join(dir, "ca.pem")
	cfg.ClientTLSInfo.ClientCertAuth = true
	cfg.TickMs, cfg.ElectionMs = 100, 500
	e, err := embed.StartEtcd(cfg)
	must(t, err)
	stop = sync.OnceFunc(e.Close)
	t.Cleanup(stop)
	select {
	case <-e.Server.ReadyNotify():
	case <-time.After(20 * time.Second):
		t.Fatal("the cluster does not become ready")
	}
	return stop, "https://" + e.Clients[0].Addr().String()
}

// TestContractExternal runs the suite over TLS; each test empties the one cluster first.
func TestContractExternal(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	_, addr := cluster(t, a)
	opts := etcd.Options{Endpoints: []string{addr}, TLS: a.clientTLS(t)}
	storetest.Run(t, func(t *testing.T) store.Store {
		s := open(t, opts)
		_, _, err := s.Commit(t.Context(), nil, []store.Op{store.DeletePrefix("/")})
		must(t, err)
		must(t, s.Compact(t.Context()))
		return shifted{s, revOf(t, s)}
	})
}

func revOf(t *testing.T, s *etcd.Store) int64 {
	t.Helper()
	_, rev, err := s.List(t.Context(), "/none")
	must(t, err)
	return rev
}

// shifted begins the history of a used cluster where the test began: "from the start" is from there.
type shifted struct {
	*etcd.Store
	begin int64
}

func (s shifted) Watch(ctx context.Context, prefix string, after int64) <-chan store.Batch {
	if after == 0 {
		after = s.begin
	}
	return s.Store.Watch(ctx, prefix, after)
}

func TestExternalRefusals(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	_, addr := cluster(t, a)
	stranger := newAuthority(t)
	noCert := a.clientTLS(t)
	noCert.Certificates = nil
	for name, test := range map[string]struct {
		opts etcd.Options
		says string
	}{
		"certificate of an unknown authority": {etcd.Options{Endpoints: []string{addr}, TLS: stranger.clientTLS(t)}, "unknown authority"},
		"no client certificate":               {etcd.Options{Endpoints: []string{addr}, TLS: noCert}, "certificate required"},
		"nobody listens":                      {etcd.Options{Endpoints: []string{"http://127.0.0.1:1"}}, "connection refused"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := test.opts
			o.DialTimeout = 2 * time.Second
			begin := time.Now()
			s, err := tryOpen(t, o)
			if err == nil {
				_ = s.Close()
				t.Fatal("opened")
			}
			t.Log(err)
			if !errors.Is(err, store.ErrUnavailable) || time.Since(begin) > 5*time.Second {
				t.Fatalf("after %v: %v", time.Since(begin), err)
			}
			if !strings.Contains(err.Error(), test.says) {
				t.Fatalf("does not say %q", test.says)
			}
		})
	}
}

func TestExternalGoesAway(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	stop, addr := cluster(t, a)
	s := open(t, etcd.Options{Endpoints: []string{addr}, TLS: a.clientTLS(t), CallTimeout: time.Second})
	must(t, put(t.Context(), s, "/a"))
	stop()
	begin := time.Now()
	if err := put(t.Context(), s, "/b"); !errors.Is(err, store.ErrUnavailable) {
		t.Fatalf("commit: %v", err)
	}
	if _, _, err := s.Get(t.Context(), "/a"); !errors.Is(err, store.ErrUnavailable) {
		t.Fatalf("get: %v", err)
	}
	if d := time.Since(begin); d > 4*time.Second {
		t.Fatalf("took %v", d)
	}
}
