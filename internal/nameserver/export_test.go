package nameserver

import (
	"net"
	"net/netip"
	"strings"
	"time"

	"jurymast/internal/nameserver/tap"
	"jurymast/internal/nameserver/zone"
	"jurymast/internal/steer"
)

// Raw answers one packet as the transports do, panic fence included.
func (s *Server) Raw(pkt []byte, stream bool) []byte {
	return s.RawFrom(pkt, stream, netip.Addr{})
}

// RawFrom is Raw with a sender.
func (s *Server) RawFrom(pkt []byte, stream bool, from netip.Addr) []byte {
	a := s.responder(s.m.take())
	defer s.m.give(a.c)
	if stream {
		a.via = tap.TCP
	}
	a.refresh()
	return s.answer(a, pkt, nil, stream, from)
}

// SetNow makes cookies be checked and made at a time, in seconds since 1970.
func (s *Server) SetNow(now uint32) { s.set.now = func() uint32 { return now } }

// RawIdle is RawFrom over a connection that may wait so many times 100 ms.
func (s *Server) RawIdle(pkt []byte, from netip.Addr, idle uint16) []byte {
	a := s.responder(s.m.take())
	defer s.m.give(a.c)
	a.keepalive, a.via = idle, tap.TCP
	a.refresh()
	return s.answer(a, pkt, nil, true, from)
}

// SetDice makes loops throw the given dice from now on.
func (s *Server) SetDice(d steer.Dice) { s.dice = func() steer.Dice { return d } }

// RawLoop returns a function that answers like one UDP loop: with everything reused.
func (s *Server) RawLoop() func(pkt []byte, from netip.Addr) []byte { return s.RawBatches(1) }

// RawBatches is RawLoop with so many questions at a time.
func (s *Server) RawBatches(n int) func(pkt []byte, from netip.Addr) []byte {
	i := 0
	a, out := s.responder(s.m.take()), make([]byte, 0, udpSize+wireSlack)
	a.eyes, a.limits = s.eyes(), s.limits.Loop()
	return func(pkt []byte, from netip.Addr) []byte {
		if i%n == 0 {
			a.refresh()
			if a.limits != nil {
				a.limits.Tick()
			}
		}
		i++
		return s.answer(a, pkt, out, false, from)
	}
}

// Break spoils the served SOA of a zone, so that writing it panics.
func (s *Server) Break(zone string) {
	c, _ := s.opt.Hub.Load().Config(s.slot).(*config)
	for _, z := range c.zones {
		if z.Name == zone {
			z.SOA.Data = [][]byte{{0, 0}}
		}
	}
}

// ServeConn serves one TCP connection of the server's first listener until it ends.
func (s *Server) ServeConn(conn net.Conn) {
	t := newStream(s, nil)
	t.serve(t.enter(conn))
}

// Remedy adds to a bind error what to do about it.
var Remedy = remedy

// Sized and Took count as a loop does.
func (s *Server) Sized(bytes ...int) {
	c := s.m.take()
	defer s.m.give(c)
	for _, n := range bytes {
		c.sized(n)
	}
}

// Took is Sized for times.
func (s *Server) Took(times ...time.Duration) {
	c := s.m.take()
	defer s.m.give(c)
	for _, d := range times {
		c.took(d)
	}
}

// Counts is how many there are.
func (s *Server) Counts() int {
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	return len(s.m.all)
}

// TakeCounts makes n.
func (s *Server) TakeCounts(n int) {
	for range n {
		s.m.take()
	}
}

// Connector serves connections of one listener, each until it ends.
func (s *Server) Connector() func(net.Conn) {
	t := newStream(s, nil)
	return func(conn net.Conn) { t.serve(t.enter(conn)) }
}

// SecureConnector serves one connection of DNS over TLS until it ends.
func (s *Server) SecureConnector() func(net.Conn) {
	t := newStream(s, nil)
	t.via, t.tls = tap.DoT, s.tlsConfig(alpnDoT)
	return func(conn net.Conn) { t.serve(t.enter(conn)) }
}

