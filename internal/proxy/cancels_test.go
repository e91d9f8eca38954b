package proxy_test

import (
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"jurymast/internal/health"
	"jurymast/internal/profile"
	"jurymast/internal/proxy"
)

// A client leaves at every point of an exchange: no endpoint is charged, the origin's connection is closed unless its
// exchange is over, and the next client is served.
func TestClientLeaves(t *testing.T) {
	const post = "POST /slow HTTP/1.1\r\nHost: a.example\r\nContent-Length: 100000\r\n\r\n"
	for _, row := range []struct {
		name    string
		request string
		origin  func(p *peer, reached chan<- struct{}) // what it does with /slow; it says when the client is to leave
		reason  string                                 // in the log; none: no line
	}{
		{"inside the head", "GET /slow HTTP/1.1\r\nHost: a.exam", nil, "CA"},
		{"inside the body", post + "half", func(p *peer, reached chan<- struct{}) {
			_, _ = p.br.ReadString('f')
			reached <- struct{}{}
			endsBroken(p)
		}, "CA"},
		{"inside the body in chunks", "POST /slow HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n", func(p *peer, reached chan<- struct{}) {
			_, _ = p.br.ReadString('f')
			reached <- struct{}{}
			endsBroken(p)
		}, "CA"},
		{"before the first byte", "GET /slow HTTP/1.1\r\nHost: a.example\r\n\r\n", func(p *peer, reached chan<- struct{}) {
			p.request()
			reached <- struct{}{}
			endsBroken(p)
		}, "CA"},
		{"before the first byte, POST", "POST /slow HTTP/1.1\r\nHost: a.example\r\nContent-Length: 1\r\n\r\nx", func(p *peer, reached chan<- struct{}) {
			p.request()
			reached <- struct{}{}
			endsBroken(p)
		}, "CA"},
		{"after early hints", "GET /slow HTTP/1.1\r\nHost: a.example\r\n\r\n", func(p *peer, reached chan<- struct{}) {
			p.request()
			p.send("HTTP/1.1 103 Early Hints\r\nX-A: 1\r\n\r\n")
			reached <- struct{}{}
			endsBroken(p)
		}, "CA"},
		{"inside the answer", "GET /slow HTTP/1.1\r\nHost: a.example\r\n\r\n", func(p *peer, reached chan<- struct{}) {
			p.request()
			p.send("HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\nbegin")
			reached <- struct{}{}
			streams(p)
		}, "CD"},
		{"inside an answer in chunks", "GET /slow HTTP/1.1\r\nHost: a.example\r\n\r\n", func(p *peer, reached chan<- struct{}) {
			p.request()
			p.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nbegin\r\n3b9aca00\r\n")
			reached <- struct{}{}
			streams(p)
		}, "CD"},
		{"inside an answer that pauses", "GET /slow HTTP/1.1\r\nHost: a.example\r\n\r\n", func(p *peer, reached chan<- struct{}) {
			p.request()
			p.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nbegin\r\n")
			reached <- struct{}{}
			endsBroken(p)
		}, "CD"},
	} {
		for _, how := range []string{"reset", "close"} {
			t.Run(row.name+", "+how, func(t *testing.T) {
				reached, over := make(chan struct{}, 1), make(chan struct{})
				r, _ := inFrontOf(t, func(p *peer) {
					for {
						b, err := p.br.Peek(len("GET /slow"))
						if err != nil {
							return
						}
						if strings.Contains(string(b), "/sl") {
							row.origin(p, reached)
							close(over)
							return
						}
						p.request()
						p.send(plainAnswer)
					}
				}, nil)
				c := dial(t, r.addr)
				c.send(row.request)
				if row.origin != nil {
					<-reached
				}
				if how == "reset" {
					c.abort()
				} else {
					_ = c.Close()
				}
				if row.origin != nil {
					<-over
				}
				l := r.lines(1)[0]
				if l["reason"] != row.reason || row.reason == "CA" && l["status"] != 499.0 {
					t.Errorf("log %v", l)
				}
				if a := r.must("GET", "/next", nil); a.body != "ok" {
					t.Errorf("the next: %v", a.body)
				}
				for _, k := range r.kinds() {
					if k != "eu stall" { // on a busy machine the origin may really be waited for that long
						t.Errorf("charged: %s", k)
					}
				}
				r.eventually("nothing is in flight", func() bool { return r.metric("jurymast_proxy_inflight") == 0 })
			})
		}
	}
}

