package proxy_test

import (
	"fmt"
	"io"
	"strings"
	"testing"
)

const (
	offer    = "GET /ws HTTP/1.1\r\nHost: a.example\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nsec-WEBSOCKET-key: x\r\n\r\n"
	switched = "HTTP/1.1 101 Web Socket Protocol Handshake\r\nUpgrade: WebSocket\r\nsec-websocket-ACCEPT: y\r\nConnection: Upgrade\r\nX-A: 1\r\n\r\n"
)

// What an origin sees of an offer to upgrade.
func TestOnlyWebsocketsAreOffered(t *testing.T) {
	for _, row := range []struct {
		name, fields, version, offered string
	}{
		{"websocket", "Connection: Upgrade\r\nUpgrade: websocket\r\n", "1.1", "websocket"},
		{"other case", "connection: keep-alive,UPGRADE\r\nupgrade: WebSocket\r\n", "1.1", "websocket"},
		{"h2c", "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n", "1.1", ""},
		{"TLS", "Connection: upgrade\r\nUpgrade: TLS/1.0, HTTP/1.1\r\n", "1.1", ""},
		{"not named by Connection", "Upgrade: websocket\r\n", "1.1", ""},
		{"named without being there", "Connection: Upgrade\r\n", "1.1", ""},
		{"of an old client", "Connection: Upgrade\r\nUpgrade: websocket\r\n", "1.0", ""},
		{"prefix", "Connection: Upgrade\r\nUpgrade: websocket2\r\n", "1.1", ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			o := &recorder{}
			r, _ := inFrontOf(t, o.serve, nil)
			got, answers := o.exchange(t, r.addr, pair{request: "GET / HTTP/" + row.version + "\r\nHost: a.example\r\n" + row.fields + "X-A: 1\r\n\r\n", answer: plainAnswer})
			if offered := strings.ToLower(strings.Join(got.values("Upgrade"), " + ")); offered != row.offered || got.has("Connection", "upgrade") != (row.offered != "") {
				t.Errorf("the origin sees %v", got)
			}
			if v := append(got.values("HTTP2-Settings"), got.values("X-A")...); len(v) != 1 {
				t.Errorf("the origin sees %v", got)
			}
			if m := answers[len(answers)-1]; m.body != "ok" {
				t.Errorf("got %v", m)
			}
		})
	}
}

// A handshake that the origin refuses is answered like any request, and the connection goes on.
func TestRefusedHandshake(t *testing.T) {
	for _, answer := range []string{
		"HTTP/1.1 403 Nein\r\nX-A: 1\r\nContent-Length: 2\r\n\r\nno",
		"HTTP/1.1 426 Upgrade Required\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno",
	} {
		r, s := inFrontOf(t, saying(answer), nil)
		c := dial(t, r.addr)
		for range 2 {
			c.send(offer)
			if m := c.must("GET"); m.body != "no" || !strings.HasPrefix(answer, m.first) {
				t.Errorf("got %v", m)
			}
		}
		if !c.stays() {
			t.Error("the connection has ended")
		}
		if n := s.accepted(); n > 3 {
			t.Errorf("%d connections to the origin", n)
		}
	}
}

// A switch to anything but what was asked for is no answer.
func TestForeignSwitch(t *testing.T) {
	for name, answer := range map[string]string{
		"another protocol": "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
		"no protocol":      "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\r\n",
		"two protocols":    "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket, h2c\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			r, _ := inFrontOf(t, func(p *peer) {
				if p.request() != nil {
					p.send(answer, "PRI * HTTP/2.0")
					_ = p.ends()
				}
			}, nil)
			c := dial(t, r.addr)
			c.send(offer)
			if m := c.must("GET"); m.status() != 502 || !strings.Contains(m.body, `"UJ"`) {
				t.Errorf("got %v", m)
			}
		})
	}
}

