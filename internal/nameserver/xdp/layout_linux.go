package xdp

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// What fits into the table, in bytes.
const (
	MaxName    = 68  // a name in wire form, root included
	MaxRecords = 128 // an answer section

	keySize    = MaxName + 4 // type and class
	recordHead = 16
	dataSize   = 144 // MaxRecords and an OPT, in words of eight bytes
	recordSize = recordHead + dataSize
	optSize    = 11
)

// The head of a record. Numbers are little endian but for the count, which is copied into the message as it is.
const (
	recLen      = 0  // 2 bytes: length of the answer section
	recCount    = 2  // 2 bytes, big endian: records in it
	recSum      = 4  // 2 bytes: its Internet checksum, not inverted, as if it began at an even offset
	recSumOPT   = 6  // 2 bytes: the same with the OPT behind it
	recSlot     = 8  // 4 bytes: the counter of this answer
	recUnsigned = 12 // 4 bytes: not 0 if the answer holds for clients that want signatures too
)

// Answer is what a question gets from everywhere, at any time until it is published anew.
type Answer struct {
	Records  []byte // the answer section as it follows the question: every owner is 0xC00C or points behind it
	Count    uint16 // of records in it, at least 1
	Slot     uint32 // counts these answers; below Options.Slots
	Unsigned bool   // holds with DO too. If not, questions with DO go to the sockets
}

// makeKey is how the program asks the table. Lower case is what it folds to, byte by byte, lengths and type included:
// no length of a label is a capital letter, and the types that are (65 to 90) are refused.
func makeKey(name []byte, qtype uint16) (key [keySize]byte, err error) {
	switch {
	case len(name) == 0 || len(name) > MaxName:
		return key, fmt.Errorf("the name has %d bytes in wire form; 1 to %d fit into the table", len(name), MaxName)
	case qtype >= 'A' && qtype <= 'z':
		return key, fmt.Errorf("type %d cannot be told from another one when letters are folded; leave it to the sockets", qtype)
	}
	for i, c := range name {
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		key[i] = c
	}
	binary.BigEndian.PutUint16(key[len(name):], qtype)
	binary.BigEndian.PutUint16(key[len(name)+2:], 1) // IN
	return key, nil
}

var errEmpty = errors.New("an answer without records is not for the table; negative answers belong to the sockets")

func makeRecord(a Answer, udpSize uint16) (rec [recordSize]byte, err error) {
	n := len(a.Records)
	switch {
	case n == 0 || a.Count == 0:
		return rec, errEmpty
	case n > MaxRecords:
		return rec, fmt.Errorf("the answer section has %d bytes; at most %d fit into the table", n, MaxRecords)
	}
	copy(rec[recordHead:], a.Records)
	opt := rec[recordHead+n : recordHead+n+optSize]
	opt[2] = 41 // OPT, owner root, no extended code, version 0 [RFC 6891 6.1.2]
	binary.BigEndian.PutUint16(opt[3:], udpSize)
	binary.LittleEndian.PutUint16(rec[recLen:], uint16(n))
	binary.BigEndian.PutUint16(rec[recCount:], a.Count)
	binary.LittleEndian.PutUint16(rec[recSum:], sum(a.Records))
	binary.LittleEndian.PutUint16(rec[recSumOPT:], sum(rec[recordHead:recordHead+n+optSize]))
	binary.LittleEndian.PutUint32(rec[recSlot:], a.Slot)
	if a.Unsigned {
		rec[recUnsigned] = 1
	}
	return rec, nil
}

// sum is the Internet checksum of b, not inverted, in the byte order of a little-endian machine [RFC 1071].
func sum(b []byte) uint16 {
	var s uint32
	for ; len(b) > 1; b = b[2:] {
		s += uint32(binary.LittleEndian.Uint16(b))
	}
	if len(b) == 1 {
		s += uint32(b[0])
	}
	for s > 0xFFFF {
		s = s&0xFFFF + s>>16
	}
	return uint16(s)
}
