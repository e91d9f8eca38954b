package question

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// answering says what a server does with a question; n counts its questions from 1.
type answering func(w dns.ResponseWriter, q *dns.Msg, n int)

// server is a DNS server on loopback that does what a test says.
type server struct {
	at netip.AddrPort

	mu    sync.Mutex
	asked []*dns.Msg
	from  []string
}

func serve(t *testing.T, say answering) *server {
	t.Helper()
	s := &server{}
	handler := dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		s.mu.Lock()
		s.asked, s.from = append(s.asked, q), append(s.from, w.RemoteAddr().Network()+" "+w.RemoteAddr().String())
		n := len(s.asked)
		s.mu.Unlock()
		say(w, q, n)
	})
	for range 20 { // UDP and TCP on one port
		pc, err := new(net.ListenConfig).ListenPacket(t.Context(), "udp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", pc.LocalAddr().String())
		if err != nil {
			_ = pc.Close()
			continue
		}
		s.at = netip.MustParseAddrPort(pc.LocalAddr().String())
		for _, one := range []*dns.Server{{PacketConn: pc, Handler: handler}, {Listener: l, Handler: handler}} {
			up := make(chan struct{})
			one.NotifyStartedFunc = func() { close(up) }
			go func() { _ = one.ActivateAndServe() }()
			<-up
			t.Cleanup(func() { _ = one.Shutdown() })
		}
		return s
	}
	t.Fatal("no port for UDP and TCP")
	return nil
}

// heard are the questions so far: their transports, and which had EDNS.
func (s *server) heard() (out []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, q := range s.asked {
		text, _, _ := strings.Cut(s.from[i], " ")
		if q.IsEdns0() == nil {
			text += " plain"
		}
		out = append(out, text)
	}
	return out
}

func isTCP(w dns.ResponseWriter) bool { return w.RemoteAddr().Network() == "tcp" }

// reply is an answer with one address.
func reply(q *dns.Msg, addr string) *dns.Msg {
	m := new(dns.Msg).SetReply(q)
	m.Answer = []dns.RR{&dns.A{Hdr: dns.RR_Header{Name: q.Question[0].Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 60}, A: net.ParseIP(addr)}}
	return m
}

func good(w dns.ResponseWriter, q *dns.Msg, _ int) { _ = w.WriteMsg(reply(q, "192.0.2.1")) }

func mute(dns.ResponseWriter, *dns.Msg, int) {}

// cut answers over UDP that the rest is to be had over TCP, where next answers.
func cut(next answering) answering {
	return func(w dns.ResponseWriter, q *dns.Msg, n int) {
		if isTCP(w) {
			next(w, q, n)
			return
		}
		m := reply(q, "192.0.2.66")
		m.Truncated = true
		_ = w.WriteMsg(m)
	}
}

// lie sends an answer that is not to be believed, then lets next answer.
func lie(change func(*dns.Msg), next answering) answering {
	return func(w dns.ResponseWriter, q *dns.Msg, n int) {
		m := reply(q, "192.0.2.66")
		change(m)
		_ = w.WriteMsg(m)
		next(w, q, n)
	}
}

func code(rcode int) answering {
	return func(w dns.ResponseWriter, q *dns.Msg, _ int) { _ = w.WriteMsg(new(dns.Msg).SetRcode(q, rcode)) }
}

// raw sends bytes made of the right answer.
func raw(change func(pkt []byte) []byte, next answering) answering {
	return func(w dns.ResponseWriter, q *dns.Msg, n int) {
		pkt, err := reply(q, "192.0.2.66").Pack()
		if err == nil {
			_, _ = w.Write(change(pkt))
		}
		next(w, q, n)
	}
}

func told(r Reply, err error) string {
	if err != nil {
		return err.Error()
	}
	out := dns.RcodeToString[r.Rcode]
	for _, rr := range r.Answer {
		if a, ok := rr.(*dns.A); ok {
			out += " " + a.A.String()
		}
	}
	return out
}

