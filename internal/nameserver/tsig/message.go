package tsig

import (
	"bytes"
	"crypto/hmac"
	"encoding/binary"
	"errors"
	"time"

	"jurymast/internal/nameserver/wire"
)

const (
	typeTSIG = 250
	classANY = 255
	fixedLen = 16  // of the RDATA: time, fudge, lengths, id, error
	timeLen  = 6   // of a time in OTHER DATA
	fudge    = 300 // seconds [RFC 8945 10]

	// maxUnsigned is how many messages of a stream in a row may come without a signature [RFC 8945 5.3.1].
	maxUnsigned = 99
)

// Error is what is wrong with a signature: the ERROR field of the answer [RFC 8945 3].
type Error uint16

// The errors.
const (
	NoError  Error = 0  //nolint:errname // the names of [RFC 8945 3]
	BadSig   Error = 16 //nolint:errname // the names of [RFC 8945 3]
	BadKey   Error = 17 //nolint:errname // the names of [RFC 8945 3]
	BadTime  Error = 18 //nolint:errname // the names of [RFC 8945 3]
	BadTrunc Error = 22 //nolint:errname // the names of [RFC 8945 3]
)

func (e Error) Error() string {
	switch e {
	case BadSig:
		return "BADSIG: the signature is wrong"
	case BadKey:
		return "BADKEY: the key is not known"
	case BadTime:
		return "BADTIME: signed too long ago, or in the future"
	case BadTrunc:
		return "BADTRUNC: the signature is cut"
	case NoError:
	}
	return "no error"
}

// ErrFormat is a record that cannot be read, or is where it may not be: FORMERR.
var ErrFormat = errors.New("the TSIG record is broken")

// ErrUnsigned is a message that should be signed and is not.
var ErrUnsigned = errors.New("the message is not signed")

// record is one TSIG record in place.
type record struct {
	start     int // offset in the message
	owner     []byte
	algorithm []byte
	signed    uint64 // seconds, 48 bits
	fudge     uint16
	mac       []byte
	id        uint16
	err       uint16
	other     []byte
}

// read reads the record at an offset, which must be the last thing of the message.
func read(msg []byte, at int) (r record, err error) {
	var name wire.Name
	n := name.Set(msg[at:])
	if n == 0 || at+n+10 > len(msg) { // a pointer in it is refused: nobody else knows the key's name
		return r, ErrFormat
	}
	r.start, r.owner = at, bytes.Clone(name.Key(0))
	head := msg[at+n:]
	if binary.BigEndian.Uint16(head) != typeTSIG || binary.BigEndian.Uint16(head[2:]) != classANY || binary.BigEndian.Uint32(head[4:]) != 0 {
		return r, ErrFormat
	}
	d := head[10:]
	if int(binary.BigEndian.Uint16(head[8:])) != len(d) {
		return r, ErrFormat
	}
	n = name.Set(d)
	if n == 0 || len(d) < n+10 {
		return r, ErrFormat
	}
	r.algorithm, d = bytes.Clone(name.Key(0)), d[n:]
	r.signed = uint64(binary.BigEndian.Uint16(d))<<32 | uint64(binary.BigEndian.Uint32(d[2:]))
	r.fudge = binary.BigEndian.Uint16(d[6:])
	size := int(binary.BigEndian.Uint16(d[8:]))
	if d = d[10:]; len(d) < size+6 {
		return r, ErrFormat
	}
	r.mac, d = d[:size], d[size:]
	r.id, r.err = binary.BigEndian.Uint16(d), binary.BigEndian.Uint16(d[2:])
	if r.other = d[6:]; int(binary.BigEndian.Uint16(d[4:])) != len(r.other) {
		return r, ErrFormat
	}
	return r, nil
}

// Session is one signed question with its answers: what each side remembers of the other.
type Session struct {
	key    *Key
	Err    Error  // what is wrong with the question; NoError: it is authentic
	mac    []byte // of the last signed message
	signed uint64 // of the question
	fudge  uint16
	id     uint16
	later  bool // a message of the answer has been signed
	owner  []byte
	named  []byte // algorithm, as asked

	unsigned [][]byte // messages since the last signed one
}

