package http1

import (
	"bytes"
	"math"
)

// Limits of heads, in bytes and numbers. The zero value is DefaultLimits.
type Limits struct {
	Line   int // first line, with its end
	Head   int // everything up to and including the empty line
	Fields int
	Chunk  int // extensions of one chunk
	Tail   int // trailers, all of them
}

// DefaultLimits are used for what is zero.
var DefaultLimits = Limits{Line: 16 << 10, Head: 64 << 10, Fields: 256, Chunk: 256, Tail: 16 << 10}

func (l Limits) or(d Limits) Limits {
	pick := func(n, otherwise int) int {
		if n <= 0 || n > math.MaxInt32 {
			return otherwise
		}
		return n
	}
	return Limits{pick(l.Line, d.Line), pick(l.Head, d.Head), pick(l.Fields, d.Fields), pick(l.Chunk, d.Chunk), pick(l.Tail, d.Tail)}
}

// Span is a part of the bytes a head was parsed from.
type Span struct{ From, To uint32 }

// Of are its bytes.
func (s Span) Of(b []byte) []byte { return b[s.From:s.To] }

// Len in bytes.
func (s Span) Len() int { return int(s.To - s.From) }

func span(from, to int) Span { return Span{uint32(from), uint32(to)} } //nolint:gosec // within limits of at most 2 GiB

// Field is one field line as it came.
type Field struct {
	Line  Span // with its CRLF
	Name  Span
	Value Span // without blanks around it
	Known Known
	Hop   bool // of this connection only: not passed on [RFC 9110 7.6.1]
}

// head is what requests and responses have in common.
type head struct {
	Fields []Field // in their order; the memory is used again

	limits Limits
	at     int // where the line that is not complete yet begins
	seen   int // bytes without an end of line in them
	first  bool
	blank  bool // an empty line stood before the first
	known  [count]int16
}

func (h *head) reset(l Limits) {
	h.Fields, h.limits, h.at, h.seen, h.first, h.blank = h.Fields[:0], l.or(DefaultLimits), 0, 0, false, false
	h.known = [count]int16{}
}

// Has reports how many fields of that name there are.
func (h *head) Has(k Known) int { return int(h.known[k]) }

// Get is the first field of that name, or nil.
func (h *head) Get(k Known) *Field {
	if h.known[k] == 0 {
		return nil
	}
	for i := range h.Fields {
		if h.Fields[i].Known == k {
			return &h.Fields[i]
		}
	}
	return nil
}

// line returns the next complete line without its CRLF, and where the one after it begins. next 0: it is not there yet.
func (h *head) line(b []byte) (line []byte, next int, f *Fault) {
	i := bytes.IndexByte(b[h.seen:], '\n')
	if i < 0 {
		h.seen = len(b)
		return nil, 0, h.room(len(b))
	}
	end := h.seen + i
	if f := h.room(end + 1); f != nil {
		return nil, 0, f
	}
	if end == h.at || b[end-1] != '\r' {
		return nil, 0, &Fault{BareLF, end}
	}
	line = b[h.at : end-1]
	if i := bytes.IndexByte(line, '\r'); i >= 0 {
		return nil, 0, &Fault{BareCR, h.at + i}
	}
	return line, end + 1, nil
}

// room says what is too long when the head has got as far as end.
func (h *head) room(end int) *Fault {
	switch {
	case !h.first && end-h.at > h.limits.Line:
		return &Fault{LineTooLong, h.at}
	case end > h.limits.Head:
		return &Fault{HeadTooLong, h.at}
	}
	return nil
}

// done goes to the line that begins at next.
func (h *head) done(next int) { h.at, h.seen = next, next }

// fields reads field lines up to the empty one. n is where the head ends, 0 when it does not yet.
func (h *head) fields(b []byte) (n int, f *Fault) {
	for {
		line, next, f := h.line(b)
		if f != nil || next == 0 {
			return 0, f
		}
		if len(line) == 0 {
			return next, nil
		}
		if len(h.Fields) == h.limits.Fields {
			return 0, &Fault{TooMany, h.at}
		}
		field, f := parseField(line, h.at)
		if f != nil {
			return 0, f
		}
		field.Line = span(h.at, next)
		h.known[field.Known]++
		h.Fields = append(h.Fields, field)
		h.done(next)
	}
}

