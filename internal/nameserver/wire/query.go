package wire

import "encoding/binary"

// Numbers of the header and of EDNS that this package has to know [RFC 1035 4.1.1, RFC 6891].
const (
	HeaderLen = 12

	FlagQR = 1 << 15
	FlagAA = 1 << 10
	FlagTC = 1 << 9
	FlagRD = 1 << 8

	TypeOPT  = 41
	TypeTSIG = 250

	OptionNSID      = 3
	OptionECS       = 8
	OptionCookie    = 10
	OptionKeepalive = 11
	OptionPadding   = 12
	OptionEDE       = 15

	flagDO = 1 << 15
	flagCO = 1 << 14
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

	BadCookie = 23
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
	OK         Outcome = iota
	Drop               // too short to answer, or itself a response
	NotOurs            // an opcode that is not implemented
	Malformed          // FORMERR: the message cannot be read
	BadOption          // FORMERR: the message can be read, but an option holds what it must not
	Version            // EDNS version above 0: BADVERS
	CookieOnly         // no question, but a COOKIE option: asks for a server cookie [RFC 7873 5.4]
)

// Seen is a set of EDNS options that a question carries, known ones each by itself.
type Seen uint8

// The members of Seen.
const (
	SeenSubnet Seen = 1 << iota // of a known family
	SeenCookie
	SeenNSID
	SeenKeepalive
	SeenPadding
	SeenOther // any other, a client subnet of an unknown family among them
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
	CO     bool   // NXDOMAIN may stand above a compact denial [RFC 9824 5.1]
	Seen   Seen   // options it came with; always 0 when EDNS is false or its version is above 0
	Subnet []byte // contents of a client subnet option of a known family; nil: none
	Cookie []byte // contents of the COOKIE option, of legal length; nil: none

	TSIG int // offset of the TSIG record, which is the last one [RFC 8945 5.1]; 0: not signed
}

// Client is the client cookie, nil without one.
func (q *Query) Client() []byte {
	if q.Cookie == nil {
		return nil
	}
	return q.Cookie[:clientCookie]
}

// Server is the server cookie the question came with, nil or of 8 to 32 bytes. Nothing is known of its worth.
func (q *Query) Server() []byte {
	if len(q.Cookie) <= clientCookie {
		return nil
	}
	return q.Cookie[clientCookie:]
}

const clientCookie = 8 // bytes

// forget makes a question without EDNS of one whose OPT cannot be believed.
func (q *Query) forget() {
	q.EDNS, q.DO, q.CO, q.Size, q.Seen, q.Subnet, q.Cookie = false, false, false, 0, 0, nil, nil
}

// Parse reads pkt. Fields that could not be read are zero.
func (q *Query) Parse(pkt []byte) Outcome {
	q.forget()
	q.Question, q.Type, q.Class, q.TSIG = nil, 0, 0, 0
	if len(pkt) < HeaderLen {
		return Drop
	}
	flags := binary.BigEndian.Uint16(pkt[2:])
	if flags&FlagQR != 0 {
		return Drop
	}
	q.ID, q.Opcode, q.RD = binary.BigEndian.Uint16(pkt), uint8(flags>>11&15), flags&FlagRD != 0
	off := HeaderLen
	questions := binary.BigEndian.Uint16(pkt[4:])
	if questions == 1 {
		off = q.question(pkt)
	}
	if q.Opcode != OpcodeQuery && q.Opcode != OpcodeNotify {
		return NotOurs
	}
	if questions == 0 && q.Opcode == OpcodeQuery {
		if q.rest(pkt, off) == OK && q.Cookie != nil {
			return CookieOnly
		}
		q.forget()
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
	version, valid := uint8(0), true
	for i := range total { // each turn consumes at least 11 bytes or ends
		start := off
		if off = SkipName(pkt, off); off < 0 || off+10 > len(pkt) {
			return q.malformed()
		}
		end := off + 10 + int(binary.BigEndian.Uint16(pkt[off+8:]))
		if end > len(pkt) {
			return q.malformed()
		}
		if binary.BigEndian.Uint16(pkt[off:]) == TypeTSIG {
			if i < before || i != total-1 {
				return q.malformed()
			}
			q.TSIG = start
		}
		if binary.BigEndian.Uint16(pkt[off:]) == TypeOPT {
			if i < before || q.EDNS || off != start+1 { // wrong section, a second one, owner not the root
				return q.malformed()
			}
			q.EDNS, q.Size = true, binary.BigEndian.Uint16(pkt[off+2:])
			version = pkt[off+5]
			flags := binary.BigEndian.Uint16(pkt[off+6:])
			q.DO, q.CO = flags&flagDO != 0, flags&flagCO != 0
			framed := true
			if version == 0 {
				framed, valid = q.options(pkt[off+10 : end])
			}
			if !framed {
				return q.malformed()
			}
		}
		off = end
	}
	switch {
	case off != len(pkt):
		return q.malformed()
	case !valid:
		return BadOption
	case version > 0:
		return Version
	}
	return OK
}

func (q *Query) malformed() Outcome {
	q.forget()
	q.TSIG = 0
	return Malformed
}

// SkipName returns the offset behind a name that may end in a pointer, or -1. The pointer is not followed.
func SkipName(pkt []byte, off int) int {
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

// options notes the options. framed says that each ends where the next begins, valid that those whose mistakes must be
// refused are right. The first client subnet and the first cookie count.
func (q *Query) options(b []byte) (framed, valid bool) {
	valid = true
	for len(b) > 0 {
		if len(b) < 4 {
			return false, false
		}
		code, n := binary.BigEndian.Uint16(b), int(binary.BigEndian.Uint16(b[2:]))
		if len(b) < 4+n {
			return false, false
		}
		if !q.option(code, b[4:4+n]) {
			valid = false
		}
		b = b[4+n:]
	}
	return true, valid
}

func (q *Query) option(code uint16, data []byte) (valid bool) {
	switch code {
	case OptionCookie: // client cookie alone, or with a server cookie of 8 to 32 bytes [RFC 7873 5.2.2]
		if n := len(data); n != clientCookie && (n < clientCookie+8 || n > clientCookie+32) {
			return false
		}
		if q.Seen |= SeenCookie; q.Cookie == nil {
			q.Cookie = data
		}
	case OptionECS:
		known, valid := checkSubnet(data)
		switch {
		case !valid:
			return false
		case !known:
			q.Seen |= SeenOther
			return true
		}
		if q.Seen |= SeenSubnet; q.Subnet == nil {
			q.Subnet = data
		}
	case OptionNSID:
		q.Seen |= SeenNSID
	case OptionKeepalive:
		q.Seen |= SeenKeepalive
	case OptionPadding:
		q.Seen |= SeenPadding
	default:
		q.Seen |= SeenOther
	}
	return true
}
