package http1

import "bytes"

// Chunks reads the framing of a chunked body [RFC 9112 7.1].
//
//	size --CRLF--> data --CRLF--> size ...
//	  \--- 0 CRLF --> trailers --empty line--> over
//
// The zero value, after Reset, stands before the first chunk.
type Chunks struct {
	given  Limits // as Reset was told
	limits Limits // with what is used for zero
	state  chunkState
	left   int64 // bytes of the chunk's data
	seen   int   // bytes of an incomplete line that hold no end of it
	tail   int   // bytes of trailers so far
	count  int   // of them
}

type chunkState uint8

const (
	atSize chunkState = iota
	inData
	atEnd // of a chunk's data: CRLF
	inTrailer
	over
)

// Reset begins a new body.
func (c *Chunks) Reset(l Limits) {
	if c.given != l || c.limits.Head == 0 {
		c.given, c.limits = l, l.or(DefaultLimits)
	}
	c.state, c.left, c.seen, c.tail, c.count = atSize, 0, 0, 0, 0
}

// Over reports that the body has ended, trailers and all.
func (c *Chunks) Over() bool { return c.state == over }

// Piece is what stands at the beginning of some bytes of a chunked body.
type Piece struct {
	Skip int    // bytes of framing
	Data int    // bytes of data behind them
	Tail []byte // a trailer field line with its CRLF, which is part of Skip
}

// Next looks at the bytes that come next. A piece without Skip and Data: more bytes are needed, at most a line.
func (c *Chunks) Next(b []byte) (p Piece, f *Fault) {
	for {
		rest := b[p.Skip:]
		switch c.state {
		case atSize:
			n, f := c.size(rest)
			if f != nil || n == 0 {
				return p, f
			}
			p.Skip += n
		case inData:
			n := int(min(c.left, int64(len(rest))))
			if c.left -= int64(n); c.left == 0 {
				c.state = atEnd
			}
			p.Data = n
			return p, nil
		case atEnd:
			if len(rest) > 0 && rest[0] != '\r' || len(rest) > 1 && rest[1] != '\n' {
				return p, &Fault{ChunkEnd, p.Skip}
			}
			if len(rest) < 2 {
				return p, nil
			}
			p.Skip += 2
			c.state = atSize
		case inTrailer:
			line, n, f := c.trailer(rest)
			p.Skip, p.Tail = p.Skip+n, line
			return p, f
		case over:
			return p, nil
		}
	}
}

// line is the line at the beginning of b without its CRLF, and its length with it; 0: it is not there yet.
func (c *Chunks) line(b []byte, limit int, rule Rule) ([]byte, int, *Fault) {
	i := bytes.IndexByte(b[c.seen:], '\n')
	if i < 0 {
		if c.seen = len(b); len(b) > limit {
			return nil, 0, &Fault{rule, 0}
		}
		return nil, 0, nil
	}
	end := c.seen + i
	c.seen = 0
	switch {
	case end+1 > limit:
		return nil, 0, &Fault{rule, 0}
	case end == 0 || b[end-1] != '\r':
		return nil, 0, &Fault{BareLF, end}
	}
	line := b[:end-1]
	if i := bytes.IndexByte(line, '\r'); i >= 0 {
		return nil, 0, &Fault{BareCR, i}
	}
	return line, end + 1, nil
}

// size reads a chunk's size in hexadecimal digits, and its extensions, which nobody is told of.
func (c *Chunks) size(b []byte) (n int, f *Fault) {
	const digits = 15 // so that the largest fits into 63 bits
	line, n, f := c.line(b, digits+c.limits.Chunk+2, ChunkExtension)
	if n == 0 {
		return 0, f
	}
	var size int64
	i := 0
	for ; i < len(line); i++ {
		d := hexadecimal(line[i])
		if d < 0 {
			break
		}
		if i == digits {
			return 0, &Fault{ChunkSize, i}
		}
		size = size<<4 | int64(d)
	}
	if i == 0 {
		return 0, &Fault{ChunkSize, 0}
	}
	if ext := line[i:]; len(ext) > 0 {
		if ext[0] != ';' || len(ext) > c.limits.Chunk {
			return 0, &Fault{ChunkExtension, i}
		}
		if j := all(ext, value); j < len(ext) {
			return 0, &Fault{ChunkExtension, i + j}
		}
	}
	if c.left, c.state = size, inData; size == 0 {
		c.state = inTrailer
	}
	return n, nil
}

func hexadecimal(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case lower(c) >= 'a' && lower(c) <= 'f':
		return int(lower(c)-'a') + 10
	}
	return -1
}

// trailer reads one field line behind the last chunk, or the empty line at the end of all.
func (c *Chunks) trailer(b []byte) (line []byte, n int, f *Fault) {
	if c.seen > 0 && bytes.IndexByte(b[c.seen:], '\n') < 0 { // as head.waits
		return nil, 0, c.room(b, nil)
	}
	if len(b) > 1 && b[0] == '\r' && b[1] == '\n' {
		c.state = over
		return nil, 2, nil
	}
	var field Field
	switch n, f = field.parse(b, 0); {
	case n == 0:
		return nil, 0, c.room(b, f)
	case heading.Has(field.Known):
		return nil, 0, &Fault{Trailer, 0}
	}
	c.seen, c.tail, c.count = 0, c.tail+n, c.count+1
	switch {
	case c.tail > c.limits.Tail:
		return nil, 0, &Fault{HeadTooLong, 0}
	case c.count > c.limits.Fields:
		return nil, 0, &Fault{TooMany, 0}
	}
	return b[:n], n, nil
}

// room is what is said of a trailer that could not be read: f, or that there is too much of it, or nothing.
func (c *Chunks) room(b []byte, f *Fault) *Fault {
	if c.seen = len(b); f == nil && c.tail+len(b) > c.limits.Tail {
		return &Fault{HeadTooLong, 0}
	}
	return f
}
