package nameserver

import (
	"encoding/binary"
	"net/netip"
	"sync"
	"time"

	"jurymast/internal/nameserver/dnstap"
	"jurymast/internal/nameserver/querylog"
	"jurymast/internal/nameserver/tap"
	"jurymast/internal/nameserver/traffic"
	"jurymast/internal/nameserver/wire"
)

// eyes see every answered question of one loop, or, with a lock, of many connections. They copy what they want to keep and
// never wait.
type eyes struct {
	mu      *sync.Mutex // nil: one loop uses them alone
	traffic *traffic.Loop
	log     *querylog.Loop // nil: off
	wire    *dnstap.Loop   // nil: off
}

// eyes for one more loop.
func (s *Server) eyes() *eyes {
	e := &eyes{traffic: s.traffic.Loop()}
	if s.opt.QueryLog != nil {
		e.log = s.opt.QueryLog.Loop()
	}
	if s.opt.Dnstap != nil {
		e.wire = s.opt.Dnstap.Loop()
	}
	return e
}

// Seen shows a question to everybody who wants to know.
func (e *eyes) Seen(f *tap.Facts) {
	if e.mu != nil {
		e.mu.Lock()
		defer e.mu.Unlock()
	}
	e.traffic.Seen(f)
	if e.log != nil {
		e.log.Seen(f)
	}
}

// timed reports that somebody wants to know when questions came.
func (e *eyes) timed() bool { return e.log != nil || e.wire != nil }

// unanswered reports that what got no answer was a question, whatever the reason: rate limits, or a transfer that goes its
// own way. One that waits for signatures is answered later.
func (a *responder) unanswered(pkt []byte) bool {
	return !a.unsigned && len(pkt) >= wire.HeaderLen && pkt[2]&0x80 == 0
}

// copied shows a question and its answer, nil for none, as they are on the wire.
func (a *responder) copied(pkt, reply []byte, from netip.Addr) {
	e := a.eyes
	if e.mu != nil {
		e.mu.Lock()
		defer e.mu.Unlock()
	}
	e.wire.Seen(pkt, reply, netip.AddrPortFrom(from.Unmap(), a.port), a.via, a.facts.Received)
}

// pass counts a question without any facts, unless somebody wants to know them.
func (e *eyes) pass() bool { return e == nil || e.mu == nil && e.log == nil && e.traffic.Pass() }

// tell notes what a profile had to do with the answer.
func (a *responder) tell() {
	r, f := &a.r, &a.facts
	if len(r.answer) > 0 {
		f.TTL = r.answer[0].ttl
	} else if len(r.author) > 0 {
		f.TTL = r.author[0].ttl
	}
	if len(r.given) > 0 {
		f.Endpoint, f.Reason = r.given[0].leaf.endpoint, string(r.given[0].rule)
	}
	if r.number >= 0 {
		f.Profile = r.snap.Documents().Profiles[r.number].Name
	}
	if r.profile != nil {
		f.Epoch = r.profile.view.Decision.Epoch
	}
}

// ask notes the question that was read.
func (a *responder) ask(rcode uint16) {
	f := &a.facts
	f.Subnet, f.Type, f.Rcode, f.DO = a.q.Subnet, a.q.Type, rcode, a.q.DO
	if a.q.Question != nil {
		f.Name = a.q.Name.Wire(0)
	}
}

// askQuick notes a question that quick has answered, unless nobody wants to know. by is whose constant choice that was,
// nil for a static name. question ends with the type and class.
func (a *responder) askQuick(question, set []byte, by *compiled) {
	if a.passed = a.eyes.pass(); a.passed {
		return
	}
	a.forget()
	f, n := &a.facts, len(question)-4
	f.Name, f.Type, f.TTL = question[:n], binary.BigEndian.Uint16(question[n:]), binary.BigEndian.Uint32(set[ttlOffset:])
	if by != nil {
		l := &by.leaves[by.always.Leaf]
		f.Profile, f.Endpoint, f.Reason, f.Epoch = by.view.Profile.Name, l.endpoint, string(by.always.Rule), by.view.Decision.Epoch
	}
}

// ttlOffset is where the TTL of the first record of a ready set is: behind a pointer to the name, type and class.
const ttlOffset = 6

// forget makes room for the facts of the next question.
func (a *responder) forget() { a.facts, a.passed = tap.Facts{Received: a.facts.Received}, false }

// received notes when a question came, if somebody wants to know.
func (a *responder) received() {
	if a.eyes.timed() {
		a.facts.Received = time.Now()
	}
}

// seen shows the question that was answered last.
func (a *responder) seen(reply []byte, from netip.Addr) {
	f := &a.facts
	f.Client, f.Size, f.Transport = from, len(reply), a.via
	if reply != nil {
		f.Flags = binary.BigEndian.Uint16(reply[2:])
	}
	a.eyes.Seen(f)
}

// Traffic tells who asks for what.
func (s *Server) Traffic() *traffic.Traffic { return s.traffic }
