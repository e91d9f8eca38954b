package inbound

import "net/netip"

// The longest PROXY headers, in bytes.
const (
	maxHeader1 = 107     // with its CRLF (spec 2.1)
	maxHeader2 = 4 << 10 // ours; the spec allows 16+65535, and a client certificate in a TLV has 1 to 2 KiB
)

// header is what a balancer tells of the connection it carries, in the PROXY protocol, versions 1 and 2
// (https://www.haproxy.org/download/3.4/doc/proxy-protocol.txt, called "spec" here).
//
// Reading is strict: "any sequence which does not exactly match the protocol must be discarded" (spec 2). It is our own
// because it works on bytes: what follows the header belongs to TLS or HTTP and must stay where it is.
type header struct {
	version uint8 // 1 or 2

	// local says that the addresses of the socket hold: the balancer speaks for itself (LOCAL), or carries a client it
	// cannot describe (UNKNOWN, UNSPEC, a unix socket).
	local bool

	// source is the client, dest where it connected to; invalid when local. IPv4 in IPv6 is unmapped.
	source, dest netip.AddrPort
}

// headerError is why bytes are no header. It quotes nothing of them.
type headerError string

func (f headerError) Error() string { return "PROXY header: " + string(f) }

const (
	errShort   = headerError("not complete") // more bytes are needed
	errMissing = headerError("there is none")
	errLong1   = headerError("no line end within 107 bytes")
	errLine1   = headerError("the line is not one of version 1")
	errAddr1   = headerError("an address of version 1 is malformed")
	errPort1   = headerError("a port of version 1 is malformed")
	errKind2   = headerError("version or command is unknown")
	errFamily2 = headerError("family or protocol is unknown, or no stream")
	errLong2   = headerError("longer than 4 KiB")
	errShort2  = headerError("its length has no room for the addresses")
	errFields2 = headerError("its type-length-value fields are malformed")
	errSum2    = headerError("the checksum is wrong")
)

const (
	signature1 = "PROXY "
	signature2 = "\r\n\r\n\x00\r\nQUIT\n"
)

// parseHeader reads the header that b begins with, and says how many bytes it has. Bytes behind it are not looked at.
// errShort asks for more of them; any other error stands whatever comes.
func parseHeader(b []byte) (header, int, error) {
	switch {
	case len(b) == 0:
		return header{}, 0, errShort
	case b[0] == signature1[0]:
		return parseHeader1(b)
	case b[0] == signature2[0]:
		return parseHeader2(b)
	}
	return header{}, 0, errMissing
}

// begins compares b with a signature as far as b goes.
func begins(b []byte, signature string) error {
	n := min(len(b), len(signature))
	switch {
	case string(b[:n]) != signature[:n]:
		return errMissing
	case n < len(signature):
		return errShort
	}
	return nil
}
