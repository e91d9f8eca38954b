package nameserver_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/miekg/dns"

	"jurymast/internal/nameserver"
	"jurymast/internal/nameserver/tap"
	"jurymast/internal/profile"
)

// sameQuestions is how many questions every transport is asked.
const sameQuestions = 1000

// transportQuestions are about generated zones, profiles of all kinds of answers that no dice decide, and nonsense. All
// offer so much room that UDP cuts at our own limit alone.
func transportQuestions(t *testing.T, l *landscape) (packets [][]byte) {
	t.Helper()
	hosts := []string{"svc", "x.svcwild", "in", "", "down", "off", "new-svc", "newhost", "old", "silent", "missing", "web", "x.sub", "host.moved"}
	types := []uint16{dns.TypeA, dns.TypeAAAA, dns.TypeANY, dns.TypeCNAME, dns.TypeTXT, dns.TypeSOA, dns.TypeHTTPS}
	for i := range sameQuestions {
		q := l.ask()
		if i%3 == 0 {
			q.name, q.qtype = dns.Fqdn(hosts[i/3%len(hosts)]+".dr.example"), types[i/3%len(types)]
			if hosts[i/3%len(hosts)] == "" {
				q.name = "dr.example."
			}
		}
		q.edns, q.size = true, 65535
		m := q.message(uint16(i))
		switch i % 20 {
		case 7:
			m.Opcode = i / 20 % 16
		case 11:
			m.Question[0].Qclass = dns.ClassCHAOS
		case 13:
			m.IsEdns0().SetVersion(1)
		case 17:
			m.IsEdns0().Option = append(m.IsEdns0().Option, &dns.EDNS0_SUBNET{Code: dns.EDNS0SUBNET, Family: 1, SourceNetmask: 24, Address: net.IPv4(198, 51, 100, 0)})
		}
		pkt, err := m.Pack()
		if err != nil {
			t.Fatalf("%v: %v", q, err)
		}
		if i%50 == 19 {
			pkt = pkt[:len(pkt)-l.dice.IntN(8)-1] // broken
		}
		packets = append(packets, pkt)
	}
	return packets
}

// TestTransportsAgree asks the same questions over UDP and TCP, of both families: equal bytes, except where UDP had to cut.
func TestTransportsAgree(t *testing.T) {
	cut := 0
	for seed := range uint64(4) {
		l, ps := newLandscape(1000+seed, false), standard()
		both := []string{"127.0.0.1:0", "[::1]:0"}
		s := &secret{pool: x509.NewCertPool()}
		s.certs = held(t, issue(t, s.pool, "ns1.dr.example"))
		s.fixture = create(nameserver.Options{Listen: both, Secure: nameserver.Secure{TLS: both, HTTPS: both, QUIC: both, Certificates: s.certs}})
		s.publish(t, 7, append([]*profile.Zone{testZone(records)}, l.zones...), ps, standardViews(ps))
		s.serve(t)
		f := s.fixture
		packets := transportQuestions(t, l)
		var first [][]byte
		for family, at := range f.srv.Addrs() {
			datagrams, streams := overUDP(t, at.String(), packets), overTCP(t, at.String(), packets)
			for i := range packets {
				if len(datagrams[i]) > 3 && datagrams[i][2]&2 != 0 { // TC
					cut++
					if len(streams[i]) <= 1232 || !bytes.Equal(datagrams[i][:2], streams[i][:2]) {
						t.Errorf("question %x was cut to %x, and is %x in full", packets[i], datagrams[i], streams[i])
					}
					continue
				}
				if !bytes.Equal(datagrams[i], streams[i]) {
					t.Errorf("question %x over UDP %x, over TCP %x", packets[i], datagrams[i], streams[i])
				}
			}
			if seed < 2 {
				s.sameEncrypted(t, family, packets, streams)
			}
			if first != nil && !slices.EqualFunc(first, streams, bytes.Equal) {
				t.Error("IPv4 and IPv6 differ")
			}
			first = streams
		}
	}
	if cut == 0 || cut > sameQuestions {
		t.Errorf("%d of %d answers were cut: too few or too many", cut, 8*sameQuestions)
	}
}

