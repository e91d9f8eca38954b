// Package roll decides how the secret behind DNS cookies is changed on many nodes without one cookie being refused on the
// way. It is a state machine: values in, values out; no clock, no dice, no store, no goroutine. It never issues or
// verifies a cookie, and never prints a secret: what can be shown of one is its tag.
//
//	           a day after the last change,            every live node has
//	           or by order: next is made               acknowledged
//	steady ----------------------------> publishing ----------------------> switching
//	  ^     issues current                issues current                    issues what was next (current now)
//	  |     verifies current              verifies current, next            verifies current, previous
//	  |                                                                         |
//	  |     the longest life of a cookie (65 min) later:                        | every live node has acknowledged,
//	  |     previous is dropped                                                 | so none issues previous any more
//	  '------------------------------------ retiring <--------------------------'
//	                                        issues current, verifies current, previous
//
// Why no cookie is refused: a secret is issued only when every live node verifies it, and verified until the last cookie
// made with it has run out. A node acknowledges with the mark of the state it really uses, under its lease: one that dies
// is not waited for, and one that comes back reads the state before it counts as live with its mark. Only the leader takes
// a step, by compare-and-swap; whoever leads next goes on from what is stored.
//
// A node with secrets from files, or without a seal key, answers for itself and is not waited for. One that says nothing,
// or says an older state, is.
package roll

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"
)

// Defaults of Rules.
const (
	Every = 24 * time.Hour            // between two changes
	Keep  = time.Hour + 5*time.Minute // RFC 9018 section 4.3: a cookie is good for an hour, and for 5 minutes of wrong clock
	skew  = 5 * time.Minute           // how far ahead of ours the clock of an earlier leader may have been
	large = 16 << 10                  // bytes of a stored state, at most
)

// Secret makes and verifies cookies: the key of SipHash-2-4 [RFC 9018]. However it is printed, only its tag shows; inside of what is
// printed with all its fields, where no method is asked, not even that: hence the pointer. The zero Secret is none.
type Secret struct{ b *[16]byte }

// NewSecret is the secret of 16 random bytes.
func NewSecret(random [16]byte) Secret { return Secret{&random} }

// Bytes is the secret itself, for who makes cookies.
func (s Secret) Bytes() [16]byte {
	if s.b == nil {
		return [16]byte{}
	}
	return *s.b
}

// Zero: there is no secret.
func (s Secret) Zero() bool { return s.Bytes() == [16]byte{} }

// Tag names a secret in public: 8 hex digits of a hash.
func (s Secret) Tag() string {
	if s.Zero() {
		return ""
	}
	sum := sha256.Sum256(append([]byte("jurymast cookie secret tag v1\x00"), s.b[:]...))
	return hex.EncodeToString(sum[:4])
}

// String, GoString, Format, LogValue and MarshalText keep the secret out of everything that is printed.
func (s Secret) String() string { return "secret " + s.Tag() }

// GoString implements fmt.GoStringer.
func (s Secret) GoString() string { return s.String() }

// Format implements fmt.Formatter.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(s.String())) }

// LogValue implements slog.LogValuer.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText implements encoding.TextMarshaler.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Stage of a change.
type Stage string

// The stages, see the chart above.
const (
	Steady     Stage = "steady"
	Publishing Stage = "publishing"
	Switching  Stage = "switching"
	Retiring   Stage = "retiring"
)

// State is what all nodes share. The zero State is none.
type State struct {
	Step     uint64 // grows with every change
	Stage    Stage
	Since    time.Time // of the stage; wall time of the leader that began it
	Rolled   time.Time // since when current is issued
	Current  Secret
	Next     Secret // publishing only
	Previous Secret // switching and retiring only
}

// Issue is the secret that new cookies are made with.
func (s State) Issue() Secret { return s.Current }

// Verify are the secrets that cookies are accepted from, the issuing one first.
func (s State) Verify() []Secret {
	return slices.DeleteFunc([]Secret{s.Current, s.Next, s.Previous}, Secret.Zero)
}

// Mark is what a node says of the state it uses. The tags are in it, so that a store that was wiped and counts anew is not
// taken for the one before.
func (s State) Mark() string {
	return fmt.Sprintf("%d-%s-%s", s.Step, s.Stage, s.Current.Tag())
}

// What nodes say that do not use the shared secret.
const (
	MarkFiles = "files" // secrets from this node's files
	MarkOwn   = "own"   // no seal key: a secret of its own
)

// Node is a live node and what it says.
type Node struct{ Name, Mark string }

// Takes: the node uses the shared secret, or is on its way to.
func (n Node) Takes() bool { return n.Mark != MarkFiles && n.Mark != MarkOwn }

// Rules are the two times of a roll.
type Rules struct {
	Every time.Duration // between two changes; 0: only by order
	Keep  time.Duration // how long the previous secret is still verified after the last node stopped issuing it
}

// Facts are what the leader sees when it looks. Fresh is a new random secret, used when one is needed.
type Facts struct {
	Now     time.Time
	Live    []Node
	Ordered bool // an operator wants a change
	Fresh   Secret
}

