package certificates_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"jurymast/internal/certificates"
	"jurymast/internal/profile"
)

// issue writes a certificate for these names and its key.
func issue(t *testing.T, names ...string) profile.CertificateFiles {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	template := &x509.Certificate{SerialNumber: big.NewInt(now.UnixNano()), DNSNames: names, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour)}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	f := profile.CertificateFiles{Cert: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem")}
	for name, block := range map[string]*pem.Block{f.Cert: {Type: "CERTIFICATE", Bytes: cert}, f.Key: {Type: "PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(name, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return f
}

func TestPick(t *testing.T) {
	exact, wild := issue(t, "www.dr.example"), issue(t, "*.dr.example", "WWW.dr.example")
	set, err := certificates.Load([]profile.CertificateFiles{exact, wild})
	if err != nil {
		t.Fatal(err)
	}
	var h certificates.Holder
	if _, err := h.Pick(&tls.ClientHelloInfo{}); !errors.Is(err, certificates.ErrNone) || !h.Empty() {
		t.Errorf("an empty holder: %v", err)
	}
	h.Use(set)
	for sni, names := range map[string]int{"www.dr.example": 1, "WWW.DR.example": 1, "a.dr.example": 2, "a.b.dr.example": 1, "dr.example": 1, "": 1, ".": 1, "\x00..": 1} {
		c, err := h.Pick(&tls.ClientHelloInfo{ServerName: sni})
		if err != nil || len(c.Leaf.DNSNames) != names {
			t.Errorf("%q: %v, %v", sni, c.Leaf.DNSNames, err)
		}
	}
}

// One bad pair keeps the whole list from being taken. The error names the files and tells nothing of the key.
func TestBadFiles(t *testing.T) {
	good, other := issue(t, "a.example"), issue(t, "b.example")
	secret, err := os.ReadFile(other.Key)
	if err != nil {
		t.Fatal(err)
	}
	empty := filepath.Join(t.TempDir(), "empty.pem")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, bad := range map[string]profile.CertificateFiles{
		"a key of another": {Cert: good.Cert, Key: other.Key},
		"changed about":    {Cert: other.Key, Key: other.Cert},
		"empty":            {Cert: empty, Key: other.Key},
		"missing":          {Cert: empty + "x", Key: other.Key},
	} {
		set, err := certificates.Load([]profile.CertificateFiles{good, bad})
		if set != nil || err == nil || !strings.Contains(err.Error(), bad.Cert) || !strings.Contains(err.Error(), bad.Key) {
			t.Errorf("%s: %v, %v", name, set, err)
			continue
		}
		for line := range strings.Lines(string(secret)) {
			if line = strings.TrimSpace(line); len(line) > 20 && !strings.HasPrefix(line, "---") && strings.Contains(err.Error(), line) {
				t.Errorf("%s: the key is in the error", name)
			}
		}
	}
}

func TestFault(t *testing.T) {
	set, err := certificates.Load([]profile.CertificateFiles{issue(t, "a.example"), issue(t)})
	if err != nil {
		t.Fatal(err)
	}
	infos := set.Infos()
	for at, want := range map[time.Duration]string{0: "", 2 * time.Hour: "expired", -2 * time.Hour: "not valid before"} {
		if got := infos[0].Fault(time.Now().Add(at)); want == "" && got != "" || !strings.Contains(got, want) {
			t.Errorf("%v: %q", at, got)
		}
	}
	if got := infos[1].Fault(time.Now()); !strings.Contains(got, "names no host") {
		t.Errorf("without names: %q", got)
	}
}
