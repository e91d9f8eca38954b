package main

import (
	"testing"
	"time"

	"jurymast/internal/api"
)

// Certificates are told with their end, and with what is wrong with them.
func TestCertificateLines(t *testing.T) {
	now := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	p := &printer{}
	writeCertificates(p, []api.Certificate{
		{Front: "dns", File: "a.pem", Names: []string{"ns1.dr.example", "192.0.2.1"}, NotAfter: now.AddDate(0, 3, 0)},
		{Front: "https", File: "b.pem", Names: []string{"b.example"}, NotAfter: now.AddDate(0, 0, -1), Fault: "it expired"},
	}, now)
	const want = "  cert     dns a.pem (ns1.dr.example, 192.0.2.1), ends 2026-06-01\n  cert     https b.pem (b.example), ends 2026-02-28: it expired\n"
	if got := p.text.String(); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}
