package probe

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"time"
)

// handshake wraps conn. Verification covers the chain, the name and the expiry; what certificate was shown is logged
// either way.
func (r *run) handshake(ctx context.Context, conn net.Conn) (net.Conn, *failure) {
	secure := tls.Client(conn, &tls.Config{
		ServerName:         r.spec.ServerName,
		RootCAs:            r.prober.Roots,
		InsecureSkipVerify: !r.spec.Verify, //nolint:gosec // the operator's tls.verify, on by default
		MinVersion:         tls.VersionTLS12,
		NextProtos:         []string{"http/1.1"},
	})
	err := secure.HandshakeContext(ctx)
	if err == nil {
		state := secure.ConnectionState()
		detail := tls.VersionName(state.Version) + " " + tls.CipherSuiteName(state.CipherSuite)
		if len(state.PeerCertificates) > 0 {
			detail += ", " + describe(state.PeerCertificates[0])
		}
		r.phase(PhaseTLS, detail)
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
	}
	return nil, failed(ClassTLS, "%s", reason)
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
