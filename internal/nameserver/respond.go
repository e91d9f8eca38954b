package nameserver

import (
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"

	"jurymast/internal/nameserver/cookie"
	"jurymast/internal/nameserver/rrl"
	"jurymast/internal/nameserver/sign"
	"jurymast/internal/nameserver/tap"
	"jurymast/internal/nameserver/tsig"
	"jurymast/internal/nameserver/wire"
	"jurymast/internal/snapshot"
)

// Sizes in bytes.
const (
	udpSize    = 1232  // what we send at most over UDP, and offer to receive, unless configured [RFC 9715]
	plainSize  = 512   // over UDP without EDNS [RFC 1035 4.2.1]
	streamSize = 65535 // over TCP
)

// responder answers packets one after the other; every loop and connection has its own. Nothing in it outlives one
// packet.
type responder struct {
	load   func() *snapshot.Snapshot
	snap   *snapshot.Snapshot // of refresh: what questions are answered from
	slot   snapshot.Slot
	c      *counts
	silent bool // asked by ourselves: profiles' answers are not counted
	via    tap.Transport
	q      wire.Query

	// keepalive is how long this connection may wait for its next question, in 100 ms [RFC 7828]; 0: there is none.
	keepalive uint16
	r         response
	w         wire.Writer

	set     *manners
	cookie  []byte             // to return; empty: none
	greeted cookie.State       // of the question's cookie
	key     [wire.MaxName]byte // of quick: the asked name in lower case
	record  [wire.MaxName + 12]byte

	eyes  *eyes // nil: nobody looks
	facts tap.Facts
	port  uint16 // the sender's, while eyes copy what is on the wire

	signing  *signing
	demand   *demander // signs later what is missing; nil: this responder signs itself
	worker   bool      // it answers what others put off
	unsigned bool      // the last question has to be answered by somebody who signs
	content  sign.Set
	lower    [wire.MaxName]byte
	data     [][]byte // of signatures

	ring     *atomic.Pointer[tsig.Ring] // keys of signed questions
	session  *tsig.Session              // of the question, nil: it is not signed
	verified int                        // what came of its signature
	packet   []byte                     // the question as it came
	server   *Server
	streams  func(*sending) bool // begins a transfer; nil: this transport has none
	sending  bool                // the last question began one
	passed   bool                // the last question has been counted, and nobody wants its facts

	limits *rrl.Loop // nil: its answers are not limited
}

// refresh takes the current snapshot: once for each batch of datagrams, once for each question on a stream.
func (a *responder) refresh() { a.snap = a.load() }

// respond answers one packet into out[:0] and returns the message, or nil for what gets no answer. stream is true for
// transports without a datagram limit; from is the sender, if known. pkt and out must not overlap.
func (a *responder) respond(pkt, out []byte, stream bool, from netip.Addr) []byte {
	a.unsigned, a.greeted = false, cookie.None
	outcome := a.q.Parse(pkt)
	var reply []byte
	var rcode uint16
	a.packet = pkt
	if a.session = nil; a.q.TSIG != 0 {
		outcome = a.verify(pkt, outcome)
	}
	switch outcome {
	case wire.Drop:
		if len(pkt) < wire.HeaderLen {
			a.c.dropped[droppedShort].Add(1)
		} else {
			a.c.dropped[droppedResponse].Add(1)
		}
		return nil
	case wire.NotOurs: // what it knows as OPT is not read, so none goes back
		rcode, reply = wire.NotImp, a.bare(out, wire.NotImp, from)
	case wire.Malformed, wire.BadOption:
		rcode, reply = a.malformed(out, from)
	case wire.Version:
		a.c.edns[ednsVersion].Add(1)
		rcode, reply = wire.BadVers, a.bare(out, wire.BadVers, from)
	case wire.CookieOnly:
		rcode, reply = a.cookieOnly(out, stream, from)
	case wire.OK:
		if rcode, reply = a.question(out, stream, from); a.unsigned {
			return nil
		}
	case notAuthentic:
		rcode, reply = wire.NotAuth, a.bare(out, wire.NotAuth, from)
	}
	if a.session != nil && reply != nil {
		reply = a.session.Sign(reply, time.Now())
	}
	a.countEDNS()
	a.ask(rcode)
	if reply == nil && a.sending { // a transfer has begun
		a.c.response(rcode)
	}
	if reply != nil {
		a.c.response(rcode)
		a.c.sized(len(reply))
	}
	return reply
}

// countEDNS counts what the question brought of it, and its signature.
func (a *responder) countEDNS() {
	if a.q.TSIG != 0 {
		a.c.tsig[a.verified].Add(1)
	}
	if !a.q.EDNS {
		return
	}
	if a.greeted != cookie.None {
		a.c.cookies[a.greeted].Add(1)
	}
	a.c.edns[ednsAny].Add(1)
	if a.q.DO {
		a.c.edns[ednsDO].Add(1)
	}
	if a.q.Seen&wire.SeenSubnet != 0 {
		a.c.subnets.Add(1)
	}
}

// malformed says so.
func (a *responder) malformed(out []byte, from netip.Addr) (rcode uint16, reply []byte) {
	if a.q.Question == nil {
		a.c.malformed[malformedQuestion].Add(1)
	} else {
		a.c.malformed[malformedRest].Add(1)
	}
	return wire.FormErr, a.bare(out, wire.FormErr, from)
}