// The 101 passes as it is, and bytes that stand right behind the two heads are the tunnel's first.
func TestTunnelBeginsRightBehindTheHeads(t *testing.T) {
	heard := make(chan string, 1)
	r, _ := inFrontOf(t, func(p *peer) {
		if p.request() == nil {
			return
		}
		p.send(switched + "first of the origin")
		b := make([]byte, len("first of the client, then more"))
		_, _ = io.ReadFull(p.br, b)
		heard <- string(b)
		_, _ = io.Copy(p, p.br)
	}, nil)
	c := dial(t, r.addr)
	c.send(offer + "first of the client")
	lines, err := readLines(c.br)
	if err != nil || lines[0] != "HTTP/1.1 101 Web Socket Protocol Handshake" {
		t.Fatal(lines, err)
	}
	for _, want := range []string{"sec-websocket-ACCEPT: y", "X-A: 1"} {
		if !strings.Contains(strings.Join(lines, "\n"), "\n"+want) {
			t.Errorf("%s is missing in %q", want, lines)
		}
	}
	if m := (&message{fields: lines[1:]}); !m.has("Connection", "upgrade") || !m.has("Upgrade", "websocket") || len(m.values("Upgrade")) != 1 {
		t.Errorf("got %q", lines)
	}
	if got := read(t, c.br, len("first of the origin")); got != "first of the origin" {
		t.Errorf("got %q", got)
	}
	c.send(", then more")
	if got := <-heard; got != "first of the client, then more" {
		t.Errorf("the origin heard %q", got)
	}
	big := strings.Repeat("0123456789abcdef", 1<<16) // 1 MiB
	go c.send(big)
	if got := read(t, c.br, len(big)); got != big {
		t.Error("the echo differs")
	}
}

// Each side may end its direction alone, and may be gone for both.
func TestEndsOfATunnel(t *testing.T) {
	for _, row := range []struct {
		name   string
		origin func(p *peer) // behind the 101
		client func(t *testing.T, c *peer)
	}{
		{"the client ends first", func(p *peer) {
			b, _ := io.ReadAll(p.br)
			p.send("got " + string(b))
		}, func(t *testing.T, c *peer) {
			c.send("all of it")
			_ = c.CloseWrite()
			if b, err := io.ReadAll(c.br); err != nil || string(b) != "got all of it" {
				t.Errorf("%q %v", b, err)
			}
		}},
		{"the origin ends first", func(p *peer) {
			p.send("all of it")
			_ = p.CloseWrite()
			if b, err := io.ReadAll(p.br); err != nil || string(b) != "got all of it" {
				p.t.Errorf("the origin: %q %v", b, err)
			}
		}, func(t *testing.T, c *peer) {
			b, err := io.ReadAll(c.br)
			if err != nil {
				t.Error(err)
			}
			c.send("got " + string(b))
			_ = c.CloseWrite()
		}},
		{"the client is gone", func(p *peer) {
			if end := p.ends(); isTimeout(fmt.Errorf("%s", end)) {
				p.t.Errorf("the origin was not told: %s", end)
			}
		}, func(_ *testing.T, c *peer) { c.abort() }},
		{"the origin is gone", func(p *peer) { p.abort() }, func(t *testing.T, c *peer) {
			if end := c.ends(); isTimeout(fmt.Errorf("%s", end)) {
				t.Errorf("the client was not told: %s", end)
			}
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			over := make(chan struct{})
			r, _ := inFrontOf(t, func(p *peer) {
				if p.request() != nil {
					p.send(switched)
					row.origin(p)
					close(over)
				}
			}, nil)
			c := dial(t, r.addr)
			c.send(offer)
			if _, err := readLines(c.br); err != nil {
				t.Fatal(err)
			}
			row.client(t, c)
			<-over
			if l := r.lines(1)[0]; l["status"] != 101.0 || l["upgrade"] != "websocket" || l["reason"] != "OK" && l["reason"] != "CD" && l["reason"] != "UD" {
				t.Errorf("log %v", l)
			}
			r.eventually("no tunnel is counted", func() bool { return r.metric("jurymast_proxy_tunnels") == 0 })
			if k := r.kinds(); len(k) > 0 {
				t.Errorf("charged: %v", k)
			}
		})
	}
}
