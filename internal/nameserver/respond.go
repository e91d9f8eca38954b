package nameserver

import (
	"net/netip"

	"jurymast/internal/nameserver/wire"
	"jurymast/internal/snapshot"
)

// Sizes in bytes.
const (
	udpSize    = 1232  // what we send at most over UDP, and offer to receive [RFC 9715]
	plainSize  = 512   // over UDP without EDNS [RFC 1035 4.2.1]
	streamSize = 65535 // over TCP
)

// responder answers packets one after the other; every loop and connection has its own. Nothing in it outlives one
// packet.
type responder struct {
	load   func() *snapshot.Snapshot // once per packet
	slot   snapshot.Slot
	c      *counts
	silent bool // asked by ourselves: profiles' answers are not counted
	q      wire.Query

	// keepalive is how long this connection may wait for its next question, in 100 ms [RFC 7828]; 0: there is none.
	keepalive uint16
	r         response
	w         wire.Writer
}

// respond answers one packet into out[:0] and returns the message, or nil for what gets no answer. stream is true for
// transports without a datagram limit; from is the sender, if known. pkt and out must not overlap.
func (a *responder) respond(pkt, out []byte, stream bool, from netip.Addr) []byte {
	outcome := a.q.Parse(pkt)
	var reply []byte
	var rcode uint16
	switch outcome {
	case wire.Drop:
		if len(pkt) < wire.HeaderLen {
			a.c.dropped[droppedShort].Add(1)
		} else {
			a.c.dropped[droppedResponse].Add(1)
		}
		return nil
	case wire.NotOurs:
		rcode = wire.NotImp
		a.w.Begin(out, &a.q, plainSize)
		reply = a.w.Finish(&a.q, 0, rcode)
	case wire.Malformed:
		if a.q.Question == nil {
			a.c.malformed[malformedQuestion].Add(1)
		} else {
			a.c.malformed[malformedRest].Add(1)
		}
		rcode = wire.FormErr
		a.w.Begin(out, &a.q, plainSize)
		reply = a.w.Finish(&a.q, 0, rcode)
	case wire.Version:
		a.c.edns[ednsVersion].Add(1)
		rcode = wire.BadVers
		a.w.Begin(out, &a.q, plainSize)
		a.w.OPT(rcode, udpSize, a.q.DO, wire.Options{})
		reply = a.w.Finish(&a.q, 0, rcode)
	case wire.OK:
		a.r.asker.begin(from, a.q.Subnet)
		a.r.resolve(&a.q, a.load(), a.slot)
		rcode = a.r.rcode
		reply = a.message(out, a.limit(stream))
		if !a.silent {
			a.tally()
		}
	}
	a.countEDNS()
	a.c.response(rcode)
	a.c.sized(len(reply))
	return reply
}

// countEDNS counts what the question brought of it.
func (a *responder) countEDNS() {
	if !a.q.EDNS {
		return
	}
	a.c.edns[ednsAny].Add(1)
	if a.q.DO {
		a.c.edns[ednsDO].Add(1)
	}
	if a.q.Subnet != nil {
		a.c.subnets.Add(1)
	}
}

// tally counts what profiles answered.
func (a *responder) tally() {
	for i := range a.r.given {
		g := &a.r.given[i]
		g.leaf.count(a.c, g.rule).Add(1)
	}
}

// limit is the largest answer this question may get.
func (a *responder) limit(stream bool) int {
	switch {
	case stream:
		return streamSize
	case !a.q.EDNS:
		return plainSize
	}
	return min(max(int(a.q.Size), plainSize), udpSize)
}

// message writes the response. When a set does not fit, the answer is empty and TC asks to come again over TCP.
func (a *responder) message(out []byte, limit int) []byte {
	reserve, flags := 0, uint16(0)
	options := wire.Options{Errors: a.r.errors}
	if a.r.ours() {
		options.Subnet, options.Scope = a.q.Subnet, a.r.scope
	}
	if a.q.EDNS {
		reserve = wire.OPTLen + options.Len()
	}
	if a.r.aa {
		flags |= wire.FlagAA
	}
	a.w.Begin(out, &a.q, limit)
	if !a.sections(reserve) {
		flags |= wire.FlagTC
		a.w.Begin(out, &a.q, limit)
		a.c.truncated.Add(1)
	}
	if a.q.EDNS {
		a.w.OPT(a.r.rcode, udpSize, a.q.DO, options)
	}
	return a.w.Finish(&a.q, flags, a.r.rcode)
}

func (a *responder) sections(reserve int) bool {
	for i, list := range [...][]record{a.r.answer, a.r.author, a.r.glue} {
		for j := range list {
			rec := &list[j]
			section := wire.Section(i)
			if !a.w.RRset(section, rec.owner, rec.set.Type, rec.ttl, rec.set.Data, reserve) {
				if rec.optional {
					continue
				}
				return false
			}
			if rec.capped {
				a.w.CapMinimum(rec.ttl)
			}
		}
	}
	return true
}

// failure is SERVFAIL for a packet whose answering broke: header and nothing else, written without any of the code
// that broke. It is nil when the packet is too short for that.
func failure(pkt, out []byte) []byte {
	if len(pkt) < wire.HeaderLen {
		return nil
	}
	out = append(out[:0], pkt[:4]...)
	out[2] = out[2]&0x79 | 0x80 // QR, opcode and RD
	out[3] = wire.ServFail
	return append(out, 0, 0, 0, 0, 0, 0, 0, 0)
}
