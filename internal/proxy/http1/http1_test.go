package http1_test

import (
	"slices"
	"strings"
	"testing"

	"jurymast/internal/proxy/http1"
)

const ok = "GET /a HTTP/1.1\r\nHost: example.org\r\n"

func TestRequests(t *testing.T) {
	for _, c := range []struct {
		text, method, target, path, host string
		body                             http1.Body
		length                           int64
		closes, expects                  bool
		upgrade                          string
		hop                              string // names that stay
	}{
		{text: ok + "\r\n", method: "GET", target: "/a", host: "example.org"},
		{text: "\r\n" + ok + "\r\n", method: "GET", target: "/a", host: "example.org"},
		{text: ok + "Content-Length: 0\r\n\r\n", method: "GET", target: "/a", host: "example.org"},
		{text: ok + "Content-Length: 12\r\n\r\n", method: "GET", target: "/a", host: "example.org", body: http1.BodyLength, length: 12},
		{text: ok + "Content-Length:\t12 \r\n\r\n", method: "GET", target: "/a", host: "example.org", body: http1.BodyLength, length: 12},
		{text: ok + "Transfer-Encoding: Chunked\r\n\r\n", method: "GET", target: "/a", host: "example.org", body: http1.BodyChunked, hop: "Transfer-Encoding"},
		{text: "GET / HTTP/1.0\r\n\r\n", method: "GET", target: "/", closes: true},
		{text: "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", method: "GET", target: "/", hop: "Connection"},
		{text: ok + "Connection: close, X-A\r\nx-a: 1\r\nX-B: 2\r\n\r\n", method: "GET", target: "/a", host: "example.org", closes: true, hop: "Connection x-a"},
		{text: ok + "Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n", method: "GET", target: "/a", host: "example.org", upgrade: "websocket", hop: "Connection Upgrade"},
		{text: ok + "Upgrade: websocket\r\n\r\n", method: "GET", target: "/a", host: "example.org", hop: "Upgrade"},
		{text: ok + "Content-Length: 1\r\nExpect: 100-Continue\r\n\r\n", method: "GET", target: "/a", host: "example.org", body: http1.BodyLength, length: 1, expects: true},
		{text: "OPTIONS * HTTP/1.1\r\nHost: a:81\r\n\r\n", method: "OPTIONS", target: "*", host: "a:81"},
		{text: "GET http://A:80/x?y HTTP/1.1\r\nHost: a:80\r\n\r\n", method: "GET", target: "http://A:80/x?y", path: "/x?y", host: "a:80"},
		{text: "GET http://a HTTP/1.0\r\n\r\n", method: "GET", target: "http://a", path: "-", host: "a", closes: true},
		{text: "GET /%2f//../x;y?z=|{} HTTP/1.1\r\nHost: [2001:db8::1]:80\r\nA:\r\nA: \xff b  c \r\n\r\n", method: "GET", target: "/%2f//../x;y?z=|{}", host: "[2001:db8::1]:80"},
	} {
		b := []byte(c.text + "rest")
		var r http1.Request
		r.Reset(http1.Limits{})
		n, f := r.Parse(b)
		if f != nil || n != len(c.text) {
			t.Errorf("%q: %d %v", c.text, n, f)
			continue
		}
		var hop []string
		for _, field := range r.Fields {
			if field.Hop {
				hop = append(hop, string(field.Name.Of(b)))
			}
		}
		if c.path == "" {
			c.path = c.target
		}
		got := []string{string(r.Method.Of(b)), string(r.Target.Of(b)), string(r.Path.Of(b)), string(r.Host.Of(b)), string(r.Upgrades.Of(b)), strings.Join(hop, " ")}
		if want := []string{c.method, c.target, strings.Trim(c.path, "-"), c.host, c.upgrade, c.hop}; !slices.Equal(got, want) {
			t.Errorf("%q: %q, want %q", c.text, got, want)
		}
		if r.Body != c.body || r.Length != c.length || r.Closes != c.closes || r.Continue != c.expects {
			t.Errorf("%q: body %d of %d, closes %t, expects %t", c.text, r.Body, r.Length, r.Closes, r.Continue)
		}
	}
}

