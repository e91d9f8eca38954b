package proxy_test

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"jurymast/internal/profile"
	"jurymast/internal/proxy"
)

// stream is a request as HTTP/2 carries it: names and values one after the other, as no library would let them through.
type stream struct {
	name   string
	fields []string
	data   string
	body   bool // DATA follows
	passes bool
}

// over are the pseudo-fields of an ordinary request, changed and followed by others.
func over(method string, more ...string) []string {
	return append([]string{":method", method, ":scheme", "https", ":authority", "a.example", ":path", "/a"}, more...)
}

func with(name, value string) []string {
	f := over("GET")
	for i := 0; i < len(f); i += 2 {
		if f[i] == name {
			f[i+1] = value
		}
	}
	return f
}

func without(name string) []string {
	f := over("GET")
	i := slices.Index(f, name)
	return slices.Delete(f, i, i+2)
}

// refusedStreams are those that must not become a request of HTTP/1.1, proxy.md 10.2.
func refusedStreams() (out []stream) {
	for _, v := range []string{"a\r\nX-B: c", "a\nb", "a\rb", "a\x00b", "a\r\n\r\nGET /hidden HTTP/1.1\r\nHost: a.example\r\n\r\n"} {
		out = append(out, stream{name: fmt.Sprintf("value %q", v), fields: over("GET", "x-a", v)})
	}
	for _, n := range []string{"X-A", "x-a: b\r\nx-c", "x a", "x:a", "", "x-a\x00", "x-a\r\n", "x\xe4"} {
		out = append(out, stream{name: fmt.Sprintf("name %q", n), fields: over("GET", n, "1")})
	}
	for _, f := range [][]string{
		{"connection", "close"},
		{"connection", "x-a"},
		{"transfer-encoding", "chunked"},
		{"upgrade", "websocket"},
		{"keep-alive", "timeout=5"},
		{"proxy-connection", "keep-alive"},
		{"te", "gzip"},
		{"te", "trailers, gzip"},
		{"content_length", "5"},
		{"transfer_encoding", "chunked"},
		{"x_forwarded_for", "192.0.2.1"},
		{"content-length", "3, 3"},
		{"content-length", "+0"},
		{"content-length", ""},
		{"host", "b.example"},
		{"expect", "200-ok"},
		{":path", "/b"},
		{":method", "POST"},
		{":authority", "b.example"},
		{":scheme", "http"},
		{":other", "x"},
		{":status", "200"},
	} {
		out = append(out, stream{name: fmt.Sprintf("field %q", f), fields: over("GET", f...)})
	}
	for _, p := range []string{"", "a", "/a b", "/a\r\nX-B: c", "/a HTTP/1.1\r\nHost: a.example\r\n\r\nGET /hidden", "/a#b", "/\x00", "*", "/\xe4", "https://b.example/"} {
		out = append(out, stream{name: fmt.Sprintf("path %q", p), fields: with(":path", p)})
	}
	for _, m := range []string{"", "GET /hidden HTTP/1.1\r\nHost: a.example\r\n\r\nGET", "GE T", "GET\r\n", "G(T"} {
		out = append(out, stream{name: fmt.Sprintf("method %q", m), fields: with(":method", m)})
	}
	for _, a := range []string{"u@a.example", "a.example/x", "a.example\r\nX-A: b", "a.example b.example", "a.example:x", "a.example#"} {
		out = append(out, stream{name: fmt.Sprintf("authority %q", a), fields: with(":authority", a)})
	}
	for _, n := range []string{":method", ":path", ":scheme"} {
		out = append(out, stream{name: "no " + n, fields: without(n)})
	}
	return append(out,
		stream{name: "pseudo-field behind others", fields: append([]string{"x-a", "b"}, over("GET")...)},
		stream{name: "less data than its length", fields: over("POST", "content-length", "5"), data: "abc", body: true},
		stream{name: "more data than its length", fields: over("POST", "content-length", "2"), data: "abcGET /hidden", body: true},
		stream{name: "a length and no data", fields: over("POST", "content-length", "5")},
		stream{name: "two lengths", fields: over("POST", "content-length", "3", "content-length", "3"), data: "abc", body: true})
}

// What HTTP/2 carries and HTTP/1.1 cannot reaches no origin, whole or in part.
func TestMalformedStreamsReachNobody(t *testing.T) {
	files, _ := issue(t, "a.example")
	o := &recorder{answer: plainAnswer}
	r, _ := inFrontOf(t, o.serve, func(o *proxy.Options, _ *profile.Profile) {
		o.HTTPS, o.Certificates = []string{"127.0.0.1:0"}, load(t, files)
	})
	rows := append(refusedStreams(),
		stream{name: "right", fields: over("GET", "x-a", "b", "te", "trailers"), passes: true},
		stream{name: "right with a body", fields: over("POST", "content-length", "3"), data: "abc", body: true, passes: true},
		stream{name: "right without a length", fields: over("POST", "cookie", "a=b", "cookie", "c=d"), data: "abc", body: true, passes: true},
		stream{name: "right with host and authority", fields: over("GET", "host", "a.example"), passes: true},
		stream{name: "right with length 0", fields: over("POST", "content-length", "0"), passes: true},
		stream{name: "right with host", fields: append(without(":authority"), "host", "a.example"), passes: true})
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			o.mu.Lock()
			o.got = nil
			o.mu.Unlock()
			end := open2(t, r.tlsAddr, row)
			o.mu.Lock()
			defer o.mu.Unlock()
			if passed := strings.HasPrefix(end, "200"); passed != row.passes || (len(o.got) > 0) != row.passes || strings.HasPrefix(end, "5") {
				t.Errorf("it ended with %s, and the origin got %v", end, o.got)
			}
		})
	}
	if k := r.kinds(); len(k) > 0 {
		t.Errorf("charged: %v", k)
	}
	if n := r.metric("jurymast_proxy_panics_total"); n != 0 {
		t.Errorf("%v panics", n)
	}
}

// open2 opens one stream on a connection of its own and says how it ended: with a status, a reset, or the connection.
func open2(t *testing.T, addr string, s stream) string {
	t.Helper()
	c, err := tls.DialWithDialer(&net.Dialer{Timeout: patience}, "tcp", addr, &tls.Config{ServerName: "a.example", InsecureSkipVerify: true, NextProtos: []string{"h2"}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	_ = c.SetDeadline(time.Now().Add(patience))
	_, _ = io.WriteString(c, http2.ClientPreface)
	fr := http2.NewFramer(c, c)
	fr.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	var block bytes.Buffer
	enc := hpack.NewEncoder(&block)
	for i := 0; i < len(s.fields); i += 2 {
		_ = enc.WriteField(hpack.HeaderField{Name: s.fields[i], Value: s.fields[i+1]})
	}
	_ = fr.WriteSettings()
	_ = fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block.Bytes(), EndHeaders: true, EndStream: !s.body})
	if s.body {
		_ = fr.WriteData(1, true, []byte(s.data))
	}
	status := ""
	for {
		f, err := fr.ReadFrame()
		if err != nil {
			return "the end: " + err.Error()
		}
		switch f := f.(type) {
		case *http2.MetaHeadersFrame:
			status = f.PseudoValue("status")
			if f.StreamEnded() {
				return status
			}
		case *http2.DataFrame:
			if f.StreamEnded() {
				return status
			}
		case *http2.RSTStreamFrame:
			return "RST_STREAM " + f.ErrCode.String()
		case *http2.GoAwayFrame:
			if f.ErrCode != http2.ErrCodeNo {
				return "GOAWAY " + f.ErrCode.String()
			}
		}
	}
}
