package proxy_test

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"jurymast/internal/profile"
	"jurymast/internal/proxy"
	"jurymast/internal/proxy/rawcases"
)

// Heads are measured with what the operator wrote.
func TestHeadsAreMeasured(t *testing.T) {
	r := newRig(t, func(o *proxy.Options, _ *profile.Profile) {
		o.Limits = profile.ProxyLimits{Connections: 100, PerClient: 100, Line: 300, Head: 2000, Fields: 10}
	})
	for _, row := range []struct {
		name   string
		text   string
		status int
	}{
		{"line that fits", "GET /" + strings.Repeat("x", 284) + " HTTP/1.1\r\nHost: a.example\r\n\r\n", 200},
		{"long line", "GET /" + strings.Repeat("x", 300) + " HTTP/1.1\r\nHost: a.example\r\n\r\n", 414},
		{"line without end", "GET /" + strings.Repeat("x", 5000), 414},
		{"head that fits", rawcases.Get + "A: " + strings.Repeat("x", 1900) + "\r\n\r\n", 200},
		{"long head", rawcases.Get + "A: " + strings.Repeat("x", 2000) + "\r\n\r\n", 431},
		{"head without end", rawcases.Get + strings.Repeat("A: "+strings.Repeat("x", 1000)+"\r\n", 9), 431},
		{"many fields", rawcases.Get + strings.Repeat("A: x\r\n", 9) + "\r\n", 200},
		{"too many fields", rawcases.Get + strings.Repeat("A: x\r\n", 10) + "\r\n", 431},
	} {
		t.Run(row.name, func(t *testing.T) {
			c := dial(t, r.addr)
			c.send(row.text)
			if row.status != 200 {
				refusedBy(t, c, row.status, "CL")
			} else if m := c.must("GET"); m.status() != 200 {
				t.Errorf("got %v", m)
			}
		})
	}
}

// The time for a head is for all of it, however steadily its bytes come.
func TestSlowHead(t *testing.T) {
	const limit = 200 * time.Millisecond
	r := newRig(t, func(_ *proxy.Options, p *profile.Profile) { p.Proxy.Timeouts.Header = limit })
	c := dial(t, r.addr)
	c.send(plainRequest)
	c.must("GET") // from here on the profile's time holds
	began := time.Now()
	stop := make(chan struct{})
	go func() {
		tick := time.NewTicker(limit / 20)
		defer tick.Stop()
		c.send("GET / HTTP/1.1\r\nHost: a.example\r\nX-Slow: ")
		for {
			select {
			case <-tick.C:
				c.send("x")
			case <-stop:
				return
			}
		}
	}()
	refusedBy(t, c, 408, "CT")
	close(stop)
	if took := time.Since(began); took < limit || took > 10*limit {
		t.Errorf("after %v", took)
	}
	if l := r.lines(2)[1]; l["reason"] != "CT" || l["status"] != 408.0 {
		t.Errorf("log %v", l)
	}
	if n := r.origins[0].Total(); n != 1 {
		t.Errorf("%d requests at the origin", n)
	}
}

// A connection on which nothing comes ends without a word.
func TestIdleConnectionEnds(t *testing.T) {
	const limit = 100 * time.Millisecond
	r := newRig(t, func(_ *proxy.Options, p *profile.Profile) { p.Proxy.Timeouts.Idle = limit })
	c := dial(t, r.addr)
	c.send(plainRequest)
	c.must("GET")
	began := time.Now()
	if end := c.ends(); end != "" {
		t.Errorf("it ended with %s", end)
	}
	if took := time.Since(began); took < limit/2 || took > 20*limit {
		t.Errorf("after %v", took)
	}
	if l := r.lines(1); len(l) != 1 {
		t.Errorf("log %v", l)
	}
}

