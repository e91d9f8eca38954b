package proxy

import (
	"sync"
	"sync/atomic"

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
	memory  []byte
	owned   [2][]byte

	req      http1.Request
	resp     http1.Response
	upstream body.Writer // of the request's body
	answered body.Reader // of the answer's body
	out      reply       // its head
	x        exchange
	a        attempt
	up       upload
}

// Where buffers begin decides about speed: beginnings that are a power of two apart fall into the same few lines of a
// processor's cache, and of many exchanges at once each pushes the other out. So a lap's buffers stand apart by an odd
// number of lines, and laps begin at different ones.
const (
	line    = 64
	apart   = bufferUsual + 19*line
	colours = 16
	slab    = 4*apart + colours*9*line
)

var colour atomic.Uint32

var laps = sync.Pool{New: func() any {
	from := int(colour.Add(1)%colours) * 9 * line
	l := &lap{memory: make([]byte, slab)[from:]}
	l.own()
	return l
}}

// own makes the lap's own memory its buffers.
func (l *lap) own() {
	part := func(i int) []byte { return l.memory[i*apart : i*apart+bufferUsual : i*apart+bufferUsual] }
	l.owned = [2][]byte{part(0), part(1)}
	l.in, l.back = &l.owned[0], &l.owned[1]
	l.toward, l.reply = part(2)[:0], part(3)[:0]
}

func takeLap() *lap { return laps.Get().(*lap) } //nolint:errcheck // only laps are in the pool

// trade takes a larger buffer instead of one of the two that are read into.
func (l *lap) trade(buffer **[]byte, larger *[]byte) {
	if *buffer != &l.owned[0] && *buffer != &l.owned[1] {
		wire.Put(*buffer)
	}
	*buffer = larger
}

// give returns the memory. Nobody else may hold any of it.
func (l *lap) give() {
	if l.inLarge != nil {
		wire.Put(l.inLarge)
		l.inLarge = nil
	}
	l.trade(&l.in, nil)
	l.trade(&l.back, nil)
	l.up.release()
	if l.memory == nil {
		return
	}
	l.own()
	l.x, l.up = exchange{}, upload{}
	laps.Put(l)
}

// strip lets go of the buffers of an exchange that will last: what is in them must have been copied.
func (l *lap) strip() {
	l.trade(&l.in, nil)
	l.trade(&l.back, nil)
	l.memory, l.toward, l.reply, l.owned = nil, nil, nil, [2][]byte{}
	l.upstream, l.answered, l.out = body.Writer{}, body.Reader{}, reply{}
}