// Key is who signed the question, "" unless it is authentic.
func (s *Session) Key() string {
	if s == nil || s.Err != NoError {
		return ""
	}
	return s.key.Name
}

// Verify judges a question whose TSIG record begins at an offset. What is wrong is Session.Err, to be answered with
// NOTAUTH [RFC 8945 5.2]; ErrFormat is answered with FORMERR and no signature.
func (r *Ring) Verify(msg []byte, at int, now time.Time) (*Session, error) {
	rec, err := read(msg, at)
	if err != nil {
		return nil, err
	}
	s := &Session{signed: rec.signed, fudge: rec.fudge, id: rec.id, owner: rec.owner, named: rec.algorithm, Err: BadKey}
	if r != nil {
		s.key = r.byOwner[string(rec.owner)]
	}
	if s.key == nil || string(s.key.algorithm) != string(rec.algorithm) {
		s.key = nil
		return s, nil
	}
	size := s.key.size
	if len(rec.mac) > size || len(rec.mac) < max(10, size/2) {
		return nil, ErrFormat
	}
	want := s.key.sum(stripped(msg, &rec), variables(&rec))
	s.mac = bytes.Clone(rec.mac)
	switch {
	case !hmac.Equal(want[:len(rec.mac)], rec.mac):
		s.Err = BadSig
	case tooFar(rec.signed, rec.fudge, now):
		s.Err = BadTime
	case len(rec.mac) < size:
		s.Err = BadTrunc
	default:
		s.Err = NoError
	}
	return s, nil
}

// tooFar: more than the fudge away, in either direction.
func tooFar(signed uint64, fudge uint16, now time.Time) bool {
	at := clock(now)
	return max(at, signed)-min(at, signed) > uint64(fudge)
}

func clock(now time.Time) uint64 { return uint64(max(now.Unix(), 0)) & (1<<48 - 1) }

// stripped is the message as it was before it was signed.
func stripped(msg []byte, r *record) []byte {
	out := append([]byte(nil), msg[:r.start]...)
	binary.BigEndian.PutUint16(out, r.id)
	binary.BigEndian.PutUint16(out[10:], binary.BigEndian.Uint16(out[10:])-1)
	return out
}

// variables are digested behind the message [RFC 8945 4.3.3].
func variables(r *record) []byte {
	out := append([]byte(nil), r.owner...)
	out = append(out, 0, classANY, 0, 0, 0, 0)
	out = append(out, r.algorithm...)
	out = append(out, timers(r)...)
	out = binary.BigEndian.AppendUint16(out, r.err)
	out = binary.BigEndian.AppendUint16(out, uint16(len(r.other))) //nolint:gosec // it was read from 16 bits, or is 6
	return append(out, r.other...)
}

// timers are digested alone from the second message of a stream on [RFC 8945 5.3.1].
func timers(r *record) []byte {
	out := appendTime(nil, r.signed)
	return binary.BigEndian.AppendUint16(out, r.fudge)
}

func appendTime(b []byte, t uint64) []byte {
	b = binary.BigEndian.AppendUint16(b, uint16(t>>32)) //nolint:gosec // 48 bits
	return binary.BigEndian.AppendUint32(b, uint32(t))  //nolint:gosec // the lower half
}

func prefixed(mac []byte) []byte {
	return append(binary.BigEndian.AppendUint16(nil, uint16(len(mac))), mac...) //nolint:gosec // at most 64
}

// Len is the room the signature of an answer takes.
func (s *Session) Len() int {
	if s.key != nil {
		return s.key.Len()
	}
	return len(s.owner) + 10 + len(s.named) + fixedLen
}

