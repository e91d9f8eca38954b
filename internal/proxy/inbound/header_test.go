package inbound

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/pires/go-proxyproto"
)

// v2 writes a header of version 2.
func v2(command, family byte, body string) string {
	return signature2 + string([]byte{command, family, byte(len(body) >> 8), byte(len(body))}) + body
}

const (
	four     = "\xc0\x00\x02\x01\xc6\x33\x64\x02\x30\x39\x01\xbb" // 192.0.2.1:12345 to 198.51.100.2:443
	six      = "\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01" + "\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02" + "\x30\x39\x01\xbb"
	mapped   = "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff\xc0\x00\x02\x01" + "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff\xc6\x33\x64\x02" + "\x30\x39\x01\xbb"
	alpn     = "\x01\x00\x02h2"
	fourTo   = "192.0.2.1:12345>198.51.100.2:443"
	sixTo    = "[2001:db8::1]:12345>[2001:db8::2]:443"
	localEnd = "local"
)

// summed adds a checksum field to a body of version 2.
func summed(family byte, body string) string {
	whole := []byte(v2(header2Proxy, family, body+"\x03\x00\x04\x00\x00\x00\x00"))
	binary.BigEndian.PutUint32(whole[len(whole)-4:], checksum(whole, len(whole)-4))
	return string(whole)
}

func (h *header) tells() string {
	if h.local {
		return localEnd
	}
	return h.source.String() + ">" + h.dest.String()
}

var headerCases = []struct {
	name, in string
	want     string // what it tells, or the error
}{
	{"v1 IPv4", "PROXY TCP4 192.0.2.1 198.51.100.2 12345 443\r\n", fourTo},
	{"v1 IPv6", "PROXY TCP6 2001:db8::1 2001:db8::2 12345 443\r\n", sixTo},
	{"v1 IPv4 in IPv6", "PROXY TCP6 ::ffff:192.0.2.1 ::ffff:198.51.100.2 12345 443\r\n", fourTo},
	{"v1 ports at their ends", "PROXY TCP4 192.0.2.1 198.51.100.2 0 65535\r\n", "192.0.2.1:0>198.51.100.2:65535"},
	{"v1 unknown", "PROXY UNKNOWN\r\n", localEnd},
	{"v1 unknown with addresses", "PROXY UNKNOWN ffff:f::1 ffff::2 65535 65535\r\n", localEnd},
	{"v1 of 107 bytes", "PROXY UNKNOWN " + strings.Repeat("x", 91) + "\r\n", localEnd},
	{"v1 of 108 bytes", "PROXY UNKNOWN " + strings.Repeat("x", 92) + "\r\n", string(errLong1)},
	{"v1 without an end", "PROXY UNKNOWN " + strings.Repeat("x", 200), string(errLong1)},
	{"v1 bare LF", "PROXY TCP4 192.0.2.1 198.51.100.2 12345 443\n", string(errLine1)},
	{"v1 two blanks", "PROXY  TCP4 192.0.2.1 198.51.100.2 12345 443\r\n", string(errLine1)},
	{"v1 blank at the end", "PROXY TCP4 192.0.2.1 198.51.100.2 12345 443 \r\n", string(errLine1)},
	{"v1 a word too few", "PROXY TCP4 192.0.2.1 198.51.100.2 12345\r\n", string(errLine1)},
	{"v1 no words", "PROXY TCP4\r\n", string(errLine1)},
	{"v1 other protocol", "PROXY UDP4 192.0.2.1 198.51.100.2 12345 443\r\n", string(errLine1)},
	{"v1 lower case", "PROXY tcp4 192.0.2.1 198.51.100.2 12345 443\r\n", string(errLine1)},
	{"v1 families mixed", "PROXY TCP4 2001:db8::1 198.51.100.2 12345 443\r\n", string(errAddr1)},
	{"v1 IPv4 as IPv6", "PROXY TCP6 192.0.2.1 198.51.100.2 12345 443\r\n", string(errAddr1)},
	{"v1 octet with a zero", "PROXY TCP4 192.0.02.1 198.51.100.2 12345 443\r\n", string(errAddr1)},
	{"v1 zone", "PROXY TCP6 fe80::1%eth0 2001:db8::2 12345 443\r\n", string(errAddr1)},
	{"v1 host name", "PROXY TCP4 localhost 198.51.100.2 12345 443\r\n", string(errAddr1)},
	{"v1 port too large", "PROXY TCP4 192.0.2.1 198.51.100.2 65536 443\r\n", string(errPort1)},
	{"v1 port with a zero", "PROXY TCP4 192.0.2.1 198.51.100.2 0443 443\r\n", string(errPort1)},
	{"v1 port with a sign", "PROXY TCP4 192.0.2.1 198.51.100.2 +443 443\r\n", string(errPort1)},
	{"v1 no port", "PROXY TCP4 192.0.2.1 198.51.100.2  443\r\n", string(errPort1)},

	{"v2 IPv4", v2(header2Proxy, familyTCP4, four), fourTo},
	{"v2 IPv6", v2(header2Proxy, familyTCP6, six), sixTo},
	{"v2 IPv4 in IPv6", v2(header2Proxy, familyTCP6, mapped), fourTo},
	{"v2 with fields", v2(header2Proxy, familyTCP4, four+alpn+"\x04\x00\x00"), fourTo},
	{"v2 with a checksum", summed(familyTCP4, four+alpn), fourTo},
	{"v2 with a wrong checksum", v2(header2Proxy, familyTCP4, four+"\x03\x00\x04abcd"), string(errSum2)},
	{"v2 with a short checksum", v2(header2Proxy, familyTCP4, four+"\x03\x00\x03abc"), string(errFields2)},
	{"v2 unix", v2(header2Proxy, familyUnix, strings.Repeat("/", 216)), localEnd},
	{"v2 unspecified", v2(header2Proxy, familyUnspec, ""), localEnd},
	{"v2 unspecified with fields", v2(header2Proxy, familyUnspec, alpn), localEnd},
	{"v2 local", v2(header2Local, familyUnspec, ""), localEnd},
	{"v2 local with addresses", v2(header2Local, familyTCP4, four), localEnd},
	{"v2 local with anything", v2(header2Local, 0xff, "anything"), localEnd},
	{"v2 as long as may be", v2(header2Proxy, familyTCP4, four+"\x04\x0f\xe1"+strings.Repeat("x", 4096-16-12-3)), fourTo},
	{"v2 longer", signature2 + "\x21\x11\x0f\xf1", string(errLong2)},
	{"v2 UDP", v2(header2Proxy, 0x12, four), string(errFamily2)},
	{"v2 family without protocol", v2(header2Proxy, 0x10, four), string(errFamily2)},
	{"v2 unknown family", v2(header2Proxy, 0x41, four), string(errFamily2)},
	{"v2 addresses cut", v2(header2Proxy, familyTCP4, four[:11]), string(errShort2)},
	{"v2 unix cut", v2(header2Proxy, familyUnix, "x"), string(errShort2)},
	{"v2 field cut", v2(header2Proxy, familyTCP4, four+"\x01\x00"), string(errFields2)},
	{"v2 field longer than the header", v2(header2Proxy, familyTCP4, four+"\x01\x00\x03h2"), string(errFields2)},
	{"version 3", v2(0x31, familyTCP4, four), string(errKind2)},
	{"v2 unknown command", v2(0x22, familyTCP4, four), string(errKind2)},

	{"HTTP", "GET / HTTP/1.1\r\n\r\n", string(errMissing)},
	{"HTTP that begins alike", "PROPFIND / HTTP/1.1\r\n\r\n", string(errMissing)},
	{"HTTP after empty lines", "\r\n\r\nGET / HTTP/1.1\r\n\r\n", string(errMissing)},
	{"lower case", "proxy TCP4", string(errMissing)},
	{"TLS", "\x16\x03\x01\x02\x00\x01", string(errMissing)},
	{"PROXYTCP4", "PROXYTCP4 192.0.2.1 198.51.100.2 12345 443\r\n", string(errMissing)},
}

