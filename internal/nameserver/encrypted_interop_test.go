//go:build interop

package nameserver_test

import (
	"context"
	"encoding/base64"
	"encoding/pem"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"jurymast/internal/certificates"
	"jurymast/internal/nameserver"
	"jurymast/internal/nameserver/tap"
	"jurymast/internal/profile"
	"jurymast/internal/testbed"
)

// authority is a file with what the fixture's clients trust.
func (s *secret) authority(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "ca.pem")
	var text []byte
	for _, c := range s.certs.Get().Infos() {
		chain, err := os.ReadFile(c.File)
		if err != nil {
			t.Fatal(err)
		}
		text = append(text, chain...)
	}
	if block, _ := pem.Decode(text); block == nil {
		t.Fatal("no certificate")
	}
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func (s *secret) port(t *testing.T, via tap.Transport) string {
	t.Helper()
	_, p, err := net.SplitHostPort(s.at(via))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func output(t *testing.T, name string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	out, _ := exec.CommandContext(ctx, name, args...).CombinedOutput() // what it says is judged
	return string(out)
}

// TestInteropKdigEncrypted asks over every transport, with verification and without.
func TestInteropKdigEncrypted(t *testing.T) {
	kdig := testbed.Tool(t, "kdig")
	s := encrypted(t, nameserver.TCP{})
	ca := "+tls-ca=" + s.authority(t)
	for _, c := range []struct {
		via  tap.Transport
		args string
		want []string
	}{
		{tap.DoT, "+tls", []string{"TLS1.3", "status: NOERROR"}},
		{tap.DoT, ca + " +tls-hostname=ns1.dr.example", []string{"TLS1.3", "status: NOERROR"}},
		{tap.DoT, ca + " +tls-hostname=any.w.example", []string{"status: NOERROR"}},
		{tap.DoT, ca + " +tls-hostname=wrong.example", []string{"TLS"}},
		{tap.DoT, "+tls +padding", []string{"PADDING", "Received 468 B"}},
		{tap.DoT, "+tls +ednsopt=11", []string{"0064", "status: NOERROR"}},
		{tap.DoH, "+https", []string{"HTTP/2-POST", "status: 200", "status: NOERROR"}},
		{tap.DoH, "+https-get +padding", []string{"HTTP/2-GET", "Received 468 B"}},
		{tap.DoH, "+https " + ca + " +tls-hostname=ns1.dr.example", []string{"HTTP/2-POST", "status: NOERROR"}},
		{tap.DoQ, "+quic", []string{"QUIC", "status: NOERROR"}},
		{tap.DoQ, "+quic +padding", []string{"PADDING", "Received 468 B"}},
	} {
		args := append([]string{"@127.0.0.1", "-p", s.port(t, c.via), "+timeout=10"}, strings.Fields(c.args)...)
		out := output(t, kdig, append(args, "web.dr.example", "A")...)
		for _, want := range c.want {
			if !strings.Contains(out, want) {
				t.Errorf("%s: no %q in\n%s", c.args, want, out)
			}
		}
		if strings.Contains(c.args, "wrong") == strings.Contains(out, "status: NOERROR") {
			t.Errorf("%s:\n%s", c.args, out)
		}
	}
}

// TestInteropCurl asks by hand over both versions of HTTP, and lets curl look up a name by itself.
func TestInteropCurl(t *testing.T) {
	curl := testbed.Tool(t, "curl")
	s := encrypted(t, nameserver.TCP{})
	q := query("web.dr.example.", dns.TypeA)
	pkt, _ := q.Pack()
	file := filepath.Join(t.TempDir(), "question")
	if err := os.WriteFile(file, pkt, 0o600); err != nil {
		t.Fatal(err)
	}
	p := s.port(t, tap.DoH)
	url := "https://ns1.dr.example:" + p + "/dns-query"
	common := []string{"-sS", "-i", "--max-time", "10", "--cacert", s.authority(t), "--resolve", "ns1.dr.example:" + p + ":127.0.0.1"}
	for _, version := range []string{"--http2", "--http1.1"} {
		for _, args := range [][]string{
			{url + "?dns=" + base64.RawURLEncoding.EncodeToString(pkt)},
			{"-H", "Content-Type: application/dns-message", "--data-binary", "@" + file, url},
		} {
			out := output(t, curl, append(append(append([]string{}, common...), version), args...)...)
			for _, want := range []string{" 200", "application/dns-message", "max-age=600", "\xc0\x00\x02\x50"} {
				if !strings.Contains(out, want) && !strings.Contains(strings.ToLower(out), want) {
					t.Errorf("%s: no %q in\n%q", version, want, out)
				}
			}
		}
	}
	out := output(t, curl, append(common, "-v", "--doh-url", url, "--connect-timeout", "1", "http://web.dr.example:9/")...)
	if !strings.Contains(out, "192.0.2.80") && !strings.Contains(out, "192.0.2.81") {
		t.Errorf("curl did not find the address:\n%s", out)
	}
}

// TestInteropCertificatesSwapped loads DNS over TLS and HTTPS while certificates change each second: nothing is lost.
func TestInteropCertificatesSwapped(t *testing.T) {
	dnsperf, h2load := testbed.Tool(t, "dnsperf"), testbed.Tool(t, "h2load")
	s := encrypted(t, nameserver.TCP{})
	dir := t.TempDir()
	questions, question := filepath.Join(dir, "questions"), filepath.Join(dir, "question")
	pkt, _ := query("web.dr.example.", dns.TypeA).Pack()
	for name, text := range map[string]string{questions: "web.dr.example A\nbig.dr.example TXT\n", question: string(pkt)} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	done := make(chan struct{})
	swapped := make(chan int)
	go func() {
		for n := 0; ; n++ {
			select {
			case <-done:
				swapped <- n
				return
			case <-time.After(time.Second):
			}
			if set, err := certificates.Load([]profile.CertificateFiles{issue(t, s.pool, "ns1.dr.example")}); err == nil {
				s.certs.Use(set)
			}
		}
	}()
	out := output(t, dnsperf, "-m", "dot", "-s", "127.0.0.1", "-p", s.port(t, tap.DoT), "-d", questions, "-c", "4", "-q", "50", "-l", "4")
	if !regexp.MustCompile(`Queries completed:\s+[1-9]\d*`).MatchString(out) || !regexp.MustCompile(`Queries lost:\s+0 `).MatchString(out) {
		t.Errorf("DoT:\n%s", out)
	}
	// dnsperf 2.10 stops reading DNS over HTTPS when several answers come at once, from any server; one at a time it counts.
	out = output(t, dnsperf, "-m", "doh", "-O", "doh-uri=https://ns1.dr.example/dns-query", "-s", "127.0.0.1", "-p", s.port(t, tap.DoH), "-d", questions, "-c", "1", "-q", "1", "-l", "3")
	if !regexp.MustCompile(`Queries completed:\s+[1-9]\d*`).MatchString(out) || !regexp.MustCompile(`Queries lost:\s+0 `).MatchString(out) {
		t.Errorf("DoH:\n%s", out)
	}
	out = output(t, h2load, "-D", "4", "-c", "4", "-m", "25", "-d", question, "-H", "content-type: application/dns-message", "https://"+s.at(tap.DoH)+"/dns-query")
	if !regexp.MustCompile(`[1-9]\d* succeeded, 0 failed`).MatchString(out) || !strings.Contains(out, " 0 4xx, 0 5xx") {
		t.Errorf("DoH:\n%s", out)
	}
	close(done)
	if n := <-swapped; n < 5 {
		t.Errorf("%d swaps", n)
	}
}