// Sign appends the signature to the next message of the answer. A question whose key or signature is wrong is answered
// without a MAC [RFC 8945 5.3.2].
func (s *Session) Sign(msg []byte, now time.Time) []byte {
	r := record{owner: s.owner, algorithm: s.named, signed: clock(now), fudge: fudge, id: binary.BigEndian.Uint16(msg), err: uint16(s.Err)}
	switch s.Err {
	case BadKey, BadSig:
		r.signed, r.fudge = s.signed, s.fudge
		return r.append(msg)
	case BadTime: // in terms of the client's clock, with ours beside it
		r.signed, r.fudge, r.other = s.signed, s.fudge, appendTime(nil, clock(now))
	case NoError, BadTrunc:
	}
	tail := variables(&r)
	if s.later {
		tail = timers(&r)
	}
	r.mac = s.key.sum(prefixed(s.mac), msg, tail)
	s.mac, s.later = r.mac, true
	return r.append(msg)
}

// append writes the record behind a message and counts it.
func (r *record) append(msg []byte) []byte {
	msg = append(msg, r.owner...)
	msg = append(msg, 0, typeTSIG, 0, classANY, 0, 0, 0, 0)
	msg = binary.BigEndian.AppendUint16(msg, uint16(len(r.algorithm)+fixedLen+len(r.mac)+len(r.other))) //nolint:gosec // below 1000
	msg = append(msg, r.algorithm...)
	msg = append(msg, timers(r)...)
	msg = append(msg, prefixed(r.mac)...)
	msg = binary.BigEndian.AppendUint16(msg, r.id)
	msg = binary.BigEndian.AppendUint16(msg, r.err)
	msg = append(msg, prefixed(r.other)...)
	binary.BigEndian.PutUint16(msg[10:], binary.BigEndian.Uint16(msg[10:])+1)
	return msg
}

// Ask signs a question of ours, and remembers it for the answer.
func (k *Key) Ask(msg []byte, now time.Time) ([]byte, *Session) {
	r := record{owner: k.owner, algorithm: k.algorithm, signed: clock(now), fudge: fudge, id: binary.BigEndian.Uint16(msg)}
	r.mac = k.sum(msg, variables(&r))
	s := &Session{key: k, mac: r.mac, signed: r.signed, fudge: fudge, id: r.id, owner: k.owner, named: k.algorithm}
	return r.append(msg), s
}

// Check judges the next message of the answer to a question of ours, and returns it without its signature. Of a stream,
// messages between signed ones may come without: Ended says whether the last one was signed.
func (s *Session) Check(msg []byte, now time.Time) ([]byte, error) {
	at, err := Find(msg)
	if err != nil {
		return nil, err
	}
	if at == 0 {
		if !s.later || len(s.unsigned) == maxUnsigned {
			return nil, ErrUnsigned
		}
		s.unsigned = append(s.unsigned, append([]byte(nil), msg...))
		return msg, nil
	}
	rec, err := read(msg, at)
	if err != nil {
		return nil, err
	}
	bare := stripped(msg, &rec)
	switch {
	case string(rec.owner) != string(s.key.owner) || string(rec.algorithm) != string(s.key.algorithm):
		return nil, BadKey
	case len(rec.mac) != s.key.size:
		if e := Error(rec.err); len(rec.mac) == 0 && e != NoError {
			return nil, e // the other side says so; nothing proves it
		}
		return nil, BadTrunc
	}
	tail := variables(&rec)
	if s.later {
		tail = timers(&rec)
	}
	parts := append([][]byte{prefixed(s.mac)}, s.unsigned...)
	switch want := s.key.sum(append(parts, bare, tail)...); {
	case !hmac.Equal(want, rec.mac):
		return nil, BadSig
	case rec.err != 0:
		return nil, Error(rec.err)
	case tooFar(rec.signed, rec.fudge, now):
		return nil, BadTime
	}
	s.mac, s.later, s.unsigned = append([]byte(nil), rec.mac...), true, nil
	return bare, nil
}

// Ended reports that the last message of the answer was signed, as it has to be.
func (s *Session) Ended() bool { return s.later && len(s.unsigned) == 0 }
