package http1

import (
	"bytes"
	"encoding/binary"
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
	Trailers bool  // TE says that trailers are understood [RFC 9110 10.1.4]
	Upgrades Span  // what Upgrade offers, if Connection names it; else empty
}

// Reset makes it ready for the next head.
func (r *Request) Reset(l Limits) {
	r.reset(l)
	r.Method, r.Target, r.Path, r.Host, r.Upgrades = Span{}, Span{}, Span{}, Span{}, Span{}
	r.Minor, r.Body, r.Length, r.Closes, r.Continue, r.Trailers = 0, BodyNone, 0, false, false, false
}

// Parse reads the head at the beginning of b. n is its length in bytes, 0 when b ends before it does: then it is called
// again with more bytes behind the same ones. After a fault nothing of the connection can be trusted.
func (r *Request) Parse(b []byte) (n int, f *Fault) {
	if !r.first {
		if r.waits(b) {
			return 0, r.stop(b, nil)
		}
		if f := r.requestLine(b); f != nil || !r.first {
			return 0, r.stop(b, f)
		}
	}
	if n, f = r.fields(b); n == 0 || f != nil {
		return 0, f
	}
	return n, r.judge(b)
}

// requestLine reads METHOD target version, with one blank between them [RFC 9112 3].
func (r *Request) requestLine(b []byte) *Fault {
	from := r.at
	blank, _ := nameEnd(b, from)
	switch {
	case blank == len(b):
		return nil
	case blank == from:
		return r.emptyLine(b)
	case b[blank] != ' ':
		return lineFault(b, blank, RequestLine)
	}
	to := targetEnd(b, blank+1)
	switch {
	case to == len(b):
		return nil
	case b[to] == ' ' && to > blank+1:
	case b[to] == ' ', b[to] == '\r', b[to] == '\n':
		return lineFault(b, to, RequestLine)
	case b[to] == '#':
		return &Fault{Fragment, to}
	default:
		return &Fault{TargetByte, to}
	}
	minor, f := versionLine(b, to+1)
	if minor < 0 {
		return f
	}
	next := to + 1 + len("HTTP/1.1\r\n")
	if f := r.room(next); f != nil {
		return f
	}
	r.Method, r.Target, r.Minor = span(from, blank), span(blank+1, to), minor
	r.first, r.at = true, next
	return nil
}

// emptyLine is what stands where a method should: one may [RFC 9112 2.2].
func (r *Request) emptyLine(b []byte) *Fault {
	i := r.at
	switch {
	case i+1 >= len(b) || b[i] != '\r' || b[i+1] != '\n':
		return lineFault(b, i, MethodToken)
	case r.blank:
		return &Fault{EmptyLines, i}
	}
	r.blank, r.at = true, i+2
	return r.requestLine(b)
}

// versionLine reads the version at i, with which the line ends. minor -1: there is a fault, or too few bytes.
func versionLine(b []byte, i int) (minor int, f *Fault) {
	const one = "HTTP/1.1\r\n"
	if v := b[i:]; len(v) >= len(one) && v[8] == '\r' && v[9] == '\n' {
		switch binary.LittleEndian.Uint64(v) {
		case http11:
			return 1, nil
		case http10:
			return 0, nil
		}
	}
	for k := range len(one) {
		switch {
		case i+k == len(b):
			return -1, nil
		case k == len(one)-1 && b[i+k] != '\n':
			return -1, &Fault{BareCR, i + k - 1}
		case b[i+k] != one[k] && (k != 7 || b[i+k] != '0'):
			return -1, lineFault(b, i+k, Version)
		}
	}
	return -1, &Fault{Version, i} // not reached: these ten bytes are right
}

// The versions as the number that their eight bytes are.
var (
	http11 = binary.LittleEndian.Uint64([]byte("HTTP/1.1"))
	http10 = binary.LittleEndian.Uint64([]byte("HTTP/1.0"))
)

// judge looks at the head as a whole.
func (r *Request) judge(b []byte) *Fault {
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
	case length >= 0 && padded(r.Get(ContentLength).Value.Of(b)):
		return &Fault{LengthForm, int(r.Get(ContentLength).Value.From)}
	case length > 0:
		r.Body, r.Length = BodyLength, length
	}
	o, f := r.connection(b)
	if f != nil {
		return f
	}
	r.Closes = o.closes || r.Minor == 0 && !o.keeps
	if r.Any(offering) {
		return r.offers(b, o)
	}
	return nil
}

// padded reports leading zeros, with which some read a number as octal. In answers, which nobody reads so, they may stand.
func padded(number []byte) bool { return len(number) > 1 && number[0] == '0' }

var offering = SetOf(Upgrade, Expect, TE)

// offers reads Upgrade, Expect and TE.
func (r *Request) offers(b []byte, o options) *Fault {
	if r.Has(Upgrade) > 1 {
		return &Fault{Upgrades, int(r.Get(Upgrade).Line.From)}
	}
	if field := r.Get(Upgrade); field != nil && r.Minor == 1 && o.upgrades {
		r.Upgrades = field.Value
	}
	if field := r.Get(Expect); field != nil {
		if r.Has(Expect) > 1 || !equalFold(field.Value.Of(b), "100-continue") {
			return &Fault{Expectation, int(field.Line.From)}
		}
		r.Continue = r.Minor == 1 && r.Body != BodyNone // others ignore it [RFC 9110 10.1.1]
	}
	for i := range r.Fields {
		if r.Fields[i].Known != TE {
			continue
		}
		rest := list(r.Fields[i].Value.Of(b))
		for word := rest.next(); word != nil; word = rest.next() {
			r.Trailers = r.Trailers || equalFold(word, "trailers")
		}
	}
	return nil
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
	case string(text) == "*":
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
	if !isHost(authority) || r.Host.Len() > 0 && !same(authority, r.Host.Of(b)) {
		return &Fault{HostTarget, int(r.Target.From)}
	}
	at := int(r.Target.From) + from
	if r.Host.Len() == 0 { // HTTP/1.0 without Host
		r.Host = span(at, at+end)
	}
	r.Path = span(at+end, int(r.Target.To))
	return nil
}

// isHost reports a name or address with an optional port [RFC 9110 7.2], without user information.
func isHost(b []byte) bool {
	if len(b) > 0 && b[0] == '[' {
		address, port, closed := bytes.Cut(b[1:], []byte{']'})
		return closed && isIPv6(address) && (len(port) == 0 || port[0] == ':' && isPort(port[1:]))
	}
	name := all(b, host)
	return name > 0 && (name == len(b) || b[name] == ':' && isPort(b[name+1:]))
}

// isPort reports a number from 1 to 65535, in at most five digits.
func isPort(b []byte) bool {
	n, ok := decimal(b)
	return ok && len(b) <= 5 && n > 0 && n < 1<<16
}

func isIPv6(b []byte) bool {
	colons := 0
	for _, c := range b {
		switch {
		case c == ':':
			colons++
		case c >= '0' && c <= '9', lower(c) >= 'a' && lower(c) <= 'f', c == '.':
		default:
			return false
		}
	}
	return colons >= 2 && len(b) <= 45
}