func TestResponses(t *testing.T) {
	for _, c := range []struct {
		text   string
		head   bool
		rule   http1.Rule
		status int
		body   http1.Body
		length int64
		closes bool
	}{
		{text: "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", status: 200, body: http1.BodyLength, length: 3},
		{text: "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", status: 200},
		{text: "HTTP/1.1 200 \r\nTransfer-Encoding: chunked\r\n\r\n", status: 200, body: http1.BodyChunked, length: -1},
		{text: "HTTP/1.1 200 Alles gut \xfc\r\n\r\n", status: 200, body: http1.BodyClose, length: -1, closes: true},
		{text: "HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\n", status: 200, body: http1.BodyLength, length: 3, closes: true},
		{text: "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", head: true, status: 200, length: 3},
		{text: "HTTP/1.1 304 Not Modified\r\nContent-Length: 3\r\n\r\n", status: 304, length: 3},
		{text: "HTTP/1.1 204 No Content\r\n\r\n", status: 204, length: -1},
		{text: "HTTP/1.1 100 Continue\r\n\r\n", status: 100, length: -1},
		{text: "HTTP/1.1 204 No Content\r\nContent-Length: 3\r\n\r\n", rule: http1.NoBody},
		{text: "HTTP/1.1 103 Early\r\nTransfer-Encoding: chunked\r\n\r\n", rule: http1.NoBody},
		{text: "HTTP/1.1 099 X\r\n\r\n", rule: http1.StatusLine},
		{text: "HTTP/1.1 20 X\r\n\r\n", rule: http1.StatusLine},
		{text: "HTTP/1.1 2000 X\r\n\r\n", rule: http1.StatusLine},
		{text: "HTTP/1.1  200 X\r\n\r\n", rule: http1.StatusLine},
		{text: "ICY 200 OK\r\n\r\n", rule: http1.StatusLine},
		{text: "HTTP/2.0 200 OK\r\n\r\n", rule: http1.Version},
		{text: "HTTP/1.1 200 a\x00\r\n\r\n", rule: http1.Control},
		{text: "\r\nHTTP/1.1 200 OK\r\n\r\n", rule: http1.StatusLine},
		{text: "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\n", rule: http1.LengthRepeated},
		{text: "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", rule: http1.CodingOld},
		{text: "HTTP/1.1 200 OK\r\nA: b\n\r\n", rule: http1.BareLF},
	} {
		var r http1.Response
		r.Reset(http1.Limits{})
		n, f := r.Parse([]byte(c.text), c.head)
		switch {
		case c.rule != "":
			if f == nil || f.Rule != c.rule {
				t.Errorf("%q: %v, want %s", c.text, f, c.rule)
			}
		case f != nil, n != len(c.text), r.Status != c.status, r.Body != c.body, r.Length != c.length, r.Closes != c.closes:
			t.Errorf("%q: %d %v %+v", c.text, n, f, r)
		}
	}
}

// unchunk reads a body in pieces of at most step bytes.
func unchunk(text string, step int) (data, tail string, n int, f *http1.Fault) {
	var c http1.Chunks
	c.Reset(http1.Limits{})
	at, end := 0, 0
	for !c.Over() {
		p, f := c.Next([]byte(text[at:end]))
		if f != nil {
			return data, tail, at, f
		}
		data += text[at+p.Skip:][:p.Data]
		tail += string(p.Tail)
		if at += p.Skip + p.Data; p.Skip+p.Data == 0 {
			if end == len(text) {
				return data, tail, -1, nil
			}
			end = min(end+step, len(text))
		}
	}
	return data, tail, at, nil
}

func TestChunks(t *testing.T) {
	for _, c := range []struct {
		text, data, tail string
		rule             http1.Rule
	}{
		{text: "0\r\n\r\n"},
		{text: "3\r\nabc\r\n0\r\n\r\n", data: "abc"},
		{text: "3;x=\"y\"\r\nabc\r\nA\r\n0123456789\r\n000\r\nX-Sum: 1\r\nx: \r\n\r\n", data: "abc0123456789", tail: "X-Sum: 1\r\nx: \r\n"},
		{text: "3\nabc\r\n0\r\n\r\n", rule: http1.BareLF},
		{text: "3;a\nb\r\nabc\r\n0\r\n\r\n", rule: http1.BareLF},
		{text: "3;a\rb\r\nabc\r\n0\r\n\r\n", rule: http1.BareCR},
		{text: "3;a\x00\r\nabc\r\n0\r\n\r\n", rule: http1.ChunkExtension},
		{text: "3 \r\nabc\r\n0\r\n\r\n", rule: http1.ChunkExtension},
		{text: " 3\r\nabc\r\n0\r\n\r\n", rule: http1.ChunkSize},
		{text: "+3\r\nabc\r\n0\r\n\r\n", rule: http1.ChunkSize},
		{text: "-3\r\nabc\r\n0\r\n\r\n", rule: http1.ChunkSize},
		{text: "0x3\r\nabc\r\n0\r\n\r\n", rule: http1.ChunkExtension},
		{text: "\r\nabc\r\n0\r\n\r\n", rule: http1.ChunkSize},
		{text: "1000000000000000\r\n", rule: http1.ChunkSize},
		{text: "fffffffffffffffff\r\n", rule: http1.ChunkSize},
		{text: "3\r\nabcd\r\n0\r\n\r\n", rule: http1.ChunkEnd},
		{text: "3\r\nabc\n0\r\n\r\n", rule: http1.ChunkEnd},
		{text: "3\r\nabc0\r\n\r\n", rule: http1.ChunkEnd},
		{text: "3;" + strings.Repeat("x", 300) + "\r\nabc\r\n0\r\n\r\n", rule: http1.ChunkExtension},
		{text: "0\r\nContent-Length: 3\r\n\r\n", rule: http1.Trailer},
		{text: "0\r\nHost: a\r\n\r\n", rule: http1.Trailer},
		{text: "0\r\nTransfer-Encoding: chunked\r\n\r\n", rule: http1.Trailer},
		{text: "0\r\nAuthorization: x\r\n\r\n", rule: http1.Trailer},
		{text: "0\r\n a\r\n\r\n", rule: http1.ObsFold},
		{text: "0\r\nA: b\n\r\n", rule: http1.BareLF},
	} {
		for _, step := range []int{1, 2, 3, 1 << 20} {
			data, tail, n, f := unchunk(c.text+"next", step)
			if c.rule != "" {
				if f == nil || f.Rule != c.rule {
					t.Errorf("%.60q in steps of %d: %v, want %s", c.text, step, f, c.rule)
				}
				continue
			}
			if f != nil || n != len(c.text) || data != c.data || tail != c.tail {
				t.Errorf("%q in steps of %d: %q %q %d %v", c.text, step, data, tail, n, f)
			}
		}
	}
}
