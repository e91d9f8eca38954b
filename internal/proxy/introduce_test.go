package proxy_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pires/go-proxyproto"

	"jurymast/internal/profile"
	"jurymast/internal/proxy"
)

// An origin that wants the PROXY protocol sees each client under its own address. Two clients never share a connection
// to it, and the requests of one use the same connection one after the other.
func TestOriginsSeeTheClientByProxyProtocol(t *testing.T) {
	for _, header := range []profile.OriginHeader{profile.ProxyProtocolV1, profile.ProxyProtocolV2} {
		var made atomic.Int32
		s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprint(w, r.RemoteAddr)
		}))
		s.Listener = &proxyproto.Listener{Listener: s.Listener} // which requires the header
		s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
			if state == http.StateNew {
				made.Add(1)
			}
		}
		s.Start()
		t.Cleanup(s.Close)
		r := newRig(t, func(_ *proxy.Options, pr *profile.Profile) {
			pr.Endpoints[0].Origin, pr.Endpoints[0].ProxyProtocol = s.URL, header
		})
		r.activate(0)
		for range 2 {
			c, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", r.addr)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { c.Close() })
			if err := c.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
				t.Fatal(err)
			}
			in := bufio.NewReader(c)
			for _, method := range []string{"GET", "POST", "GET"} {
				if _, err := io.WriteString(c, method+" / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 0\r\n\r\n"); err != nil {
					t.Fatal(err)
				}
				resp, err := http.ReadResponse(in, nil)
				if err != nil {
					t.Fatal(err)
				}
				body, err := io.ReadAll(resp.Body)
				if got := strings.TrimSpace(string(body)); err != nil || resp.Body.Close() != nil || got != c.LocalAddr().String() {
					t.Errorf("%s %s: %q %v, want %s", header, method, got, err, c.LocalAddr())
				}
			}
		}
		if got := made.Load(); got != 2 {
			t.Errorf("%s: %d connections for two clients with three requests each, want 2", header, got)
		}
	}
}
