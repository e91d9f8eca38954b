package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
)

// KeySize is the length of a key in bytes.
const KeySize = 32

// maxPlain bounds what is sealed: a key or a few secrets, never a document.
const maxPlain = 256 << 10

// Errors of Open; test them with errors.Is. Their texts name the record, never a secret.
var (
	// ErrOtherKey: the box was closed with a key this ring does not have.
	ErrOtherKey = errors.New("sealed with another key")
	// ErrDamaged: the box was changed, cut off, or moved here from another record.
	ErrDamaged = errors.New("sealed record is damaged")
)

// Key closes and opens boxes. However it is printed, only its id shows; inside of what is printed with all its fields,
// where no method is asked, not even that: hence the pointer. The zero Key is none.
type Key struct{ b *[KeySize]byte }

// NewKey makes a random key.
func NewKey() Key {
	var b [KeySize]byte
	_, _ = rand.Read(b[:]) // never fails
	return Key{&b}
}

// ID names a key in public: 8 hex digits of a keyed hash, which say nothing of the key itself.
func (k Key) ID() string {
	if k.b == nil {
		return "none"
	}
	h := hmac.New(sha256.New, k.b[:])
	_, _ = h.Write([]byte("jurymast seal key id v1"))
	return hex.EncodeToString(h.Sum(nil)[:4])
}

// String, GoString, Format, LogValue and MarshalText keep the key out of everything that is printed.
func (k Key) String() string { return "seal key " + k.ID() }

// GoString implements fmt.GoStringer.
func (k Key) GoString() string { return k.String() }

// Format implements fmt.Formatter.
func (k Key) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(k.String())) }

// LogValue implements slog.LogValuer.
func (k Key) LogValue() slog.Value { return slog.StringValue(k.String()) }

// MarshalText implements encoding.TextMarshaler.
func (k Key) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// Box is a sealed secret as it is stored.
type Box struct {
	Key  string `json:"key"` // id of the key it was closed with
	Data []byte `json:"data"`
}

// Seal closes plain for the record called name; at most 256 KiB.
func (k Key) Seal(name string, plain []byte) (Box, error) {
	if len(plain) > maxPlain {
		return Box{}, fmt.Errorf("sealed record %s: %d bytes, at most %d are possible", name, len(plain), maxPlain)
	}
	aead, err := k.aead()
	if err != nil {
		return Box{}, err
	}
	return Box{Key: k.ID(), Data: aead.Seal(nil, nil, plain, bound(name, k.ID()))}, nil //nolint:gosec // no nonce is given: this AEAD makes a random one
}

func (k Key) aead() (cipher.AEAD, error) {
	if k.b == nil {
		return nil, errors.New("no seal key")
	}
	block, err := aes.NewCipher(k.b[:])
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

// bound is what a box is tied to beside its content.
func bound(name, id string) []byte {
	return []byte("jurymast/v1/sealed/" + name + "\x00" + id)
}

// Ring are the keys a node has, each once. The zero value has none.
type Ring struct{ keys []Key }

// NewRing keeps the order of the keys and drops repetitions.
func NewRing(keys ...Key) Ring {
	var r Ring
	for _, k := range keys {
		if _, twice := r.Find(k.ID()); !twice {
			r.keys = append(r.keys, k)
		}
	}
	return r
}

// Empty: this node seals nothing and opens nothing.
func (r Ring) Empty() bool { return len(r.keys) == 0 }

// First is the key that begins a new store; the store says later which one seals.
func (r Ring) First() (Key, bool) {
	if r.Empty() {
		return Key{}, false
	}
	return r.keys[0], true
}

// Find is the key with this id.
func (r Ring) Find(id string) (Key, bool) {
	for _, k := range r.keys {
		if k.ID() == id {
			return k, true
		}
	}
	return Key{}, false
}

// With is the ring and one more key behind the others.
func (r Ring) With(k Key) Ring { return NewRing(append(slices.Clone(r.keys), k)...) }

// Only is the ring without all keys but those with these ids.
func (r Ring) Only(ids ...string) Ring {
	return Ring{slices.DeleteFunc(slices.Clone(r.keys), func(k Key) bool { return !slices.Contains(ids, k.ID()) })}
}

// IDs of the keys, in the order of the file.
func (r Ring) IDs() []string {
	out := make([]string, len(r.keys))
	for i, k := range r.keys {
		out[i] = k.ID()
	}
	return out
}

// Open opens the box of the record called name. Its errors say what an operator can do.
func (r Ring) Open(name string, b Box) ([]byte, error) {
	k, ok := r.Find(b.Key)
	if !ok {
		return nil, fmt.Errorf("record sealed/%s: %w: it needs key %s, this node has %s; "+
			"add that key as one more line to the file of node.store.seal on this node, or, if it is lost, "+
			"give the record up with: jurymast seal forget %s", name, ErrOtherKey, printable(b.Key), r.have(), name)
	}
	aead, err := k.aead()
	if err != nil {
		return nil, err
	}
	plain, err := aead.Open(nil, nil, b.Data, bound(name, b.Key))
	if err != nil {
		return nil, fmt.Errorf("record sealed/%s: %w: it does not open with its key %s, so somebody changed the store; "+
			"restore the store from a backup, or give the record up with: jurymast seal forget %s", name, ErrDamaged, b.Key, name)
	}
	return plain, nil
}

func (r Ring) have() string {
	if r.Empty() {
		return "none"
	}
	return strings.Join(r.IDs(), ", ")
}

// printable: the id in a box comes from the store, and whoever writes there must not write into our logs.
func printable(id string) string {
	if len(id) != 8 || strings.Trim(id, "0123456789abcdef") != "" {
		return "of an unreadable name"
	}
	return id
}
