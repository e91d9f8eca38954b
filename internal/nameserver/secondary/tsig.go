package secondary

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"strings"
	"time"

	"github.com/miekg/dns"

	"jurymast/internal/nameserver/wire"
)

// Key signs what is asked and says who may answer [RFC 8945]. It prints as its name.
type Key struct {
	Name      string // lower case, no trailing dot
	Algorithm string // hmac-sha256, hmac-sha384 or hmac-sha512
	Secret    []byte
}

// String never shows the secret.
func (k *Key) String() string { return k.Name }

// GoString is what %#v shows.
func (k *Key) GoString() string { return k.Name }

func (k *Key) hash() (func() hash.Hash, error) {
	switch k.Algorithm {
	case "hmac-sha256":
		return sha256.New, nil
	case "hmac-sha384":
		return sha512.New384, nil
	case "hmac-sha512":
		return sha512.New, nil
	}
	return nil, fmt.Errorf("TSIG key %s: algorithm %q is not known here", k.Name, k.Algorithm)
}

const (
	fudge       = 300 // seconds that clocks may differ [RFC 8945 10]
	maxUnsigned = 99  // messages in a row [RFC 8945 5.3.1]
)

// pack writes a question, signed with the key if there is one.
func pack(m *dns.Msg, key *Key, now time.Time) (pkt, mac []byte, err error) {
	if key == nil {
		pkt, err = m.Pack()
		return pkt, nil, err
	}
	if _, err := key.hash(); err != nil {
		return nil, nil, err
	}
	m.SetTsig(dns.Fqdn(key.Name), dns.Fqdn(key.Algorithm), fudge, now.Unix())
	pkt, text, err := dns.TsigGenerate(m, base64.StdEncoding.EncodeToString(key.Secret), "", false)
	if err != nil {
		return nil, nil, err
	}
	mac, err = hex.DecodeString(text)
	return pkt, mac, err
}

// Why a signature does not hold.
var (
	errUnsigned = errors.New("it is not signed")
	errKey      = errors.New("it is signed with another key or algorithm")
	errMAC      = errors.New("its signature is wrong: the two sides do not have the same secret")
	errTime     = errors.New("it was signed at another time: the clocks of the two sides differ by more than 5 minutes")
)

// verifier checks the messages of one answer in their order. Of several messages the first and the last must be signed; a
// signature covers the unsigned ones before it too.
type verifier struct {
	key     *Key
	now     func() time.Time
	before  []byte // MAC of the question, then of the last signed message
	pending [][]byte
	first   bool
}

func newVerifier(key *Key, mac []byte, now func() time.Time) *verifier {
	return &verifier{key: key, now: now, before: mac, first: true}
}

// signature is a TSIG record in a message.
type signature struct {
	at                     int // offset of the record
	key, algorithm         string
	name, method           []byte // the same in wire form
	when                   uint64 // seconds
	fudge, original, error uint16
	mac, other             []byte
}

// check takes the next message and keeps it when it is not signed.
func (v *verifier) check(pkt []byte) error {
	if v.key == nil {
		return nil
	}
	sig, err := findSignature(pkt)
	if err != nil {
		return err
	}
	if sig == nil {
		if v.first {
			return errUnsigned
		}
		if v.pending = append(v.pending, pkt); len(v.pending) > maxUnsigned {
			return fmt.Errorf("more than %d messages in a row are not signed", maxUnsigned)
		}
		return nil
	}
	if err := v.holds(pkt, sig); err != nil {
		return err
	}
	v.before, v.pending, v.first = sig.mac, nil, false
	return nil
}

// complete says whether everything that came is covered by a signature.
func (v *verifier) complete() error {
	if v.key != nil && (v.first || len(v.pending) > 0) {
		return errors.New("the last message is not signed")
	}
	return nil
}

