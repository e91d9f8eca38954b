package wire

import "encoding/binary"

// maxTargets bounds how many label positions a message remembers for compression; beyond it names are written out.
const maxTargets = 64

const classIN = 1

// Section of a message.
type Section uint8

// The sections a record can be written to.
const (
	Answer Section = iota
	Authority
	Additional
)

// Writer puts one message together in one buffer. Begin first, then the records in section order, OPT, Finish.
type Writer struct {
	buf     []byte
	limit   int    // of the message, in bytes
	class   uint16 // of records
	counts  [3]uint16
	targets [maxTargets]uint16 // offsets of labels a pointer may name
	n       int
}

// Begin starts the answer to q in buf[:0], which must not share memory with the packet q points into.
func (w *Writer) Begin(buf []byte, q *Query, limit int) {
	w.buf, w.limit, w.counts, w.n, w.class = append(buf[:0], make([]byte, HeaderLen)...), limit, [3]uint16{}, 0, classIN
	if len(q.Question) == 0 {
		return
	}
	for i := range q.Name.Labels() {
		w.target(HeaderLen + int(q.Name.offs[i]))
	}
	w.buf = append(w.buf, q.Question...)
}

// Class of the records from here on; a message begins with IN.
func (w *Writer) Class(c uint16) { w.class = c }

func (w *Writer) target(off int) {
	if w.n < maxTargets && off < 1<<14 {
		w.targets[w.n] = uint16(off) //nolint:gosec // below 1<<14
		w.n++
	}
}

// RRset writes whole sets only: it reports false and leaves the message as it was when the set does not fit below
// the limit less reserve.
func (w *Writer) RRset(s Section, owner []byte, typ uint16, ttl uint32, data [][]byte, reserve int) bool {
	length, targets := len(w.buf), w.n
	for _, rdata := range data {
		w.name(owner)
		w.buf = binary.BigEndian.AppendUint16(w.buf, typ)
		w.buf = binary.BigEndian.AppendUint16(w.buf, w.class)
		w.buf = binary.BigEndian.AppendUint32(w.buf, ttl)
		at := len(w.buf)
		w.buf = append(w.buf, 0, 0)
		w.rdata(typ, rdata)
		n := len(w.buf) - at - 2
		binary.BigEndian.PutUint16(w.buf[at:], uint16(n)) //nolint:gosec // rdata is at most 65535 bytes, compression shortens
		if len(w.buf) > w.limit-reserve {
			w.buf, w.n = w.buf[:length], targets
			return false
		}
	}
	w.counts[s] += uint16(len(data)) //nolint:gosec // each record has at least 11 of at most 65535 bytes
	return true
}

// The types of RFC 1035 whose names may be compressed, as far as they matter: for all others RFC 3597 forbids it.
const (
	typeNS    = 2
	typeCNAME = 5
	typeSOA   = 6
	typePTR   = 12
	typeMX    = 15
)

func (w *Writer) rdata(typ uint16, d []byte) {
	switch typ {
	case typeNS, typeCNAME, typePTR:
		w.name(d)
	case typeMX:
		w.buf = append(w.buf, d[:2]...)
		w.name(d[2:])
	case typeSOA:
		first := nameLen(d)
		w.name(d[:first])
		w.name(d[first : len(d)-20])
		w.buf = append(w.buf, d[len(d)-20:]...)
	default:
		w.buf = append(w.buf, d...)
	}
}

// nameLen is the length of the valid uncompressed name at the start of d.
func nameLen(d []byte) int {
	i := 0
	for d[i] != 0 {
		i += 1 + int(d[i])
	}
	return i + 1
}

// name writes an uncompressed name, replacing the longest tail already in the message by a pointer.
func (w *Writer) name(n []byte) {
	for len(n) > 1 {
		for _, t := range w.targets[:w.n] {
			if w.sameAt(int(t), n) {
				w.buf = binary.BigEndian.AppendUint16(w.buf, 0xC000|t)
				return
			}
		}
		w.target(len(w.buf))
		l := 1 + int(n[0])
		w.buf = append(w.buf, n[:l]...)
		n = n[l:]
	}
	w.buf = append(w.buf, 0)
}

// sameAt reports that the name at offset off of the message is n. Our own pointers always point backwards, so the
// walk ends.
func (w *Writer) sameAt(off int, n []byte) bool {
	for {
		if off >= len(w.buf) {
			return false // the name being written just now
		}
		l := int(w.buf[off])
		if l >= 0xC0 {
			if off+1 >= len(w.buf) {
				return false
			}
			off = (l&0x3F)<<8 | int(w.buf[off+1])
			continue
		}
		if l != int(n[0]) {
			return false
		}
		if l == 0 {
			return true
		}
		if off+1+l > len(w.buf) || !EqualFold(w.buf[off+1:off+1+l], n[1:1+l]) {
			return false
		}
		off, n = off+1+l, n[1+l:]
	}
}

// OPTLen is the size of an OPT record without options.
const OPTLen = 11

