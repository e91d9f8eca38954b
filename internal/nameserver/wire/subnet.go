package wire

import (
	"encoding/binary"
	"net/netip"
)

// The address families of a client subnet [RFC 7871 6].
const (
	familyIPv4 = 1
	familyIPv6 = 2
)

// subnetHead is the family, the source prefix length and the scope prefix length.
const subnetHead = 4

// mappedBits is how many bits stand before the IPv4 address in an IPv4-mapped one.
const mappedBits = 96

// checkSubnet checks a client subnet: as many address bytes as the prefix needs, zero bits behind it. A family that
// is not known counts as if the option were absent.
func checkSubnet(d []byte) (known, valid bool) {
	if len(d) < subnetHead {
		return false, false
	}
	var bits int
	switch binary.BigEndian.Uint16(d) {
	case familyIPv4:
		bits = 32
	case familyIPv6:
		bits = 128
	default:
		return false, true
	}
	prefix, addr := int(d[2]), d[subnetHead:]
	if prefix > bits || len(addr) != (prefix+7)/8 {
		return true, false
	}
	return true, prefix%8 == 0 || addr[len(addr)-1]<<(prefix%8) == 0
}

// Subnet reads the contents of a checked client subnet: its first address and how many leading bits of that are told.
// An IPv4-mapped one is the IPv4 subnet it stands for; mapped is then how many bits were taken away in front, which a
// scope that counts IPv4 bits needs back. bits 0: the client does not want to be located.
func Subnet(d []byte) (addr netip.Addr, bits, mapped int) {
	bits = int(d[2])
	if binary.BigEndian.Uint16(d) == familyIPv4 {
		var b [4]byte
		copy(b[:], d[subnetHead:])
		return netip.AddrFrom4(b), bits, 0
	}
	var b [16]byte
	copy(b[:], d[subnetHead:])
	addr = netip.AddrFrom16(b)
	if addr.Is4In6() && bits >= mappedBits {
		return addr.Unmap(), bits - mappedBits, mappedBits
	}
	return addr, bits, 0
}
