package nameserver

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"syscall"

	"golang.org/x/sys/unix"
)

// wildcardReplies: this system tells which address a packet was sent to, and lets the answer leave from it.
const wildcardReplies = true

// receiveBuffer is asked of the kernel for each socket, in bytes; it gives as much as net.core.rmem_max allows.
const receiveBuffer = 4 << 20

func loops(n int) int { return n }

// listenUDP binds one of several sockets that share an address; the kernel spreads clients over them.
func listenUDP(ctx context.Context, network string, addr netip.AddrPort) (*net.UDPConn, error) {
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var err error
		if e := c.Control(func(fd uintptr) { err = socketOptions(int(fd), addr.Addr()) }); e != nil {
			return e
		}
		return err
	}}
	pc, err := lc.ListenPacket(ctx, network, addr.String())
	if err != nil {
		return nil, err
	}
	conn, ok := pc.(*net.UDPConn)
	if !ok {
		pc.Close()
		return nil, fmt.Errorf("%s %s: not a UDP socket", network, addr)
	}
	_ = conn.SetReadBuffer(receiveBuffer) // less than wanted is no error worth stopping for
	return conn, nil
}

// socketOptions are set before the bind. Datagrams are sent without fragments [RFC 9715].
func socketOptions(fd int, addr netip.Addr) error {
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1); err != nil {
		return err
	}
	if addr.Is4() {
		// Path MTU hints are ignored, because anybody can forge them; 1232 bytes fit nearly everywhere.
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_INTERFACE); err != nil {
			return err
		}
		return wildcardOption(fd, addr, unix.IPPROTO_IP, unix.IP_PKTINFO)
	}
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_MTU_DISCOVER, unix.IPV6_PMTUDISC_INTERFACE); err != nil {
		return err
	}
	return wildcardOption(fd, addr, unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO)
}

func wildcardOption(fd int, addr netip.Addr, level, opt int) error {
	if !addr.IsUnspecified() {
		return nil
	}
	return unix.SetsockoptInt(fd, level, opt, 1)
}

// replyFrom turns the packet information of a question into that of its answer, in place: the source becomes the
// destination that was asked. The interface is left to the routing table, except where an address needs it.
func replyFrom(oob []byte) []byte {
	if len(oob) < unix.SizeofCmsghdr {
		return nil
	}
	// The header is a length of word size, then level and type.
	word := unix.SizeofCmsghdr - 8
	level, typ := binary.NativeEndian.Uint32(oob[word:]), binary.NativeEndian.Uint32(oob[word+4:])
	data := oob[unix.SizeofCmsghdr:]
	switch {
	case level == unix.IPPROTO_IP && typ == unix.IP_PKTINFO && len(data) >= unix.SizeofInet4Pktinfo:
		clear(data[:4])             // interface
		copy(data[4:8], data[8:12]) // source = destination of the question
		return oob
	case level == unix.IPPROTO_IPV6 && typ == unix.IPV6_PKTINFO && len(data) >= unix.SizeofInet6Pktinfo:
		if !netip.AddrFrom16([16]byte(data[:16])).IsLinkLocalUnicast() {
			clear(data[16:20])
		}
		return oob
	}
	return nil
}
