package tsig

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"fmt"
	"hash"
	"strings"

	"jurymast/internal/nameserver/wire"
)

// MinSecret is the shortest secret that is taken, in bytes.
const MinSecret = 16

// maxSecret keeps a file that is no key from being taken for one, in bytes.
const maxSecret = 512

// algorithms are those that are believed [RFC 8945 6], without the trailing dot.
var algorithms = map[string]func() hash.Hash{"hmac-sha256": sha256.New, "hmac-sha384": sha512.New384, "hmac-sha512": sha512.New}

// Key is one shared key, never changed.
type Key struct {
	Name      string // lower case, no trailing dot
	Algorithm string // hmac-sha256 and so on

	owner     []byte // both in wire form, lower case
	algorithm []byte
	secret    []byte
	hash      func() hash.Hash
	size      int
}

// NewKey makes a key of its secret in base64, with blanks around it at most. Errors never repeat the secret.
func NewKey(name, algorithm, secret string) (*Key, error) {
	raw, err := base64.StdEncoding.DecodeString(strings.TrimSpace(secret))
	switch {
	case err != nil:
		return nil, errors.New("the secret is not base64; make one with: openssl rand -base64 32")
	case len(raw) < MinSecret || len(raw) > maxSecret:
		return nil, fmt.Errorf("the secret has %d bytes; allowed: %d to %d; make one with: openssl rand -base64 32", len(raw), MinSecret, maxSecret)
	}
	k := &Key{Name: name, Algorithm: algorithm, secret: raw, hash: algorithms[algorithm]}
	if k.hash == nil {
		return nil, fmt.Errorf("algorithm %q is not known; allowed: hmac-sha256, hmac-sha384, hmac-sha512", algorithm)
	}
	if k.owner, err = pack(name); err == nil {
		k.algorithm, err = pack(algorithm)
	}
	k.size = k.hash().Size()
	return k, err
}

// String names the key, never its secret.
func (k *Key) String() string { return k.Name + " (" + k.Algorithm + ")" }

// GoString is String: %#v must not show the secret either.
func (k *Key) GoString() string { return k.String() }

// Secret is the secret in base64, for a client library that signs for itself. It must not be shown.
func (k *Key) Secret() string { return base64.StdEncoding.EncodeToString(k.secret) }

// Len is the room a signature with the key takes at most: with the time of an answer to BADTIME.
func (k *Key) Len() int { return len(k.owner) + 10 + len(k.algorithm) + fixedLen + k.size + timeLen }

func (k *Key) sum(parts ...[]byte) []byte {
	h := hmac.New(k.hash, k.secret)
	for _, p := range parts {
		h.Write(p)
	}
	return h.Sum(nil)
}

// pack is a name in wire form and lower case.
func pack(text string) ([]byte, error) {
	var out []byte
	for label := range strings.SplitSeq(strings.ToLower(strings.TrimSuffix(text, ".")), ".") {
		if label == "" || len(label) > wire.MaxLabel {
			return nil, fmt.Errorf("%q is no name for a key", text)
		}
		out = append(append(out, byte(len(label))), label...) //nolint:gosec // at most 63
	}
	if out = append(out, 0); len(out) > wire.MaxName {
		return nil, fmt.Errorf("%q is no name for a key", text)
	}
	return out, nil
}

// Ring are the keys a node can use, never changed. A nil Ring has none.
type Ring struct {
	byOwner map[string]*Key
}

// NewRing of keys; the last of a name counts.
func NewRing(keys ...*Key) *Ring {
	r := &Ring{byOwner: make(map[string]*Key, len(keys))}
	for _, k := range keys {
		r.byOwner[string(k.owner)] = k
	}
	return r
}

// Find is the key of that name, or nil.
func (r *Ring) Find(name string) *Key {
	if r == nil {
		return nil
	}
	owner, err := pack(name)
	if err != nil {
		return nil
	}
	return r.byOwner[string(owner)]
}
