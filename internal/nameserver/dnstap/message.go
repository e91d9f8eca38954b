package dnstap

import (
	"net/netip"
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
	if t.o.Responses {
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

// withoutSubnet is a message whose client subnet tells no more than a network. Only a message that tells more is
// written anew; one that cannot be read has no client subnet anybody believed.
func withoutSubnet(pkt []byte) []byte {
	m := new(dns.Msg)
	if len(pkt) < 12 || pkt[10] == 0 && pkt[11] == 0 || m.Unpack(pkt) != nil { // no additional section, no option
		return pkt
	}
	opt := m.IsEdns0()
	if opt == nil {
		return pkt
	}
	changed := false
	for _, o := range opt.Option {
		s, ok := o.(*dns.EDNS0_SUBNET)
		if !ok {
			continue
		}
		bits := uint8(bits6)
		if s.Family == 1 {
			bits = bits4
		}
		if s.SourceNetmask <= bits {
			continue
		}
		a, ok := netip.AddrFromSlice(s.Address)
		if s.Family == 1 {
			a = a.Unmap()
		}
		if p, err := a.Prefix(int(bits)); ok && err == nil {
			s.SourceNetmask, s.Address, changed = bits, p.Masked().Addr().AsSlice(), true
		}
	}
	if !changed {
		return pkt
	}
	m.Compress = true
	again, err := m.Pack()
	if err != nil {
		return pkt[:12:12] // the head alone: better too little than too much
	}
	return again
}
