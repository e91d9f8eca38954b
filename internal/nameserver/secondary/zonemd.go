package secondary

import (
	"bytes"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"slices"

	"github.com/miekg/dns"

	"jurymast/internal/nameserver/wire"
	"jurymast/internal/nameserver/zone"
	"jurymast/internal/profile"
)

// Digest says what became of the ZONEMD records of a zone.
type Digest string

// The words of Digest.
const (
	DigestNone     Digest = "none"     // there is none
	DigestVerified Digest = "verified" // it was calculated and is right
	DigestUnknown  Digest = "unknown"  // its scheme or algorithm is not known here
	DigestIgnored  Digest = "ignored"  // nobody has looked at it
)

// The one scheme and the algorithms of RFC 8976.
const (
	schemeSimple = 1
	hashSHA384   = 1
	hashSHA512   = 2
	zonemdHead   = 6 // serial, scheme, algorithm
)

// Check is what a transferred zone must be.
type Check struct{ ZONEMD profile.ZONEMDRule }

// digest checks the ZONEMD records of a zone [RFC 8976 4], but not their signatures: who fetched the zone under a TSIG key
// knows who sent it.
func (k Check) digest(apex *zone.Owner, c *Content) (Digest, error) {
	if k.ZONEMD == profile.ZONEMDOff {
		return DigestIgnored, nil
	}
	sets := map[[2]byte][][]byte{}
	for _, r := range c.Records {
		if r.Type == dns.TypeZONEMD && r.Owner.Same(apex) && len(r.Data) >= zonemdHead+12 {
			sets[[2]byte{r.Data[4], r.Data[5]}] = append(sets[[2]byte{r.Data[4], r.Data[5]}], r.Data)
		}
	}
	word := DigestNone
	if len(sets) > 0 {
		word = DigestUnknown
	}
	var wrong error
	for _, algorithm := range []byte{hashSHA512, hashSHA384} {
		list := sets[[2]byte{schemeSimple, algorithm}]
		switch err := verify(apex, c, algorithm, list); {
		case len(list) == 0:
		case err == nil:
			return DigestVerified, nil
		default:
			wrong = err
		}
	}
	switch {
	case wrong != nil:
		return "", wrong
	case k.ZONEMD == profile.ZONEMDRequired && word == DigestNone:
		return "", errors.New("the zone has no ZONEMD, and zonemd: required wants one; let the primary make it, or write zonemd: auto")
	case k.ZONEMD == profile.ZONEMDRequired:
		return "", errors.New("the ZONEMD of the zone is of a scheme or algorithm that is not known here; let the primary make one with scheme 1 and SHA-384")
	}
	return word, nil
}

func verify(apex *zone.Owner, c *Content, algorithm byte, list [][]byte) error {
	if len(list) == 0 {
		return nil
	}
	if len(list) > 1 {
		return errors.New("the zone has two ZONEMD of the same scheme and algorithm")
	}
	if serial := binary.BigEndian.Uint32(list[0]); serial != c.Serial {
		return fmt.Errorf("the ZONEMD is of serial %d and the zone of %d", serial, c.Serial)
	}
	sum := sha512.New384()
	if algorithm == hashSHA512 {
		sum = sha512.New()
	}
	if err := digestInto(sum, apex, c.Records); err != nil {
		return err
	}
	if subtle.ConstantTimeCompare(sum.Sum(nil), list[0][zonemdHead:]) != 1 {
		return errors.New("the ZONEMD does not match the records: the zone was changed on its way, or the primary's digest is wrong")
	}
	return nil
}

// digestInto writes all records but the apex's ZONEMD and its signatures in canonical form and order [RFC 8976 3.3].
func digestInto(sum hash.Hash, apex *zone.Owner, records []zone.Record) error {
	var set [][]byte
	for at := 0; at < len(records); {
		end := at + 1
		for end < len(records) && records[end].Type == records[at].Type && records[end].Owner.Same(records[at].Owner) {
			end++
		}
		first := records[at]
		top := first.Owner.Same(apex)
		set = set[:0]
		for _, r := range records[at:end] {
			if top && (r.Type == dns.TypeZONEMD || r.Type == dns.TypeRRSIG && binary.BigEndian.Uint16(r.Data) == dns.TypeZONEMD) {
				continue
			}
			text, err := canonical(r)
			if err != nil {
				return err
			}
			set = append(set, text)
		}
		head := recordHeadLen(first)
		slices.SortFunc(set, func(a, b []byte) int { return bytes.Compare(a[head:], b[head:]) })
		for _, text := range set {
			_, _ = sum.Write(text) // a hash takes everything
		}
		at = end
	}
	return nil
}

// recordHeadLen is what stands before the data of a record in canonical form.
func recordHeadLen(r zone.Record) int { return len(r.Owner.Name) + 10 }

// canonical is a record in canonical form [RFC 4034 6.2].
func canonical(r zone.Record) ([]byte, error) {
	data, err := lowerData(r.Type, r.Data)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", zone.Text(r.Owner.Name), dns.Type(r.Type), err)
	}
	out := make([]byte, 0, len(r.Owner.Name)+10+len(data))
	for _, b := range r.Owner.Name {
		out = append(out, wire.Lower(b))
	}
	out = binary.BigEndian.AppendUint16(out, r.Type)
	out = append(out, 0, dns.ClassINET)
	out = binary.BigEndian.AppendUint32(out, r.TTL)
	out = binary.BigEndian.AppendUint16(out, uint16(len(data))) //nolint:gosec // a record's data
	return append(out, data...), nil
}

// namesIn says where the names of a type's data stand that canonical form writes in lower case [RFC 4034 6.2, RFC 6840
// 5.1]: behind so many bytes, so many of them. NAPTR, which has texts before, is not among them.
var namesIn = map[uint16]struct{ skip, names int }{
	dns.TypeNS: {0, 1}, dns.TypeMD: {0, 1}, dns.TypeMF: {0, 1}, dns.TypeCNAME: {0, 1}, dns.TypeSOA: {0, 2}, dns.TypeMB: {0, 1},
	dns.TypeMG: {0, 1}, dns.TypeMR: {0, 1}, dns.TypePTR: {0, 1}, dns.TypeMINFO: {0, 2}, dns.TypeMX: {2, 1}, dns.TypeRP: {0, 2},
	dns.TypeAFSDB: {2, 1}, dns.TypeRT: {2, 1}, dns.TypePX: {2, 2}, dns.TypeKX: {2, 1}, dns.TypeSRV: {6, 1}, dns.TypeDNAME: {0, 1},
	dns.TypeRRSIG: {18, 1}, dns.TypeSIG: {18, 1}, dns.TypeNXT: {0, 1},
}

var errData = errors.New("the data is not complete")

func lowerData(typ uint16, data []byte) ([]byte, error) {
	in, ok := namesIn[typ]
	at := in.skip
	switch {
	case typ == dns.TypeNAPTR:
		at, in.names = 4, 1
		for range 3 {
			if at >= len(data) {
				return nil, errData
			}
			at += 1 + int(data[at])
		}
	case !ok:
		return data, nil
	}
	out := bytes.Clone(data)
	for range in.names {
		var n wire.Name
		size := 0
		if at < len(data) {
			size = n.Set(data[at:])
		}
		if size == 0 {
			return nil, errData
		}
		copy(out[at:], n.Key(0))
		at += size
	}
	return out, nil
}
