package http1_test

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"jurymast/internal/proxy/http1"
)

const ok = "GET /a HTTP/1.1\r\nHost: example.org\r\n"

// TestRefusedRequests is the list of what is never forwarded, each with the rule it breaks.
func TestRefusedRequests(t *testing.T) {
	long := strings.Repeat("a", 20<<10)
	for _, c := range []struct {
		rule http1.Rule
		text string
	}{
		{http1.LengthAndCoding, ok + "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n"},
		{http1.LengthAndCoding, ok + "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n"},
		{http1.LengthRepeated, ok + "Content-Length: 3\r\nContent-Length: 3\r\n\r\n"},
		{http1.LengthRepeated, ok + "Content-Length: 3\r\ncontent-length: 4\r\n\r\n"},
		{http1.LengthForm, ok + "Content-Length: 3, 3\r\n\r\n"},
		{http1.LengthForm, ok + "Content-Length: +3\r\n\r\n"},
		{http1.LengthForm, ok + "Content-Length: -3\r\n\r\n"},
		{http1.LengthForm, ok + "Content-Length: 0x3\r\n\r\n"},
		{http1.LengthForm, ok + "Content-Length: 1 2\r\n\r\n"},
		{http1.LengthForm, ok + "Content-Length:\r\n\r\n"},
		{http1.LengthForm, ok + "Content-Length: 9223372036854775808\r\n\r\n"},
		{http1.LengthForm, ok + "Content-Length: 18446744073709551616\r\n\r\n"},
		{http1.LengthForm, ok + "Content-Length: 00000000000000000003\r\n\r\n"},
		{http1.CodingForm, ok + "Transfer-Encoding: chunked,\r\n\r\n"},
		{http1.CodingForm, ok + "Transfer-Encoding: chunked\t\r\n\r\n"},
		{http1.CodingForm, ok + "Transfer-Encoding: identity\r\n\r\n"},
		{http1.CodingForm, ok + "Transfer-Encoding: gzip, chunked\r\n\r\n"},
		{http1.CodingForm, ok + "Transfer-Encoding: \"chunked\"\r\n\r\n"},
		{http1.CodingForm, ok + "Transfer-Encoding: xchunked\r\n\r\n"},
		{http1.CodingForm, ok + "Transfer-Encoding:\r\n\r\n"},
		{http1.Control, ok + "Transfer-Encoding: \vchunked\r\n\r\n"},
		{http1.CodingRepeated, ok + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n"},
		{http1.CodingOld, "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"},

		{http1.BareLF, "GET / HTTP/1.1\nHost: a\r\n\r\n"},
		{http1.BareLF, ok + "A: b\n\r\n"},
		{http1.BareLF, ok + "\n"},
		{http1.BareLF, "\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"},
		{http1.BareCR, ok + "A: b\rc\r\n\r\n"},
		{http1.BareCR, ok + "A: b\r\r\n\r\n"},
		{http1.BareCR, "GET /\r HTTP/1.1\r\nHost: a\r\n\r\n"},
		{http1.ObsFold, ok + "A: b\r\n c\r\n\r\n"},
		{http1.ObsFold, ok + "A: b\r\n\tc\r\n\r\n"},
		{http1.ObsFold, "GET / HTTP/1.1\r\n Host: a\r\n\r\n"},
		{http1.Control, ok + "A: b\x00c\r\n\r\n"},
		{http1.Control, ok + "A: b\x7fc\r\n\r\n"},
		{http1.Control, ok + "A: \x01\r\n\r\n"},
		{http1.EmptyLines, "\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"},
		{http1.RequestLine, "GET  / HTTP/1.1\r\nHost: a\r\n\r\n"},
		{http1.RequestLine, "GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n"},
		{http1.Version, "GET /  HTTP/1.1\r\nHost: a\r\n\r\n"},
		{http1.Version, "GET / HTTP/1.1 \r\nHost: a\r\n\r\n"},
		{http1.MethodToken, " GET / HTTP/1.1\r\nHost: a\r\n\r\n"},
		{http1.RequestLine, "GET /\r\n\r\n"},
		{http1.RequestLine, "GET\r\n\r\n"},
		{http1.RequestLine, "GE(T / HTTP/1.1\r\nHost: a\r\n\r\n"},
		{http1.Version, "GET / HTTP/1.2\r\nHost: a\r\n\r\n"},
		{http1.Version, "GET / HTTP/2.0\r\nHost: a\r\n\r\n"},
		{http1.Version, "GET / HTTP/0.9\r\nHost: a\r\n\r\n"},
		{http1.Version, "GET / http/1.1\r\nHost: a\r\n\r\n"},
		{http1.Version, "GET / HTTP/1.10\r\nHost: a\r\n\r\n"},
		{http1.Version, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"},

		{http1.NameBlank, ok + "A : b\r\n\r\n"},
		{http1.NameBlank, ok + "Transfer-Encoding : chunked\r\n\r\n"},
		{http1.NameBlank, ok + "A\t: b\r\n\r\n"},
		{http1.NameEmpty, ok + ": b\r\n\r\n"},
		{http1.NameToken, ok + "A(: b\r\n\r\n"},
		{http1.NameToken, ok + "A b: c\r\n\r\n"},
		{http1.NameToken, ok + "\x00A: c\r\n\r\n"},
		{http1.NameToken, ok + "Ä: c\r\n\r\n"},
		{http1.NoColon, ok + "Abc\r\n\r\n"},
		{http1.NameAlias, ok + "Content_Length: 3\r\n\r\n"},
		{http1.NameAlias, ok + "X_Forwarded-For: 192.0.2.1\r\n\r\n"},
		{http1.NameAlias, ok + "Client_Cert: x\r\n\r\n"},

		{http1.HostMissing, "GET / HTTP/1.1\r\n\r\n"},
		{http1.HostRepeated, ok + "Host: example.org\r\n\r\n"},
		{http1.HostForm, "GET / HTTP/1.1\r\nHost:\r\n\r\n"},
		{http1.HostForm, "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n"},
		{http1.HostForm, "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"},
		{http1.HostForm, "GET / HTTP/1.1\r\nHost: a:b\r\n\r\n"},
		{http1.HostForm, "GET / HTTP/1.1\r\nHost: a:\r\n\r\n"},
		{http1.HostForm, "GET / HTTP/1.1\r\nHost: a:70000\r\n\r\n"},
		{http1.HostForm, "GET / HTTP/1.1\r\nHost: a b\r\n\r\n"},
		{http1.HostForm, "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n"},
		{http1.HostForm, "GET / HTTP/1.1\r\nHost: [::1\r\n\r\n"},
		{http1.HostTarget, "GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n"},
		{http1.HostTarget, "GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n"},
		{http1.HostTarget, "GET http:///x HTTP/1.1\r\nHost: a\r\n\r\n"},
		{http1.TargetForm, "GET http:// HTTP/1.1\r\nHost: a\r\n\r\n"},
		{http1.TargetForm, "GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n"},
		{http1.TargetForm, "GET a HTTP/1.1\r\nHost: a\r\n\r\n"},
		{http1.TargetForm, "GET * HTTP/1.1\r\nHost: a\r\n\r\n"},
		{http1.TargetForm, "CONNECT /x HTTP/1.1\r\nHost: a\r\n\r\n"},
		{http1.Fragment, "GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n"},
		{http1.TargetByte, "GET /ä HTTP/1.1\r\nHost: a\r\n\r\n"},
		{http1.TargetByte, "GET /\x01 HTTP/1.1\r\nHost: a\r\n\r\n"},

		{http1.Protected, ok + "Connection: close, Host\r\n\r\n"},
		{http1.Protected, ok + "Connection: content-length\r\n\r\n"},
		{http1.Protected, ok + "Connection: X-Forwarded-For\r\n\r\n"},
		{http1.Protected, ok + "Connection: Cookie\r\n\r\n"},
		{http1.Upgrades, ok + "Upgrade: websocket\r\nUpgrade: h2c\r\n\r\n"},
		{http1.Expectation, ok + "Expect: 200-ok\r\n\r\n"},

		{http1.LineTooLong, "GET /" + long + " HTTP/1.1\r\nHost: a\r\n\r\n"},
		{http1.LineTooLong, "GET /" + long},
		{http1.HeadTooLong, ok + strings.Repeat("A: "+long+"\r\n", 5)},
		{http1.TooMany, ok + strings.Repeat("A: b\r\n", 257) + "\r\n"},
	} {
		var r http1.Request
		r.Reset(http1.Limits{})
		n, f := r.Parse([]byte(c.text))
		if f == nil || f.Rule != c.rule || n != 0 && n != len(c.text) && !strings.HasPrefix(c.text, "PRI") {
			t.Errorf("%.90q: %d %v, want %s", c.text, n, f, c.rule)
		}
		bytewise(t, c.text, f)
	}
}

// bytewise parses a text that grows a byte at a time: what was said of all of it at once must be said then, too.
func bytewise(t *testing.T, text string, want *http1.Fault) {
	t.Helper()
	if len(text) > 4096 {
		return
	}
	var r http1.Request
	r.Reset(http1.Limits{})
	for i := 1; i <= len(text); i++ {
		n, f := r.Parse([]byte(text[:i]))
		switch {
		case f != nil && (want == nil || f.Rule != want.Rule):
			t.Errorf("%q after %d bytes: %v, want %v", text, i, f, want)
			return
		case f != nil, n > 0:
			return
		}
	}
	if want != nil {
		t.Errorf("%q byte by byte: nothing is wrong, want %v", text, want)
	}
}

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
		bytewise(t, c.text, nil)
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

// FuzzRequest: what we take, net/http takes and reads in the same way; and how the bytes arrive makes no difference.
func FuzzRequest(f *testing.F) {
	for _, s := range []string{ok + "\r\n", ok + "Content-Length: 3\r\n\r\nabc", ok + "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", "GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n", "GET / HTTP/1.0\r\n\r\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var r http1.Request
		r.Reset(http1.Limits{})
		n, fault := r.Parse(b)
		switch {
		case fault != nil:
			bytewise(t, string(b), fault)
			return
		case n == 0:
			return
		}
		bytewise(t, string(b[:n]), nil)
		other, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(bytes.TrimPrefix(b, []byte("\r\n")))))
		if err != nil {
			if bytes.HasPrefix(r.Target.Of(b), []byte("/")) && !strings.Contains(err.Error(), "invalid URL escape") {
				t.Fatalf("%q: net/http refuses it: %v", b[:n], err)
			}
			return
		}
		if other.Method != string(r.Method.Of(b)) || other.RequestURI != string(r.Target.Of(b)) || !strings.EqualFold(other.Host, string(r.Host.Of(b))) {
			t.Fatalf("%q: net/http reads %s %s of %s", b[:n], other.Method, other.RequestURI, other.Host)
		}
		if chunked := slices.Contains(other.TransferEncoding, "chunked"); chunked != (r.Body == http1.BodyChunked) || !chunked && other.ContentLength != r.Length {
			t.Fatalf("%q: net/http reads a body of %d, chunked %t; we of %d (%d)", b[:n], other.ContentLength, chunked, r.Length, r.Body)
		}
		body, err := io.ReadAll(other.Body)
		if r.Body == http1.BodyChunked && err == nil {
			if data, _, _, fault := unchunk(string(b[n:]), 1<<20); fault == nil && data != string(body) {
				t.Fatalf("%q: body %q, net/http %q", b, data, body)
			}
		}
	})
}

// FuzzChunks: what we take as a body, net/http reads in the same way; and how the bytes arrive makes no difference.
func FuzzChunks(f *testing.F) {
	for _, s := range []string{"0\r\n\r\n", "3;x\r\nabc\r\n0\r\nX: y\r\n\r\n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		data, tail, n, fault := unchunk(text, 1<<20)
		again, tailAgain, m, faultAgain := unchunk(text, 1)
		if (fault == nil) != (faultAgain == nil) || fault == nil && (data != again || tail != tailAgain || n != m) {
			t.Fatalf("%q: %q %d %v, byte by byte %q %d %v", text, data, n, fault, again, m, faultAgain)
		}
		if fault != nil || n < 0 {
			return
		}
		other, err := http.ReadRequest(bufio.NewReader(strings.NewReader("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + text)))
		if err != nil {
			t.Fatal(err)
		}
		if body, err := io.ReadAll(other.Body); err != nil && tail == "" || err == nil && string(body) != data {
			t.Fatalf("%q: %q, net/http %q %v", text, data, body, err)
		}
	})
}