// bare is an answer without records and, if the question had one, with an OPT without options; nil when its sender gets
// too many.
func (a *responder) bare(out []byte, rcode uint16, from netip.Addr) []byte {
	v := a.curb(from, cookie.None, rrl.Failure, nil)
	if v == dropped {
		return nil
	}
	return a.empty(out, flagsOf(v), rcode, &wire.Options{})
}

// empty is an answer without records.
func (a *responder) empty(out []byte, flags, rcode uint16, o *wire.Options) []byte {
	a.w.Begin(out, &a.q, plainSize)
	if a.q.EDNS {
		a.w.OPT(rcode, uint16(a.set.udpSize), a.q.DO, o) //nolint:gosec // at most 1400
	}
	return a.w.Finish(&a.q, flags, rcode)
}

// cookieOnly answers a packet without a question that asks for a server cookie [RFC 7873 5.4].
func (a *responder) cookieOnly(out []byte, stream bool, from netip.Addr) (rcode uint16, reply []byte) {
	state := a.greet(from)
	switch state {
	case cookie.None:
		return a.malformed(out, from)
	case cookie.Wrong:
		rcode = wire.BadCookie
	case cookie.Missing, cookie.Valid, cookie.Renewed:
	}
	v := a.curb(from, state, rrl.BadCookie, nil)
	if v == dropped {
		return rcode, nil
	}
	o := a.options(stream)
	return rcode, a.empty(out, flagsOf(v), rcode, &o)
}

// question answers what was asked, unless a cookie has to come first.
func (a *responder) question(out []byte, stream bool, from netip.Addr) (rcode uint16, reply []byte) {
	state := a.greet(from)
	if a.set.RequireCookies && !a.set.NoCookies && !stream && !state.Proved() {
		o, flags := a.options(stream), uint16(0)
		if rcode = wire.BadCookie; state == cookie.None {
			rcode, flags = wire.Success, wire.FlagTC // who knows no cookies proves its address by TCP
		}
		if a.curb(from, state, rrl.BadCookie, nil) == dropped {
			return rcode, nil
		}
		return rcode, a.empty(out, flags, rcode, &o)
	}
	if a.q.Subnet != nil && !a.set.Subnets.believes(from) {
		a.q.Subnet = nil
	}
	a.r.asker.begin(from, a.q.Subnet)
	a.r.key, a.r.stream, a.r.xfr, a.r.packet = a.session.Key(), stream, nil, a.packet
	a.r.resolve(&a.q, a.snap, a.slot)
	if a.limits != nil && !stream && a.session == nil { // who has signed has proved who it is
		kind, name := a.r.bucket(&a.q)
		if v := a.curb(from, state, kind, name); v != whole {
			a.tell()
			return a.curbed(out, v)
		}
	}
	if a.q.Type == dns.TypeAXFR || a.q.Type == dns.TypeIXFR {
		if a.transferred() {
			return a.r.rcode, nil
		}
	}
	if a.unsigned = a.sign(); a.unsigned {
		return 0, nil
	}
	reply = a.message(out, stream)
	if !a.silent {
		a.tally()
		a.tell()
	}
	return a.r.rcode, reply
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
	if a.session != nil {
		return max(a.roomy(stream)-a.session.Len(), 0)
	}
	return a.roomy(stream)
}

// roomy is limit without a signature.
func (a *responder) roomy(stream bool) int {
	switch {
	case stream:
		return streamSize
	case !a.q.EDNS:
		return plainSize
	}
	return min(max(int(a.q.Size), plainSize), a.set.udpSize)
}

// message writes the response. When a set does not fit, the answer is empty and TC asks to come again over TCP.
func (a *responder) message(out []byte, stream bool) []byte {
	limit, reserve, flags := a.limit(stream), 0, uint16(0)
	options := a.options(stream)
	if !a.set.NoErrors {
		options.Errors = a.r.errors
	}
	if a.r.ours() {
		options.Subnet, options.Scope, options.CO = a.q.Subnet, a.r.scope, a.r.signals()
	}
	if a.q.EDNS {
		reserve = wire.OPTLen + options.Len()
	}
	if a.r.aa {
		flags |= wire.FlagAA
	}
	a.w.Begin(out, &a.q, limit)
	a.w.Class(a.r.class)
	if !a.sections(reserve) {
		flags |= wire.FlagTC
		a.w.Begin(out, &a.q, limit)
		a.c.truncated.Add(1)
	}
	if a.q.EDNS {
		a.w.OPT(a.r.rcode, uint16(a.set.udpSize), a.q.DO, &options) //nolint:gosec // at most 1400
	}
	return a.w.Finish(&a.q, flags, a.r.rcode)
}

func (a *responder) sections(reserve int) bool {
	for i, list := range [...][]record{a.r.answer, a.r.author, a.r.glue} {
		for j := range list {
			rec := &list[j]
			section := wire.Section(i)
			if !rec.only && !a.w.RRset(section, rec.owner, rec.set.Type, rec.ttl, rec.set.Turn(rec.turn), reserve) {
				if rec.optional {
					continue
				}
				return false
			}
			if rec.made.None() {
				continue
			}
			a.data = rec.made.Data(a.data[:0])
			if !a.w.RRset(section, rec.owner, dns.TypeRRSIG, rec.ttl, a.data, reserve) {
				return false
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
