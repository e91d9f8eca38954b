package wire

import "encoding/binary"

// Freshness is how long an answer may be kept, in seconds [RFC 8484 5.1]: the smallest TTL of its answer section and of
// the SOA that says that there is nothing (more). An error, a referral and what cannot be read are not kept.
func Freshness(reply []byte) uint32 {
	if len(reply) < HeaderLen {
		return 0
	}
	if rcode := reply[3] & 15; rcode != Success && rcode != NXDomain || reply[2]&(FlagTC>>8) != 0 {
		return 0
	}
	off := HeaderLen
	for range binary.BigEndian.Uint16(reply[4:]) {
		if off = SkipName(reply, off); off < 0 || off+4 > len(reply) {
			return 0
		}
		off += 4
	}
	answers, authority := int(binary.BigEndian.Uint16(reply[6:])), int(binary.BigEndian.Uint16(reply[8:]))
	const none = ^uint32(0)
	least := none
	for i := range answers + authority {
		if off = SkipName(reply, off); off < 0 || off+10 > len(reply) {
			return 0
		}
		if i < answers || binary.BigEndian.Uint16(reply[off:]) == typeSOA {
			least = min(least, binary.BigEndian.Uint32(reply[off+4:]))
		}
		if off += 10 + int(binary.BigEndian.Uint16(reply[off+8:])); off > len(reply) {
			return 0
		}
	}
	if least == none {
		return 0
	}
	return least
}