// sameEncrypted asks again over every encrypted transport: equal bytes as over TCP.
func (s *secret) sameEncrypted(t *testing.T, family int, packets, want [][]byte) {
	t.Helper()
	at := func(via tap.Transport) string { return s.srv.SecureAddrs(via)[family].String() }
	conn, err := tls.Dial("tcp", at(tap.DoT), s.config("dot"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	got := map[string][][]byte{"dot": overStream(t, conn, packets)}
	for _, h2 := range []bool{false, true} {
		client := s.web(at(tap.DoH), h2)
		for _, post := range []bool{false, true} {
			name := fmt.Sprintf("doh, HTTP/2 %v, POST %v", h2, post)
			for _, pkt := range packets {
				got[name] = append(got[name], overDoH(t, client, post, pkt))
			}
		}
		client.CloseIdleConnections()
	}
	q := s.quic(t, at(tap.DoQ))
	for _, pkt := range packets {
		pkt = bytes.Clone(pkt)
		id := [2]byte(pkt)
		pkt[0], pkt[1] = 0, 0
		reply, err := overDoQ(q, pkt)
		if err != nil {
			t.Fatalf("%x: %v", pkt, err)
		}
		got["doq"] = append(got["doq"], append(id[:], reply[2:]...))
	}
	for name, replies := range got {
		for i := range packets {
			if !bytes.Equal(replies[i], want[i]) {
				t.Errorf("%s: question %x got %x, over TCP %x", name, packets[i], replies[i], want[i])
			}
		}
	}
}

// overUDP returns the answer to each packet.
func overUDP(t *testing.T, at string, packets [][]byte) [][]byte {
	t.Helper()
	conn, err := net.Dial("udp", at)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	out, buf := make([][]byte, len(packets)), make([]byte, 65535)
	for i, pkt := range packets {
		if _, err := conn.Write(pkt); err != nil {
			t.Fatal(err)
		}
		_ = conn.SetReadDeadline(time.Now().Add(5 * time.Second))
		n, err := conn.Read(buf)
		if err != nil {
			t.Fatalf("question %d, %x: %v", i, pkt, err)
		}
		out[i] = bytes.Clone(buf[:n])
	}
	return out
}

// overTCP is overUDP over one connection, in groups of questions that are sent at once; answers come in any order.
func overTCP(t *testing.T, at string, packets [][]byte) [][]byte {
	t.Helper()
	conn, err := net.Dial("tcp", at)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	return overStream(t, conn, packets)
}

// overStream is overTCP on a connection that stands.
func overStream(t *testing.T, conn net.Conn, packets [][]byte) [][]byte {
	t.Helper()
	_ = conn.SetDeadline(time.Now().Add(30 * time.Second))
	out := make([][]byte, len(packets))
	for group := range slices.Chunk(packets, 20) {
		var all []byte
		for _, pkt := range group {
			all = append(binary.BigEndian.AppendUint16(all, uint16(len(pkt))), pkt...)
		}
		if _, err := conn.Write(all); err != nil {
			t.Fatal(err)
		}
		for range group {
			reply, err := framedReply(conn)
			if err != nil {
				t.Fatal(err)
			}
			out[binary.BigEndian.Uint16(reply)] = reply // ids count the questions
		}
	}
	return out
}

func framedReply(conn io.Reader) ([]byte, error) {
	var head [2]byte
	if _, err := io.ReadFull(conn, head[:]); err != nil {
		return nil, err
	}
	reply := make([]byte, binary.BigEndian.Uint16(head[:]))
	if _, err := io.ReadFull(conn, reply); err != nil {
		return nil, err
	}
	if len(reply) < 12 {
		return nil, fmt.Errorf("answer of %d bytes", len(reply))
	}
	return reply, nil
}
