package signing

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Algorithm is a DNSSEC algorithm number.
type Algorithm uint8

// The algorithms keys are made with.
const (
	ECDSAP256 Algorithm = 13 // ECDSA P-256 with SHA-256 [RFC 6605]
	Ed25519   Algorithm = 15 // [RFC 8080]
)

// String is the word of dnssec.algorithm.
func (a Algorithm) String() string {
	switch a {
	case ECDSAP256:
		return "ecdsa-p256"
	case Ed25519:
		return "ed25519"
	}
	return fmt.Sprintf("algorithm %d", uint8(a))
}

// AlgorithmOf reads the word of dnssec.algorithm; false: there is no such algorithm here.
func AlgorithmOf(word string) (Algorithm, bool) {
	for _, a := range []Algorithm{ECDSAP256, Ed25519} {
		if word == a.String() {
			return a, true
		}
	}
	return 0, false
}

// Role is what a key signs.
type Role string

// The roles: a csk does the work of both others.
const (
	CSK Role = "csk"
	KSK Role = "ksk" // the DNSKEY, CDS and CDNSKEY sets
	ZSK Role = "zsk" // everything else
)

// Trusted: the parent's DS names keys of this role.
func (r Role) Trusted() bool { return r == CSK || r == KSK }

// SignsZone: keys of this role sign what is not about keys.
func (r Role) SignsZone() bool { return r == CSK || r == ZSK }

// Flags of the DNSKEY record [RFC 4034 2.1.1]: zone key, and secure entry point for who is named by a DS.
func (r Role) Flags() uint16 {
	if r.Trusted() {
		return 257
	}
	return 256
}

// State of a key.
type State string

// The states. A key of a roll goes down the list; those in brackets belong to a change of algorithm.
const (
	Ahead     State = "ahead"     // (signs the zone, is not shown)
	Published State = "published" // is shown; if trusted, signs the keys
	Active    State = "active"    // is shown and signs all that its role signs
	Retired   State = "retired"   // is shown; if trusted, signs the keys; does not sign the zone
	Withdrawn State = "withdrawn" // (signs the zone, is not shown)
)

// Private is a private key: the scalar of P-256 or the seed of Ed25519, 32 bytes. However it is printed, nothing of it shows;
// a pointer keeps it out of what is printed with all its fields. The zero Private is none.
type Private struct{ b *[32]byte }

// NewPrivate holds 32 bytes, which are not checked here.
func NewPrivate(raw [32]byte) Private { return Private{&raw} }

// Bytes is the key itself, for who signs or exports.
func (p Private) Bytes() [32]byte {
	if p.b == nil {
		return [32]byte{}
	}
	return *p.b
}

// Zero: there is none.
func (p Private) Zero() bool { return p.Bytes() == [32]byte{} }

// String, GoString, Format and MarshalText keep the key out of everything that is printed.
func (p Private) String() string { return "private key" }

// GoString implements fmt.GoStringer.
func (p Private) GoString() string { return p.String() }

// Format implements fmt.Formatter.
func (p Private) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(p.String())) }

// MarshalText implements encoding.TextMarshaler.
func (p Private) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// Key is one key of a zone.
type Key struct {
	Tag       uint16 // [RFC 4034 appendix B]; no two keys of a Set have the same
	Algorithm Algorithm
	Role      Role
	State     State
	Since     time.Time // of the state
	Born      time.Time
	New       bool   // a roll brings it
	Public    []byte // as in a DNSKEY record
	Private   Private
}

// ErrKey: a private key cannot be one.
var ErrKey = errors.New("not a private key of this algorithm")

// MakeKey derives the public part. State and times are the caller's.
func MakeKey(a Algorithm, role Role, private Private) (Key, error) {
	k := Key{Algorithm: a, Role: role, Private: private}
	if private.Zero() {
		return Key{}, fmt.Errorf("%w: there is none", ErrKey)
	}
	signer, err := k.Signer()
	if err != nil {
		return Key{}, err
	}
	switch pub := signer.Public().(type) {
	case *ecdsa.PublicKey:
		point, err := pub.Bytes() // 4, X, Y
		if err != nil {
			return Key{}, ErrKey
		}
		k.Public = point[1:]
	case ed25519.PublicKey:
		k.Public = pub
	}
	k.Tag = tagOf(k.DNSKEY())
	return k, nil
}

