package http1

import "bytes"

// Response is the head of a response, parsed as Request is.
type Response struct {
	head

	Line   Span // the status line with its CRLF, as it came
	Status int
	Minor  int

	Body     Body
	Length   int64 // as Content-Length has it, -1 without: it may stand in answers to HEAD and in 304, too
	Closes   bool
	KeepFor  int  // seconds the origin says it keeps the connection: Keep-Alive: timeout=; -1: it does not say
	Upgrades Span // what Upgrade names, if Connection names it; else empty
	Bound    bool // the connection is being authenticated [RFC 4559]: it is for the one client from now on
}

// Reset makes it ready for the next head.
func (r *Response) Reset(l Limits) {
	r.reset(l)
	r.Line, r.Upgrades = Span{}, Span{}
	r.Status, r.Minor, r.Body, r.Length, r.Closes, r.KeepFor, r.Bound = 0, 0, BodyNone, 0, false, -1, false
}

// Parse reads the head at the beginning of b, as Request.Parse does. toHEAD says that the request was a HEAD, whose answer
// has no body whatever its fields say.
func (r *Response) Parse(b []byte, toHEAD bool) (n int, f *Fault) {
	if !r.first {
		if r.waits(b) {
			return 0, r.stop(b, nil)
		}
		if f := r.statusLine(b); f != nil || !r.first {
			return 0, r.stop(b, f)
		}
	}
	if n, f = r.fields(b); n == 0 || f != nil {
		return 0, f
	}
	return n, r.judge(b, toHEAD)
}

// statusLine reads version, blank, three digits, and a reason, which some leave out with the blank before it.
func (r *Response) statusLine(b []byte) *Fault {
	from := r.at
	end := valueEnd(b, from)
	if end >= len(b)-1 {
		return nil
	}
	if b[end] != '\r' || b[end+1] != '\n' {
		return lineFault(b, end, Control)
	}
	if f := r.room(end + 2); f != nil {
		return f
	}
	const least = len("HTTP/1.1 200")
	line := b[from:end]
	if len(line) < least || line[8] != ' ' || all(line[9:least], digit) < 3 || line[9] == '0' || len(line) > least && line[least] != ' ' {
		return &Fault{StatusLine, from}
	}
	if r.Minor = version(line[:8]); r.Minor < 0 {
		return &Fault{Version, from}
	}
	r.Status = int(line[9]-'0')*100 + int(line[10]-'0')*10 + int(line[11]-'0')
	r.Line, r.first, r.at = span(from, end+2), true, end+2
	return nil
}

// judge says how the body is framed [RFC 9112 6.3].
func (r *Response) judge(b []byte, toHEAD bool) *Fault {
	chunked, f := r.chunked(b, r.Minor)
	if f != nil {
		return f
	}
	if r.Length, f = r.length(b); f != nil {
		return f
	}
	o, f := r.connection(b)
	if f != nil {
		return f
	}
	r.Closes = o.closes || r.Minor == 0 && !o.keeps
	switch {
	case r.Status < 200, r.Status == 204:
		if chunked || r.Length > 0 {
			return &Fault{NoBody, 0}
		}
	case r.Status == 205 && r.Length > 0 && !toHEAD: // it must not have one [RFC 9110 15.3.6], and some do not look for it
		return &Fault{NoBody, 0}
	case toHEAD, r.Status == 304:
	case chunked:
		r.Body = BodyChunked
	case r.Length > 0:
		r.Body = BodyLength
	case r.Length < 0:
		r.Body, r.Closes = BodyClose, true
	}
	if r.Any(telling) {
		return r.tells(b, o)
	}
	return nil
}

var telling = SetOf(KeepAlive, Upgrade, WWWAuthenticate)

// tells reads Keep-Alive, Upgrade and WWW-Authenticate.
func (r *Response) tells(b []byte, o options) *Fault {
	if r.Has(Upgrade) > 1 {
		return &Fault{Upgrades, int(r.Get(Upgrade).Line.From)}
	}
	if field := r.Get(Upgrade); field != nil && r.Minor == 1 && o.upgrades {
		r.Upgrades = field.Value
	}
	for i := range r.Fields {
		switch field := &r.Fields[i]; field.Known { //nolint:exhaustive // the others tell nothing here
		case KeepAlive:
			r.keepFor(field.Value.Of(b))
		case WWWAuthenticate:
			scheme, _, _ := bytes.Cut(field.Value.Of(b), []byte{' '})
			r.Bound = r.Bound || equalFold(scheme, "ntlm") || equalFold(scheme, "negotiate")
		}
	}
	return nil
}

// keepFor reads timeout=SECONDS of a list; the least one counts, what is no number does not.
func (r *Response) keepFor(rest list) {
	const name = "timeout="
	for word := rest.next(); word != nil; word = rest.next() {
		if len(word) <= len(name) || !equalFold(word[:len(name)], name) {
			continue
		}
		const most = 1 << 30
		if n, ok := decimal(word[len(name):]); ok && (r.KeepFor < 0 || n < int64(r.KeepFor)) {
			r.KeepFor = int(min(n, most))
		}
	}
}