// TestHeader: what follows is left alone, and any cut of a good header asks for more.
func TestHeader(t *testing.T) {
	t.Parallel()
	for _, tc := range headerCases {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			h, n, err := parseHeader([]byte(tc.in + "GET / HTTP/1.1\r\n"))
			if err != nil {
				if want := headerError(tc.want); !errors.Is(err, want) {
					t.Fatalf("refused: %v", err)
				}
				return
			}
			if got := h.tells(); got != tc.want || n != len(tc.in) {
				t.Errorf("%d bytes of %d: %s, want %s", n, len(tc.in), got, tc.want)
			}
			for i := range tc.in {
				if _, _, err := parseHeader([]byte(tc.in[:i])); !errors.Is(err, errShort) {
					t.Fatalf("after %d bytes: %v", i, err)
				}
			}
		})
	}
}

// FuzzHeader: no panic, cuts ask for more, and a widely used reader agrees with ours wherever ours finds a header.
func FuzzHeader(f *testing.F) {
	for _, tc := range headerCases {
		f.Add([]byte(tc.in))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		h, n, err := parseHeader(b)
		if err != nil {
			if errors.Is(err, errShort) && len(b) >= maxHeader2 {
				t.Fatalf("%d bytes are not enough", len(b))
			}
			return
		}
		if n < 15 || n > len(b) || n > maxHeader2 || h.version == 1 && n > maxHeader1 {
			t.Fatalf("header of %d bytes in %d", n, len(b))
		}
		if h.local == h.source.IsValid() || h.local == h.dest.IsValid() {
			t.Fatalf("%+v", h)
		}
		if _, _, err := parseHeader(b[:n-1]); !errors.Is(err, errShort) {
			t.Fatalf("without its last byte: %v", err)
		}
		again, m, err := parseHeader(b[:n:n])
		if err != nil || again != h || m != n {
			t.Fatalf("by itself: %+v, %d bytes, %v; before %+v, %d", again, m, err, h, n)
		}
		agree(t, &h, b[:n])
	})
}

func agree(t *testing.T, h *header, b []byte) {
	t.Helper()
	if h.version == 2 && h.local { // theirs refuses what must be ignored or accepted without addresses
		return
	}
	theirs, err := proxyproto.Read(bufio.NewReaderSize(bytes.NewReader(b), maxHeader2))
	if err != nil {
		t.Fatalf("ours: %s; theirs: %v", h.tells(), err)
	}
	if h.local {
		if _, _, ok := theirs.TCPAddrs(); ok {
			t.Fatalf("ours is local, theirs %v", theirs.SourceAddr)
		}
		return
	}
	plain := func(a net.Addr) netip.AddrPort { return addrPort(a) }
	if plain(theirs.SourceAddr) != h.source || plain(theirs.DestinationAddr) != h.dest {
		t.Fatalf("ours: %s; theirs: %v>%v", h.tells(), theirs.SourceAddr, theirs.DestinationAddr)
	}
}