// Signer makes signatures with the key.
func (k *Key) Signer() (crypto.Signer, error) {
	raw := k.Private.Bytes()
	switch k.Algorithm {
	case ECDSAP256:
		p, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), raw[:])
		if err != nil {
			return nil, fmt.Errorf("%w: it is outside of the curve's range", ErrKey)
		}
		return p, nil
	case Ed25519:
		return ed25519.NewKeyFromSeed(raw[:]), nil
	}
	return nil, fmt.Errorf("%w: %v is not known here", ErrKey, k.Algorithm)
}

// freshKey makes a key from 32 random bytes that no other draw may use; taken are tags it must not have. The same bytes
// make the same key.
func freshKey(a Algorithm, role Role, random [32]byte, taken []uint16) Key {
	for n := uint64(0); ; n++ {
		text := fmt.Appendf(nil, "jurymast zone key v1\x00%d\x00%s\x00%d\x00%x", a, role, n, random)
		k, err := MakeKey(a, role, NewPrivate(sha256.Sum256(text)))
		if err == nil && !collides(k.Tag, taken) {
			return k
		}
	}
}

func collides(tag uint16, taken []uint16) bool { return slices.Contains(taken, tag) }

// DNSKEY is the RDATA of the key's record.
func (k *Key) DNSKEY() []byte {
	out := binary.BigEndian.AppendUint16(nil, k.Role.Flags())
	out = append(out, 3, byte(k.Algorithm)) // the protocol is always 3
	return append(out, k.Public...)
}

func tagOf(rdata []byte) uint16 {
	var sum uint32
	for i, b := range rdata {
		if i&1 == 0 {
			sum += uint32(b) << 8
		} else {
			sum += uint32(b)
		}
	}
	return uint16(sum + sum>>16)
}

// Digests of DS records.
const (
	SHA256 uint8 = 2 // [RFC 4509]
	SHA384 uint8 = 4 // [RFC 6605]
)

// DS is a delegation signer record: what the parent says of a key.
type DS struct {
	Tag       uint16
	Algorithm uint8
	Type      uint8  // of the digest
	Digest    string // hex, upper case
}

// String is the RDATA as zone text writes it.
func (d DS) String() string {
	return fmt.Sprintf("%d %d %d %s", d.Tag, d.Algorithm, d.Type, d.Digest)
}

// DS is the record for this key of zone, with a digest of type 2 or 4.
func (k *Key) DS(zone string, digest uint8) DS {
	text := append(wireName(zone), k.DNSKEY()...)
	out := DS{Tag: k.Tag, Algorithm: uint8(k.Algorithm), Type: digest}
	if digest == SHA384 {
		sum := sha512.Sum384(text)
		out.Digest = strings.ToUpper(hex.EncodeToString(sum[:]))
		return out
	}
	sum := sha256.Sum256(text)
	out.Type, out.Digest = SHA256, strings.ToUpper(hex.EncodeToString(sum[:]))
	return out
}

// named reports that the DS is for this key. A digest of a type we do not make is taken by its tag.
func (k *Key) named(zone string, d DS) bool {
	if d.Tag != k.Tag || d.Algorithm != uint8(k.Algorithm) {
		return false
	}
	if d.Type != SHA256 && d.Type != SHA384 {
		return true
	}
	return strings.EqualFold(k.DS(zone, d.Type).Digest, d.Digest)
}

// wireName is a name in lower case without escapes, as zones of ours are called.
func wireName(zone string) []byte {
	var out []byte
	for label := range strings.SplitSeq(strings.ToLower(strings.Trim(zone, ".")), ".") {
		if label != "" {
			out = append(append(out, byte(len(label))), label...) //nolint:gosec // a label has at most 63 bytes
		}
	}
	return append(out, 0)
}
