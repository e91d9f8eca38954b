package http1

// Response is the head of a response, parsed as Request is.
type Response struct {
	head

	Line   Span // the status line with its CRLF, as it came
	Status int
	Minor  int

	Body   Body
	Length int64 // as Content-Length has it, -1 without: it may stand in answers to HEAD and in 304, too
	Closes bool
}

// Reset makes it ready for the next head.
func (r *Response) Reset(l Limits) {
	h := r.head
	*r = Response{head: h}
	r.reset(l)
}

// Parse reads the head at the beginning of b, as Request.Parse does. toHEAD says that the request was a HEAD, whose answer
// has no body whatever its fields say.
func (r *Response) Parse(b []byte, toHEAD bool) (n int, f *Fault) {
	if !r.first {
		line, next, f := r.line(b)
		if f != nil || next == 0 {
			return 0, f
		}
		if f := r.statusLine(line, next); f != nil {
			return 0, f
		}
	}
	if n, f = r.fields(b); n == 0 {
		return 0, f
	}
	return n, r.judge(b, toHEAD)
}

// statusLine reads version, blank, three digits, and a reason, which some leave out with the blank before it.
func (r *Response) statusLine(line []byte, next int) *Fault {
	const least = len("HTTP/1.1 200")
	switch {
	case len(line) < least, line[8] != ' ', all(line[9:least], digit) < 3, line[9] == '0', len(line) > least && line[least] != ' ':
		return &Fault{StatusLine, r.at}
	}
	if r.Minor = version(line[:8]); r.Minor < 0 {
		return &Fault{Version, r.at}
	}
	if i := all(line[least:], value); i < len(line)-least {
		return &Fault{Control, r.at + least + i}
	}
	r.Status = int(line[9]-'0')*100 + int(line[10]-'0')*10 + int(line[11]-'0')
	r.Line, r.first = span(r.at, next), true
	r.done(next)
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
	closes, keeps, f := r.connection(b)
	if f != nil {
		return f
	}
	r.Closes = closes || r.Minor == 0 && !keeps
	switch {
	case r.Status < 200, r.Status == 204:
		if chunked || r.Length > 0 {
			return &Fault{NoBody, 0}
		}
	case toHEAD, r.Status == 304:
	case chunked:
		r.Body = BodyChunked
	case r.Length > 0:
		r.Body = BodyLength
	case r.Length < 0:
		r.Body, r.Closes = BodyClose, true
	}
	return nil
}
