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

// An origin may be given less time to answer than a client has between two pieces of its body: it is not to blame.
func TestSlowUploadOutlastsResponseTime(t *testing.T) {
	r, _ := inFrontOf(t, func(p *peer) {
		for m := p.request(); m != nil; m = p.request() {
			p.send(plainAnswer)
		}
	}, func(_ *proxy.Options, p *profile.Profile) { p.Proxy.Timeouts.Response = 200 * time.Millisecond })
	c := dial(t, r.addr)
	c.send("POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 4\r\n\r\n")
	for range 2 {
		<-time.After(450 * time.Millisecond) // a slow client
		c.send("xx")
	}
	if m := c.must("POST"); m.status() != 200 {
		t.Errorf("%v", m)
	}
	if k := r.kinds(); len(k) != 0 {
		t.Errorf("an endpoint was charged: %v", k)
	}
}

// A client that knows no chunks sees that an answer broke off.
func TestBrokenAnswerOfOldClient(t *testing.T) {
	r, _ := inFrontOf(t, func(p *peer) {
		if p.request() != nil {
			p.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n5\r\nab")
		}
	}, nil)
	c := dial(t, r.addr)
	c.send("GET / HTTP/1.0\r\nHost: a.example\r\n\r\n")
	if b, err := io.ReadAll(c); err == nil {
		t.Errorf("it ended as if it were whole: %q", b)
	}
}

// An upgrade with a body is none: what follows the head would be read as both.
func TestNoUpgradeWithBody(t *testing.T) {
	r, _ := inFrontOf(t, func(p *peer) {
		for m := p.request(); m != nil; m = p.request() {
			if v := m.values("Upgrade"); len(v) > 0 {
				t.Errorf("the origin was offered %q", v)
			}
			p.send(plainAnswer)
		}
	}, nil)
	c := dial(t, r.addr)
	c.send("GET / HTTP/1.1\r\nHost: a.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 3\r\n\r\nabc")
	if m := c.must("GET"); m.status() != 200 {
		t.Errorf("%v", m)
	}
}

// Silence after a 103 is silence, not a broken answer.
func TestSilenceAfterHints(t *testing.T) {
	r, _ := inFrontOf(t, func(p *peer) {
		if p.request() != nil {
			p.send("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")
			_, _ = io.Copy(io.Discard, p)
		}
	}, func(_ *proxy.Options, p *profile.Profile) { p.Proxy.Timeouts.Response = 300 * time.Millisecond })
	c := dial(t, r.addr)
	c.send("POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 0\r\n\r\n")
	hints, m, err := c.answer("POST")
	if err != nil || len(hints) != 1 || m.status() != 504 {
		t.Errorf("%v %v %v", hints, m, err)
	}
}
