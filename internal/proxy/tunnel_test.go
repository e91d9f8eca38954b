package proxy_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// upgraded dials the proxy and upgrades; the origin echoes until it reads the end, then says bye and closes.
func upgraded(t *testing.T, r *rig) (net.Conn, *bufio.Reader) {
	t.Helper()
	c, err := net.Dial("tcp", r.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(5 * time.Second))
	_, _ = io.WriteString(c, "GET /ws HTTP/1.1\r\nHost: a.example\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\nearly")
	br := bufio.NewReader(c)
	resp, err := http.ReadResponse(br, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != 101 || resp.Header.Get("Upgrade") != "websocket" || resp.Header.Get("Sec-WebSocket-Accept") != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" {
		t.Fatal(resp.Status, resp.Header)
	}
	if got := read(t, br, 5); got != "early" {
		t.Fatalf("bytes behind the head: %q", got)
	}
	return c, br
}

func halfClosed(t *testing.T, c net.Conn) {
	t.Helper()
	tcp, ok := c.(*net.TCPConn)
	if !ok {
		t.Fatalf("%T has no half-close", c)
	}
	if err := tcp.CloseWrite(); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, r io.Reader, n int) string {
	t.Helper()
	b := make([]byte, n)
	if _, err := io.ReadFull(r, b); err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func echo(t *testing.T) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") != "websocket" || r.Header.Get("Connection") != "Upgrade" {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		c, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		_, _ = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n")
		_, _ = io.Copy(c, rw)
		_, _ = io.WriteString(c, "bye")
	}
}

func TestWebsocketEchoAndHalfClose(t *testing.T) {
	r := behind(t, echo(t), nil)
	c, br := upgraded(t, r)
	big := strings.Repeat("0123456789", 50_000)
	go func() { _, _ = io.WriteString(c, big) }()
	if got := read(t, br, len(big)); got != big {
		t.Fatal("the echo differs")
	}
	if r.metric("jurymast_proxy_tunnels") != 1 {
		t.Error("the tunnel is not counted")
	}
	halfClosed(t, c)
	if rest, err := io.ReadAll(br); err != nil || string(rest) != "bye" {
		t.Fatalf("after the half-close: %q %v", rest, err)
	}
	l := r.lines(1)[0]
	if l["reason"] != "OK" || l["status"] != 101.0 || l["upgrade"] != "websocket" || l["tunnel_in"] != float64(len(big)+5) {
		t.Errorf("log %v", l)
	}
	if r.metric("jurymast_proxy_tunnels") != 0 {
		t.Error("the tunnel is still counted")
	}
}

func TestTunnelIsClosedAtASwitch(t *testing.T) {
	r := behind(t, echo(t), nil)
	_, br := upgraded(t, r)
	r.publish(func(v *healthView) {}) // the same endpoint, a new epoch: nothing happens
	if r.metric("jurymast_proxy_tunnels") != 1 {
		t.Error("the tunnel was cut without a switch")
	}
	r.activate(1)
	if _, err := io.ReadAll(br); err != nil && !strings.Contains(err.Error(), "reset") {
		t.Fatal(err)
	}
	if l := r.lines(1)[0]; l["reason"] != "DX" {
		t.Errorf("log %v", l)
	}
}

func TestUpgradeRefusedAndForeign(t *testing.T) {
	r := behind(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") != "" {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		c, _, _ := http.NewResponseController(w).Hijack()
		_, _ = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
		c.Close()
	}, nil)
	got := raw(t, r.addr, "GET / HTTP/1.1\r\nHost: a.example\r\nConnection: Upgrade, close\r\nUpgrade: websocket\r\n\r\n")
	if !strings.HasPrefix(got, "HTTP/1.1 403") {
		t.Errorf("a refusal must be passed on: %s", got)
	}
	got = raw(t, r.addr, "GET / HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n")
	if !strings.HasPrefix(got, "HTTP/1.1 502") || !strings.Contains(got, `"UJ"`) {
		t.Errorf("a 101 nobody asked for: %s", got)
	}
}
