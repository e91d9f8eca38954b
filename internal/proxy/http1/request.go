package http1

import (
	"bytes"
	"math"
)

// Body says how the body behind a head is framed.
type Body uint8

// The kinds of bodies [RFC 9112 6.3].
const (
	BodyNone    Body = iota
	BodyLength       // Length bytes
	BodyChunked      // Chunks reads it
	BodyClose        // until the connection ends; of responses only
)

// Request is the head of a request. It is parsed from the bytes of a connection as they grow and used again for the next
// one after Reset. Spans are offsets into those bytes.
type Request struct {
	head

	Method Span
	Target Span // as it came
	Path   Span // of an absolute target what follows its authority, possibly empty; else the target
	Minor  int  // of HTTP/1.x: 0 or 1
	Host   Span // with port, as it came; empty only in HTTP/1.0

	Body     Body
	Length   int64 // of BodyLength
	Closes   bool  // the connection ends with this exchange
	Continue bool  // 100-continue is expected [RFC 9110 10.1.1]
	Upgrades Span  // what Upgrade offers, if Connection names it; else empty
}

// Reset makes it ready for the next head. The zero limits are DefaultLimits.
func (r *Request) Reset(l Limits) {
	h := r.head
	*r = Request{head: h}
	r.reset(l)
}

// Parse reads the head at the beginning of b. n is its length in bytes, 0 when b ends before it does: then it is called
// again with more bytes behind the same ones. After a fault nothing of the connection can be trusted.
func (r *Request) Parse(b []byte) (n int, f *Fault) {
	if !r.first {
		if f := r.requestLine(b); f != nil || !r.first {
			return 0, f
		}
	}
	if n, f = r.fields(b); n == 0 {
		return 0, f
	}
	return n, r.judge(b)
}

func (r *Request) requestLine(b []byte) *Fault {
	for {
		line, next, f := r.line(b)
		if f != nil || next == 0 {
			return f
		}
		if len(line) > 0 {
			return r.parseLine(line, next)
		}
		if r.blank { // one may stand there [RFC 9112 2.2]
			return &Fault{EmptyLines, r.at}
		}
		r.blank = true
		r.done(next)
	}
}

// parseLine reads METHOD target version, with one blank between them [RFC 9112 3].
func (r *Request) parseLine(line []byte, next int) *Fault {
	base := r.at
	i := all(line, token)
	switch {
	case i == 0:
		return &Fault{MethodToken, base}
	case i == len(line), line[i] != ' ':
		return &Fault{RequestLine, base + i}
	}
	rest := line[i+1:]
	j := bytes.IndexByte(rest, ' ')
	if j <= 0 {
		return &Fault{RequestLine, base + i}
	}
	if k := all(rest[:j], target); k < j {
		rule := TargetByte
		if rest[k] == '#' {
			rule = Fragment
		}
		return &Fault{rule, base + i + 1 + k}
	}
	if r.Minor = version(rest[j+1:]); r.Minor < 0 {
		return &Fault{Version, base + i + 1 + j + 1}
	}
	r.Method, r.Target = span(base, base+i), span(base+i+1, base+i+1+j)
	r.first = true
	r.done(next)
	return nil
}

// judge looks at the head as a whole.
func (r *Request) judge(b []byte) *Fault {
	for i := range r.Fields {
		if field := &r.Fields[i]; field.Known == Other && alike(field.Name.Of(b)) {
			return &Fault{NameAlias, int(field.Line.From)}
		}
	}
	if f := r.authority(b); f != nil {
		return f
	}
	chunked, f := r.chunked(b, r.Minor)
	if f != nil {
		return f
	}
	length, f := r.length(b)
	switch {
	case f != nil:
		return f
	case chunked:
		r.Body = BodyChunked
	case length > 0:
		r.Body, r.Length = BodyLength, length
	}
	closes, keeps, f := r.connection(b)
	if f != nil {
		return f
	}
	r.Closes = closes || r.Minor == 0 && !keeps
	return r.offers(b)
}

