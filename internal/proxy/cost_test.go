//go:build !race

package proxy_test

import (
	"bytes"
	"context"
	"net"
	"runtime"
	"testing"

	"jurymast/internal/profile"
	"jurymast/internal/proxy"
	"jurymast/internal/snapshot"
)

const (
	smallRequest = "GET /some/path?with=query HTTP/1.1\r\nHost: a.example\r\nUser-Agent: bench/1.0\r\nAccept: */*\r\nAccept-Encoding: gzip\r\n" +
		"Cookie: a=b; c=d\r\nAuthorization: Bearer 0123456789\r\n\r\n"
	smallAnswer = "HTTP/1.1 200 OK\r\nServer: bench\r\nDate: Sun, 22 Nov 2026 00:00:00 GMT\r\nContent-Type: text/plain\r\nContent-Length: 3\r\n\r\nabc"
	smallPost   = "POST /some/path HTTP/1.1\r\nHost: a.example\r\nContent-Type: text/xml\r\nSOAPAction: \"\"\r\nContent-Length: 10\r\n\r\n0123456789"
)

// fixedOrigin answers every head it reads with the same bytes, and allocates nothing.
func fixedOrigin(tb testing.TB) string {
	tb.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				buf, answer := make([]byte, 8<<10), []byte(smallAnswer)
				for {
					if n, err := c.Read(buf); err != nil || !bytes.Contains(buf[:n], []byte("X-Forwarded-For: 127.0.0.1")) {
						return
					}
					if _, err := c.Write(answer); err != nil {
						return
					}
				}
			}()
		}
	}()
	return ln.Addr().String()
}

// kept is a client's connection that asks again and again, and allocates nothing.
type kept struct {
	c     net.Conn
	to    string
	asked int
	buf   [8 << 10]byte
	end   []byte
}

func (k *kept) ask(tb testing.TB, request []byte) {
	if k.asked++; k.asked == 5000 { // a connection carries some thousand requests, then it ends
		k.asked = 0
		k.dial(tb)
	}
	if _, err := k.c.Write(request); err != nil {
		tb.Fatal(err)
	}
	for n := 0; ; {
		got, err := k.c.Read(k.buf[n:])
		if n += got; bytes.HasSuffix(k.buf[:n], k.end) {
			return
		}
		if err != nil || got == 0 {
			tb.Fatalf("%v: %s", err, k.buf[:n])
		}
	}
}

func (k *kept) dial(tb testing.TB) {
	if k.c != nil {
		k.c.Close()
	}
	var err error
	if k.c, err = net.Dial("tcp", k.to); err != nil {
		tb.Fatal(err)
	}
}

func keptClient(tb testing.TB) *kept {
	tb.Helper()
	hub := snapshot.NewHub()
	p, err := proxy.New(proxy.Options{Hub: hub, HTTP: []string{"127.0.0.1:0"}})
	if err != nil {
		tb.Fatal(err)
	}
	p.Start()
	r := &rig{hub: hub, p: p}
	pr := testProfile()
	pr.Endpoints = []profile.Endpoint{{Name: "eu", Origin: "http://" + fixedOrigin(tb), Priority: 1, Enabled: true}}
	prepared, err := hub.Prepare(&snapshot.Documents{Profiles: []*profile.Profile{pr}})
	if err != nil {
		tb.Fatal(err)
	}
	hub.Publish(prepared, r.view(pr, 0))
	plain, _ := p.Addrs()
	k := &kept{to: plain[0].String(), end: []byte("\r\n\r\nabc")}
	k.dial(tb)
	tb.Cleanup(func() {
		k.c.Close()
		_ = p.Close(context.Background())
	})
	return k
}

// An exchange allocates nothing: what does comes from elsewhere in the process, now and then.
func TestExchangeDoesNotAllocate(t *testing.T) {
	k := keptClient(t)
	for name, request := range map[string]string{"GET": smallRequest, "POST": smallPost} {
		b := []byte(request)
		for range 200 {
			k.ask(t, b)
		}
		const n = 2000
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for range n {
			k.ask(t, b)
		}
		runtime.ReadMemStats(&after)
		if per := float64(after.Mallocs-before.Mallocs) / n; per > 0.1 {
			t.Errorf("%s: %.2f allocations per exchange", name, per)
		}
	}
}

func BenchmarkExchange(b *testing.B) {
	for name, request := range map[string]string{"GET": smallRequest, "POST": smallPost} {
		b.Run(name, func(b *testing.B) {
			k := keptClient(b)
			text := []byte(request)
			b.ReportAllocs()
			for b.Loop() {
				k.ask(b, text)
			}
		})
	}
}
