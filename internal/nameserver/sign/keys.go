package sign

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// Algorithms this package signs with [RFC 6605, RFC 8080].
const (
	ECDSAP256 uint8 = 13
	Ed25519   uint8 = 15
)

// Flags of DNSKEY records [RFC 4034 2.1.1, RFC 5011 7].
const (
	FlagZone   uint16 = 1 << 8
	FlagSEP    uint16 = 1 // a key the parent's DS may name: KSK and CSK
	FlagRevoke uint16 = 1 << 7
)

// Digests of DS records [RFC 4509, RFC 6605].
const (
	SHA256 uint8 = 2
	SHA384 uint8 = 4
)

const protocol = 3 // of every DNSKEY record [RFC 4034 2.1.2]

// Keys are those of one zone as one node uses them now. They are never changed after being handed over.
type Keys struct {
	Zone    string    // lower case, no trailing dot, as the documents name it
	Publish []Public  // the DNSKEY set of the apex
	KSK     []Private // sign the DNSKEY, CDS and CDNSKEY sets; with one key for all, the same as ZSK
	ZSK     []Private // sign everything else; two during an algorithm roll

	// Announce are the keys whose CDS and CDNSKEY stand at the apex [RFC 7344]; none: there are no such sets. Delete
	// has the apex ask its parent to remove the DS instead [RFC 8078 4].
	Announce []Public
	Delete   bool

	// Mark names this state in public. Status.Mark has it once everything is signed so.
	Mark string
}

// Public is one key as everybody may see it.
type Public struct {
	Flags     uint16
	Algorithm uint8
	Key       []byte // public key field [RFC 6605 4, RFC 8080 3]: 64 bytes of P-256, 32 of Ed25519
}

// Data is the RDATA of the DNSKEY record, and of the CDNSKEY record.
func (p *Public) Data() []byte {
	b := binary.BigEndian.AppendUint16(make([]byte, 0, 4+len(p.Key)), p.Flags)
	return append(append(b, protocol, p.Algorithm), p.Key...)
}

// Tag is the key tag [RFC 4034 B].
func (p *Public) Tag() uint16 {
	var sum uint32
	for i, c := range p.Data() {
		if i&1 == 0 {
			sum += uint32(c) << 8
		} else {
			sum += uint32(c)
		}
	}
	return uint16(sum + sum>>16) // the sum of both halves, as the RFC has it
}

// DS is the RDATA of the DS record, and of the CDS record. owner is the apex in wire form and lower case.
func (p *Public) DS(owner []byte, digest uint8) ([]byte, error) {
	input := append(bytes.Clone(owner), p.Data()...)
	b := append(binary.BigEndian.AppendUint16(nil, p.Tag()), p.Algorithm, digest)
	switch digest {
	case SHA256:
		sum := sha256.Sum256(input)
		return append(b, sum[:]...), nil
	case SHA384:
		sum := sha512.Sum384(input)
		return append(b, sum[:]...), nil
	}
	return nil, fmt.Errorf("digest type %d: 2 (SHA-256) and 4 (SHA-384) are made", digest)
}

// Equal reports that two keys are the same one, flags included.
func (p *Public) Equal(q *Public) bool {
	return p.Flags == q.Flags && p.Algorithm == q.Algorithm && bytes.Equal(p.Key, q.Key)
}

// Private is one key that signs. However it is printed, the secret does not show.
type Private struct {
	Public

	signer crypto.Signer
}

// NewPrivate joins a key of crypto/ecdsa (P-256), crypto/ed25519 or a device with its flags. The algorithm follows from
// the key.
func NewPrivate(flags uint16, signer crypto.Signer) (Private, error) {
	p := Private{Public: Public{Flags: flags}, signer: signer}
	switch key := signer.Public().(type) {
	case *ecdsa.PublicKey:
		if key.Curve != elliptic.P256() {
			return Private{}, errors.New("ECDSA keys are of curve P-256; make a new key")
		}
		point, err := key.Bytes()
		if err != nil {
			return Private{}, fmt.Errorf("the public key: %w", err)
		}
		p.Algorithm, p.Key = ECDSAP256, point[1:] // without the byte that says it is not compressed
	case ed25519.PublicKey:
		p.Algorithm, p.Key = Ed25519, bytes.Clone(key)
	default:
		return Private{}, fmt.Errorf("keys of type %T cannot sign zones; use ECDSA P-256 or Ed25519", key)
	}
	return p, nil
}

// Format is fmt.Formatter's: every verb prints the public half alone.
func (p Private) Format(s fmt.State, _ rune) {
	fmt.Fprintf(s, "key %d (algorithm %d, flags %d)", p.Tag(), p.Algorithm, p.Flags)
}

// MarshalText is encoding.TextMarshaler's, for JSON and YAML.
func (p Private) MarshalText() ([]byte, error) { return fmt.Append(nil, p), nil }

// LogValue is slog.LogValuer's.
func (p Private) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(p)) }

// Status is how the signatures of one zone stand.
type Status struct {
	Zone    string
	HasKeys bool
	Using   string // Mark of the keys in use
	Mark    string // of the keys with which everything is signed; "": of none yet

	Sets    int // that questions could get, as of the last look at all of them
	Signed  int // of them, with a signature that may be sent
	Waiting int // of them, to be signed with the keys in use: new, due, or signed with earlier keys
	Failing int // of them, could not be signed when last tried

	Oldest, Newest time.Time // first and last expiration; zero without signatures
	Next           time.Time // when the first signature is due for renewal

	LongestTTL time.Duration // of all sets: how long resolvers keep what they have got from this zone
	Trouble    string        // why the last signing that failed did; "" when none does
}
