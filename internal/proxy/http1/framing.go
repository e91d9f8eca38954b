package http1

import "math"

// Body says how the body behind a head is framed.
type Body uint8

// The kinds of bodies [RFC 9112 6.3].
const (
	BodyNone    Body = iota
	BodyLength       // Length bytes
	BodyChunked      // Chunks reads it
	BodyClose        // until the connection ends; of responses only
)

func (k Body) String() string {
	switch k {
	case BodyNone:
		return "none"
	case BodyLength:
		return "length"
	case BodyChunked:
		return "chunked"
	case BodyClose:
		return "until close"
	default:
		return "?"
	}
}

// length reads the one Content-Length [RFC 9112 6.2], -1 when there is none.
func (h *head) length(b []byte) (int64, *Fault) {
	field := h.Get(ContentLength)
	switch {
	case field == nil:
		return -1, nil
	case h.Has(ContentLength) > 1:
		return -1, &Fault{LengthRepeated, int(field.Line.From)}
	}
	n, ok := decimal(field.Value.Of(b))
	if !ok {
		return -1, &Fault{LengthForm, int(field.Value.From)}
	}
	return n, nil
}

// decimal reads 1 to 19 digits, of at most 63 bits.
func decimal(text []byte) (int64, bool) {
	const most = 19 // digits of the largest number
	if len(text) == 0 || len(text) > most {
		return 0, false
	}
	var n uint64
	for _, c := range text {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + uint64(c-'0')
	}
	return int64(n), n <= math.MaxInt64
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
	case field.Value.To+2 != field.Line.To: // blanks behind it, which others keep
		return false, &Fault{CodingForm, at}
	case minor == 0:
		return false, &Fault{CodingOld, at}
	case h.Has(ContentLength) > 0:
		return false, &Fault{LengthAndCoding, at}
	}
	return true, nil
}

// options is what Connection says [RFC 9110 7.6.1].
type options struct{ closes, keeps, upgrades bool }

// connection reads the Connection fields and marks the fields they name. What decides about routing, framing or identity
// must not be named: whoever removes it first decides then.
func (h *head) connection(b []byte) (o options, f *Fault) {
	if !h.have.Has(Connection) {
		return o, nil
	}
	words := 0
	for i := h.place[Connection] - 1; int(i) < len(h.Fields); i++ {
		if h.Fields[i].Known != Connection {
			continue
		}
		rest := list(h.Fields[i].Value.Of(b))
		for word := rest.next(); word != nil; word = rest.next() {
			if words++; words > h.limits.Fields { // each is looked for among all fields
				return o, &Fault{TooMany, int(h.Fields[i].Value.From)}
			}
			switch {
			case equalFold(word, "keep-alive"):
				o.keeps = true
			case equalFold(word, "close"):
				o.closes = true
			case equalFold(word, "upgrade"):
				o.upgrades = true
			case deciding.Has(known(word)):
				return o, &Fault{Protected, int(h.Fields[i].Value.From)}
			default:
				h.name(b, word)
			}
		}
	}
	return o, nil
}

// name makes the fields that Connection names stay on this hop.
func (h *head) name(b, word []byte) {
	for i := range h.Fields {
		if field := &h.Fields[i]; same(field.Name.Of(b), word) {
			if !field.Hop {
				h.Hops++
			}
			field.Hop, field.Named = true, true
		}
	}
}
