package traffic

import (
	"net/netip"
	"sync/atomic"

	"jurymast/internal/nameserver/tap"
	"jurymast/internal/nameserver/wire"
)

const (
	ringSize = 1024
	perTurn  = 200     // copies of one loop that are wanted between two looks at its ring
	maxEvery = 1 << 16 // questions for one copy
)

// Loop is the side of one loop that answers questions; only that loop uses it.
type Loop struct {
	left  uint32 // questions until the next copy
	drawn uint32 // what left began with: the copy counts for so many
	lost  uint32 // questions of copies that did not fit; the next one counts for them too
	dice  uint64
	every atomic.Uint32 // questions for one copy, on average
	ring  *tap.Ring[sample]

	turn uint64 // the reader's: questions since it chose every
}

// sample is one question in a ring.
type sample struct {
	client  netip.Prefix
	profile string
	weight  uint32
	kind    uint16 // type asked for
	rcode   uint16
	limited bool
	length  uint8
	name    [wire.MaxName]byte
}

func newLoop(seed uint64) *Loop {
	l := &Loop{left: 1, drawn: 1, dice: seed | 1, ring: tap.NewRing[sample](ringSize)}
	l.every.Store(1)
	return l
}

// Pass counts one question unless it is one to be copied, which has to be shown to Seen instead.
func (l *Loop) Pass() bool {
	if l.left > 1 {
		l.left--
		return true
	}
	return false
}

// Seen counts one question.
func (l *Loop) Seen(f *tap.Facts) {
	if !l.Pass() {
		l.copy(f)
	}
}

func (l *Loop) copy(f *tap.Facts) {
	weight := l.drawn + l.lost
	if s := l.ring.Next(); s != nil {
		s.client, s.profile, s.weight, s.kind, s.rcode = Client(f.Client, f.Subnet), f.Profile, weight, f.Type, f.Rcode
		s.limited = f.Limited != tap.Whole
		s.length = uint8(copy(s.name[:], f.Name)) //nolint:gosec // at most 255
		l.ring.Put()
		l.lost = 0
	} else {
		l.lost = weight
	}
	l.draw()
}

// draw chooses how many questions are left out, at random around the wanted number: a fixed one could go along with a
// pattern in the questions.
func (l *Loop) draw() {
	n := l.every.Load()
	if n > 1 {
		l.dice ^= l.dice << 13 // xorshift: nothing is gained by guessing it
		l.dice ^= l.dice >> 7
		l.dice ^= l.dice << 17
		n = 1 + uint32(l.dice>>32)%(2*n-1)
	}
	l.left, l.drawn = n, n
}

// pace chooses how many questions go by for one copy, from how many there were since the last time.
func (l *Loop) pace(questions uint64) {
	every := uint32(1)
	for every < maxEvery && questions > uint64(every)*perTurn {
		every *= 2
	}
	l.every.Store(every)
}

// How much of an address is told apart, in bits.
const (
	bits4 = 24
	bits6 = 56
)

// Client is the network a question is counted for: that of the client subnet if it tells one, else that of the sender,
// in both cases at most an IPv4 /24 or IPv6 /56. It is invalid when neither is known.
func Client(sender netip.Addr, subnet []byte) netip.Prefix {
	addr, bits := sender.Unmap().WithZone(""), bits6
	if subnet != nil {
		if told, length, _ := wire.Subnet(subnet); length > 0 {
			addr, bits = told, min(bits, length)
		}
	}
	if addr.Is4() {
		bits = min(bits, bits4)
	}
	p, _ := addr.Prefix(bits) // fails on an invalid address only
	return p
}
