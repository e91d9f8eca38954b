//go:build interop && linux

package rawcases

import (
	"strings"

	"jurymast/internal/proxy/http1"
)

// Read parses a request with its body. The fault may be in either.
func Read(b []byte) (r *http1.Request, body, tail []byte, f *http1.Fault) {
	r = new(http1.Request)
	r.Reset(http1.Limits{})
	n, f := r.Parse(b)
	if f != nil {
		return nil, nil, nil, f
	}
	if b = b[n:]; r.Body != http1.BodyChunked {
		return r, b[:r.Length], nil, nil
	}
	var c http1.Chunks
	c.Reset(http1.Limits{})
	for !c.Over() {
		p, f := c.Next(b)
		if f != nil {
			return nil, nil, nil, f
		}
		body, tail, b = append(body, b[p.Skip:p.Skip+p.Data]...), append(tail, p.Tail...), b[p.Skip+p.Data:]
	}
	return r, body, tail, nil
}

// Want is what every server has to see of a request that was read from b: its target in origin form [RFC 9112 3.2.1].
func Want(r *http1.Request, b, body []byte) Seen {
	want := Seen{string(r.Method.Of(b)), string(r.Path.Of(b)), string(r.Host.Of(b)), len(body)}
	if !strings.HasPrefix(want.Target, "/") && want.Target != "*" {
		want.Target = "/" + want.Target
	}
	if want.Host == "" {
		want.Host = Host // of the endpoint
	}
	return want
}

// Alike compares what a server sees with what it was sent, apart from what it is known to change before it passes it on.
func (s Server) Alike(got, want Seen) bool {
	got.Host, want.Host = strings.ToLower(got.Host), strings.ToLower(want.Host)
	switch s.Name {
	case "apache2": // its prefix takes the first of several slashes
		want.Target = "/" + strings.TrimLeft(want.Target, "/")
		got.Target = "/" + strings.TrimLeft(got.Target, "/")
	case "lighttpd": // writes names its own way
		want.Host = strings.TrimSuffix(strings.TrimSuffix(want.Host, ":80"), ".")
	}
	return got == want
}
