package proxy_test

import (
	"io"
	"strings"
	"testing"
	"time"

	"jurymast/internal/profile"
	"jurymast/internal/proxy"
	"jurymast/internal/proxy/inbound"
)

// hurried makes a proxy that has little patience.
func hurried(t *testing.T, serve func(*peer)) *rig {
	t.Helper()
	r, _ := inFrontOf(t, serve, func(o *proxy.Options, _ *profile.Profile) {
		o.Hurry(inbound.Pace{Rate: 1000, Grace: 300 * time.Millisecond, Pause: 300 * time.Millisecond},
			inbound.Pace{Rate: 1 << 20, Grace: 300 * time.Millisecond, Pause: 300 * time.Millisecond})
	})
	return r
}

// A client that begins a body and falls silent is told so, and no endpoint is blamed.
func TestSlowBody(t *testing.T) {
	r := hurried(t, func(p *peer) { _, _ = io.Copy(io.Discard, p) })
	for name, head := range map[string]string{"length": "Content-Length: 5000", "chunks": "Transfer-Encoding: chunked"} {
		c := dial(t, r.addr)
		c.send("POST / HTTP/1.1\r\nHost: a.example\r\n" + head + "\r\n\r\n")
		if name == "chunks" {
			c.send("fff\r\n")
		}
		c.send("x")
		if m := c.must("POST"); m.status() != 408 || !strings.Contains(m.body, `"CT"`) {
			t.Errorf("%s: %v", name, m)
		}
		if end := c.ends(); end != "" {
			t.Errorf("%s: %s", name, end)
		}
	}
	if k := r.kinds(); len(k) != 0 {
		t.Errorf("an endpoint was charged: %v", k)
	}
}

// A client that does not read a long answer is cut, whether the kernel moves the answer or we do.
func TestSlowReader(t *testing.T) {
	block := strings.Repeat("x", 1<<20)
	for name, head := range map[string]string{
		"length": "Content-Length: 1073741824\r\n\r\n", "chunks": "Transfer-Encoding: chunked\r\n\r\n40000000\r\n",
	} {
		gone := make(chan struct{})
		r := hurried(t, func(p *peer) {
			if p.request() == nil {
				return
			}
			p.send("HTTP/1.1 200 OK\r\n" + head)
			for {
				if _, err := io.WriteString(p, block); err != nil {
					close(gone)
					return
				}
			}
		})
		c := dial(t, r.addr)
		_ = c.SetReadBuffer(16 << 10)
		c.send("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n")
		select {
		case <-gone:
		case <-time.After(10 * time.Second):
			t.Fatalf("%s: the origin still sends to a client that does not read", name)
		}
		if l := r.lines(1)[0]; l["reason"] != "CD" {
			t.Errorf("%s: log %v", name, l)
		}
		if k := r.kinds(); len(k) != 0 {
			t.Errorf("%s: an endpoint was charged: %v", name, k)
		}
	}
}