// authority reads Host and the form of the target [RFC 9112 3.2].
func (r *Request) authority(b []byte) *Fault {
	field := r.Get(Host)
	switch {
	case r.Has(Host) > 1:
		return &Fault{HostRepeated, int(field.Line.From)}
	case field == nil && r.Minor == 1:
		return &Fault{HostMissing, int(r.Target.From)}
	case field != nil:
		if r.Host = field.Value; !isHost(r.Host.Of(b)) {
			return &Fault{HostForm, int(field.Value.From)}
		}
	}
	text, method := r.Target.Of(b), r.Method.Of(b)
	r.Path = r.Target
	switch {
	case string(method) == "CONNECT": // callers refuse it; its target has no path
		if !isHost(text) {
			return &Fault{TargetForm, int(r.Target.From)}
		}
	case text[0] == '/':
	case len(text) == 1 && text[0] == '*':
		if string(method) != "OPTIONS" {
			return &Fault{TargetForm, int(r.Target.From)}
		}
	default:
		return r.absolute(b, text)
	}
	return nil
}

// absolute reads scheme://authority/path, whose authority must be that of Host: one of the two decides for others.
func (r *Request) absolute(b, text []byte) *Fault {
	from := 0
	for _, scheme := range [...]string{"http://", "https://"} {
		if len(text) > len(scheme) && equalFold(text[:len(scheme)], scheme) {
			from = len(scheme)
		}
	}
	if from == 0 {
		return &Fault{TargetForm, int(r.Target.From)}
	}
	end := bytes.IndexAny(text[from:], "/?")
	if end < 0 {
		end = len(text) - from
	}
	authority := text[from : from+end]
	if !isHost(authority) || r.Host.Len() > 0 && !bytes.EqualFold(authority, r.Host.Of(b)) {
		return &Fault{HostTarget, int(r.Target.From)}
	}
	at := int(r.Target.From) + from
	if r.Host.Len() == 0 { // HTTP/1.0 without Host
		r.Host = span(at, at+end)
	}
	r.Path = span(at+end, int(r.Target.To))
	return nil
}

// offers reads Upgrade, TE and Expect.
func (r *Request) offers(b []byte) *Fault {
	if r.Has(Upgrade) > 1 {
		return &Fault{Upgrades, int(r.Get(Upgrade).Line.From)}
	}
	if field := r.Get(Upgrade); field != nil && r.Minor == 1 && r.names(b, "upgrade") {
		r.Upgrades = field.Value
	}
	if field := r.Get(Expect); field != nil {
		if r.Has(Expect) > 1 || !equalFold(field.Value.Of(b), "100-continue") {
			return &Fault{Expectation, int(field.Line.From)}
		}
		r.Continue = r.Minor == 1 && r.Body != BodyNone // others ignore it [RFC 9110 10.1.1]
	}
	return nil
}

// names reports that a Connection field names a word.
func (h *head) names(b []byte, what string) (found bool) {
	for i := range h.Fields {
		if h.Fields[i].Known == Connection {
			words(h.Fields[i].Value.Of(b), func(word []byte) bool {
				found = found || equalFold(word, what)
				return !found
			})
		}
	}
	return found
}

// isHost reports a name or address with an optional port [RFC 9110 7.2], without user information.
func isHost(b []byte) bool {
	if len(b) > 0 && b[0] == '[' {
		address, port, closed := bytes.Cut(b[1:], []byte{']'})
		return closed && isIPv6(address) && (len(port) == 0 || port[0] == ':' && isPort(port[1:]))
	}
	name, port, found := bytes.Cut(b, []byte{':'})
	if found && !isPort(port) {
		return false
	}
	return len(name) > 0 && all(name, host) == len(name)
}

func isPort(b []byte) bool {
	n := 0
	for _, c := range b {
		if n = n*10 + int(c-'0'); class[c]&digit == 0 || n > math.MaxUint16 {
			return false
		}
	}
	return len(b) > 0 && n > 0
}

func isIPv6(b []byte) bool {
	colons := 0
	for _, c := range b {
		switch {
		case c == ':':
			colons++
		case class[c]&digit != 0, lower(c) >= 'a' && lower(c) <= 'f', c == '.':
		default:
			return false
		}
	}
	return colons >= 2 && len(b) <= 45
}
