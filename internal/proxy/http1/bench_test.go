package http1_test

import (
	"bufio"
	"bytes"
	"net/http"
	"syscall"
	"testing"

	"jurymast/internal/proxy/http1"
)

// typical heads: what a browser sends through a balancer, what an integration sends, and an answer.
const (
	get = "GET /http/orders/4711?expand=items&lang=de HTTP/1.1\r\nHost: integration.dr.example\r\n" +
		"User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\nAccept: application/json, text/plain, */*\r\n" +
		"Accept-Language: de,en-US;q=0.7,en;q=0.3\r\nAccept-Encoding: gzip, deflate, br\r\nConnection: keep-alive\r\n" +
		"Referer: https://integration.dr.example/shell\r\nCookie: JSESSIONID=0123456789abcdef0123456789abcdef\r\n" +
		"X-Request-Id: 7f1c2f0e\r\nSec-Fetch-Mode: cors\r\n\r\n"
	answer = "HTTP/1.1 200 OK\r\nDate: Sat, 21 Nov 2026 10:00:00 GMT\r\nServer: Apache\r\nContent-Type: application/json;charset=utf-8\r\n" +
		"Content-Length: 5120\r\nSet-Cookie: JSESSIONID=0123456789abcdef; Path=/; HttpOnly\r\nCache-Control: no-store\r\n" +
		"X-Content-Type-Options: nosniff\r\nKeep-Alive: timeout=20\r\nConnection: Keep-Alive\r\n\r\n"
	chunk = "400\r\n"
)

// processor reports the processor time of a benchmark: on a machine with other work the clock tells nothing.
func processor(b *testing.B) func() {
	b.Helper()
	used := func() (t syscall.Rusage) {
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &t); err != nil {
			b.Fatal(err)
		}
		return t
	}
	before := used()
	return func() {
		after := used()
		spent := after.Utime.Nano() + after.Stime.Nano() - before.Utime.Nano() - before.Stime.Nano()
		b.ReportMetric(float64(spent)/float64(b.N), "cpu-ns/op")
	}
}

func BenchmarkRequest(b *testing.B) {
	text := []byte(get)
	var r http1.Request
	b.ReportAllocs()
	b.SetBytes(int64(len(text)))
	done := processor(b)
	for b.Loop() {
		r.Reset(http1.Limits{})
		if n, f := r.Parse(text); n == 0 || f != nil {
			b.Fatal(f)
		}
	}
	done()
}

func BenchmarkResponse(b *testing.B) {
	text := []byte(answer)
	var r http1.Response
	b.ReportAllocs()
	b.SetBytes(int64(len(text)))
	done := processor(b)
	for b.Loop() {
		r.Reset(http1.Limits{})
		if n, f := r.Parse(text, false); n == 0 || f != nil {
			b.Fatal(f)
		}
	}
	done()
}

// BenchmarkChunk reads the framing of a chunk of 1 KiB.
func BenchmarkChunk(b *testing.B) {
	text := append([]byte(chunk), make([]byte, 1024)...)
	text = append(text, "\r\n"+chunk...)
	var c http1.Chunks
	b.ReportAllocs()
	done := processor(b)
	for b.Loop() {
		c.Reset(http1.Limits{})
		p, f := c.Next(text)
		q, g := c.Next(text[p.Skip+p.Data:])
		if f != nil || g != nil || p.Data != 1024 || q.Skip == 0 {
			b.Fatal(p, q, f, g)
		}
	}
	done()
}

// BenchmarkRequestNetHTTP is what the standard library needs for the same head.
func BenchmarkRequestNetHTTP(b *testing.B) {
	text := bytes.NewReader([]byte(get))
	in := bufio.NewReader(text)
	b.ReportAllocs()
	b.SetBytes(int64(len(get)))
	done := processor(b)
	for b.Loop() {
		text.Reset([]byte(get))
		in.Reset(text)
		if _, err := http.ReadRequest(in); err != nil {
			b.Fatal(err)
		}
	}
	done()
}

// BenchmarkRequestScan only looks for the ends of the lines: nothing can be faster that looks for them.
func BenchmarkRequestScan(b *testing.B) {
	text := []byte(get)
	b.SetBytes(int64(len(text)))
	done := processor(b)
	for b.Loop() {
		lines := 0
		for rest := text; ; lines++ {
			i := bytes.IndexByte(rest, '\n')
			if i < 0 {
				break
			}
			rest = rest[i+1:]
		}
		if lines != 12 {
			b.Fatal(lines)
		}
	}
	done()
}

// TestNoAllocation: neither heads nor chunks take memory once the fields have theirs.
func TestNoAllocation(t *testing.T) {
	request, response, body := []byte(get), []byte(answer), []byte("3;x\r\nabc\r\n0\r\nX: y\r\n\r\n")
	var (
		r http1.Request
		s http1.Response
		c http1.Chunks
	)
	read := func() {
		r.Reset(http1.Limits{})
		s.Reset(http1.Limits{Head: 8 << 10})
		c.Reset(http1.Limits{})
		n, f := r.Parse(request)
		m, g := s.Parse(response, false)
		if n == 0 || m == 0 || f != nil || g != nil {
			t.Fatal(n, m, f, g)
		}
		for at := 0; !c.Over(); {
			p, f := c.Next(body[at:])
			if f != nil {
				t.Fatal(f)
			}
			at += p.Skip + p.Data
		}
	}
	read()
	if n := testing.AllocsPerRun(100, read); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
