package tsig

import (
	"encoding/binary"

	"jurymast/internal/nameserver/wire"
)

// Find returns the offset of a message's TSIG record, 0 without one. One that is not the last record is ErrFormat, as is
// a message that cannot be walked through.
func Find(msg []byte) (int, error) {
	if len(msg) < wire.HeaderLen {
		return 0, ErrFormat
	}
	off := wire.HeaderLen
	for range binary.BigEndian.Uint16(msg[4:]) {
		if off = wire.SkipName(msg, off); off < 0 || off+4 > len(msg) {
			return 0, ErrFormat
		}
		off += 4
	}
	before := int(binary.BigEndian.Uint16(msg[6:])) + int(binary.BigEndian.Uint16(msg[8:]))
	total := before + int(binary.BigEndian.Uint16(msg[10:]))
	at := 0
	for i := range total {
		start := off
		if off = wire.SkipName(msg, off); off < 0 || off+10 > len(msg) {
			return 0, ErrFormat
		}
		typ := binary.BigEndian.Uint16(msg[off:])
		if off += 10 + int(binary.BigEndian.Uint16(msg[off+8:])); off > len(msg) {
			return 0, ErrFormat
		}
		if typ == typeTSIG {
			if i < before || i != total-1 {
				return 0, ErrFormat
			}
			at = start
		}
	}
	if off != len(msg) {
		return 0, ErrFormat
	}
	return at, nil
}
