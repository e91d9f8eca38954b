package proxy

import (
	"net/http"
	"strconv"
	"time"

	"jurymast/internal/proxy/http1"
)

// source is where the body of a request comes from.
type source interface {
	// next gives the next piece, valid until the next call; io.EOF: the body is over.
	next() ([]byte, error)
	// ready is next without waiting; an empty piece: nothing is there now. over: it was the last.
	ready() (piece []byte, over bool, err error)
	// tail are the trailer fields, as they came, when the body is over.
	tail() []byte
	// halt makes a next that blocks, and every later one, fail. It may be called from another goroutine.
	halt()
}

// sink is where the answer goes. An error of its methods means that the client is gone.
type sink interface {
	// begin sends a 1xx, or begins an answer: its head leaves with the first bytes, at the latest at flush or end.
	begin(a *reply) error
	write(p []byte) error
	flush() error
	// end ends the body, with trailer fields as they came.
	end(tail []byte) error
	// left reports that the client has gone. It may be called from another goroutine.
	left() bool
}

// reply is the head of an answer.
type reply struct {
	at     time.Time // about now
	status int
	line   []byte          // from an origin: the status line behind the version, with its CRLF; nil: of our own
	head   *http1.Response // whose fields are passed on; nil: none
	bytes  []byte          // that head was read from
	extra  []byte          // fields of ours, each with its CRLF
	body   http1.Body
	closes bool   // the client's connection ends with this answer
	hop    []byte // value of Upgrade for a 101
}

// render appends the head as it stands before minor version 1 or 0 of HTTP/1.
func (a *reply) render(b []byte, minor int, keeps bool) []byte {
	b = append(b, "HTTP/1.1"...)
	if a.line != nil {
		b = append(b, a.line...)
	} else {
		b = append(b, ' ')
		b = strconv.AppendInt(b, int64(a.status), 10)
		b = append(b, ' ')
		b = append(b, http.StatusText(a.status)...)
		b = append(b, "\r\n"...)
	}
	if a.head != nil {
		b = appendFields(b, a.head.Fields, a.bytes)
	}
	b = append(b, a.extra...)
	if a.body == http1.BodyChunked && minor == 1 {
		b = append(b, "Transfer-Encoding: chunked\r\n"...)
	}
	switch {
	case a.hop != nil:
		b = append(b, "Connection: Upgrade\r\nUpgrade: "...)
		b = append(b, a.hop...)
		b = append(b, "\r\n"...)
	case a.status < http.StatusOK:
	case a.closes:
		b = append(b, "Connection: close\r\n"...)
	case keeps:
		b = append(b, "Connection: keep-alive\r\n"...)
	}
	return append(b, "\r\n"...)
}

// appendFields copies field lines as they came, but for those of one hop. Neighbours are copied at once.
func appendFields(b []byte, fields []http1.Field, from []byte) []byte {
	for i := 0; i < len(fields); i++ {
		if fields[i].Hop {
			continue
		}
		first := i
		for i+1 < len(fields) && !fields[i+1].Hop {
			i++
		}
		b = append(b, from[fields[first].Line.From:fields[i].Line.To]...)
	}
	return b
}