// Retries is how many clients of QUIC had to prove their address.
func (s *Server) Retries() uint64 { return s.m.lines[tap.DoQ].retries.Load() }

// Accept takes connections until the listener is closed.
func (s *Server) Accept(l net.Listener) { newStream(s, l).accept() }

// Listener is the first one for TCP.
func (s *Server) Listener() net.Listener { return s.tcp[0].listener }

// Network is where an address belongs.
var Network = network

// Ways answers one packet over UDP by the quick way and by the long one; ok is false when the quick one leaves it.
func (s *Server) Ways(pkt []byte, from netip.Addr) (quick, long []byte, ok bool) {
	a := s.responder(s.m.take())
	defer s.m.give(a.c)
	a.refresh()
	still := *a.set // both ways make their cookies in the same second
	still.now = func() uint32 { return 1_800_000_000 }
	a.set = &still
	quick, ok = a.quick(pkt, make([]byte, 0, udpSize+wireSlack), from)
	return quick, a.respond(pkt, nil, false, from), ok
}

// Limited answers packets by the quick way where that can, and by the long one alone, each with limits of its own; both see
// the same packets, so they have to say the same. It allows no other loops beside.
func (s *Server) Limited() func(pkt []byte, from netip.Addr) (either, long []byte, quick bool) {
	make2 := func() *responder {
		a := s.responder(s.m.take())
		a.eyes, a.limits = s.eyes(), s.limits.Loop()
		return a
	}
	one, other := make2(), make2()
	return func(pkt []byte, from netip.Addr) (either, long []byte, quick bool) {
		for _, a := range []*responder{one, other} {
			a.refresh()
			a.forget()
			a.limits.Tick()
		}
		either, quick = one.quick(pkt, make([]byte, 0, udpSize+wireSlack), from)
		if !quick {
			either = one.respond(pkt, nil, false, from)
		}
		return either, other.respond(pkt, nil, false, from), quick
	}
}

// Suppressed is what limits have done.
func (s *Server) Suppressed() map[string]uint64 { return s.suppressed() }

// LimitedNow is how many networks are limited.
func (s *Server) LimitedNow() int { return s.watch.Networks() }

// Denials are the NSEC sets of all signed zones that are made ahead: their data by owner, in text and lower case.
func (s *Server) Denials() map[string]map[string]bool {
	c, _ := s.opt.Hub.Load().Config(s.slot).(*config)
	out := map[string]map[string]bool{}
	for z := range c.books {
		r := response{conf: c}
		r.denials(z, func(owner []byte, set *zone.RRset) bool {
			name := strings.ToLower(zone.Text(owner))
			if out[name] == nil {
				out[name] = map[string]bool{}
			}
			out[name][string(set.Data[0])] = true
			return true
		})
	}
	return out
}

// RunSigning signs ahead without answering; Close ends it.
func (s *Server) RunSigning() { s.signing.run(s) }

// SetSigningTick makes the signing look around that often.
func (s *Server) SetSigningTick(d time.Duration) { s.signing.every = d }

// SignedOnDemand is how many sets were signed for a question.
func (s *Server) SignedOnDemand() uint64 { return s.signing.signed[signedDemand].Load() }

// Signings is how many sets were signed: ahead, again and on demand.
func (s *Server) Signings() (out [3]uint64) {
	for i := range out {
		out[i] = s.signing.signed[i].Load()
	}
	return out
}

// SetsHeld is how many sets stand signed ahead for a zone.
func (s *Server) SetsHeld(zone string) int { return s.signing.book(zone).Held() }

// BusyStreams is as if somebody had things signed over TCP without end, until the function it returns is called.
func (s *Server) BusyStreams() (end func()) {
	s.signing.turnOnStream <- struct{}{}
	return func() { <-s.signing.turnOnStream }
}