// A client takes its time with a body: the origin, which waits for it, is not the one that stalls.
func TestSlowUploadIsNotTheOrigins(t *testing.T) {
	for _, framing := range []string{"Content-Length: 25", "Transfer-Encoding: chunked"} {
		for _, method := range []string{"POST", "PUT"} {
			t.Run(method+" "+framing, func(t *testing.T) {
				t.Parallel()
				r, s := inFrontOf(t, saying(plainAnswer), nil)
				piece, end := "x", ""
				if strings.Contains(framing, "chunked") {
					piece, end = "1\r\nx\r\n", "0\r\n\r\n"
				}
				c := dial(t, r.addr)
				c.send(method + " / HTTP/1.1\r\nHost: a.example\r\n" + framing + "\r\n\r\n")
				tick := time.NewTicker(50 * time.Millisecond) // all of it longer than four times the 300 ms of passive.stall
				defer tick.Stop()
				for range 25 {
					<-tick.C
					c.send(piece)
				}
				c.send(end)
				if m := c.must("POST"); m.body != "ok" {
					t.Errorf("got %v", m)
				}
				if k := r.kinds(); len(k) > 0 {
					t.Errorf("charged: %v", k)
				}
				if n := s.accepted(); n != 1 {
					t.Errorf("%d connections to the origin", n)
				}
			})
		}
	}
}

// endsBroken wants the end of a connection whose exchange is not over, soon.
func endsBroken(p *peer) {
	_ = p.SetDeadline(time.Now().Add(patience / 2))
	if end := p.ends(); strings.Contains(end, "timeout") {
		p.t.Error("the origin was not told that its client has gone")
	}
}

// streams writes until that fails, soon.
func streams(p *peer) {
	_ = p.SetDeadline(time.Now().Add(patience / 2))
	block := strings.Repeat("x", 64<<10)
	for range 10_000 {
		if _, err := io.WriteString(p, block); err != nil {
			if strings.Contains(err.Error(), "timeout") {
				p.t.Error("the origin was not told that its client has gone")
			}
			return
		}
	}
	p.t.Error("the origin could write all of it")
}

// A client leaves after the answer was complete at the proxy, or between requests: the origin's connection is kept.
func TestClientLeavesWhenAllIsDone(t *testing.T) {
	r, s := inFrontOf(t, saying(plainAnswer), nil)
	for i := range 20 {
		c := dial(t, r.addr)
		c.send(plainRequest)
		c.must("GET")
		c.abort()
		r.lines(i + 1) // the proxy knows, too, that it is over
	}
	if n := s.accepted(); n > 3 {
		t.Errorf("%d connections to the origin", n)
	}
	if l := r.lines(20); len(l) != 20 {
		t.Errorf("%d lines", len(l))
	}
	if k := r.kinds(); len(k) > 0 {
		t.Errorf("charged: %v", k)
	}
}

// A client leaves while its request waits for a connection that never comes, or for a decision.
func TestClientLeavesBeforeAnythingIsSent(t *testing.T) {
	t.Run("connecting", func(t *testing.T) {
		r := newRig(t, func(_ *proxy.Options, p *profile.Profile) {
			p.Endpoints[0].Origin = "http://" + deaf(t)
			p.Proxy.Timeouts.Connect = 20 * time.Second
		})
		c := dial(t, r.addr)
		c.send(plainRequest)
		r.eventually("in flight", func() bool { return r.metric("jurymast_proxy_inflight") == 1 })
		c.abort()
		if l := r.lines(1)[0]; l["reason"] != "CA" || l["status"] != 499.0 {
			t.Errorf("log %v", l)
		}
		if k := r.kinds(); len(k) > 0 {
			t.Errorf("charged: %v", k)
		}
	})
	t.Run("held", func(t *testing.T) {
		r, s := inFrontOf(t, saying(plainAnswer), nil)
		r.publish(func(v *health.View) { v.Ready = false })
		c := dial(t, r.addr)
		c.send("POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 5\r\n\r\nab")
		r.eventually("held", func() bool { return r.metric("jurymast_proxy_held") == 1 })
		c.abort()
		if l := r.lines(1)[0]; l["reason"] != "CA" {
			t.Errorf("log %v", l)
		}
		r.activate(0)
		if n := s.accepted(); n != 0 {
			t.Errorf("%d connections to the origin", n)
		}
	})
}

// deaf is an address that lets nobody in and sends nobody away: its queue of connections is full.
func deaf(t *testing.T) string {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	if err := unix.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	in, ok := name.(*unix.SockaddrInet4)
	if !ok {
		t.Fatalf("%T", name)
	}
	addr := (&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: in.Port}).String()
	for range 8 {
		c, err := net.DialTimeout("tcp", addr, 50*time.Millisecond)
		if err != nil {
			return addr
		}
		t.Cleanup(func() { _ = c.Close() })
	}
	t.Skip("this kernel's queue of connections is never full")
	return ""
}
