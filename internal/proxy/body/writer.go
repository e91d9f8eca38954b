package body

import (
	"strconv"

	"jurymast/internal/proxy/wire"
)

// gather is the size up to which a piece is copied behind what waits to be sent: one write is cheaper than two.
const gather = 8 << 10

// Writer puts framing on a body. What it is told is gathered until there is enough of it, or until Flush.
type Writer struct {
	dst     *wire.Conn
	chunked bool
	room    []byte // head and framing that wait to be sent
	total   int64
}

// Reset begins a message of which head, possibly empty, is to be sent first. The Writer goes on with its memory.
func (w *Writer) Reset(dst *wire.Conn, head []byte) {
	w.dst, w.room, w.chunked, w.total = dst, head, false, 0
}

// Chunked makes what follows a chunked body [RFC 9112 7.1].
func (w *Writer) Chunked() { w.chunked = true }

// Room is the Writer's memory: what waits, and space behind it.
func (w *Writer) Room() []byte { return w.room }

// Total is the number of bytes of data taken.
func (w *Writer) Total() int64 { return w.total }

// Write takes a piece of data.
func (w *Writer) Write(p []byte) error {
	if len(p) == 0 {
		return nil
	}
	w.total += int64(len(p))
	if w.chunked {
		w.room = strconv.AppendUint(w.room, uint64(len(p)), 16)
		w.room = append(w.room, "\r\n"...)
	}
	if len(p) <= gather {
		w.room = append(w.room, p...)
		p = nil
	}
	if p != nil || len(w.room) > gather {
		if err := w.send(p); err != nil {
			return err
		}
	}
	if w.chunked {
		w.room = append(w.room, "\r\n"...)
	}
	return nil
}

// send sends what waits, and p behind it.
func (w *Writer) send(p []byte) (err error) {
	if len(p) == 0 {
		_, err = w.dst.Write(w.room)
	} else {
		_, err = w.dst.Write2(w.room, p)
	}
	w.room = w.room[:0]
	return err //nolint:wrapcheck // whoever asked knows the connection
}

// Flush sends what waits.
func (w *Writer) Flush() error {
	if len(w.room) == 0 {
		return nil
	}
	return w.send(nil)
}

// End ends a chunked body with its trailers, each with its CRLF, and sends what waits.
func (w *Writer) End(tail []byte) error {
	if w.chunked {
		w.room = append(w.room, "0\r\n"...)
		w.room = append(w.room, tail...)
		w.room = append(w.room, "\r\n"...)
	}
	return w.Flush()
}
