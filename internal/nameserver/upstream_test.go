package nameserver_test

import (
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"github.com/miekg/dns"
)

// upstream is a primary of zones on loopback that a test changes as it likes. It answers IXFR with the whole zone.
type upstream struct {
	at netip.AddrPort

	mu    sync.Mutex
	zones map[string][]dns.RR // by name with the last dot, SOA first
}

func newUpstream(t testing.TB) *upstream {
	t.Helper()
	u := &upstream{zones: map[string][]dns.RR{}}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	pc, err := net.ListenPacket("udp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	u.at = netip.MustParseAddrPort(l.Addr().String())
	for _, s := range []*dns.Server{{Listener: l}, {PacketConn: pc}} {
		started, over := make(chan struct{}), make(chan struct{})
		s.Handler, s.NotifyStartedFunc = dns.HandlerFunc(u.answer), func() { close(started) }
		go func() { defer close(over); _ = s.ActivateAndServe() }()
		<-started
		t.Cleanup(func() { _ = s.Shutdown(); <-over })
	}
	return u
}

// have makes it the primary of a zone, by its text with the SOA first.
func (u *upstream) have(t testing.TB, zone, text string) {
	t.Helper()
	var list []dns.RR
	zp := dns.NewZoneParser(strings.NewReader(text), zone+".", "")
	zp.SetDefaultTTL(300)
	for rr, ok := zp.Next(); ok; rr, ok = zp.Next() {
		list = append(list, rr)
	}
	if zp.Err() != nil {
		t.Fatal(zp.Err())
	}
	u.put(zone, list)
}

func (u *upstream) put(zone string, list []dns.RR) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.zones[zone+"."] = list
}

func (u *upstream) answer(w dns.ResponseWriter, q *dns.Msg) {
	u.mu.Lock()
	list := u.zones[strings.ToLower(q.Question[0].Name)]
	u.mu.Unlock()
	m := new(dns.Msg).SetReply(q)
	m.Authoritative = true
	switch {
	case list == nil:
		m.Rcode = dns.RcodeRefused
	case q.Question[0].Qtype == dns.TypeSOA:
		m.Answer = list[:1]
	default:
		ch := make(chan *dns.Envelope)
		go func() {
			defer close(ch)
			for rest := list; len(rest) > 0; {
				n := min(len(rest), 500)
				ch <- &dns.Envelope{RR: rest[:n]}
				rest = rest[n:]
			}
			ch <- &dns.Envelope{RR: list[:1]}
		}()
		_ = new(dns.Transfer).Out(w, q, ch)
		for range ch { // it may have broken off
		}
		return
	}
	_ = w.WriteMsg(m)
}
