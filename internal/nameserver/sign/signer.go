package sign

import (
	"crypto"
	"crypto/sha256"
	"encoding/asn1"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"math/big"
	"time"

	"github.com/miekg/dns"

	"jurymast/internal/nameserver/wire"
)

// How long signatures hold. Each set has its own weekly moment of renewal, found from its content, so that every node
// makes the same signature with the same times, and nowhere many are due at once.
const (
	Validity = 15 * 24 * time.Hour // from the moment to the expiration
	Back     = time.Hour           // the inception lies before the moment, for clocks that are behind
	Period   = 7 * 24 * time.Hour  // from one moment to the next: renewed with 8 days left

	// Margin before the expiration in which a signature is not sent any more.
	Margin = time.Minute
)

const signatureHead = 18 // bytes of RRSIG data before the signer's name [RFC 4034 3.1]

// moment is the last one of a set at now, in seconds since 1970.
func moment(content []byte, now int64) int64 {
	const period = int64(Period / time.Second)
	h := fnv.New64a()
	h.Write(content)
	phase := int64(h.Sum64() % uint64(period)) // a week of seconds
	return now - ((now-phase)%period+period)%period
}

// signatures makes the RRSIG records of a set as they stand behind a question for its owner: owner a pointer, TTL the
// original one. apex is the signer's name, in lower case.
func signatures(keys []Private, apex []byte, s *Set, now int64) (records []byte, at int64, err error) {
	content := s.appendCanonical(nil)
	at = moment(content, now)
	for i := range keys {
		k := &keys[i]
		data := make([]byte, 0, signatureHead+len(apex)+len(content)+64)
		data = binary.BigEndian.AppendUint16(data, s.Type)
		data = append(data, k.Algorithm, s.labels())
		data = binary.BigEndian.AppendUint32(data, s.TTL)
		data = binary.BigEndian.AppendUint32(data, uint32(at+int64(Validity/time.Second))) //nolint:gosec // modulo 2^32 [RFC 4034 3.1.5]
		data = binary.BigEndian.AppendUint32(data, uint32(at-int64(Back/time.Second)))     //nolint:gosec // the same
		data = binary.BigEndian.AppendUint16(data, k.Tag())
		data = append(data, apex...)
		head := len(data)
		signature, err := k.sign(append(data, content...))
		if err != nil {
			return nil, 0, fmt.Errorf("%v: %w", *k, err)
		}
		data = append(data[:head], signature...)
		records = append(records, 0xC0, wire.HeaderLen, 0, byte(dns.TypeRRSIG), 0, dns.ClassINET)
		records = binary.BigEndian.AppendUint32(records, s.TTL)
		records = binary.BigEndian.AppendUint16(records, uint16(len(data))) //nolint:gosec // some hundred bytes
		records = append(records, data...)
	}
	return records, at, nil
}

// sign makes the signature field. ECDSA is used without chance [RFC 6979], as Ed25519 is by itself.
func (p *Private) sign(data []byte) ([]byte, error) {
	switch p.Algorithm {
	case Ed25519:
		return p.signer.Sign(nil, data, crypto.Hash(0))
	case ECDSAP256:
		sum := sha256.Sum256(data)
		der, err := p.signer.Sign(nil, sum[:], crypto.SHA256)
		if err != nil {
			return nil, err
		}
		return fixed(der)
	}
	return nil, fmt.Errorf("algorithm %d is not known", p.Algorithm)
}

// fixed turns an ECDSA signature into two numbers of 32 bytes [RFC 6605 4].
func fixed(der []byte) ([]byte, error) {
	var n struct{ R, S *big.Int }
	rest, err := asn1.Unmarshal(der, &n)
	if err != nil {
		return nil, fmt.Errorf("the signature cannot be read: %w", err)
	}
	if len(rest) > 0 || n.R.Sign() <= 0 || n.S.Sign() <= 0 || n.R.BitLen() > 256 || n.S.BitLen() > 256 {
		return nil, errors.New("the signature is not one of P-256")
	}
	out := make([]byte, 64)
	n.R.FillBytes(out[:32])
	n.S.FillBytes(out[32:])
	return out, nil
}