// Begin is the first state, when nothing is stored.
func Begin(f Facts) State {
	return State{Step: 1, Stage: Steady, Since: f.Now, Rolled: f.Now, Current: f.Fresh}
}

// Advance takes at most one step. It reports false when nothing is to be done yet.
func (s State) Advance(r Rules, f Facts) (State, bool) {
	next := s
	next.Step, next.Since = s.Step+1, f.Now
	if s.Since.After(f.Now.Add(skew)) || s.Rolled.After(f.Now.Add(skew)) {
		// Whoever wrote this had a wrong clock, or ours was set back. Counted from now the stage is too long, never too short.
		if next.Rolled.After(f.Now) {
			next.Rolled = f.Now
		}
		return next, true
	}
	switch s.Stage {
	case Steady:
		if !f.Ordered && (r.Every <= 0 || f.Now.Sub(s.Rolled) < r.Every) {
			return s, false
		}
		next.Stage, next.Next = Publishing, f.Fresh
	case Publishing:
		if len(s.Waiting(f.Live)) > 0 {
			return s, false
		}
		next.Stage, next.Rolled = Switching, f.Now
		next.Current, next.Previous, next.Next = s.Next, s.Current, Secret{}
	case Switching:
		if len(s.Waiting(f.Live)) > 0 {
			return s, false
		}
		next.Stage = Retiring
	case Retiring:
		if f.Now.Sub(s.Since) < r.Keep {
			return s, false
		}
		next.Stage, next.Previous = Steady, Secret{}
	default:
		return s, false
	}
	return next, true
}

// Waiting are the live nodes that take part and have not acknowledged this state, in the order given.
func (s State) Waiting(live []Node) []string {
	var out []string
	mark := s.Mark()
	for _, n := range live {
		if n.Takes() && n.Mark != mark {
			out = append(out, n.Name)
		}
	}
	return out
}

// Due is when the stage ends by itself; the zero time when that is not a matter of time.
func (s State) Due(r Rules) time.Time {
	switch s.Stage {
	case Steady:
		if r.Every > 0 {
			return s.Rolled.Add(r.Every)
		}
	case Retiring:
		return s.Since.Add(r.Keep)
	case Publishing, Switching:
	}
	return time.Time{}
}

// stored is a State as it stands inside its sealed record. It is the one place where secrets are written.
type stored struct {
	Step     uint64    `json:"step"`
	Stage    Stage     `json:"stage"`
	Since    time.Time `json:"since"`
	Rolled   time.Time `json:"rolled"`
	Current  string    `json:"current"`
	Next     string    `json:"next,omitempty"`
	Previous string    `json:"previous,omitempty"`
}

// Encode is what is sealed; it holds the secrets.
func (s State) Encode() ([]byte, error) {
	text := func(x Secret) string {
		if x.Zero() {
			return ""
		}
		return hex.EncodeToString(x.b[:])
	}
	return json.Marshal(stored{s.Step, s.Stage, s.Since, s.Rolled, text(s.Current), text(s.Next), text(s.Previous)})
}

// ErrState: what was sealed is no state. A writer to the store is not trusted more than a caller of the API.
var ErrState = errors.New("not a state of cookie secrets that this version knows")

// Decode reads what Encode wrote and checks it. Errors never repeat what was read.
func Decode(text []byte) (State, error) {
	var in stored
	if len(text) > large || json.Unmarshal(text, &in) != nil {
		return State{}, fmt.Errorf("%w: it cannot be read", ErrState)
	}
	s := State{Step: in.Step, Stage: in.Stage, Since: in.Since, Rolled: in.Rolled}
	for _, f := range []struct {
		to   *Secret
		text string
	}{{&s.Current, in.Current}, {&s.Next, in.Next}, {&s.Previous, in.Previous}} {
		if f.text == "" {
			continue
		}
		raw, err := hex.DecodeString(f.text)
		if err != nil || len(raw) != 16 {
			return State{}, fmt.Errorf("%w: a secret is not 32 hex digits", ErrState)
		}
		*f.to = NewSecret([16]byte(raw))
	}
	if why := s.fault(); why != "" {
		return State{}, fmt.Errorf("%w: %s", ErrState, why)
	}
	return s, nil
}

// fault says why a state cannot be one, "" when it can.
func (s State) fault() string {
	next, previous := false, false
	switch s.Stage {
	case Steady:
	case Publishing:
		next = true
	case Switching, Retiring:
		previous = true
	default:
		return "unknown stage"
	}
	switch {
	case s.Step == 0 || s.Since.IsZero() || s.Rolled.IsZero():
		return "step or time is missing"
	case s.Current.Zero() || next == s.Next.Zero() || previous == s.Previous.Zero():
		return "it does not have the secrets of its stage"
	case s.Current.Bytes() == s.Next.Bytes() || s.Current.Bytes() == s.Previous.Bytes():
		return "two secrets are the same"
	}
	return ""
}
