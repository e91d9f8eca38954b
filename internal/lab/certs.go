package lab

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"time"
)

// authority is a throw-away certificate authority that lives as long as its tenant.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte
}

const day = 24 * time.Hour

func newAuthority(now time.Time) (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	tpl, err := template("Jurymast lab authority", now.Add(-30*day), now.Add(365*day))
	if err != nil {
		return nil, err
	}
	tpl.IsCA, tpl.BasicConstraintsValid = true, true
	tpl.KeyUsage = x509.KeyUsageCertSign
	der, err := x509.CreateCertificate(rand.Reader, tpl, tpl, key.Public(), key)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return &authority{cert: cert, key: key, pem: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})}, nil
}

func template(name string, from, until time.Time) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, err
	}
	return &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name}, NotBefore: from, NotAfter: until,
	}, nil
}

// issue makes a server certificate for names (host names or addresses).
func (a *authority) issue(from, until time.Time, names ...string) (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	tpl, err := template(names[0], from, until)
	if err != nil {
		return tls.Certificate{}, err
	}
	tpl.KeyUsage = x509.KeyUsageDigitalSignature
	tpl.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	for _, n := range names {
		if ip := net.ParseIP(n); ip != nil {
			tpl.IPAddresses = append(tpl.IPAddresses, ip)
		} else {
			tpl.DNSNames = append(tpl.DNSNames, n)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, tpl, a.cert, key.Public(), a.key)
	if err != nil {
		return tls.Certificate{}, err
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}

var errHandshake = errors.New("handshake broken on request")

// tlsConfig builds the listener's configuration; the faults of kind tls act in it. nil without TLS.
func (t *Tenant) tlsConfig() (*tls.Config, error) {
	if !t.opts.secure() {
		return nil, nil //nolint:nilnil // no TLS is an ordinary answer
	}
	now := t.opts.Now()
	auth, err := newAuthority(now)
	if err != nil {
		return nil, fmt.Errorf("tls: cannot make a certificate authority: %w", err)
	}
	names := t.certNames()
	base, err := t.baseTLS(auth, now, names)
	if err != nil {
		return nil, err
	}
	// A resumed session would pass by the certificate.
	base.SessionTicketsDisabled = true
	if len(base.NextProtos) == 0 {
		base.NextProtos = []string{"http/1.1"}
	}
	wrong, err := brokenTLS(base, auth, now.Add(-30*day), now.Add(90*day), "wrong-name.invalid")
	if err != nil {
		return nil, err
	}
	expired, err := brokenTLS(base, auth, now.Add(-29*day), now.Add(-day), names...)
	if err != nil {
		return nil, err
	}
	given := base.GetConfigForClient
	base.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		f := t.faults.hitConnection(FaultTLS)
		switch {
		case f.Kind == FaultTLS && f.Mode == ModeWrongName:
			return wrong, nil
		case f.Kind == FaultTLS && f.Mode == ModeExpired:
			return expired, nil
		case f.Kind == FaultTLS:
			return nil, errHandshake
		case given != nil:
			return given(hello)
		}
		return nil, nil //nolint:nilnil // means: the configuration at hand
	}
	return base, nil
}

func (t *Tenant) baseTLS(auth *authority, now time.Time, names []string) (*tls.Config, error) {
	if t.opts.TLS != nil {
		return t.opts.TLS.Clone(), nil
	}
	base := &tls.Config{MinVersion: tls.VersionTLS12}
	if t.opts.CertFile != "" {
		pair, err := tls.LoadX509KeyPair(t.opts.CertFile, t.opts.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("tls: certificate %s with key %s: %w", t.opts.CertFile, t.opts.KeyFile, err)
		}
		base.Certificates = []tls.Certificate{pair}
		return base, nil
	}
	pair, err := auth.issue(now.Add(-30*day), now.Add(90*day), names...)
	if err != nil {
		return nil, fmt.Errorf("tls: cannot make a certificate: %w", err)
	}
	base.Certificates = []tls.Certificate{pair}
	t.authority = auth
	return base, nil
}

func brokenTLS(base *tls.Config, auth *authority, from, until time.Time, names ...string) (*tls.Config, error) {
	pair, err := auth.issue(from, until, names...)
	if err != nil {
		return nil, fmt.Errorf("tls: cannot make a certificate for the faults: %w", err)
	}
	c := base.Clone()
	c.Certificates, c.GetCertificate, c.GetConfigForClient = []tls.Certificate{pair}, nil, nil
	return c, nil
}

// certNames are the names a certificate of our own is made for.
func (t *Tenant) certNames() []string {
	names := append([]string{}, t.opts.Hosts...)
	names = append(names, "localhost", "127.0.0.1", "::1")
	if host := hostOnly(t.opts.Listen); net.ParseIP(host) != nil && !net.ParseIP(host).IsUnspecified() {
		names = append(names, host)
	}
	return names
}
