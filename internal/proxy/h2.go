package proxy

import (
	"errors"
	"maps"
	"net/http"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"

	"jurymast/internal/proxy/http1"
	"jurymast/internal/proxy/inbound"
	"jurymast/internal/proxy/wire"
)

// h2 is one request of a client that speaks HTTP/2, which net/http understands for us. Its head is written down as one of
// HTTP/1.1 and read by the same strict rules as all others: there is one way in.
type h2 struct {
	w   http.ResponseWriter
	rc  *http.ResponseController
	r   *http.Request
	buf *[]byte
}

// serveHTTP2 carries one request.
func (p *Proxy) serveHTTP2(w http.ResponseWriter, r *http.Request) {
	l := takeLap()
	defer l.give()
	d := door{shard: p.figures.Shard()}
	if c := inbound.ConnOf(r.Context()); c != nil {
		d = p.doorOf(c)
	}
	d.proto, d.served = r.Proto, 1
	defer d.shut()
	s := &h2{w: w, rc: http.NewResponseController(w), r: r, buf: wire.Get(bufferUsual)}
	defer wire.Put(s.buf)
	x := &l.x
	*x = exchange{p: p, lap: l, door: &d, source: s, sink: s}
	x.line.Time = time.Now()
	d.shard.Begin()
	s.carry(x)
	if x.broken != brokenNot {
		panic(http.ErrAbortHandler) // net/http resets the stream, which is what the client must see
	}
}

func (s *h2) carry(x *exchange) {
	defer func() {
		if fault := recover(); fault != nil {
			x.fault(fault, debug.Stack())
		}
	}()
	if s.read(x) {
		x.run()
	}
	x.finish()
}

// read makes the head; false: it was refused.
func (s *h2) read(x *exchange) bool {
	l := x.lap
	b, rule := s.render((*l.in)[:0])
	*l.in = b[:cap(b)]
	l.req.Reset(x.p.limits)
	if rule != "" {
		x.refuse(&http1.Fault{Rule: rule})
		return false
	}
	n, fault := l.req.Parse(b)
	if fault == nil && n != len(b) {
		fault = &http1.Fault{Rule: http1.EmptyLines}
	}
	if fault != nil {
		x.refuse(fault)
		return false
	}
	x.head = b
	return true
}

// render writes the head down. What could be read as another line is named, and not written.
func (s *h2) render(b []byte) ([]byte, http1.Rule) {
	r := s.r
	if !http1.IsToken(r.Method) {
		return b, http1.MethodToken
	}
	if strings.ContainsAny(r.RequestURI, " \r\n") || !http1.IsValue(r.RequestURI) {
		return b, http1.TargetByte
	}
	if !http1.IsValue(r.Host) {
		return b, http1.HostForm
	}
	if rule := s.length(); rule != "" {
		return b, rule
	}
	for _, v := range r.Header["Host"] { // beside or in the place of :authority
		if !strings.EqualFold(v, r.Host) {
			return b, http1.HostTarget
		}
	}
	b = append(append(append(b, r.Method...), ' '), r.RequestURI...)
	b = append(append(append(b, " HTTP/1.1\r\nhost: "...), r.Host...), "\r\n"...)
	for _, name := range slices.Sorted(maps.Keys(r.Header)) {
		if name == "Content-Length" || name == "Host" {
			continue
		}
		for _, v := range r.Header[name] {
			if !http1.IsToken(name) {
				return b, http1.NameToken
			}
			if !http1.IsValue(v) {
				return b, http1.Control
			}
			b = append(append(append(append(b, strings.ToLower(name)...), ": "...), v...), "\r\n"...)
		}
	}
	if len(r.Trailer) > 0 {
		b = append(append(append(b, "trailer: "...), strings.ToLower(strings.Join(slices.Sorted(maps.Keys(r.Trailer)), ", "))...), "\r\n"...)
	}
	switch {
	case r.Body == nil || r.Body == http.NoBody || r.ContentLength == 0:
		if _, told := r.Header["Content-Length"]; told {
			b = append(b, "content-length: 0\r\n"...)
		}
	case r.ContentLength > 0:
		b = append(strconv.AppendInt(append(b, "content-length: "...), r.ContentLength, 10), "\r\n"...)
	default:
		b = append(b, "transfer-encoding: chunked\r\n"...)
	}
	return append(b, "\r\n"...), ""
}

// length judges the client's Content-Length [RFC 9113 8.1.1]; the data itself net/http counts.
func (s *h2) length() http1.Rule {
	told := s.r.Header["Content-Length"]
	switch {
	case len(told) == 0:
		return ""
	case len(told) > 1:
		return http1.LengthRepeated
	case told[0] != strconv.FormatInt(max(s.r.ContentLength, 0), 10):
		return http1.LengthForm
	}
	return ""
}

func (s *h2) next() ([]byte, error) {
	n, err := s.r.Body.Read(*s.buf)
	if n > 0 {
		return (*s.buf)[:n], nil
	}
	return nil, err //nolint:wrapcheck // io.EOF, or the client is gone
}

func (s *h2) ready() ([]byte, bool, error) { return nil, false, nil }

func (s *h2) tail() (b []byte) {
	for _, name := range slices.Sorted(maps.Keys(s.r.Trailer)) {
		for _, v := range s.r.Trailer[name] {
			if http1.IsToken(name) && http1.IsValue(v) {
				b = append(append(append(append(b, strings.ToLower(name)...), ": "...), v...), "\r\n"...)
			}
		}
	}
	return b
}

func (s *h2) halt() { _ = s.r.Body.Close() } // it makes a Read that blocks fail

func (s *h2) left() bool { return s.r.Context().Err() != nil }

func (s *h2) begin(a *reply) error {
	h := s.w.Header()
	clear(h)
	if a.head != nil {
		for i := range a.head.Fields {
			if f := &a.head.Fields[i]; !f.Hop {
				h.Add(string(f.Name.Of(a.bytes)), string(f.Value.Of(a.bytes)))
			}
		}
	}
	addLines(h, a.extra)
	if a.status >= http.StatusOK {
		for _, own := range []string{"Date", "Content-Type"} { // or net/http adds its own
			if _, ok := h[own]; !ok {
				h[own] = nil
			}
		}
	}
	s.w.WriteHeader(a.status)
	if a.status < http.StatusOK {
		clear(h)
	}
	return nil
}

// addLines adds field lines to a map.
func addLines(h http.Header, lines []byte) {
	for line := range strings.SplitSeq(string(lines), "\r\n") {
		if name, value, ok := strings.Cut(line, ":"); ok {
			h.Add(name, strings.TrimSpace(value))
		}
	}
}

func (s *h2) write(p []byte) error {
	_, err := s.w.Write(p)
	return err //nolint:wrapcheck // the caller only asks whether it failed
}

func (s *h2) flush() error {
	if err := s.rc.Flush(); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err //nolint:wrapcheck // as above
	}
	return nil
}

// end sends the trailers: announced ones under their name, others with net/http's prefix.
func (s *h2) end(tail []byte) error {
	h := s.w.Header()
	announced := map[string]bool{}
	for _, list := range h["Trailer"] {
		for name := range strings.SplitSeq(list, ",") {
			announced[http.CanonicalHeaderKey(strings.TrimSpace(name))] = true
		}
	}
	trailers := http.Header{}
	addLines(trailers, tail)
	for name, values := range trailers {
		if !announced[name] {
			name = http.TrailerPrefix + name
		}
		h[name] = values
	}
	return nil
}
