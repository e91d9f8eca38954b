//go:build linux

package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

const sockets = 8 // source ports of the questions

// wireName is w000000.bench.example: all have one length.
func wireName(n int) []byte { return fmt.Appendf(nil, "\x07w%06d\x05bench\x07example\x00", n) }

// record is the answer to name n behind the question.
func record(n int) []byte {
	return []byte{0xC0, 12, 0, 1, 0, 1, 0, 0, 0, 30, 0, 4, 192, 0, 2, byte(n)} //nolint:gosec // any will do
}

func configuration(dir string, names int) []byte {
	var o bytes.Buffer
	fmt.Fprintf(&o, `node:
  name: bench
  data: %s/data
  nameserver: {listen: ["%s:53"]}
zones:
  - name: bench.example
    nameservers: [ns1.bench.example]
    hostmaster: ops.bench.example
    records: |
      ns1 300 A %[2]s
`, dir, serverIP)
	for n := range names {
		fmt.Fprintf(&o, "      w%06d 30 A 192.0.2.%d\n", n, n&0xFF)
	}
	return o.Bytes()
}

// question number n as a frame with good checksums.
func question(n int, edns bool) []byte {
	msg := append([]byte{0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0}, wireName(n)...)
	binary.BigEndian.PutUint16(msg, uint16(n)) //nolint:gosec // an ID, any will do
	msg = append(msg, 0, 1, 0, 1)
	if edns {
		msg[11] = 1
		msg = append(msg, 0, 0, 41, 0x10, 0, 0, 0, 0, 0, 0, 0)
	}
	udp := uint16(8 + len(msg)) //nolint:gosec // some 50 bytes
	f := []byte("\x02\x00\x00\x00\x00\x01\x02\x00\x00\x00\x00\x02\x08\x00\x45\x00..\x00\x00\x40\x00\x40\x11\x00\x00")
	f = append(append(f, clientIP.AsSlice()...), serverIP.AsSlice()...)
	binary.BigEndian.PutUint16(f[16:], 20+udp)
	binary.BigEndian.PutUint16(f[24:], ^sum(f[14:34]))
	f = binary.BigEndian.AppendUint16(f, uint16(40000+n%sockets))
	f = binary.BigEndian.AppendUint16(append(f, 0, 53), udp)
	f = append(append(f, 0, 0), msg...)
	binary.BigEndian.PutUint16(f[40:], ^sum(append([]byte{0, 17, f[38], f[39]}, f[26:]...)))
	return f
}

// sum is the Internet checksum, not inverted.
func sum(b []byte) uint16 {
	b = append(bytes.Clone(b), 0)
	s := uint32(0)
	for i := 0; i+1 < len(b); i += 2 {
		s += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	for s > 0xFFFF {
		s = s&0xFFFF + s>>16
	}
	return uint16(s)
}