// What servers and strangers may send, what is believed, and what is asked for it.
func TestAsk(t *testing.T) {
	t.Parallel()
	const right, wrong = "NOERROR 192.0.2.1", "NOERROR 192.0.2.66"
	const soon = time.Second // where somebody is silent; on loopback whatever comes takes far less
	id := func(m *dns.Msg) { m.Id++ }
	noQuestion := func(m *dns.Msg) { m.Question = nil }
	for _, c := range []struct {
		name  string
		say   answering
		way   Way
		want  string
		heard string
	}{
		{"good", good, Way{}, right, "udp"},
		{"over TCP at once", good, Way{TCP: true}, right, "tcp"},
		{"silent", mute, Way{Patience: soon}, ErrTime.Error(), "udp"},
		{"silent twice", mute, Way{Tries: 2, Patience: soon}, ErrTime.Error(), "udp udp"},
		{"silent over TCP, which is asked once", mute, Way{TCP: true, Tries: 3, Patience: soon}, ErrTime.Error(), "tcp"},
		{"a lost packet", func(w dns.ResponseWriter, q *dns.Msg, n int) {
			if n > 1 {
				good(w, q, n)
			}
		}, Way{Tries: 3, Patience: soon}, right, "udp udp"},
		{"an answer is not asked for again", code(dns.RcodeServerFailure), Way{Tries: 3}, "SERVFAIL", "udp"},

		{"another id, then right", lie(id, good), Way{}, right, "udp"},
		{"another id alone", lie(id, mute), Way{Patience: soon}, ErrTime.Error(), "udp"},
		{"another name, then right", lie(func(m *dns.Msg) { m.Question[0].Name = "y.test." }, good), Way{}, right, "udp"},
		{"another type, then right", lie(func(m *dns.Msg) { m.Question[0].Qtype = dns.TypeTXT }, good), Way{}, right, "udp"},
		{"another class, then right", lie(func(m *dns.Msg) { m.Question[0].Qclass = dns.ClassCHAOS }, good), Way{}, right, "udp"},
		{"two questions, then right", lie(func(m *dns.Msg) { m.Question = append(m.Question, m.Question[0]) }, good), Way{}, right, "udp"},
		{"no question, then right", lie(noQuestion, good), Way{}, right, "udp"},
		{"no question and NXDOMAIN", lie(func(m *dns.Msg) { noQuestion(m); m.Rcode = dns.RcodeNameError }, good), Way{}, right, "udp"},
		{"a refusal without the question", lie(func(m *dns.Msg) { noQuestion(m); m.Rcode, m.Answer = dns.RcodeRefused, nil }, good), Way{}, "REFUSED", "udp"},
		{"a query, then right", lie(func(m *dns.Msg) { m.Response = false }, good), Way{}, right, "udp"},
		{"another kind of message, then right", lie(func(m *dns.Msg) { m.Opcode = dns.OpcodeNotify }, good), Way{}, right, "udp"},
		{"the name in other letters", lie(func(m *dns.Msg) { m.Question[0].Name = "X.tEsT." }, mute), Way{}, wrong, "udp"},
		{"from another port", func(w dns.ResponseWriter, q *dns.Msg, _ int) {
			if c, err := net.Dial("udp", w.RemoteAddr().String()); err == nil {
				pkt, _ := reply(q, "192.0.2.66").Pack()
				_, _ = c.Write(pkt)
				_ = c.Close()
			}
		}, Way{Patience: soon}, ErrTime.Error(), "udp"},
		{"another id over TCP", lie(id, good), Way{TCP: true}, errOther.Error(), "tcp"},

		{"one byte, then right", raw(func([]byte) []byte { return []byte("?") }, good), Way{}, right, "udp"},
		{"zeros, then right", raw(func([]byte) []byte { return make([]byte, 600) }, good), Way{}, right, "udp"},
		{"an answer that ends too early", raw(func(p []byte) []byte { return p[:len(p)-3] }, good), Way{}, errUnread.Error(), "udp"},
		{"the same over TCP", raw(func(p []byte) []byte { return p[:len(p)-3] }, good), Way{TCP: true}, errUnread.Error(), "tcp"},
		{"more than was offered", func(w dns.ResponseWriter, q *dns.Msg, _ int) {
			m := reply(q, "192.0.2.1")
			for range 200 {
				m.Extra = append(m.Extra, &dns.TXT{Hdr: dns.RR_Header{Name: "t.test.", Rrtype: dns.TypeTXT, Class: dns.ClassINET}, Txt: []string{"long enough"}})
			}
			_ = w.WriteMsg(m)
		}, Way{}, right, "udp"},

		{"it does not fit", cut(good), Way{}, right, "udp tcp"},
		{"cut in the middle of a record", func(w dns.ResponseWriter, q *dns.Msg, n int) {
			if isTCP(w) {
				good(w, q, n)
				return
			}
			raw(func(p []byte) []byte { p[2] |= 2; return p[:len(p)-3] }, mute)(w, q, n)
		}, Way{}, right, "udp tcp"},
		{"it does not fit, and TCP is silent", cut(mute), Way{Tries: 2, Patience: soon}, ErrTime.Error(), "udp tcp"},
		{"the same where a part is better than nothing", cut(mute), Way{Part: true, Patience: soon}, wrong, "udp tcp"},
		{"it does not fit, and TCP is closed", cut(func(w dns.ResponseWriter, _ *dns.Msg, _ int) { _ = w.Close() }), Way{}, errHungUp.Error(), "udp tcp"},
		{"it does not even fit into TCP", cut(lie(func(m *dns.Msg) { m.Truncated = true }, mute)), Way{}, wrong, "udp tcp"},

		{"no EDNS", withoutEDNS(dns.RcodeFormatError, good), Way{}, right, "udp udp plain"},
		{"EDNS is not implemented", withoutEDNS(dns.RcodeNotImplemented, good), Way{Tries: 2}, right, "udp udp plain"},
		{"no EDNS over TCP", withoutEDNS(dns.RcodeFormatError, good), Way{TCP: true}, right, "tcp tcp plain"},
		{"no EDNS, and it does not fit", withoutEDNS(dns.RcodeFormatError, cut(good)), Way{}, right, "udp udp plain tcp plain"},
		{"FORMERR of one that knows EDNS", func(w dns.ResponseWriter, q *dns.Msg, _ int) {
			m := new(dns.Msg).SetRcode(q, dns.RcodeFormatError)
			_ = w.WriteMsg(m.SetEdns0(1232, false))
		}, Way{}, "FORMERR", "udp"},
		{"FORMERR without EDNS", code(dns.RcodeFormatError), Way{}, "FORMERR", "udp udp plain"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, c.say)
			way := c.way
			way.Patience = cmp.Or(way.Patience, 20*time.Second)
			q := New("x.test", dns.TypeA)
			was := q.String()
			r, err := Ask(t.Context(), s.at, q, way)
			if got := told(r, err); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
			if got := strings.Join(s.heard(), " "); got != c.heard {
				t.Errorf("asked: %s, want %s", got, c.heard)
			}
			if q.String() != was {
				t.Errorf("the question was changed:\n%s\nit was\n%s", q, was)
			}
			if err == nil && (r.Took <= 0 || r.Took > time.Minute) {
				t.Errorf("it took %v", r.Took)
			}
		})
	}
}

