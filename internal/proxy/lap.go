package proxy

import (
	"sync"

	"jurymast/internal/proxy/body"
	"jurymast/internal/proxy/http1"
	"jurymast/internal/proxy/wire"
)

// Sizes of buffers. A head of ordinary length and the beginning of a body fit into the first.
const (
	bufferUsual = 16 << 10
	bufferLarge = 64 << 10
)

// lap is the memory of one exchange after the other on a connection. A connection that waits for its next request has
// none: thousands of idle ones cost next to nothing.
type lap struct {
	in      *[]byte // what came from the client: the head, what follows it
	inLarge *[]byte // of a long request body
	back    *[]byte // what came from the origin
	toward  []byte  // what goes to the origin
	reply   []byte  // what goes to the client

	req      http1.Request
	resp     http1.Response
	upstream body.Writer // of the request's body
	answered body.Reader // of the answer's body
	x        exchange
	a        attempt
	up       upload
}

var laps = sync.Pool{New: func() any {
	return &lap{toward: make([]byte, 0, bufferUsual), reply: make([]byte, 0, bufferUsual)}
}}

func takeLap() *lap {
	l := laps.Get().(*lap) //nolint:errcheck // only laps are in the pool
	if l.in == nil {
		l.in = wire.Get(bufferUsual)
	}
	if l.back == nil {
		l.back = wire.Get(bufferUsual)
	}
	return l
}

// usual gives a buffer back that is larger than most requests need.
func usual(b *[]byte) *[]byte {
	if len(*b) == bufferUsual {
		return b
	}
	wire.Put(b)
	return nil
}

// give returns the memory. Nobody else may hold any of it.
func (l *lap) give() {
	l.in, l.back = usual(l.in), usual(l.back)
	if l.inLarge != nil {
		wire.Put(l.inLarge)
		l.inLarge = nil
	}
	l.up.release()
	if cap(l.toward) > bufferLarge {
		l.toward = make([]byte, 0, bufferUsual)
	}
	if cap(l.reply) > bufferLarge {
		l.reply = make([]byte, 0, bufferUsual)
	}
	l.x, l.up = exchange{}, upload{}
	laps.Put(l)
}
