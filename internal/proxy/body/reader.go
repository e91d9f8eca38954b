package body

import (
	"errors"
	"io"

	"jurymast/internal/proxy/http1"
)

// ErrCut says that the connection ended before the body did.
var ErrCut = errors.New("the connection ended inside a body")

// Reader takes the framing off a body. Its memory is a buffer that it is given, part of which may hold bytes already.
type Reader struct {
	src    io.Reader
	buf    []byte
	base   int // what stands before it belongs to somebody else
	from   int // bytes that are there: buf[from:to]
	to     int
	kind   http1.Body
	left   int64 // of a body with a length: what has not been given out
	chunks http1.Chunks
	over   bool
	tail   []byte // trailers, as they came
	total  int64
}

// Reset begins a body whose first bytes, if any, are buf[from:to]; nothing before from is written to.
func (r *Reader) Reset(src io.Reader, buf []byte, from, to int, kind http1.Body, length int64) {
	r.src, r.buf, r.base, r.from, r.to = src, buf, from, from, to
	r.kind, r.left, r.over, r.tail, r.total = kind, 0, false, r.tail[:0], 0
	switch kind {
	case http1.BodyNone:
		r.over = true
	case http1.BodyLength:
		r.left, r.over = length, length == 0
	case http1.BodyChunked:
		r.chunks.Reset(http1.Limits{})
	case http1.BodyClose:
	}
}

// Free gives the Reader the whole of its buffer: what stood before the body is not needed any more.
func (r *Reader) Free() { r.base = 0 }

// Use changes the buffer. What is in the old one must have been given out.
func (r *Reader) Use(buf []byte) {
	n := copy(buf, r.buf[r.from:r.to])
	r.buf, r.base, r.from, r.to = buf, 0, 0, n
}

// Over reports that the body has ended, trailers and all.
func (r *Reader) Over() bool { return r.over }

// Rest are the bytes behind the end of the body.
func (r *Reader) Rest() []byte { return r.buf[r.from:r.to] }

// Tail are the trailer fields, as they came, when the body is over.
func (r *Reader) Tail() []byte { return r.tail }

// Total is the number of bytes of data given out.
func (r *Reader) Total() int64 { return r.total }

// Left is what is missing of a body with a length.
func (r *Reader) Left() int64 { return r.left }

// Passed tells that n bytes of a body with a length went another way, straight from the connection.
func (r *Reader) Passed(n int64) {
	r.total += n
	r.left -= n
	r.over = r.left == 0
}

// Ready gives the next piece without reading from the connection. An empty one: there is none, see Over. The piece is
// valid until the next call of any method but Over.
func (r *Reader) Ready() ([]byte, error) {
	switch {
	case r.over:
		return nil, nil
	case r.kind == http1.BodyChunked:
		return r.chunk()
	}
	piece := r.buf[r.from:r.to]
	if r.kind == http1.BodyLength {
		piece = piece[:min(int64(len(piece)), r.left)]
		r.left -= int64(len(piece))
		r.over = r.left == 0
	}
	r.from += len(piece)
	r.total += int64(len(piece))
	return piece, nil
}

func (r *Reader) chunk() ([]byte, error) {
	for r.from < r.to {
		p, f := r.chunks.Next(r.buf[r.from:r.to])
		if f != nil {
			return nil, f
		}
		if len(p.Tail) > 0 {
			r.tail = append(r.tail, p.Tail...)
		}
		at := r.from + p.Skip
		r.from = at + p.Data
		if r.over = r.chunks.Over(); p.Data > 0 {
			r.total += int64(p.Data)
			return r.buf[at:r.from], nil
		}
		if p.Skip == 0 || r.over {
			break
		}
	}
	return nil, nil
}

// Next gives the next piece, and reads when there is none. io.EOF: the body is over. ErrCut, a *http1.Fault or the
// connection's error: it never will be.
func (r *Reader) Next() ([]byte, error) {
	for {
		piece, err := r.Ready()
		switch {
		case err != nil:
			return nil, err
		case len(piece) > 0:
			return piece, nil
		case r.over:
			return nil, io.EOF
		}
		if err := r.Fill(); err != nil {
			return nil, err
		}
	}
}

// Fill reads once from the connection, when Ready has nothing more.
func (r *Reader) Fill() error {
	if r.from == r.to {
		r.from, r.to = r.base, r.base
	}
	if r.to == len(r.buf) {
		n := copy(r.buf[r.base:], r.buf[r.from:r.to])
		r.from, r.to = r.base, r.base+n
	}
	if r.to == len(r.buf) {
		return &http1.Fault{Rule: http1.LineTooLong}
	}
	n, err := r.src.Read(r.buf[r.to:])
	r.to += n
	switch {
	case n > 0:
		return nil
	case !errors.Is(err, io.EOF):
		return err //nolint:wrapcheck // whoever asked knows the connection
	case r.kind == http1.BodyClose:
		r.over = true
		return nil
	}
	return ErrCut
}
