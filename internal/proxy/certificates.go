package proxy

import (
	"crypto/tls"
	"errors"
	"strings"

	"jurymast/internal/certificates"
	"jurymast/internal/profile"
)

// certificate answers a handshake.
func (p *Proxy) certificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	c, err := p.certs.Pick(hello)
	if !errors.Is(err, certificates.ErrNone) {
		return c, err
	}
	p.warnOnce.Do(func() {
		p.o.Logger.Warn("TLS handshakes fail: no certificate", "remedy", "set node.proxy.tls.certificates")
	})
	return nil, err
}

// SetCertificates replaces all certificates at once; connections that stand keep theirs.
func (p *Proxy) SetCertificates(c *certificates.Set) { p.certs.Use(c) }

// CertificateSet is what SetCertificates set last.
func (p *Proxy) CertificateSet() *certificates.Set { return p.certs.Get() }

func (p *Proxy) tlsConfig() *tls.Config {
	lowest := uint16(tls.VersionTLS12)
	if p.o.MinVersion == profile.TLS13 {
		lowest = tls.VersionTLS13
	}
	return &tls.Config{
		MinVersion: lowest, CipherSuites: certificates.Suites, GetCertificate: p.certificate, NextProtos: []string{"h2", "http/1.1"},
	}
}

func tlsName(version uint16) string { return strings.ReplaceAll(tls.VersionName(version), "TLS ", "") }
