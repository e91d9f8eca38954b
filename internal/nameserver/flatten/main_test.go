package flatten

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// resolver is a DNS server on loopback that answers as the test says.
type resolver struct {
	addr  netip.AddrPort
	asked atomic.Int64
	pc    net.PacketConn

	mu     sync.Mutex
	answer func(r *resolver, w dns.ResponseWriter, q *dns.Msg)
}

func (r *resolver) ServeDNS(w dns.ResponseWriter, q *dns.Msg) {
	r.asked.Add(1)
	r.mu.Lock()
	f := r.answer
	r.mu.Unlock()
	f(r, w, q)
}

func (r *resolver) say(f func(*resolver, dns.ResponseWriter, *dns.Msg)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answer = f
}

func newResolver(t *testing.T, answer func(*resolver, dns.ResponseWriter, *dns.Msg)) *resolver {
	t.Helper()
	var lc net.ListenConfig
	r := &resolver{answer: answer}
	for range 20 { // UDP and TCP on one port
		pc, err := lc.ListenPacket(t.Context(), "udp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		l, err := lc.Listen(t.Context(), "tcp", pc.LocalAddr().String())
		if err != nil {
			_ = pc.Close()
			continue
		}
		r.pc, r.addr = pc, netip.MustParseAddrPort(pc.LocalAddr().String())
		for _, s := range []*dns.Server{{PacketConn: pc, Handler: r}, {Listener: l, Handler: r}} {
			up := make(chan struct{})
			s.NotifyStartedFunc = func() { close(up) }
			go func() { _ = s.ActivateAndServe() }()
			<-up
			t.Cleanup(func() { _ = s.Shutdown() })
		}
		return r
	}
	t.Fatal("no port for UDP and TCP")
	return nil
}

// reply makes an answer of a resolver with these records.
func reply(q *dns.Msg, records ...string) *dns.Msg {
	m := new(dns.Msg).SetReply(q)
	m.RecursionAvailable = true
	for _, text := range records {
		rr, err := dns.NewRR(text)
		if err != nil {
			panic(err)
		}
		if rr.Header().Rrtype == dns.TypeSOA {
			m.Ns = append(m.Ns, rr)
		} else {
			m.Answer = append(m.Answer, rr)
		}
	}
	return m
}

// records answers with what of the list has the asked type, and with all aliases.
func records(list ...string) func(*resolver, dns.ResponseWriter, *dns.Msg) {
	return func(_ *resolver, w dns.ResponseWriter, q *dns.Msg) {
		m := reply(q, list...)
		var keep []dns.RR
		for _, rr := range m.Answer {
			if t := rr.Header().Rrtype; t == q.Question[0].Qtype || t == dns.TypeCNAME {
				keep = append(keep, rr)
			}
		}
		m.Answer = keep
		_ = w.WriteMsg(m)
	}
}

func code(rcode int) func(*resolver, dns.ResponseWriter, *dns.Msg) {
	return func(_ *resolver, w dns.ResponseWriter, q *dns.Msg) { _ = w.WriteMsg(new(dns.Msg).SetRcode(q, rcode)) }
}

func mute(*resolver, dns.ResponseWriter, *dns.Msg) {}

// quick makes one resolver's silence cheap for the test.
func quick(t *testing.T) {
	t.Helper()
	old := patience
	patience = [...]time.Duration{200 * time.Millisecond, 300 * time.Millisecond}
	t.Cleanup(func() { patience = old })
}

func clientOf(list ...*resolver) *Client {
	var servers []netip.AddrPort
	for _, r := range list {
		servers = append(servers, r.addr)
	}
	return NewClient(Fixed(servers))
}

func texted(r *Reply) (out []string) {
	for _, a := range r.addrs {
		out = append(out, a.String())
	}
	return out
}

// script is a Looker that says what the test tells it to, without a network.
type script struct {
	mu     sync.Mutex
	say    map[uint16]Reply
	looks  int
	firsts []netip.AddrPort
	lasts  []netip.AddrPort
	busy   atomic.Int64
	most   atomic.Int64
	takes  time.Duration
}

func (s *script) Look(ctx context.Context, _ string, typ uint16, first, last netip.AddrPort) Reply {
	if n := s.busy.Add(1); n > s.most.Load() {
		s.most.Store(n)
	}
	defer s.busy.Add(-1)
	select {
	case <-time.After(s.takes):
	case <-ctx.Done():
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.looks++
	if typ == dns.TypeA {
		s.firsts, s.lasts = append(s.firsts, first), append(s.lasts, last)
	}
	return s.say[typ]
}

func (s *script) set(v4, v6 Reply) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.say = map[uint16]Reply{dns.TypeA: v4, dns.TypeAAAA: v6}
}

func (s *script) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.looks
}
