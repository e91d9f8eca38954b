//go:build linux

package app_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"testing"
	"time"
)

// standby is a tenant at us21 in this process that echoes on upgraded connections.
func (s *site) standby() {
	l, err := net.Listen("tcp", s.us21)
	must(s.t, err)
	server := &http.Server{ReadHeaderTimeout: time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") == "" {
			_, _ = io.WriteString(w, "hello from US21\n")
			return
		}
		c, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer c.Close()
		_, _ = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
		_, _ = io.Copy(c, rw)
	})}
	go func() { _ = server.Serve(l) }()
	s.t.Cleanup(func() { _ = server.Close() })
}

// tunnel upgrades through the proxy and returns a function that sends a word and waits for its echo.
func (s *site) tunnel() (echo func() error) {
	s.t.Helper()
	c, err := net.Dial("tcp", s.web)
	must(s.t, err)
	s.t.Cleanup(func() { _ = c.Close() })
	_, err = io.WriteString(c, "GET /ws HTTP/1.1\r\nHost: "+host+"\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
	must(s.t, err)
	br := bufio.NewReader(c)
	resp, err := http.ReadResponse(br, nil)
	must(s.t, err)
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusSwitchingProtocols {
		s.t.Fatal(resp.Status)
	}
	return func() error {
		_ = c.SetDeadline(time.Now().Add(2 * time.Second))
		if _, err := io.WriteString(c, "word"); err != nil {
			return err
		}
		_, err := io.ReadFull(br, make([]byte, 4))
		return err
	}
}

// A failback for new sessions leaves what runs at the standby alone; any other failback ends it.
func TestFailbackForNewSessions(t *testing.T) {
	t.Parallel()
	for mode, kept := range map[string]string{"new-sessions": "us21", "auto": ""} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			s.failback = "{mode: " + mode + "}"
			s.standby()
			s.restartPrimary()
			eventually(t, 10*time.Second, "the primary listens", func() bool { return accepts(s.eu20) })
			s.write(s.text())
			s.startNode()
			s.awaitReady(20 * time.Second)
			s.awaitActive(5*time.Second, "eu20")
			s.euTenant.kill()
			s.awaitActive(5*time.Second, "us21")
			echo := s.tunnel()
			must(t, echo())
			s.restartPrimary()
			s.awaitActive(10*time.Second, "eu20")
			if got := s.browse(); got != "EU20" {
				t.Errorf("a new request went to %q", got)
			}
			if got := s.status().Decision.Keeps; got != kept {
				t.Errorf("status says that %q keeps what it has, want %q", got, kept)
			}
			if kept == "" {
				eventually(t, 8*time.Second, "the tunnel is cut", func() bool { return echo() != nil })
				return
			}
			never(t, time.Second, "the kept tunnel is cut", func() bool { return echo() != nil })
		})
	}
}
