package http1

import (
	"bytes"
	"math"
)

// Limits of heads, in bytes and numbers. What is zero is as in DefaultLimits.
type Limits struct {
	Line   int // first line, with its end
	Head   int // everything up to and including the empty line
	Fields int // at most 65535
	Chunk  int // extensions of one chunk
	Tail   int // trailers, all of them
}

// DefaultLimits are used for what is zero.
var DefaultLimits = Limits{Line: 16 << 10, Head: 64 << 10, Fields: 256, Chunk: 256, Tail: 16 << 10}

func (l Limits) or(d Limits) Limits {
	pick := func(n, otherwise, most int) int {
		if n <= 0 || n > most {
			return otherwise
		}
		return n
	}
	return Limits{
		pick(l.Line, d.Line, math.MaxInt32), pick(l.Head, d.Head, math.MaxInt32), pick(l.Fields, d.Fields, math.MaxUint16),
		pick(l.Chunk, d.Chunk, math.MaxInt32), pick(l.Tail, d.Tail, math.MaxInt32),
	}
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
	Named bool // Connection names it; then Hop, too
	odd   bool // its name is not only letters and -
}

// head is what requests and responses have in common.
type head struct {
	Fields []Field // in their order; the memory is used again
	Hops   int     // how many of them are not passed on
	Odd    bool    // there are names of more than letters and -; see Alike

	given  Limits // as Reset was told
	limits Limits // with what is used for zero
	at     int    // where the line that is not complete yet begins
	seen   int    // bytes looked at when there were too few
	first  bool   // the first line is read
	blank  bool   // an empty line stood before it
	have   Set
	place  [count]uint16 // of the first one of each in Fields, plus 1; of those in have
	number [count]uint16 // of each; of those in have
}

func (h *head) reset(l Limits) {
	if h.given != l || h.limits.Head == 0 {
		h.given, h.limits = l, l.or(DefaultLimits)
	}
	h.Fields, h.Hops, h.Odd, h.at, h.seen, h.first, h.blank, h.have = h.Fields[:0], 0, false, 0, 0, false, false, 0
}

// Any reports that there are fields of the set.
func (h *head) Any(s Set) bool { return h.have&s != 0 }

// Has reports how many fields of that name there are. Other are not counted.
func (h *head) Has(k Known) int {
	if !h.have.Has(k) {
		return 0
	}
	return int(h.number[k])
}

// Get is the first field of that name, or nil.
func (h *head) Get(k Known) *Field {
	if !h.have.Has(k) {
		return nil
	}
	return &h.Fields[h.place[k]-1]
}

// stop is what a parser says that could not go on: f, or without one nothing, as more bytes are needed; in both cases that the
// head is too long, if it was before.
func (h *head) stop(b []byte, f *Fault) *Fault {
	end := len(b)
	if f != nil {
		end = f.At + 1
	}
	h.seen = end
	if long := h.room(end); long != nil {
		return long
	}
	return f
}

// waits reports that there is still no end of the line that was too short before: it is not read again with every byte.
func (h *head) waits(b []byte) bool {
	return h.seen > h.at && bytes.IndexByte(b[h.seen:], '\n') < 0
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

// fields reads field lines up to the empty one. n is where the head ends, 0 when it does not yet.
func (h *head) fields(b []byte) (n int, f *Fault) {
	if h.waits(b) {
		return 0, h.stop(b, nil)
	}
	for {
		i := h.at
		if i+1 < len(b) && b[i] == '\r' && b[i+1] == '\n' {
			return i + 2, h.room(i + 2)
		}
		if i < len(b) && b[i] != '\r' && len(h.Fields) == h.limits.Fields {
			return 0, h.stop(b, &Fault{TooMany, i})
		}
		h.Fields = append(h.Fields, Field{})
		next, f := h.Fields[len(h.Fields)-1].parse(b, i)
		if next == 0 {
			h.Fields = h.Fields[:len(h.Fields)-1]
			return 0, h.stop(b, f)
		}
		if f := h.room(next); f != nil {
			return 0, f
		}
		h.count()
		h.at = next
	}
}

// count counts the last field.
func (h *head) count() {
	f := &h.Fields[len(h.Fields)-1]
	h.Odd = h.Odd || f.odd
	if f.Known == Other {
		return
	}
	if h.number[f.Known]++; !h.have.Has(f.Known) {
		h.have |= 1 << f.Known
		h.number[f.Known], h.place[f.Known] = 1, uint16(len(h.Fields)) //nolint:gosec // as many as the limit, at most 65535
	}
	if f.Hop {
		h.Hops++
	}
}

// parse reads the field line that begins at i and returns where the next one does, or a fault, or neither: it is not complete.
func (f *Field) parse(b []byte, i int) (next int, fault *Fault) {
	colon, plain := nameEnd(b, i)
	if colon == len(b) {
		return 0, nil
	}
	if b[colon] != ':' || colon == i {
		return 0, nameFault(b, i, colon)
	}
	from := colon + 1
	for from < len(b) && blank(b[from]) {
		from++
	}
	end := valueEnd(b, from)
	if end >= len(b)-1 {
		return 0, nil
	}
	if b[end] != '\r' || b[end+1] != '\n' {
		return 0, lineFault(b, end, Control)
	}
	to := end
	for to > from && blank(b[to-1]) {
		to--
	}
	if !plain {
		if f.odd = true; alike(b[i:colon]) != Other {
			return 0, &Fault{NameAlias, i}
		}
	}
	f.Line, f.Name, f.Value = span(i, end+2), span(i, colon), span(from, to)
	f.Known = known(b[i:colon])
	f.Hop = hops.Has(f.Known)
	return end + 2, nil
}

// nameFault says what is wrong with the line at from, whose name is broken off at i. Nothing: more bytes are needed.
func nameFault(b []byte, from, i int) *Fault {
	switch {
	case b[i] == '\r', b[i] == '\n':
		return lineFault(b, i, NoColon)
	case i == from && b[i] == ':':
		return &Fault{NameEmpty, i}
	case i == from && blank(b[i]):
		return &Fault{ObsFold, i}
	case !blank(b[i]):
		return &Fault{NameToken, i}
	}
	for ; i < len(b) && blank(b[i]); i++ { //nolint:revive // looks for what comes behind
	}
	switch {
	case i == len(b):
		return nil
	case b[i] == ':':
		return &Fault{NameBlank, i}
	}
	return &Fault{NameToken, i}
}

// lineFault says what is wrong with the byte at i: the line ends there in a wrong way, or else too early or with something it
// cannot have, which is otherwise. Nothing: more bytes are needed.
func lineFault(b []byte, i int, otherwise Rule) *Fault {
	switch {
	case b[i] == '\n':
		return &Fault{BareLF, i}
	case b[i] == '\r' && i+1 == len(b):
		return nil
	case b[i] == '\r' && b[i+1] != '\n':
		return &Fault{BareCR, i}
	}
	return &Fault{otherwise, i}
}

// version reads HTTP/1.0 or HTTP/1.1 and returns its minor number, or -1.
func version(b []byte) int {
	if len(b) != 8 || string(b[:7]) != "HTTP/1." || b[7] != '0' && b[7] != '1' {
		return -1
	}
	return int(b[7] - '0')
}