// EDE is one extended error [RFC 8914].
type EDE struct {
	Code uint16
	Text string
}

// Options are what our OPT record carries, in the order in which they are written.
type Options struct {
	Subnet    []byte // contents of the client subnet to return; nil: none
	Scope     uint8  // of the subnet: leading bits of the address the answer holds for
	Cookie    []byte // contents of the COOKIE option; nil: none
	NSID      []byte // nil: none
	Keepalive bool   // tell Idle [RFC 7828]
	Idle      uint16 // how long the connection may be idle, in units of 100 ms
	Errors    []EDE
	Codes     bool // errors without their texts
	CO        bool // the flag that says we deny compactly [RFC 9824 5.1]
	Block     int  // the message is padded to a multiple of so many bytes [RFC 7830, RFC 8467]; 0: not at all
}

const idleLen = 2

// Len is the room that must be left for the options which may not be given up.
func (o *Options) Len() int {
	n := 0
	for _, data := range [...][]byte{o.Subnet, o.Cookie, o.NSID} {
		if data != nil {
			n += 4 + len(data)
		}
	}
	if o.Keepalive {
		n += 4 + idleLen
	}
	return n
}

// OPT writes our OPT record with the options and as many of the extended errors as fit; those are the first thing to
// give up.
func (w *Writer) OPT(rcode uint16, size uint16, do bool, o *Options) {
	w.buf = append(w.buf, 0, 0, TypeOPT)
	w.buf = binary.BigEndian.AppendUint16(w.buf, size)
	w.buf = append(w.buf, byte(rcode>>4&0xFF), 0)
	flags := uint16(0)
	if do {
		flags |= flagDO
	}
	if o.CO {
		flags |= flagCO
	}
	w.buf = binary.BigEndian.AppendUint16(w.buf, flags)
	at := len(w.buf)
	w.buf = append(w.buf, 0, 0)
	if o.Subnet != nil {
		w.option(OptionECS, o.Subnet)
		w.buf[len(w.buf)-len(o.Subnet)+3] = o.Scope
	}
	if o.Cookie != nil {
		w.option(OptionCookie, o.Cookie)
	}
	if o.NSID != nil {
		w.option(OptionNSID, o.NSID)
	}
	if o.Keepalive {
		w.buf = append(w.buf, 0, OptionKeepalive, 0, idleLen)
		w.buf = binary.BigEndian.AppendUint16(w.buf, o.Idle)
	}
	w.errors(o)
	w.padding(o.Block)
	binary.BigEndian.PutUint16(w.buf[at:], uint16(len(w.buf)-at-2)) //nolint:gosec // below the message limit
	w.counts[Additional]++
}

func (w *Writer) option(code uint16, data []byte) {
	w.buf = binary.BigEndian.AppendUint16(w.buf, code)
	w.buf = binary.BigEndian.AppendUint16(w.buf, uint16(len(data))) //nolint:gosec // options of ours have at most some hundred bytes
	w.buf = append(w.buf, data...)
}

func (w *Writer) errors(o *Options) {
	for _, e := range o.Errors {
		text := e.Text
		if o.Codes || len(w.buf)+6+len(text) > w.limit {
			text = ""
		}
		if len(w.buf)+6+len(text) > w.limit {
			return
		}
		w.buf = binary.BigEndian.AppendUint16(w.buf, OptionEDE)
		w.buf = binary.BigEndian.AppendUint16(w.buf, uint16(2+len(text))) //nolint:gosec // below the message limit
		w.buf = binary.BigEndian.AppendUint16(w.buf, e.Code)
		w.buf = append(w.buf, text...)
	}
}

// padding fills the message up to a multiple of block, or as far as it may grow.
func (w *Writer) padding(block int) {
	const head = 4
	room := w.limit - len(w.buf) - head
	if block <= 0 || room < 0 {
		return
	}
	n := min((block-(len(w.buf)+head)%block)%block, room)
	w.buf = append(w.buf, 0, OptionPadding)
	w.buf = binary.BigEndian.AppendUint16(w.buf, uint16(n)) //nolint:gosec // below the message limit
	w.buf = append(w.buf, make([]byte, n)...)
}

// Finish writes the header of the answer to q and returns the message. flags are AA and TC as due.
func (w *Writer) Finish(q *Query, flags uint16, rcode uint16) []byte {
	h := w.buf
	flags |= FlagQR | uint16(q.Opcode)<<11 | rcode&15
	if q.RD {
		flags |= FlagRD
	}
	binary.BigEndian.PutUint16(h, q.ID)
	binary.BigEndian.PutUint16(h[2:], flags)
	qd := uint16(0)
	if len(q.Question) > 0 {
		qd = 1
	}
	binary.BigEndian.PutUint16(h[4:], qd)
	binary.BigEndian.PutUint16(h[6:], w.counts[Answer])
	binary.BigEndian.PutUint16(h[8:], w.counts[Authority])
	binary.BigEndian.PutUint16(h[10:], w.counts[Additional])
	return w.buf
}