// parseField reads one field line without its end, which begins at base.
func parseField(line []byte, base int) (Field, *Fault) {
	if line[0] == ' ' || line[0] == '\t' {
		return Field{}, &Fault{ObsFold, base}
	}
	colon := all(line, token)
	switch {
	case colon == len(line):
		return Field{}, &Fault{NoColon, base}
	case line[colon] != ':' && (line[colon] == ' ' || line[colon] == '\t') && blankThenColon(line[colon:]):
		return Field{}, &Fault{NameBlank, base + colon}
	case line[colon] != ':':
		return Field{}, &Fault{NameToken, base + colon}
	case colon == 0:
		return Field{}, &Fault{NameEmpty, base}
	}
	text, cut := trim(line[colon+1:])
	if i := all(text, value); i < len(text) {
		return Field{}, &Fault{Control, base + colon + 1 + cut + i}
	}
	from := base + colon + 1 + cut
	return Field{Name: span(base, base+colon), Value: span(from, from+len(text)), Known: known(line[:colon])}, nil
}

func blankThenColon(b []byte) bool {
	for _, c := range b {
		if c != ' ' && c != '\t' {
			return c == ':'
		}
	}
	return false
}

// version reads HTTP/1.0 or HTTP/1.1 and returns its minor number, or -1.
func version(b []byte) int {
	if len(b) != 8 || string(b[:7]) != "HTTP/1." || b[7] != '0' && b[7] != '1' {
		return -1
	}
	return int(b[7] - '0')
}

// connection reads the Connection fields [RFC 9110 7.6.1]: it marks the fields they name, and tells of close and
// keep-alive. What decides about routing, framing or identity must not be named: whoever removes it first decides then.
func (h *head) connection(b []byte) (closes, keeps bool, f *Fault) {
	for i := range h.Fields {
		field := &h.Fields[i]
		if field.Known != Connection {
			continue
		}
		field.Hop = true
		words(field.Value.Of(b), func(word []byte) bool {
			switch {
			case equalFold(word, "close"):
				closes = true
			case equalFold(word, "keep-alive"):
				keeps = true
			case decides(known(word)):
				f = &Fault{Protected, int(field.Value.From)}
			default:
				h.mark(b, word)
			}
			return f == nil
		})
		if f != nil {
			return closes, keeps, f
		}
	}
	for i := range h.Fields {
		if h.Fields[i].Known.hop() {
			h.Fields[i].Hop = true
		}
	}
	return closes, keeps, nil
}

// mark makes the fields of a name stay on this hop.
func (h *head) mark(b, name []byte) {
	for i := range h.Fields {
		if n := h.Fields[i].Name.Of(b); len(n) == len(name) && bytes.EqualFold(n, name) {
			h.Fields[i].Hop = true
		}
	}
}

// length reads the one Content-Length [RFC 9112 6.2], -1 when there is none.
func (h *head) length(b []byte) (int64, *Fault) {
	switch field := h.Get(ContentLength); {
	case field == nil:
		return -1, nil
	case h.Has(ContentLength) > 1:
		return -1, &Fault{LengthRepeated, int(field.Line.From)}
	default:
		text := field.Value.Of(b)
		const most = 19 // digits of the largest number
		if len(text) == 0 || len(text) > most || all(text, digit) < len(text) {
			return -1, &Fault{LengthForm, int(field.Value.From)}
		}
		var n uint64
		for _, c := range text {
			n = n*10 + uint64(c-'0')
		}
		if n > math.MaxInt64 {
			return -1, &Fault{LengthForm, int(field.Value.From)}
		}
		return int64(n), nil
	}
}

// chunked reads Transfer-Encoding [RFC 9112 6.1]: exactly one chunked, and nothing else.
func (h *head) chunked(b []byte, minor int) (bool, *Fault) {
	field := h.Get(TransferEncoding)
	if field == nil {
		return false, nil
	}
	at := int(field.Line.From)
	switch {
	case h.Has(TransferEncoding) > 1:
		return false, &Fault{CodingRepeated, at}
	case !equalFold(field.Value.Of(b), "chunked"):
		return false, &Fault{CodingForm, at}
	case int(field.Value.To)+2 != int(field.Line.To): // blanks behind it, which others keep
		return false, &Fault{CodingForm, at}
	case minor == 0:
		return false, &Fault{CodingOld, at}
	case h.Has(ContentLength) > 0:
		return false, &Fault{LengthAndCoding, at}
	}
	return true, nil
}
