package proxy

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"

	"jurymast/internal/profile"
)

// Certificates is a set of server certificates by name. It is immutable; SetCertificates swaps the whole set.
type Certificates struct {
	byName map[string]*tls.Certificate // exact names and "*.rest"
	first  *tls.Certificate            // for clients without SNI or with an unknown one
}

// LoadCertificates reads PEM chains and keys. Its error names every file that cannot be used and what to do.
func LoadCertificates(files []profile.CertificateFiles) (*Certificates, error) {
	set := &Certificates{byName: map[string]*tls.Certificate{}}
	var errs []error
	for _, f := range files {
		c, err := tls.LoadX509KeyPair(f.Cert, f.Key)
		if err != nil {
			errs = append(errs, fmt.Errorf("certificate %s with key %s: %w; both must be readable PEM files, the server's certificate first, and belong together", f.Cert, f.Key, err))
			continue
		}
		if err := set.add(&c); err != nil {
			errs = append(errs, fmt.Errorf("certificate %s: %w", f.Cert, err))
		}
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return set, nil
}

func (s *Certificates) add(c *tls.Certificate) error {
	if c.Leaf == nil {
		leaf, err := x509.ParseCertificate(c.Certificate[0])
		if err != nil {
			return fmt.Errorf("%w; issue it again", err)
		}
		c.Leaf = leaf
	}
	for _, name := range c.Leaf.DNSNames {
		name = profile.CanonicalName(name)
		if _, taken := s.byName[name]; !taken { // the first one given wins
			s.byName[name] = c
		}
	}
	if s.first == nil {
		s.first = c
	}
	return nil
}

// find picks by SNI: the exact name, one wildcard label, else the first certificate.
func (s *Certificates) find(sni string) *tls.Certificate {
	if s == nil {
		return nil
	}
	name := profile.CanonicalName(sni)
	if c := s.byName[name]; c != nil {
		return c
	}
	if _, rest, ok := strings.Cut(name, "."); ok {
		if c := s.byName["*."+rest]; c != nil {
			return c
		}
	}
	return s.first
}

// errNoCertificate ends a handshake cleanly.
var errNoCertificate = errors.New("no certificate is configured for this listener")

// certificate answers a handshake.
func (p *Proxy) certificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	if p.o.GetCertificate != nil {
		c, err := p.o.GetCertificate(hello)
		if c != nil || err != nil {
			return c, err
		}
	}
	if c := p.certs.Load().find(hello.ServerName); c != nil {
		return c, nil
	}
	p.metrics.handshake.WithLabelValues("no-certificate").Inc()
	p.warnOnce.Do(func() {
		p.o.Logger.Warn("TLS handshakes fail: no certificate", "remedy", "set node.proxy.tls.certificates")
	})
	return nil, errNoCertificate
}

// SetCertificates replaces all certificates at once; connections that stand keep theirs.
func (p *Proxy) SetCertificates(c *Certificates) { p.certs.Store(c) }

// strongTLS12 are the TLS 1.2 suites without CBC; TLS 1.3 chooses by itself.
var strongTLS12 = []uint16{
	tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
	tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
	tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
}

func (p *Proxy) tlsConfig() *tls.Config {
	lowest := uint16(tls.VersionTLS12)
	if p.o.MinVersion == profile.TLS13 {
		lowest = tls.VersionTLS13
	}
	return &tls.Config{
		MinVersion: lowest, CipherSuites: strongTLS12, GetCertificate: p.certificate, NextProtos: []string{"h2", "http/1.1"},
		VerifyConnection: func(tls.ConnectionState) error { p.metrics.handshake.WithLabelValues("ok").Inc(); return nil },
	}
}

func tlsName(version uint16) string { return strings.ReplaceAll(tls.VersionName(version), "TLS ", "") }
