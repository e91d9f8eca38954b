package app_test

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// encryptedSite is a site with DNS over TLS, whose address is returned.
func encryptedSite(t *testing.T) (*site, string) {
	s := newSite(t)
	ip, _, err := net.SplitHostPort(s.dns)
	must(t, err)
	s.cookieText = fmt.Sprintf("tls: [%q], certificates: [{cert: %q, key: %q}]", ip+":8853", filepath.Join(s.dir, "site.pem"), filepath.Join(s.dir, "site.key"))
	return s, ip + ":8853"
}

// overDoT asks one question on a connection of its own and says by which certificate it was answered, 0: by none.
func overDoT(addr string, pool *x509.CertPool) (serial int64) {
	c := &dns.Client{Net: "tcp-tls", Timeout: 5 * time.Second, TLSConfig: &tls.Config{RootCAs: pool, ServerName: host, NextProtos: []string{"dot"}}}
	conn, err := c.Dial(addr)
	if err != nil {
		return 0
	}
	defer func() { _ = conn.Close() }()
	m := new(dns.Msg).SetQuestion(dns.Fqdn(host), dns.TypeA)
	if r, _, err := c.ExchangeWithConn(m, conn); err != nil || len(r.Answer) != 1 {
		return 0
	}
	state, ok := conn.Conn.(*tls.Conn)
	if !ok {
		return 0
	}
	return state.ConnectionState().PeerCertificates[0].SerialNumber.Int64()
}

// TestEncryptedDNS: answers over TLS; a certificate that is renewed is taken without being told, a damaged one never.
func TestEncryptedDNS(t *testing.T) {
	t.Parallel()
	s, addr := encryptedSite(t)
	first := writeCertificate(t, s.dir, 1)
	s.up()
	if serial := overDoT(addr, first); serial != 1 {
		t.Fatalf("answered by certificate %d", serial)
	}
	st := s.nodeStatus()
	if len(st.Certificates) != 1 || st.Certificates[0].Fault != "" || st.Certificates[0].Front != "dns" {
		t.Errorf("status tells %+v", st.Certificates)
	}
	second := writeCertificate(t, s.dir, 2)
	eventually(t, 5*time.Second, "the new certificate is in use", func() bool { return overDoT(addr, second) == 2 })
	must(t, os.WriteFile(filepath.Join(s.dir, "site.pem"), []byte("no certificate"), 0o600))
	eventually(t, 5*time.Second, "a damaged certificate is refused", func() bool { return strings.Contains(s.nodeStatus().Config.Error, "site.pem") })
	if serial := overDoT(addr, second); serial != 2 {
		t.Errorf("after a damaged certificate: %d", serial)
	}
	third := writeCertificate(t, s.dir, 3)
	eventually(t, 5*time.Second, "a good one is taken again", func() bool { return overDoT(addr, third) == 3 && s.nodeStatus().Config.Error == "" })
}
