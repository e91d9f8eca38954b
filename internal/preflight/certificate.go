package preflight

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"time"
)

const day = 24 * time.Hour

// certificates judges what the endpoint showed for each host name: chain, name and expiry. Names that got the same
// certificate share the findings about it.
func (t *trial) certificates(a *asker, tried []named) {
	var order []string
	groups := map[string][]*named{}
	for i := range tried {
		n := &tried[i]
		if !n.shaken || len(n.chain) == 0 {
			continue
		}
		key := string(n.chain[0].Raw)
		if groups[key] == nil {
			order = append(order, key)
		}
		groups[key] = append(groups[key], n)
	}
	for _, key := range order {
		t.certificate(a, groups[key])
	}
}

func (t *trial) certificate(a *asker, group []*named) {
	leaf := group[0].chain[0]
	severity := Error
	if m := t.monitor(); !m.TLS.Verify {
		severity = Warning // the operator has said that probes do not look; clients do
	}
	var uncovered, covered []string
	for _, n := range group {
		if leaf.VerifyHostname(n.host) != nil {
			uncovered = append(uncovered, n.text())
		} else {
			covered = append(covered, n.text())
		}
	}
	fine := len(uncovered) == 0
	if !fine {
		t.add(severity, CertificateName, t.at, fmt.Sprintf("the certificate shown is for %s, not for %s", certificateNames(leaf), strings.Join(uncovered, ", ")),
			"clients that were sent here by the public name break off the handshake", "install a certificate for the public name at this endpoint").
			and("%s", describe(leaf, t.Now()))
	}
	left := leaf.NotAfter.Sub(t.Now())
	switch warn := t.monitor().TLS.ExpiryWarn; {
	case left < 0:
		fine = false
		t.add(severity, CertificateExpired, t.at, "the certificate expired on "+leaf.NotAfter.UTC().Format(time.DateOnly),
			"clients refuse it", "renew it").and("%s", describe(leaf, t.Now()))
	case t.Now().Before(leaf.NotBefore):
		fine = false
		t.add(severity, CertificateExpired, t.at, "the certificate is not valid before "+leaf.NotBefore.UTC().Format(time.DateTime)+" UTC",
			"clients refuse it", "correct the clock of whoever signed it, or of this machine").and("%s", describe(leaf, t.Now()))
	case left < warn:
		t.add(Warning, CertificateExpiring, t.at, fmt.Sprintf("the certificate expires in %d days, on %s", int(left/day), leaf.NotAfter.UTC().Format(time.DateOnly)),
			"from then on clients refuse it, here or after the next failover", "renew it now").and("tls.expiry_warn is %d days", int(warn/day))
	}
	if why := a.chainFault(group[0].chain); why != "" {
		fine = false
		t.add(severity, CertificateChain, t.at, "the certificate chain is not trusted: "+why,
			"clients that trust the same authorities refuse it", "send the whole chain, or name the authority in monitor.tls.ca").and("%s", describe(leaf, t.Now()))
	}
	if fine {
		t.add(Info, CertificateFine, t.at, fmt.Sprintf("certificate good for %s, %d days left", strings.Join(covered, ", "), int(left/day)),
			"chain, name and expiry were verified as a client does", "").and("%s", describe(leaf, t.Now()))
	}
}

// chainFault says why the chain is not trusted, "" when it is. Time is judged elsewhere, so the chain is looked at as of
// a moment at which its leaf is valid.
func (a *asker) chainFault(chain []*x509.Certificate) string {
	pool := x509.NewCertPool()
	for _, c := range chain[1:] {
		pool.AddCert(c)
	}
	at := a.now
	if at.After(chain[0].NotAfter) {
		at = chain[0].NotAfter
	}
	if at.Before(chain[0].NotBefore) {
		at = chain[0].NotBefore
	}
	_, err := chain[0].Verify(x509.VerifyOptions{Roots: a.roots, Intermediates: pool, CurrentTime: at})
	var unknown x509.UnknownAuthorityError
	switch {
	case err == nil:
		return ""
	case errors.As(err, &unknown):
		return "signed by an unknown authority, " + chain[len(chain)-1].Issuer.String()
	}
	return oneLine(err.Error(), 200)
}

// withoutSNI tells what clients without SNI get: some old senders still say no name.
func (t *trial) withoutSNI(ctx context.Context, a *asker, tried []named) {
	if len(tried) == 0 || !tried[0].shaken {
		return
	}
	bare := a.ask(ctx, tried[0].host, "")
	switch {
	case ctx.Err() != nil:
	case !bare.shaken:
		t.add(Info, NeedsSNI, t.at, "without SNI there is no handshake: "+bare.why,
			"senders that do not say the name in TLS cannot use it", "make sure that all senders send SNI")
	case len(bare.chain) > 0 && bare.chain[0].VerifyHostname(tried[0].host) != nil && tried[0].chain[0].VerifyHostname(tried[0].host) == nil:
		t.add(Info, NeedsSNI, t.at, "without SNI it shows the certificate of "+certificateNames(bare.chain[0]),
			"senders that do not say the name in TLS refuse it", "make sure that all senders send SNI")
	}
}

func certificateNames(c *x509.Certificate) string {
	all := append([]string(nil), c.DNSNames...)
	for _, ip := range c.IPAddresses {
		all = append(all, ip.String())
	}
	const shown = 5
	switch {
	case len(all) == 0:
		return "no name"
	case len(all) > shown:
		return fmt.Sprintf("%s and %d more", oneLine(strings.Join(all[:shown], ", "), 300), len(all)-shown)
	}
	return oneLine(strings.Join(all, ", "), 300)
}

func describe(c *x509.Certificate, now time.Time) string {
	return fmt.Sprintf("subject %s, issuer %s, valid %s to %s (%d days left)", oneLine(c.Subject.String(), 100), oneLine(c.Issuer.String(), 100),
		c.NotBefore.UTC().Format(time.DateOnly), c.NotAfter.UTC().Format(time.DateOnly), int(c.NotAfter.Sub(now)/day))
}
