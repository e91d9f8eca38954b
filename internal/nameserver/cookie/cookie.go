package cookie

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"sync/atomic"
)

// Lengths in bytes.
const (
	ClientLen = 8                     // of a client cookie [RFC 7873 4]
	ServerLen = 16                    // of our server cookie [RFC 9018 4]
	OptionLen = ClientLen + ServerLen // of the option's contents in an answer
)

// Bounds of the time in a server cookie, in seconds [RFC 9018 4.3].
const (
	MaxAge   = 3600 // older ones are not accepted
	MaxAhead = 300  // nor those made further in the future, by a server whose clock is ahead
	RenewAge = 1800 // older ones are accepted, and a new one goes back
)

const version = 1

// Secret is the key of the hash. Whoever has it can make cookies, so it never shows in logs and errors.
type Secret [16]byte

// NewSecret is a random one.
func NewSecret() (s Secret) {
	_, _ = rand.Read(s[:]) // never fails: the program ends rather than go on without randomness
	return s
}

// Format hides the secret, whatever the verb.
func (Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "(secret)") }

// Secrets are what one server uses at a time.
type Secrets struct {
	Issue  Secret   // makes cookies, and is accepted
	Verify []Secret // others that are accepted too: the next one before it is issued with, the previous one after
}

// Jar holds the secrets in use. It may be changed while it is used. A jar that was never filled makes no cookies and
// accepts none.
type Jar struct {
	secrets atomic.Pointer[Secrets]
}

// NewJar is a jar with these secrets.
func NewJar(s Secrets) *Jar {
	j := &Jar{}
	j.Store(s)
	return j
}

// Store replaces the secrets; questions being answered still use the old ones.
func (j *Jar) Store(s Secrets) {
	s.Verify = slices.Clone(s.Verify)
	j.secrets.Store(&s)
}

// Load is the secrets in use, and whether there are any.
func (j *Jar) Load() (Secrets, bool) {
	s := j.secrets.Load()
	if s == nil {
		return Secrets{}, false
	}
	return Secrets{Issue: s.Issue, Verify: slices.Clone(s.Verify)}, true
}

// State is what a question's cookies were.
type State uint8

// The states of Answer. Only Valid and Renewed prove that the client owns its address.
const (
	None    State = iota // no secrets, or not a client cookie: nothing was appended
	Missing              // a client cookie alone: it gets a server cookie
	Wrong                // a server cookie that is not ours, too old or too far ahead: as if it were missing
	Valid                // accepted, and returned as it came
	Renewed              // accepted, and replaced by a new one: it gets old, or was made with another secret than Issue
)

// Proved reports that the client has shown to own its address.
func (s State) Proved() bool { return s == Valid || s == Renewed }

// String names the state.
func (s State) String() string {
	switch s {
	case None:
		return "none"
	case Missing:
		return "missing"
	case Wrong:
		return "wrong"
	case Valid:
		return "valid"
	case Renewed:
		return "renewed"
	}
	return "unknown"
}

// Answer checks the server cookie that came with a client cookie and appends the contents of the COOKIE option that
// goes back, OptionLen bytes: the client cookie and a server cookie. client has ClientLen bytes, server none or what
// the option had behind them; from is the sender's address, IPv4 or IPv4-mapped as IPv4; now is seconds since 1970,
// modulo 2^32 [RFC 1982].
func (j *Jar) Answer(dst, client, server []byte, from netip.Addr, now uint32) (out []byte, state State) {
	s := j.secrets.Load()
	if s == nil || len(client) != ClientLen {
		return dst, None
	}
	var in input
	in.address(client, from)
	state = s.check(&in, server, now)
	dst = append(dst, client...)
	if state == Valid {
		return append(dst, server...), state
	}
	binary.BigEndian.PutUint32(in.bytes[ClientLen:], version<<24)
	binary.BigEndian.PutUint32(in.bytes[ClientLen+4:], now)
	dst = append(dst, in.bytes[ClientLen:ClientLen+8]...)
	return binary.LittleEndian.AppendUint64(dst, siphash(&s.Issue, in.bytes[:in.n])), state
}

// check says what a server cookie is worth. The reserved bytes are hashed as they came, so that another server of the
// set may use them one day [RFC 9018 4.2].
func (s *Secrets) check(in *input, server []byte, now uint32) State {
	if len(server) == 0 {
		return Missing
	}
	if len(server) != ServerLen || server[0] != version {
		return Wrong
	}
	age := int32(now - binary.BigEndian.Uint32(server[4:])) //nolint:gosec // serial arithmetic: the difference is signed
	if age > MaxAge || age < -MaxAhead {
		return Wrong
	}
	copy(in.bytes[ClientLen:], server[:8])
	// One comparison of machine words: how long it takes does not tell how many bytes were right.
	hash := binary.LittleEndian.Uint64(server[8:])
	if hash == siphash(&s.Issue, in.bytes[:in.n]) {
		if age > RenewAge {
			return Renewed
		}
		return Valid
	}
	for i := range s.Verify {
		if hash == siphash(&s.Verify[i], in.bytes[:in.n]) {
			return Renewed
		}
	}
	return Wrong
}

// input is what is hashed: client cookie, first half of the server cookie, address.
type input struct {
	bytes [ClientLen + 8 + 16]byte
	n     int
}

func (in *input) address(client []byte, from netip.Addr) {
	copy(in.bytes[:], client)
	if from = from.Unmap(); from.Is4() {
		a := from.As4()
		in.n = ClientLen + 8 + copy(in.bytes[ClientLen+8:], a[:])
		return
	}
	a := from.As16()
	in.n = ClientLen + 8 + copy(in.bytes[ClientLen+8:], a[:])
}
