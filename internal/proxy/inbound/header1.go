package inbound

import (
	"bytes"
	"net/netip"
	"strconv"
	"strings"
)

// parseHeader1 reads "PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\r\n" (spec 2.1).
func parseHeader1(b []byte) (header, int, error) {
	if err := begins(b, signature1); err != nil {
		return header{}, 0, err
	}
	end := bytes.IndexByte(b[:min(len(b), maxHeader1)], '\n')
	switch {
	case end < 0 && len(b) >= maxHeader1:
		return header{}, 0, errLong1
	case end < 0:
		return header{}, 0, errShort
	case b[end-1] != '\r':
		return header{}, 0, errLine1
	}
	family, rest, _ := strings.Cut(string(b[len(signature1):end-1]), " ")
	if family == "UNKNOWN" { // "the receiver must ignore anything presented before the CRLF"
		return header{version: 1, local: true}, end + 1, nil
	}
	words := strings.Split(rest, " ")
	if len(words) != 4 || family != "TCP4" && family != "TCP6" {
		return header{}, 0, errLine1
	}
	source, err := header1AddrPort(family, words[0], words[2])
	if err != nil {
		return header{}, 0, err
	}
	dest, err := header1AddrPort(family, words[1], words[3])
	if err != nil {
		return header{}, 0, err
	}
	return header{version: 1, source: source, dest: dest}, end + 1, nil
}

func header1AddrPort(family, host, port string) (netip.AddrPort, error) {
	addr, err := netip.ParseAddr(host)
	if err != nil || addr.Zone() != "" || addr.Is4() != (family == "TCP4") {
		return netip.AddrPort{}, errAddr1
	}
	n, err := strconv.ParseUint(port, 10, 16) // takes no sign
	if err != nil || len(port) > 1 && port[0] == '0' {
		return netip.AddrPort{}, errPort1
	}
	return netip.AddrPortFrom(addr.Unmap(), uint16(n)), nil
}
