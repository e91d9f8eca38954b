package main

import (
	"bytes"
	"fmt"
)

const (
	hosts    = 16 // host names, each a profile, a backend or a server of its own
	origins  = 4  // addresses behind them: host i belongs to origin i % origins
	clientIP = "127.0.0.1"
	small    = 128     // bytes of a small answer
	posted   = 4 << 10 // bytes of a small request body
	large    = 1 << 20 // bytes of a large body

	cookie = "Cookie: sid=8f14e45fceea167a5a36dedd4bea2543; theme=dark\r\n"
)

// host is the i-th host name.
func host(i int) string { return fmt.Sprintf("app%02d.bench.example", i) }

// verb is one kind of request: its method, bytes it sends, bytes it wants.
type verb struct {
	name       string
	path       string
	send, want int
	closing    bool // a connection for each request
}

// request is head and body as sent for host i. Without a proxy in between it says itself what a proxy adds.
func (v verb) request(i int, direct bool) []byte {
	var o bytes.Buffer
	method := "GET"
	if v.send > 0 {
		method = "POST"
	}
	fmt.Fprintf(&o, "%s %s?from=%d HTTP/1.1\r\nHost: %s\r\nUser-Agent: bench/1\r\nAccept: */*\r\n%s", method, v.path, i, host(i), cookie)
	if v.send > 0 {
		fmt.Fprintf(&o, "Content-Type: application/octet-stream\r\nContent-Length: %d\r\n", v.send)
	}
	if v.closing {
		o.WriteString("Connection: close\r\n")
	}
	if direct {
		fmt.Fprintf(&o, "X-Forwarded-For: %s\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: %s\r\nX-Forwarded-Port: 80\r\n", clientIP, host(i))
	}
	o.WriteString("\r\n")
	o.Write(pattern[:v.send])
	return o.Bytes()
}

// answer is head and body as the origin sends them for host i.
func answer(i, want int) []byte {
	var o bytes.Buffer
	fmt.Fprintf(&o, "HTTP/1.1 200 OK\r\nServer: origin\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Type: application/octet-stream\r\n"+
		"Content-Length: %d\r\nX-Host: %s\r\nCache-Control: no-store\r\n\r\n", want, host(i))
	o.Write(pattern[:want])
	return o.Bytes()
}

// pattern is what bodies are made of: a byte tells where it stands, so that a shifted, cut or doubled body is seen.
var pattern = func() []byte {
	p := make([]byte, large)
	for i := range p {
		p[i] = patternAt(i)
	}
	return p
}()

func patternAt(i int) byte { return byte(i ^ i>>8*7 ^ i>>16*31) } //nolint:gosec // its lowest bits

// matches looks at the ends and the middle of a piece of a body that begins at an offset.
func matches(piece []byte, at int) bool {
	n := len(piece)
	if n == 0 {
		return true
	}
	if at+n > large {
		return false
	}
	return piece[0] == pattern[at] && piece[n-1] == pattern[at+n-1] && piece[n/2] == pattern[at+n/2]
}

var headEnd = []byte("\r\n\r\n")

// headLength is the length of a head with its empty line; 0 when it is not complete.
func headLength(p []byte) int {
	if i := bytes.Index(p, headEnd); i >= 0 {
		return i + len(headEnd)
	}
	return 0
}

// field is one field of a head.
type field struct{ name, value []byte }

// fields calls f with each field of a complete head until it says false. Lines without a colon are passed over.
func fields(head []byte, f func(field) bool) {
	_, rest, _ := bytes.Cut(head, []byte("\r\n"))
	for len(rest) > 2 {
		i := bytes.IndexByte(rest, '\n')
		if i < 1 {
			return
		}
		line := rest[:i-1]
		rest = rest[i+1:]
		name, value, found := bytes.Cut(line, []byte(":"))
		if found && !f(field{name, bytes.TrimLeft(value, " ")}) {
			return
		}
	}
}

// is compares a field name with one in lower case.
func (f field) is(lower string) bool {
	if len(f.name) != len(lower) {
		return false
	}
	for i := range f.name {
		if f.name[i]|0x20 != lower[i] && f.name[i] != lower[i] {
			return false
		}
	}
	return true
}

// number reads decimal digits; -1 when there is anything else.
func number(p []byte) int {
	if len(p) == 0 || len(p) > 9 {
		return -1
	}
	n := 0
	for _, c := range p {
		if c < '0' || c > '9' {
			return -1
		}
		n = n*10 + int(c-'0')
	}
	return n
}

// hostNumber is i of host(i); -1 for anything else.
func hostNumber(p []byte) int {
	if len(p) != len("app00.bench.example") || string(p[:3]) != "app" || string(p[5:]) != ".bench.example" {
		return -1
	}
	if n := number(p[3:5]); n < hosts {
		return n
	}
	return -1
}
