// Package tap carries what is known of answered questions away from the loops that answer them: Facts, and a ring from
// one writer to one reader. It never blocks, locks or allocates on the writer's side; what does not fit is the writer's to
// count.
package tap

import (
	"net/netip"
	"sync/atomic"
	"time"
)

// Transport is how a question came.
type Transport uint8

// The transports.
const (
	UDP Transport = iota
	TCP
	DoT // DNS over TLS [RFC 7858]
	DoH // DNS over HTTPS [RFC 8484]
	DoQ // DNS over QUIC [RFC 9250]

	Transports = int(iota) // how many there are
)

// Encrypted reports that nobody on the way reads the questions.
func (t Transport) Encrypted() bool { return t >= DoT }

// String is the word for a transport in logs.
func (t Transport) String() string {
	switch t {
	case UDP:
		return "udp"
	case TCP:
		return "tcp"
	case DoT:
		return "dot"
	case DoH:
		return "doh"
	case DoQ:
		return "doq"
	}
	return "unknown"
}

// Limit is what became of an answer that its client gets too many of.
type Limit uint8

// The limits.
const (
	Whole   Limit = iota // nothing: it was sent as it is
	Dropped              // not sent
	Slipped              // sent without records, with TC=1
	Told                 // BADCOOKIE in its place
)

// String is the word for a limit in logs, "" for Whole.
func (l Limit) String() string {
	switch l {
	case Dropped:
		return "drop"
	case Slipped:
		return "slip"
	case Told:
		return "badcookie"
	case Whole:
	}
	return ""
}

// Facts are what is known of one question when its answer is written. Its slices belong to the packet: who keeps
// something copies it.
type Facts struct {
	Client    netip.Addr // sender; invalid: not known
	Subnet    []byte     // contents of the question's client subnet, checked; nil: none
	Name      []byte     // asked for, in wire form as it came; nil: it could not be read
	Type      uint16
	Rcode     uint16 // extended [RFC 6891]
	Flags     uint16 // of the answer's header
	DO        bool   // the question wants signatures
	Transport Transport
	Size      int   // of the answer, in bytes; 0: it was dropped
	Limited   Limit // the client gets too many answers

	Profile  string    // the first one that was asked; "": a static name, or none of ours
	Endpoint string    // of the answer; "": none
	Reason   string    // of the choice
	Epoch    uint64    // of the profile's decision; 0: it has none
	TTL      uint32    // of the first record, in seconds
	Received time.Time // the question; zero: not measured
}

// line keeps what the writer and the reader change apart, in bytes.
const line = 128

// Ring hands values from one writer to one reader. Make it with NewRing.
type Ring[T any] struct {
	slots []T
	_     [line]byte
	head  atomic.Uint64 // how many were put
	seen  uint64        // the tail as the writer saw it last
	_     [line]byte
	tail  atomic.Uint64 // how many were taken
	_     [line]byte
}

// NewRing makes one for n values, rounded up to a power of two.
func NewRing[T any](n int) *Ring[T] {
	size := 1
	for size < n {
		size *= 2
	}
	return &Ring[T]{slots: make([]T, size)}
}

// Next is the place for the writer's next value, as it was left there some time ago, or nil when the ring is full. It is
// the reader's from Put on.
func (r *Ring[T]) Next() *T {
	head := r.head.Load()
	if head-r.seen == uint64(len(r.slots)) {
		if r.seen = r.tail.Load(); head-r.seen == uint64(len(r.slots)) {
			return nil
		}
	}
	return &r.slots[head&uint64(len(r.slots)-1)] //nolint:gosec // a length is positive
}

// Put hands over what Next returned.
func (r *Ring[T]) Put() { r.head.Store(r.head.Load() + 1) }

// Drain calls take with every value there is now, oldest first, and gives its place back when take returns. What is put
// meanwhile is left for the next time: a reader that is slower than its writers would never get to the other rings.
func (r *Ring[T]) Drain(take func(*T)) {
	head := r.head.Load()
	for tail := r.tail.Load(); tail != head; tail++ {
		take(&r.slots[tail&uint64(len(r.slots)-1)]) //nolint:gosec // a length is positive
		r.tail.Store(tail + 1)
	}
}
