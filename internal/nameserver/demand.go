package nameserver

import (
	"hash/maphash"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"jurymast/internal/nameserver/batch"
	"jurymast/internal/nameserver/wire"
)

// Limits of what UDP questions may have signed for them.
const (
	demandQueue  = 1024 // questions that wait
	demandPrefix = 500  // questions a second of one network, IPv4 /24 or IPv6 /56
	demandSent   = 1000 // a second, of answers with TC=1 instead
	demandTable  = 4096 // places to count networks; some share one
)

// What happened to UDP questions whose answer had to be signed first.
const (
	demandAnswered  = iota
	demandTruncated // the queue or the network's share was full: sent empty with TC=1
	demandDropped   // so many of these that even that was too much
	demandKinds
)

var demandNames = [demandKinds]string{"answered", "truncated", "dropped"}

// demander takes the UDP questions whose answers lack a signature off the loops' hands. Its workers answer them through
// the same sockets; the queue never grows, and nobody waits for room in it.
//
//	room, and the network asks for few     signed and answered by a worker
//	no room, or too many                   TC=1: over TCP the client's address is real, and it waits itself
//	too many of those                      no answer
type demander struct {
	s       *Server
	queue   chan demanded
	counts  [demandKinds]atomic.Uint64
	seed    maphash.Seed
	sent    allowance
	over    sync.Once
	sources [demandTable]allowance
}

// demanded is a question that waits.
type demanded struct {
	packet []byte
	from   netip.Addr
	reply  batch.Reply
}

func newDemander(s *Server) *demander {
	return &demander{s: s, queue: make(chan demanded, demandQueue), seed: maphash.MakeSeed()}
}

// allowance counts up to a number in each second: the second in the upper half, the count in the lower.
type allowance struct{ atomic.Uint64 }

func (a *allowance) take(second int64, most uint32) bool {
	for {
		was := a.Load()
		is := uint64(second)<<32 | 1 //nolint:gosec // modulo 2^32
		if was>>32 == is>>32 {
			if uint32(was) >= most { //nolint:gosec // the lower half
				return false
			}
			is = was + 1
		}
		if a.CompareAndSwap(was, is) {
			return true
		}
	}
}

// later has a worker answer the i-th message of a batch; the reply is what is sent at once instead, nil for nothing.
func (d *demander) later(b *batch.Batch, i int, a *responder) []byte {
	m, second := &b.Messages[i], time.Now().Unix()
	source, _ := network(m.From.Addr()).MarshalBinary() // never fails
	place := &d.sources[maphash.Bytes(d.seed, source)%demandTable]
	if len(d.queue) < cap(d.queue) && place.take(second, demandPrefix) { // a flood copies nothing that has no room
		waiting := demanded{append([]byte(nil), m.Packet...), m.From.Addr(), b.Later(i)}
		select {
		case d.queue <- waiting:
			return nil
		default:
		}
	}
	if d.sent.take(second, demandSent) {
		d.counts[demandTruncated].Add(1)
		return a.truncated(m.Buffer)
	}
	d.counts[demandDropped].Add(1)
	return nil
}

// truncated asks to come again over TCP.
func (a *responder) truncated(out []byte) []byte {
	a.unsigned = false
	o := a.options(false)
	reply := a.empty(out, wire.FlagTC|wire.FlagAA, wire.Success, &o)
	if a.session != nil {
		reply = a.session.Sign(reply, time.Now())
	}
	a.c.truncated.Add(1)
	a.countEDNS()
	a.c.response(wire.Success)
	a.c.sized(len(reply))
	return reply
}

// work answers questions until there will be no more.
func (d *demander) work() {
	a, out := d.s.responder(d.s.m.take()), make([]byte, 0, udpSize+wireSlack)
	a.worker = true
	defer func() { d.s.m.give(a.c) }()
	for q := range d.queue {
		d.one(a, q, out)
	}
}

// close says that there will be no more questions.
func (d *demander) close() { d.over.Do(func() { close(d.queue) }) }

func (d *demander) one(a *responder, q demanded, out []byte) {
	a.refresh()
	reply := d.s.answer(a, q.packet, out, false, q.from)
	if reply == nil {
		return
	}
	if err := q.reply(reply); err != nil {
		a.c.unsent.Add(1)
		return
	}
	d.counts[demandAnswered].Add(1)
}