// limits.body holds for what is announced and for what is not.
func TestBodyLimit(t *testing.T) {
	var whole atomic.Int32
	r, s := inFrontOf(t, func(p *peer) {
		for m := p.request(); m != nil; m = p.request() {
			if m.method() != "GET" {
				whole.Add(1)
			}
			p.send(plainAnswer)
		}
	}, func(_ *proxy.Options, p *profile.Profile) { p.Proxy.Limits.Body = 1000 })
	for _, row := range []struct {
		name, text string
		fits       bool
	}{
		{"length that fits", "POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 1000\r\n\r\n" + strings.Repeat("x", 1000), true},
		{"chunks that fit", "POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(strings.Repeat("x", 1000)), true},
		{"length", "POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 1001\r\n\r\n" + strings.Repeat("x", 1001), false},
		{"length, expecting", "POST / HTTP/1.1\r\nHost: a.example\r\nExpect: 100-continue\r\nContent-Length: 1001\r\n\r\n", false},
		{"large length", "PUT / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 9000000000000000000\r\n\r\nx", false},
		{"chunks", "POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(strings.Repeat("x", 1001)), false},
		{"one chunk", "PUT / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\nffffff\r\n" + strings.Repeat("x", 2000), false},
	} {
		t.Run(row.name, func(t *testing.T) {
			before, conns := whole.Load(), s.accepted()
			c := dial(t, r.addr)
			c.send(row.text)
			want := int32(0)
			if row.fits {
				want = 1
				if m := c.must("POST"); m.status() != 200 {
					t.Errorf("got %v", m)
				}
			} else {
				if m := c.must("POST"); m.status() != 413 || !strings.Contains(m.body, `"CL"`) || !m.has("Connection", "close") && !c.stays() {
					t.Errorf("got %v", m)
				}
				if n := s.accepted() - conns; n > 0 && !strings.Contains(row.text, "chunked") {
					t.Errorf("%d connections to the origin", n)
				}
			}
			if n := whole.Load() - before; n != want {
				t.Errorf("%d whole requests at the origin", n)
			}
		})
	}
	if k := r.kinds(); len(k) > 0 {
		t.Errorf("charged: %v", k)
	}
}

// A connection carries some ten thousand requests; the last answer says so.
func TestRequestsPerConnection(t *testing.T) {
	r := newRig(t, nil)
	c := dial(t, r.addr)
	_ = c.SetDeadline(time.Now().Add(time.Minute))
	n := 1
	for ; n <= 10_000; n++ {
		if n%50 == 1 {
			go c.send(strings.Repeat(plainRequest, 50)) // the rest of the last ones is not answered
		}
		if m := c.must("GET"); m.has("Connection", "close") {
			break
		}
	}
	if n < 8000 || n > 10_000 {
		t.Errorf("the last of %d requests", n)
	}
	if end := c.ends(); end != "" && !strings.Contains(end, "reset") {
		t.Errorf("the connection ended with %s", end)
	}
}

// One client has so many connections and no more; the peers in trusted_proxies have as many as they like.
func TestConnectionsPerClient(t *testing.T) {
	for _, trusted := range []bool{false, true} {
		t.Run(fmt.Sprint("trusted ", trusted), func(t *testing.T) {
			r := newRig(t, func(o *proxy.Options, _ *profile.Profile) {
				o.Limits = profile.ProxyLimits{Connections: 100, PerClient: 3, Line: 16 << 10, Head: 64 << 10, Fields: 256}
				if trusted {
					o.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
				}
			})
			served := func() (*peer, bool) { // a refused one may be reset before Dial returns
				conn, err := net.Dial("tcp", r.addr)
				if err != nil {
					return nil, false
				}
				c := newPeer(t, conn)
				t.Cleanup(func() { _ = c.Close() })
				c.send(plainRequest)
				_, m, err := c.answer("GET")
				return c, err == nil && m.status() == 200
			}
			var first *peer
			for i := range 3 {
				c, ok := served()
				if !ok {
					t.Fatalf("connection %d is refused", i)
				}
				first = c
			}
			if _, ok := served(); ok != trusted {
				t.Errorf("the fourth is served: %t", ok)
			}
			_ = first.Close()
			r.eventually("there is room again", func() bool { _, ok := served(); return ok })
		})
	}
}