func withoutEDNS(rcode int, next answering) answering {
	return func(w dns.ResponseWriter, q *dns.Msg, n int) {
		if q.IsEdns0() != nil {
			code(rcode)(w, q, n)
			return
		}
		next(w, q, n)
	}
}

// Every packet comes from a port of its own with an id of its own, the ones that are sent again too.
func TestPortsAndIDs(t *testing.T) {
	t.Parallel()
	s := serve(t, func(w dns.ResponseWriter, q *dns.Msg, n int) {
		if n%2 == 0 {
			good(w, q, n)
		}
	})
	q := New("x.test.", dns.TypeA)
	for range 16 {
		if r, err := Ask(t.Context(), s.at, q, Way{Tries: 8, Patience: 100 * time.Millisecond}); err != nil {
			t.Fatal(told(r, err))
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	ids, ports := map[uint16]bool{}, map[string]bool{}
	for i, q := range s.asked {
		ids[q.Id], ports[s.from[i]] = true, true
		if e := q.IsEdns0(); e == nil || e.UDPSize() != Size || !q.RecursionDesired || q.Question[0] != (dns.Question{Name: "x.test.", Qtype: dns.TypeA, Qclass: dns.ClassINET}) {
			t.Errorf("%v", q)
		}
	}
	if n := len(s.asked); n < 32 || len(ids) < n-2 || len(ports) < n/2 {
		t.Errorf("%d packets had %d ids and %d ports", n, len(ids), len(ports))
	}
}

// What the caller put into the question is sent, and is still there without EDNS.
func TestFlagsAndOptions(t *testing.T) {
	t.Parallel()
	s := serve(t, withoutEDNS(dns.RcodeFormatError, good))
	q := New("x.test", dns.TypeDS)
	q.RecursionDesired, q.AuthenticatedData = false, true
	q.IsEdns0().Option = []dns.EDNS0{&dns.EDNS0_NSID{Code: dns.EDNS0NSID}}
	if _, err := Ask(t.Context(), s.at, q, Way{}); err != nil {
		t.Fatal(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	first, second := s.asked[0], s.asked[1]
	if len(first.IsEdns0().Option) != 1 || first.RecursionDesired || !first.AuthenticatedData || second.RecursionDesired || !second.AuthenticatedData {
		t.Errorf("%v\n%v", first, second)
	}
}

// A server that is not there is told at once and as what it is, and the system's error can be tested for.
func TestNobodyThere(t *testing.T) {
	t.Parallel()
	pc, err := new(net.ListenConfig).ListenPacket(t.Context(), "udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at := netip.MustParseAddrPort(pc.LocalAddr().String())
	_ = pc.Close()
	for _, way := range []Way{{Tries: 3, Patience: 20 * time.Second}, {TCP: true, Patience: 20 * time.Second}} {
		_, err = Ask(t.Context(), at, New("x.test", dns.TypeA), way)
		if !errors.Is(err, syscall.ECONNREFUSED) || err.Error() != "connection refused" {
			t.Errorf("%+v: %v", way, err)
		}
	}
	if _, err := Ask(t.Context(), at, new(dns.Msg), Way{}); !errors.Is(err, errNotAsked) {
		t.Errorf("without a question: %v", err)
	}
}

// Neither silence, a flood of guesses nor many tries outlast the context.
func TestTheContextEndsIt(t *testing.T) {
	t.Parallel()
	flood := func(w dns.ResponseWriter, q *dns.Msg, _ int) {
		m := reply(q, "192.0.2.66")
		m.Id++
		for range 5000 {
			if w.WriteMsg(m) != nil {
				return
			}
		}
	}
	for name, say := range map[string]answering{"silence": mute, "flood": flood} {
		s := serve(t, say)
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		began := time.Now()
		_, err := Ask(ctx, s.at, New("x.test", dns.TypeA), Way{Patience: time.Minute, Tries: 5})
		cancel()
		if took := time.Since(began); took > 20*time.Second || !errors.Is(err, ErrTime) && !errors.Is(err, errStrange) {
			t.Errorf("%s: %v after %v", name, err, took)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	s := serve(t, func(dns.ResponseWriter, *dns.Msg, int) { cancel() })
	began := time.Now()
	if _, err := Ask(ctx, s.at, New("x.test", dns.TypeA), Way{Patience: time.Minute, Tries: 5}); !errors.Is(err, ErrTime) || time.Since(began) > 20*time.Second {
		t.Errorf("given up: %v after %v", err, time.Since(began))
	}
	if n := len(s.heard()); n != 1 {
		t.Errorf("after it was given up it was asked %d times", n)
	}
}

// A thousand wrong packets end the waiting, with no clock.
func TestFlood(t *testing.T) {
	t.Parallel()
	q := New("x.test", dns.TypeA)
	m := reply(q, "192.0.2.66")
	m.Id++
	pkt, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := answer(packets(pkt), q, false); !errors.Is(err, errStrange) {
		t.Error(err)
	}
}

// packets is a connection on which the same packet comes for ever.
type packets []byte

func (p packets) Read(into []byte) (int, error) { return copy(into, p), nil }

// Whatever comes, an answer is to the question or there is none, and nothing panics.
func FuzzAnswer(f *testing.F) {
	q := New("x.test", dns.TypeA)
	q.Id = 7
	whole, err := reply(q, "192.0.2.1").Pack()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole, false)
	f.Add(whole[:len(whole)-3], true)
	f.Add([]byte{0, 7, 0x82, 0, 0, 1, 0, 0, 0, 0, 0, 0}, false)
	f.Fuzz(func(t *testing.T, pkt []byte, stream bool) {
		var conn io.Reader = packets(pkt)
		if stream {
			pkt = pkt[:min(len(pkt), dns.MaxMsgSize)]
			conn = bytes.NewReader(append(binary.BigEndian.AppendUint16(nil, uint16(len(pkt))), pkt...))
		}
		m, err := answer(conn, q, stream)
		if (m == nil) == (err == nil) {
			t.Fatalf("%v and %v", m, err)
		}
		if m != nil && (m.Id != 7 || !m.Response || len(m.Question) == 1 && !strings.EqualFold(m.Question[0].Name, "x.test.")) {
			t.Errorf("believed: %v", m)
		}
	})
}
