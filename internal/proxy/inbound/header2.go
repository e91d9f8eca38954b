package inbound

import (
	"encoding/binary"
	"hash/crc32"
	"net/netip"
)

// Version 2 begins with a fixed part: signature, version and command, family and protocol, length of the rest (spec 2.2).
const (
	header2Fixed  = 16
	header2Local  = 0x20
	header2Proxy  = 0x21
	familyUnspec  = 0x00
	familyTCP4    = 0x11
	familyTCP6    = 0x21
	familyUnix    = 0x31
	fieldHead     = 3 // type and length
	fieldChecksum = 0x03
	checksumSize  = 4
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func parseHeader2(b []byte) (header, int, error) {
	if err := begins(b, signature2); err != nil {
		return header{}, 0, err
	}
	if len(b) < header2Fixed {
		return header{}, 0, errShort
	}
	command, family, length := b[12], b[13], int(binary.BigEndian.Uint16(b[14:]))
	size, known := addressSize(family)
	end := header2Fixed + length
	local := command == header2Local // "must use the real connection endpoints and discard the protocol block"
	switch {
	case !local && command != header2Proxy:
		return header{}, 0, errKind2
	case end > maxHeader2:
		return header{}, 0, errLong2
	case !local && !known:
		return header{}, 0, errFamily2
	case !local && length < size:
		return header{}, 0, errShort2
	case len(b) < end:
		return header{}, 0, errShort
	case local:
		return header{version: 2, local: true}, end, nil
	}
	if err := checkFields(b[:end], header2Fixed+size); err != nil {
		return header{}, 0, err
	}
	return addresses2(family, b[header2Fixed:]), end, nil
}

// addressSize is the length of both addresses with their ports; false: a family or protocol we have no use for.
func addressSize(family byte) (int, bool) {
	switch family {
	case familyUnspec:
		return 0, true
	case familyTCP4:
		return 12, true
	case familyTCP6:
		return 36, true
	case familyUnix:
		return 216, true
	}
	return 0, false
}

func addresses2(family byte, b []byte) header {
	h := header{version: 2}
	port := func(at int) uint16 { return binary.BigEndian.Uint16(b[at:]) }
	switch family {
	case familyTCP4:
		h.source = netip.AddrPortFrom(netip.AddrFrom4([4]byte(b[:4])), port(8))
		h.dest = netip.AddrPortFrom(netip.AddrFrom4([4]byte(b[4:8])), port(10))
	case familyTCP6:
		h.source = netip.AddrPortFrom(netip.AddrFrom16([16]byte(b[:16])).Unmap(), port(32))
		h.dest = netip.AddrPortFrom(netip.AddrFrom16([16]byte(b[16:32])).Unmap(), port(34))
	default: // a unix socket has no address that a network knows
		h.local = true
	}
	return h
}

// checkFields walks the type-length-value fields from at to the end, and verifies a checksum over the whole header.
// What else they say is not used.
func checkFields(b []byte, at int) error {
	for at < len(b) {
		if len(b)-at < fieldHead {
			return errFields2
		}
		kind, size := b[at], int(binary.BigEndian.Uint16(b[at+1:]))
		at += fieldHead
		if len(b)-at < size {
			return errFields2
		}
		if kind == fieldChecksum {
			if size != checksumSize {
				return errFields2
			}
			if checksum(b, at) != binary.BigEndian.Uint32(b[at:]) {
				return errSum2
			}
		}
		at += size
	}
	return nil
}

// checksum of a header whose own place for it, at that offset, counts as zero.
func checksum(b []byte, at int) uint32 {
	sum := crc32.Update(0, castagnoli, b[:at])
	sum = crc32.Update(sum, castagnoli, make([]byte, checksumSize))
	return crc32.Update(sum, castagnoli, b[at+checksumSize:])
}
