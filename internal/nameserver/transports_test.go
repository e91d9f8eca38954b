package nameserver_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/miekg/dns"

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
		f := build(t, append([]*profile.Zone{testZone(records)}, l.zones...), ps, standardViews(ps), "127.0.0.1:0", "[::1]:0")
		f.serve(t)
		packets := transportQuestions(t, l)
		var first [][]byte
		for _, at := range f.srv.Addrs() {
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
