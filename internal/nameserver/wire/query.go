package wire

import "encoding/binary"

// Numbers of the header and of EDNS that this package has to know [RFC 1035 4.1.1, RFC 6891].
const (
	HeaderLen = 12

	FlagQR = 1 << 15
	FlagAA = 1 << 10
	FlagTC = 1 << 9
	FlagRD = 1 << 8

	TypeOPT = 41

	OptionECS    = 8
	OptionCookie = 10
	OptionEDE    = 15

	flagDO = 1 << 15
)

// The response codes used here [RFC 6895 2.3].
const (
	Success  = 0
	FormErr  = 1
	ServFail = 2
	NXDomain = 3
	NotImp   = 4
	Refused  = 5
	YXDomain = 6
	NotAuth  = 9
	BadVers  = 16
)

// The opcodes that are more than "not implemented".
const (
	OpcodeQuery  = 0
	OpcodeNotify = 4
)

// Outcome says what a packet is.
type Outcome uint8

// The outcomes of Parse, in the order in which they are looked for.
const (
	OK        Outcome = iota
	Drop              // too short to answer, or itself a response
	NotOurs           // an opcode that is not implemented
	Malformed         // FORMERR
	Version           // EDNS version above 0: BADVERS
)

// Query is one question read in place. It points into the packet and is valid as long as that is.
type Query struct {
	ID     uint16
	Opcode uint8
	RD     bool

	Question []byte // name, type and class byte for byte; nil when it could not be read
	Name     Name
	Type     uint16
	Class    uint16

	EDNS   bool
	Size   uint16 // the client's UDP size as sent
	DO     bool
	Subnet []byte // contents of a client subnet option of a known family; nil: none
}

// Parse reads pkt. Fields that could not be read are zero.
func (q *Query) Parse(pkt []byte) Outcome {
	q.Question, q.Subnet, q.EDNS, q.DO, q.Size, q.Type, q.Class = nil, nil, false, false, 0, 0, 0
	if len(pkt) < HeaderLen {
		return Drop
	}
	flags := binary.BigEndian.Uint16(pkt[2:])
	if flags&FlagQR != 0 {
		return Drop
	}
	q.ID, q.Opcode, q.RD = binary.BigEndian.Uint16(pkt), uint8(flags>>11&15), flags&FlagRD != 0
	off := HeaderLen
	if binary.BigEndian.Uint16(pkt[4:]) == 1 {
		off = q.question(pkt)
	}
	if q.Opcode != OpcodeQuery && q.Opcode != OpcodeNotify {
		return NotOurs
	}
	if q.Question == nil {
		return Malformed
	}
	return q.rest(pkt, off)
}

// question reads the single question and returns the offset behind it.
func (q *Query) question(pkt []byte) int {
	n := q.Name.Set(pkt[HeaderLen:])
	end := HeaderLen + n + 4
	if n == 0 || end > len(pkt) {
		return HeaderLen
	}
	q.Question = pkt[HeaderLen:end]
	q.Type, q.Class = binary.BigEndian.Uint16(pkt[end-4:]), binary.BigEndian.Uint16(pkt[end-2:])
	return end
}

// rest walks over the records behind the question: they are only counted, except OPT.
func (q *Query) rest(pkt []byte, off int) Outcome {
	before := int(binary.BigEndian.Uint16(pkt[6:])) + int(binary.BigEndian.Uint16(pkt[8:]))
	total := before + int(binary.BigEndian.Uint16(pkt[10:]))
	version := uint8(0)
	for i := range total { // each turn consumes at least 11 bytes or ends
		start := off
		if off = skipName(pkt, off); off < 0 || off+10 > len(pkt) {
			return Malformed
		}
		end := off + 10 + int(binary.BigEndian.Uint16(pkt[off+8:]))
		if end > len(pkt) {
			return Malformed
		}
		if binary.BigEndian.Uint16(pkt[off:]) == TypeOPT {
			if i < before || q.EDNS || off != start+1 { // wrong section, a second one, owner not the root
				q.EDNS = false
				return Malformed
			}
			q.EDNS, q.Size = true, binary.BigEndian.Uint16(pkt[off+2:])
			version = pkt[off+5]
			q.DO = binary.BigEndian.Uint16(pkt[off+6:])&flagDO != 0
			if version == 0 && !q.options(pkt[off+10:end]) {
				q.EDNS = false
				return Malformed
			}
		}
		off = end
	}
	switch {
	case off != len(pkt):
		q.EDNS = false
		return Malformed
	case version > 0:
		return Version
	}
	return OK
}

// skipName returns the offset behind a name that may end in a pointer, or -1. The pointer is not followed.
func skipName(pkt []byte, off int) int {
	for start := off; off < len(pkt) && off-start < MaxName; {
		switch l := pkt[off]; {
		case l == 0:
			return off + 1
		case l >= 0xC0:
			return off + 2
		case l > MaxLabel:
			return -1
		default:
			off += 1 + int(l)
		}
	}
	return -1
}

// options checks the frame of every option and the contents of those whose mistakes must be refused. The first client
// subnet counts.
func (q *Query) options(b []byte) bool {
	for len(b) > 0 {
		if len(b) < 4 {
			return false
		}
		code, n := binary.BigEndian.Uint16(b), int(binary.BigEndian.Uint16(b[2:]))
		if len(b) < 4+n {
			return false
		}
		data := b[4 : 4+n]
		switch code {
		case OptionCookie: // client cookie alone, or with a server cookie of 8 to 32 bytes [RFC 7873 5.2.2]
			if n != 8 && (n < 16 || n > 40) {
				return false
			}
		case OptionECS:
			known, valid := checkSubnet(data)
			if !valid {
				return false
			}
			if known && q.Subnet == nil {
				q.Subnet = data
			}
		}
		b = b[4+n:]
	}
	return true
}
