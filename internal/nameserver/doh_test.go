package nameserver_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"jurymast/internal/nameserver"
	"jurymast/internal/nameserver/tap"
)

// web is a client of DNS over HTTPS.
func (s *secret) web(at string, h2 bool) *http.Client {
	protocols := &http.Protocols{}
	protocols.SetHTTP1(!h2)
	protocols.SetHTTP2(h2)
	return &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{
		TLSClientConfig: s.config(), Protocols: protocols,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "tcp", at)
		},
	}}
}

const dohURL = "https://ns1.dr.example/dns-query"

// overDoH is the answer to one packet.
func overDoH(t testing.TB, client *http.Client, post bool, pkt []byte) []byte {
	t.Helper()
	method, url, body := http.MethodGet, dohURL+"?dns="+base64.RawURLEncoding.EncodeToString(pkt), io.Reader(nil)
	if post {
		method, url, body = http.MethodPost, dohURL, bytes.NewReader(pkt)
	}
	req, err := http.NewRequestWithContext(t.Context(), method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	if post {
		req.Header.Set("Content-Type", "application/dns-message")
	}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatalf("%x: %v", pkt, err)
	}
	defer resp.Body.Close()
	reply, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != "application/dns-message" {
		t.Fatalf("%x: %s %v %v", pkt, resp.Status, resp.Header, err)
	}
	return reply
}

// What HTTP says about an answer, and about what is none, is the same over both versions.
func TestDoHStatus(t *testing.T) {
	s := encrypted(t, nameserver.TCP{})
	pack := func(name string, typ uint16) string {
		b, _ := query(name, typ).Pack()
		return string(b)
	}
	get := func(pkt string) string { return "?dns=" + base64.RawURLEncoding.EncodeToString([]byte(pkt)) }
	soa := pack("dr.example.", dns.TypeSOA)
	response := []byte(soa)
	response[2] |= 0x80
	for _, h2 := range []bool{false, true} {
		client := s.web(s.at(tap.DoH), h2)
		for _, c := range []struct {
			name, method, path, media, body string
			status                          int
			header, value                   string
		}{
			{"positive", "GET", "/dns-query" + get(pack("web.dr.example.", dns.TypeA)), "", "", 200, "Cache-Control", "max-age=600"},
			{"profile", "GET", "/dns-query" + get(pack("dr.example.", dns.TypeA)), "", "", 200, "Cache-Control", "max-age=20"},
			{"negative", "GET", "/dns-query" + get(pack("missing.dr.example.", dns.TypeA)), "", "", 200, "Cache-Control", "max-age=60"},
			{"refused", "GET", "/dns-query" + get(pack("elsewhere.test.", dns.TypeA)), "", "", 200, "Cache-Control", "max-age=0"},
			{"referral", "GET", "/dns-query" + get(pack("x.sub.dr.example.", dns.TypeA)), "", "", 200, "Cache-Control", "max-age=0"},
			{"other parameters", "GET", "/dns-query?x=1&" + get(soa)[1:], "", "", 200, "Content-Type", "application/dns-message"},
			{"posted", "POST", "/dns-query", "application/dns-message", soa, 200, "Content-Type", "application/dns-message"},
			{"posted with a parameter", "POST", "/dns-query?dns=AAAA", "Application/DNS-Message; x=y", soa, 200, "", ""},
			{"no path", "GET", "/", "", "", 404, "", ""},
			{"path below", "GET", "/dns-query/x" + get(soa), "", "", 404, "", ""},
			{"no question", "GET", "/dns-query", "", "", 400, "", ""},
			{"padding", "GET", "/dns-query" + get(soa) + "==", "", "", 400, "", ""},
			{"not base64url", "GET", "/dns-query?dns=+/+/AAAAAAAAAAAAAAAA", "", "", 400, "", ""},
			{"shorter than a header", "GET", "/dns-query?dns=AAAA", "", "", 400, "", ""},
			{"a response", "GET", "/dns-query" + get(string(response)), "", "", 400, "", ""},
			{"too long a target", "GET", "/dns-query?dns=" + strings.Repeat("A", 40000), "", "", 431, "", ""},
			{"empty", "POST", "/dns-query", "application/dns-message", "", 400, "", ""},
			{"another type", "POST", "/dns-query", "application/json", soa, 415, "", ""},
			{"no type", "POST", "/dns-query", "", soa, 415, "", ""},
			{"too long a body", "POST", "/dns-query", "application/dns-message", strings.Repeat("A", 65536), 413, "", ""},
			{"a long body", "POST", "/dns-query", "application/dns-message", soa + strings.Repeat("A", 65535-len(soa)), 200, "", ""},
			{"another method", "PUT", "/dns-query", "application/dns-message", soa, 405, "Allow", "GET, POST"},
			{"no body", "HEAD", "/dns-query" + get(soa), "", "", 405, "Allow", "GET, POST"},
		} {
			req, err := http.NewRequestWithContext(t.Context(), c.method, "https://ns1.dr.example"+c.path, strings.NewReader(c.body))
			if err != nil {
				t.Fatal(err)
			}
			if c.media != "" {
				req.Header.Set("Content-Type", c.media)
			}
			resp, err := client.Do(req)
			if err != nil {
				if c.status != http.StatusRequestHeaderFieldsTooLarge { // of which HTTP/2 may make a reset
					t.Errorf("%s, HTTP/2 %v: %v", c.name, h2, err)
				}
				continue
			}
			_, _ = io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
			if resp.StatusCode != c.status || c.header != "" && resp.Header.Get(c.header) != c.value {
				t.Errorf("%s, HTTP/2 %v: %s %v", c.name, h2, resp.Status, resp.Header)
			}
		}
		client.CloseIdleConnections()
	}
}

// A connection that asks nothing, or not to the end, is not kept.
func TestDoHSlowClients(t *testing.T) {
	s := encrypted(t, nameserver.TCP{First: 200 * time.Millisecond, Idle: 400 * time.Millisecond, IdleMin: 100 * time.Millisecond})
	for _, protocol := range []string{"h2", "http/1.1"} {
		for _, sent := range []string{"", "GET /dns-query", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "POST /dns-query HTTP/1.1\r\nHost: x\r\nContent-Type: application/dns-message\r\nContent-Length: 100\r\n\r\nx"} {
			conn := s.dial(t, tap.DoH, s.config(protocol))
			_, _ = io.WriteString(conn, sent)
			if _, err := io.Copy(io.Discard, conn); err != nil && strings.Contains(err.Error(), "timeout") {
				t.Errorf("%s after %q stays open: %v", protocol, sent, err)
			}
		}
	}
	eventually(t, "closed", func() bool { return s.counter(t, "connections transport=doh") == 0 })
}

// Many questions at once on one connection are all answered, also when the server is told to stop meanwhile.
func TestDoHStops(t *testing.T) {
	for _, h2 := range []bool{false, true} {
		s := encrypted(t, nameserver.TCP{})
		client := s.web(s.at(tap.DoH), h2)
		pkt, _ := query("big.dr.example.", dns.TypeTXT).Pack()
		for range 5 {
			overDoH(t, client, true, pkt)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		start := time.Now()
		if err := s.srv.Close(ctx); err != nil || time.Since(start) > 5*time.Second {
			t.Errorf("HTTP/2 %v: %v after %v", h2, err, time.Since(start))
		}
		cancel()
		if n := s.counter(t, "connections transport=doh"); n != 0 {
			t.Errorf("HTTP/2 %v: %v connections are left", h2, n)
		}
		client.CloseIdleConnections()
	}
}
