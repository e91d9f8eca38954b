package probe

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	"jurymast/internal/profile"
)

// identity is what a probe trusts and shows beside the Prober's own roots.
type identity struct {
	roots *x509.CertPool // nil: the Prober's
	chain []tls.Certificate
	sum   [sha256.Size]byte // of the texts both were read from
}

// identify fills in the TLS side beyond name and verification.
func (s *Spec) identify(m *profile.Monitor, n *Node) error {
	s.ExpiryWarn = m.TLS.ExpiryWarn
	switch m.TLS.MinVersion {
	case "", profile.TLS12:
		s.MinVersion = tls.VersionTLS12
	case profile.TLS13:
		s.MinVersion = tls.VersionTLS13
	default:
		return fmt.Errorf("monitor.tls.min_version %q; allowed: 1.2, 1.3", m.TLS.MinVersion)
	}
	roots, err := n.secret(m.TLS.CA)
	if err != nil {
		return fmt.Errorf("monitor.tls.ca: %w", err)
	}
	own, err := n.secret(m.TLS.ClientCert)
	if err != nil {
		return fmt.Errorf("monitor.tls.client_cert: %w", err)
	}
	if roots == "" && own == "" {
		return nil
	}
	id := &identity{sum: sha256.Sum256([]byte(strconv.Itoa(len(roots)) + ":" + roots + own))}
	if roots != "" {
		id.roots = x509.NewCertPool()
		if !id.roots.AppendCertsFromPEM([]byte(roots)) {
			return errors.New("monitor.tls.ca holds no certificate in PEM form; write the text of the file, from BEGIN to END")
		}
	}
	if own != "" {
		pair, err := tls.X509KeyPair([]byte(own), []byte(own))
		if err != nil {
			return errors.New("monitor.tls.client_cert is no PEM text of a certificate chain and its key: " + err.Error())
		}
		id.chain = []tls.Certificate{pair}
	}
	s.identity = id
	return nil
}

// tlsConfig is made for each probe: nothing is kept between two.
func (r *run) tlsConfig() *tls.Config {
	c := &tls.Config{
		ServerName:         r.spec.ServerName,
		RootCAs:            r.prober.Roots,
		InsecureSkipVerify: !r.spec.Verify, //nolint:gosec // the operator's tls.verify, on by default
		MinVersion:         max(r.spec.MinVersion, tls.VersionTLS12),
		NextProtos:         []string{"http/1.1"},
	}
	if id := r.spec.identity; id != nil {
		c.Certificates = id.chain
		if id.roots != nil {
			c.RootCAs = id.roots
		}
	}
	return c
}

// handshake wraps conn. Verification covers the chain, the name and the expiry; what certificate was shown is logged
// either way.
func (r *run) handshake(ctx context.Context, conn net.Conn) (net.Conn, *failure) {
	secure := tls.Client(conn, r.tlsConfig())
	err := secure.HandshakeContext(ctx)
	if err == nil {
		state := secure.ConnectionState()
		detail := tls.VersionName(state.Version) + " " + tls.CipherSuiteName(state.CipherSuite)
		if len(state.PeerCertificates) > 0 {
			detail += ", " + describe(state.PeerCertificates[0])
		}
		r.phase(PhaseTLS, detail)
		if len(state.PeerCertificates) > 0 {
			r.shown(state.PeerCertificates[0])
		}
		return secure, nil
	}
	var unverified *tls.CertificateVerificationError
	if !errors.As(err, &unverified) {
		return nil, r.broke(ctx, err, ClassTLS, "tls handshake", "in the TLS handshake")
	}
	reason := "certificate: " + unverified.Err.Error()
	if len(unverified.UnverifiedCertificates) > 0 {
		cert := unverified.UnverifiedCertificates[0]
		reason = "certificate: " + plain(unverified.Err, cert, r.spec.ServerName)
		r.phase(PhaseTLS, describe(cert))
		r.certEnd = cert.NotAfter
	}
	return nil, failed(ClassTLS, "%s", reason)
}

// shown notes when the certificate ends, and remarks on it when that is soon. It is no failure: the certificate is
// still good.
func (r *run) shown(cert *x509.Certificate) {
	r.certEnd = cert.NotAfter
	if left := time.Until(cert.NotAfter); left < r.spec.ExpiryWarn {
		r.phase(PhaseRemark, fmt.Sprintf("the certificate ends in %s, on %s UTC; renew it (tls.expiry_warn is %s)",
			left.Round(time.Second), cert.NotAfter.UTC().Format(time.DateTime), r.spec.ExpiryWarn))
	}
}

// plain says in an operator's words why a certificate was refused.
func plain(err error, cert *x509.Certificate, name string) string {
	var invalid x509.CertificateInvalidError
	var host x509.HostnameError
	var unknown x509.UnknownAuthorityError
	switch {
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired && time.Now().Before(cert.NotBefore):
		return "not valid before " + cert.NotBefore.UTC().Format(time.DateTime) + " UTC"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "expired on " + cert.NotAfter.UTC().Format(time.DateTime) + " UTC"
	case errors.As(err, &host):
		return fmt.Sprintf("valid for %s, not for %s", names(cert), name)
	case errors.As(err, &unknown):
		return fmt.Sprintf("signed by an unknown authority (issuer %s)", cert.Issuer)
	default:
		return err.Error()
	}
}

func names(cert *x509.Certificate) string {
	var all []string
	all = append(all, cert.DNSNames...)
	for _, ip := range cert.IPAddresses {
		all = append(all, ip.String())
	}
	switch len(all) {
	case 0:
		return "no name"
	case 1, 2, 3:
		return fmt.Sprint(all)
	default:
		return fmt.Sprintf("%v and %d more", all[:3], len(all)-3)
	}
}

func describe(cert *x509.Certificate) string {
	days := int(time.Until(cert.NotAfter).Hours() / 24)
	return fmt.Sprintf("subject %s, names %s, issuer %s, expires in %d days", cert.Subject, names(cert), cert.Issuer, days)
}
