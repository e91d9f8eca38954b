package batch

import (
	"encoding/binary"
	"net/netip"

	"golang.org/x/sys/unix"
)

// sourceControl makes the answer leave from the address that was asked: the packet information that came with the
// question goes back, its source the destination of the question. The interface is left to the routing table, except
// where an address needs it.
func (*conn) sourceControl(h *headers, i int, out *mmsghdr) {
	out.hdr.Control = nil
	out.hdr.SetControllen(0)
	at, used := i*maxControl, int(h.in[i].hdr.Controllen) //nolint:gosec // at most maxControl
	list := h.control[at : at+used]
	for offset := 0; ; {
		level, typ, data, rest := nextControl(list[offset:])
		if data == nil {
			return
		}
		switch {
		case level == unix.IPPROTO_IP && typ == unix.IP_PKTINFO && len(data) >= unix.SizeofInet4Pktinfo:
			clear(data[:4])             // interface
			copy(data[4:8], data[8:12]) // source = destination of the question
		case level == unix.IPPROTO_IPV6 && typ == unix.IPV6_PKTINFO && len(data) >= unix.SizeofInet6Pktinfo:
			if !netip.AddrFrom16([16]byte(data[:16])).IsLinkLocalUnicast() {
				clear(data[16:20])
			}
		default:
			offset = used - len(rest)
			continue
		}
		out.hdr.Control = &h.control[at+offset]
		out.hdr.SetControllen(unix.CmsgSpace(len(data)))
		return
	}
}

// nextControl splits the first control message off. data is nil behind the last one.
func nextControl(list []byte) (level, typ uint32, data, rest []byte) {
	const word = unix.SizeofCmsghdr - 8 // the header is a length of word size, then level and type
	if len(list) < unix.SizeofCmsghdr {
		return 0, 0, nil, nil
	}
	var length int
	if word == 8 {
		length = int(binary.NativeEndian.Uint64(list)) //nolint:gosec // checked below
	} else {
		length = int(binary.NativeEndian.Uint32(list))
	}
	if length < unix.SizeofCmsghdr || length > len(list) {
		return 0, 0, nil, nil
	}
	data = list[unix.SizeofCmsghdr:length:length]
	rest = list[min(unix.CmsgSpace(len(data)), len(list)):]
	return binary.NativeEndian.Uint32(list[word:]), binary.NativeEndian.Uint32(list[word+4:]), data, rest
}