func (v *verifier) holds(pkt []byte, sig *signature) error {
	if sig.key != v.key.Name || sig.algorithm != v.key.Algorithm {
		return errKey
	}
	switch int(sig.error) {
	case dns.RcodeBadKey:
		return errors.New("the primary does not know the TSIG key " + v.key.Name)
	case dns.RcodeBadSig:
		return errors.New("the primary finds the signature wrong: the two sides do not have the same secret for the key " + v.key.Name)
	}
	newHash, err := v.key.hash()
	if err != nil {
		return err
	}
	mac := hmac.New(newHash, v.key.Secret)
	put := func(parts ...[]byte) {
		for _, p := range parts {
			_, _ = mac.Write(p) // a hash takes everything
		}
	}
	if len(v.before) > 0 {
		put(binary.BigEndian.AppendUint16(nil, uint16(len(v.before))), v.before) //nolint:gosec // at most 64
	}
	put(v.pending...)
	head := append([]byte(nil), pkt[:wire.HeaderLen]...)
	binary.BigEndian.PutUint16(head, sig.original)
	binary.BigEndian.PutUint16(head[10:], binary.BigEndian.Uint16(head[10:])-1)
	put(head, pkt[wire.HeaderLen:sig.at])
	clock := binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint64(nil, sig.when)[2:], sig.fudge)
	if v.first {
		put(sig.name, []byte{0, dns.ClassANY, 0, 0, 0, 0}, sig.method, clock)
		put(binary.BigEndian.AppendUint16(nil, sig.error), binary.BigEndian.AppendUint16(nil, uint16(len(sig.other))), sig.other) //nolint:gosec // its own length field says so
	} else {
		put(clock)
	}
	if !hmac.Equal(mac.Sum(nil), sig.mac) {
		return errMAC
	}
	if d := v.now().Unix() - int64(sig.when); d > int64(sig.fudge) || -d > int64(sig.fudge) { //nolint:gosec // 48 bits
		return errTime
	}
	if sig.error != 0 {
		return fmt.Errorf("the primary answers with TSIG error %s", dns.RcodeToString[int(sig.error)])
	}
	return nil
}

// findSignature reads the TSIG record of a message, nil when there is none. It is the last record [RFC 8945 5.1].
func findSignature(pkt []byte) (*signature, error) {
	off, err := skipRecords(pkt)
	if err != nil {
		return nil, err
	}
	if off < 0 {
		return nil, nil //nolint:nilnil // there is none
	}
	name, at, err := readName(pkt, off)
	if err != nil || at+10 > len(pkt) {
		return nil, errFormat
	}
	if binary.BigEndian.Uint16(pkt[at:]) != dns.TypeTSIG {
		return nil, nil //nolint:nilnil // there is none
	}
	data := pkt[at+10:]
	if n := int(binary.BigEndian.Uint16(pkt[at+8:])); n != len(data) {
		return nil, errFormat
	}
	method, size, err := readName(data, 0)
	if err != nil || len(data) < size+10 {
		return nil, errFormat
	}
	s := &signature{at: off, name: lower(name), method: lower(method)}
	s.key, s.algorithm = text(s.name), text(s.method)
	data = data[size:]
	s.when = uint64(binary.BigEndian.Uint16(data))<<32 | uint64(binary.BigEndian.Uint32(data[2:]))
	s.fudge = binary.BigEndian.Uint16(data[6:])
	n := int(binary.BigEndian.Uint16(data[8:]))
	if data = data[10:]; len(data) < n+6 {
		return nil, errFormat
	}
	s.mac, data = data[:n], data[n:]
	s.original, s.error = binary.BigEndian.Uint16(data), binary.BigEndian.Uint16(data[2:])
	if int(binary.BigEndian.Uint16(data[4:])) != len(data)-6 {
		return nil, errFormat
	}
	s.other = data[6:]
	return s, nil
}

// skipRecords is where the last record of the additional section begins, below zero when that is empty.
func skipRecords(pkt []byte) (last int, err error) {
	if len(pkt) < wire.HeaderLen {
		return 0, errFormat
	}
	count := func(at int) int { return int(binary.BigEndian.Uint16(pkt[at:])) }
	off := wire.HeaderLen
	for range count(4) {
		if _, off, err = readName(pkt, off); err != nil || off+4 > len(pkt) {
			return 0, errFormat
		}
		off += 4
	}
	last = -1
	for i := range count(6) + count(8) + count(10) {
		if i >= count(6)+count(8) {
			last = off
		}
		if off, err = skipRecord(pkt, off); err != nil {
			return 0, err
		}
	}
	if off != len(pkt) {
		return 0, errFormat
	}
	return last, nil
}

func skipRecord(pkt []byte, off int) (int, error) {
	off = skipName(pkt, off)
	if off < 0 || off+10 > len(pkt) {
		return 0, errFormat
	}
	off += 10 + int(binary.BigEndian.Uint16(pkt[off+8:]))
	if off > len(pkt) {
		return 0, errFormat
	}
	return off, nil
}

func lower(name []byte) []byte {
	out := make([]byte, len(name))
	for i, c := range name {
		out[i] = wire.Lower(c)
	}
	return out
}

func text(name []byte) string {
	s, _, err := dns.UnpackDomainName(name, 0)
	if err != nil {
		return ""
	}
	return strings.TrimSuffix(s, ".")
}

// answerWith packs an answer to a question with this MAC, signed.
func answerWith(m *dns.Msg, key *Key, asked []byte) ([]byte, error) {
	m.SetTsig(dns.Fqdn(key.Name), dns.Fqdn(key.Algorithm), fudge, time.Now().Unix())
	pkt, _, err := dns.TsigGenerate(m, base64.StdEncoding.EncodeToString(key.Secret), hex.EncodeToString(asked), false)
	return pkt, err
}
