package secondary

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"jurymast/internal/nameserver/tsig"
)

const testZone = "example.org"

var testSecret = base64.StdEncoding.EncodeToString([]byte("0123456789abcdef0123456789abcdef"))

func testKey(t testing.TB) *tsig.Key {
	t.Helper()
	k, err := tsig.NewKey("xfr.example", "hmac-sha256", testSecret)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// primary is a server for one zone that does what a test tells it, on loopback. Without a script it does it right.
type primary struct {
	addr netip.AddrPort

	mu     sync.Mutex
	serial uint32
	text   func(serial uint32) string            // records beside the SOA
	script func(p *primary, q *dns.Msg) [][]byte // answers over TCP as bytes; nil: the usual ones
	soa    func(q *dns.Msg) *dns.Msg             // answers to SOA questions; nil: the usual ones
	mute   bool                                  // no answer over UDP
	key    *tsig.Key
	asked  []string // types of questions, in order
	expire int
}

func newPrimary(t testing.TB, serial uint32) *primary {
	t.Helper()
	p := &primary{serial: serial, expire: 3600, text: func(serial uint32) string {
		return fmt.Sprintf("@ 60 NS ns1\nns1 60 A 192.0.2.1\nwww 60 A 192.0.2.%d\n", serial%200)
	}}
	var lc net.ListenConfig
	l, err := lc.Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	u, err := lc.ListenPacket(context.Background(), "udp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	p.addr = netip.MustParseAddrPort(l.Addr().String())
	var running sync.WaitGroup
	running.Go(func() { p.datagrams(u) })
	running.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			running.Go(func() { p.stream(c) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		u.Close()
		running.Wait()
	})
	return p
}

func (p *primary) set(serial uint32) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.serial = serial
}

func (p *primary) questions() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.asked)
}

func (p *primary) forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked = nil
}

// zone is the SOA and the other records of a serial.
func (p *primary) zone(serial uint32) (soa dns.RR, rest []dns.RR) {
	text := fmt.Sprintf("@ 60 SOA ns1 h %d 60 10 %d 60\n%s", serial, p.expire, p.text(serial))
	zp := dns.NewZoneParser(strings.NewReader(text), testZone+".", "")
	for rr, ok := zp.Next(); ok; rr, ok = zp.Next() {
		if rr.Header().Rrtype == dns.TypeSOA {
			soa = rr
			continue
		}
		rest = append(rest, rr)
	}
	if err := zp.Err(); err != nil {
		panic(err)
	}
	return soa, rest
}

func (p *primary) datagrams(u net.PacketConn) {
	buf := make([]byte, 65535)
	for {
		n, from, err := u.ReadFrom(buf)
		if err != nil {
			return
		}
		p.mu.Lock()
		for _, pkt := range p.answer(slices.Clone(buf[:n]), "udp") {
			_, _ = u.WriteTo(pkt, from)
		}
		p.mu.Unlock()
	}
}

func (p *primary) stream(c net.Conn) {
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	for {
		var size [2]byte
		if _, err := io.ReadFull(c, size[:]); err != nil {
			return
		}
		pkt := make([]byte, binary.BigEndian.Uint16(size[:]))
		if _, err := io.ReadFull(c, pkt); err != nil {
			return
		}
		p.mu.Lock()
		list := p.answer(pkt, "tcp")
		p.mu.Unlock()
		for _, reply := range list {
			if reply == nil {
				return // the script ends the connection here
			}
			if _, err := c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(reply))), reply...)); err != nil {
				return
			}
		}
	}
}

// answer needs mu.
func (p *primary) answer(pkt []byte, network string) [][]byte {
	q := new(dns.Msg)
	if q.Unpack(pkt) != nil {
		return nil
	}
	typ := q.Question[0].Qtype
	p.asked = append(p.asked, network+" "+dns.TypeToString[typ])
	if network == "udp" && p.mute {
		return nil
	}
	var session *tsig.Session
	if p.key != nil {
		at, err := tsig.Find(pkt)
		if err != nil || at == 0 {
			return [][]byte{packed(new(dns.Msg).SetRcode(q, dns.RcodeRefused))}
		}
		if session, err = tsig.NewRing(p.key).Verify(pkt, at, time.Now()); err != nil {
			return nil
		}
		if session.Err != tsig.NoError {
			q.Extra = nil
			return [][]byte{session.Sign(packed(new(dns.Msg).SetRcode(q, dns.RcodeNotAuth)), time.Now())}
		}
	}
	q.Extra = nil
	var list [][]byte
	switch {
	case typ == dns.TypeSOA && p.soa != nil:
		list = [][]byte{packed(p.soa(q))}
	case typ == dns.TypeSOA:
		soa, _ := p.zone(p.serial)
		list = [][]byte{p.message(q, soa)}
	case p.script != nil:
		list = p.script(p, q)
	default:
		list = p.transfer(q)
	}
	if session != nil {
		for i := range list {
			if list[i] != nil {
				list[i] = session.Sign(list[i], time.Now())
			}
		}
	}
	return list
}

func packed(m *dns.Msg) []byte {
	pkt, err := m.Pack()
	if err != nil {
		panic(err)
	}
	return pkt
}

// message is one answer with these records.
func (p *primary) message(q *dns.Msg, records ...dns.RR) []byte {
	m := new(dns.Msg).SetReply(q)
	m.Authoritative, m.Compress = true, true
	m.Answer = records
	return packed(m)
}

// transfer is AXFR in several messages, and IXFR from any older serial in one step.
func (p *primary) transfer(q *dns.Msg) [][]byte {
	soa, rest := p.zone(p.serial)
	if q.Question[0].Qtype == dns.TypeIXFR {
		old, _ := q.Ns[0].(*dns.SOA)
		if old.Serial == p.serial {
			return [][]byte{p.message(q, soa)}
		}
		was, gone := p.zone(old.Serial)
		records := append([]dns.RR{soa, was}, without(gone, rest)...)
		records = append(append(records, soa), without(rest, gone)...)
		return [][]byte{p.message(q, append(records, soa)...)}
	}
	list := [][]byte{p.message(q, soa)}
	for part := range slices.Chunk(rest, 200) {
		list = append(list, p.message(q, part...))
	}
	return append(list, p.message(q, soa))
}

func without(list, other []dns.RR) (out []dns.RR) {
	there := map[string]bool{}
	for _, rr := range other {
		there[rr.String()] = true
	}
	for _, rr := range list {
		if !there[rr.String()] {
			out = append(out, rr)
		}
	}
	return out
}

func rr(t testing.TB, text string) dns.RR {
	t.Helper()
	zp := dns.NewZoneParser(strings.NewReader(text+"\n"), testZone+".", "")
	zp.SetDefaultTTL(60)
	got, ok := zp.Next()
	if !ok {
		t.Errorf("%.100s: %v", text, zp.Err())
	}
	return got
}
