package dnstap

import (
	"bytes"
	"net/netip"
	"slices"
	"time"

	pb "github.com/dnstap/golang-dnstap"
	"github.com/miekg/dns"
	"google.golang.org/protobuf/proto"

	"jurymast/internal/nameserver/tap"
)

// How much of an address is told unless all of it may be, in bits.
const (
	bits4 = 24
	bits6 = 56
)

// protocolDoQ is younger than the library: dnstap.proto calls it DOQ.
const protocolDoQ = pb.SocketProtocol(7)

// frames appends the wanted messages of one entry, each as the bytes of a data frame.
func (t *Tap) frames(out [][]byte, e *entry) [][]byte {
	question, answer, client := e.question, e.answer, e.client
	if !t.o.Full {
		question, answer = withoutSubnet(question), withoutSubnet(answer)
		client = netip.AddrPortFrom(network(client.Addr()), 0)
	}
	m := &pb.Message{QueryTimeSec: seconds(e.asked), QueryTimeNsec: nanoseconds(e.asked)}
	where(m, client, e.via)
	if t.o.Queries {
		kind := pb.Message_AUTH_QUERY
		m.Type, m.QueryMessage = &kind, question
		out = t.frame(out, m)
		m.QueryMessage = nil
	}
	if t.o.Responses && len(answer) > 0 {
		kind := pb.Message_AUTH_RESPONSE
		m.Type, m.ResponseMessage = &kind, answer
		m.ResponseTimeSec, m.ResponseTimeNsec = seconds(e.said), nanoseconds(e.said)
		out = t.frame(out, m)
	}
	return out
}

func (t *Tap) frame(out [][]byte, m *pb.Message) [][]byte {
	kind := pb.Dnstap_MESSAGE
	b, err := proto.Marshal(&pb.Dnstap{Identity: t.identity, Version: t.version, Type: &kind, Message: m})
	if err != nil {
		t.failed.Add(1)
		return out
	}
	return append(out, b)
}

func where(m *pb.Message, client netip.AddrPort, via tap.Transport) {
	family, protocol := pb.SocketFamily_INET6, pb.SocketProtocol_UDP
	if client.Addr().Is4() {
		family = pb.SocketFamily_INET
	}
	switch via {
	case tap.TCP:
		protocol = pb.SocketProtocol_TCP
	case tap.DoT:
		protocol = pb.SocketProtocol_DOT
	case tap.DoQ:
		protocol = protocolDoQ
	case tap.DoH:
		protocol = pb.SocketProtocol_DOH
	case tap.UDP:
	}
	m.SocketFamily, m.SocketProtocol = &family, &protocol
	if client.Addr().IsValid() {
		m.QueryAddress = client.Addr().AsSlice()
	}
	if port := uint32(client.Port()); port != 0 {
		m.QueryPort = &port
	}
}

func seconds(t time.Time) *uint64 {
	s := uint64(t.Unix()) //nolint:gosec // after 1970
	return &s
}

func nanoseconds(t time.Time) *uint32 {
	n := uint32(t.Nanosecond()) //nolint:gosec // below a billion
	return &n
}

// network is the first address of a client's network.
func network(a netip.Addr) netip.Addr {
	bits := bits6
	if a.Is4() {
		bits = bits4
	}
	p, err := a.WithZone("").Prefix(bits)
	if err != nil {
		return netip.Addr{} // not known
	}
	return p.Masked().Addr()
}

// withoutSubnet is a message whose client subnets tell no more than a network. Only a message that has some is written
// anew. Of one that cannot be read nobody knows what it tells, so nothing but its head is kept.
func withoutSubnet(pkt []byte) []byte {
	if len(pkt) < headLen || bytes.Equal(pkt[answersAt:headLen], make([]byte, headLen-answersAt)) {
		return pkt // no records, no options
	}
	m := new(dns.Msg)
	if m.Unpack(pkt) != nil {
		return headOf(pkt)
	}
	found := false
	for _, rr := range slices.Concat(m.Answer, m.Ns, m.Extra) { // wherever a client has put it
		if opt, ok := rr.(*dns.OPT); ok {
			for _, o := range opt.Option {
				if s, ok := o.(*dns.EDNS0_SUBNET); ok {
					shorten(s)
					found = true
				}
			}
		}
	}
	if !found {
		return pkt
	}
	m.Compress = true
	again, err := m.Pack()
	if err != nil {
		return headOf(pkt)
	}
	return again
}

// shorten leaves no more than a network of a client subnet, and nothing behind its prefix.
func shorten(s *dns.EDNS0_SUBNET) {
	bits := uint8(bits6)
	if s.Family == 1 {
		bits = bits4
	}
	s.SourceNetmask = min(s.SourceNetmask, bits)
	a, _ := netip.AddrFromSlice(s.Address)
	if s.Family == 1 {
		a = a.Unmap()
	}
	if p, err := a.Prefix(int(s.SourceNetmask)); err == nil {
		s.Address = p.Addr().AsSlice()
		return
	}
	s.SourceNetmask, s.Address = 0, nil // no address of its family
}

// Of the head of a message [RFC 1035 4.1.1], in bytes.
const (
	headLen   = 12
	countsAt  = 4
	answersAt = 6
)

// headOf is the head of a message, with nothing behind it.
func headOf(pkt []byte) []byte {
	head := slices.Clone(pkt[:headLen])
	clear(head[countsAt:])
	return head
}
