package signing

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strconv"
	"time"
)

// Stage of a Set, see the chart of the package.
type Stage string

// The stages.
const (
	StageBegin    Stage = "begin"
	StageSteady   Stage = "steady"
	StageAhead    Stage = "ahead"
	StagePublish  Stage = "publish"
	StageChange   Stage = "change"
	StageRetire   Stage = "retire"
	StageWithdraw Stage = "withdraw"
)

// Kind of a roll.
type Kind string

// The kinds.
const (
	KindNone      Kind = ""
	KindPlain     Kind = "plain"     // pre-publish for who signs the zone, double DNSKEY for who signs the keys
	KindEmergency Kind = "emergency" // double signatures
	KindAlgorithm Kind = "algorithm" // all keys are replaced by others of another algorithm or other roles
)

// CDSMode says when the zone asks its parent for a DS by itself [RFC 7344].
type CDSMode string

// The modes.
const (
	CDSAuto    CDSMode = "auto"    // while a roll wants the DS changed
	CDSPublish CDSMode = "publish" // always
	CDSDelete  CDSMode = "delete"  // asks the parent to remove the DS [RFC 8078 4]
	CDSOff     CDSMode = "off"     // never
)

// Set is all keys of a zone and how far their change is. The zero Set is none.
type Set struct {
	Zone  string // lower case, no trailing dot
	Step  uint64 // grows whenever what nodes do changes
	Keys  []Key  // old ones first
	Stage Stage
	Since time.Time // of the stage
	Kind  Kind      // of the roll; KindNone in begin and steady
	Why   string    // what began the roll
	CDS   CDSMode

	Acked  time.Time // when all live nodes had acknowledged the stage; zero: not yet
	Signed time.Time // when all answers carried signatures of the new keys; zero: not yet
	DSSeen time.Time // change, retire: when the parent's servers had changed the DS
	DSWord bool      // an operator said so

	Long   Longest // TTL of the zone's records
	KeyTTL Longest // TTL of its DNSKEY set
	DSTTL  Longest // TTL of its DS set, at the parent
	DS     Parent  // what the parent's servers said last

	Leaving time.Time // since when signing is switched off; zero: it is not
	Gone    time.Time // Leaving: since when no parent server has a DS
}

// Longest is the longest TTL with which caches may hold something: it goes down later than the TTL that is sent.
type Longest struct {
	TTL   time.Duration
	Until time.Time // zero: it is what is sent; else it may be forgotten then
}

// see takes a TTL that is sent now, and reports whether anything changed.
func (l *Longest) see(ttl time.Duration, now time.Time) bool {
	was := *l
	switch {
	case ttl >= l.TTL:
		*l = Longest{TTL: ttl}
	case l.Until.IsZero():
		l.Until = now.Add(l.TTL)
	case !now.Before(l.Until):
		*l = Longest{TTL: ttl}
	}
	return *l != was
}

// Parent is what the servers of the parent zone say.
type Parent struct {
	At      time.Time // of the change that was noticed last; zero: none was ever heard
	DS      []DS      // of all servers that answered together
	Common  []DS      // what each of them has
	All     bool      // every server was asked with success, and all have the same
	TTL     time.Duration
	Servers int
	Heard   int       // of them have answered; 0: DS, Common and TTL are what was heard before
	Silent  time.Time // since when none answers; zero: one does, or nobody has asked yet
	Trouble string    // what keeps All from being true

	Asked time.Time // when; not kept
}

// same compares what matters; when it was asked does not.
func (p *Parent) same(q *Parent) bool {
	return slices.Equal(p.DS, q.DS) && p.All == q.All && p.TTL == q.TTL && p.Servers == q.Servers && p.Trouble == q.Trouble &&
		p.Heard == q.Heard && slices.Equal(p.Common, q.Common) && p.Silent.IsZero() == q.Silent.IsZero() && p.At.IsZero() == q.At.IsZero()
}

// Zero: there are no keys.
func (s *Set) Zero() bool { return len(s.Keys) == 0 }

// Clone shares nothing that is ever changed.
func (s *Set) Clone() Set {
	out := *s
	out.Keys = slices.Clone(s.Keys)
	out.DS.DS, out.DS.Common = slices.Clone(s.DS.DS), slices.Clone(s.DS.Common)
	return out
}

// View is what a node does with the set: numbers are indices into Keys.
type View struct {
	Publish  []int
	KSK      []int // sign the keys
	ZSK      []int // sign everything else
	Announce []int // have CDS and CDNSKEY
	Delete   bool  // the delete form of CDS and CDNSKEY
}

// View of the stage.
func (s *Set) View() View {
	var v View
	for i := range s.Keys {
		k := &s.Keys[i]
		if k.State == Published || k.State == Active || k.State == Retired {
			v.Publish = append(v.Publish, i)
			if k.Role.Trusted() {
				v.KSK = append(v.KSK, i)
			}
		}
		if k.Role.SignsZone() && (k.State == Ahead || k.State == Active || k.State == Withdrawn) {
			v.ZSK = append(v.ZSK, i)
		}
	}
	switch {
	case s.CDS == CDSDelete:
		v.Delete = true
	case s.CDS == CDSOff:
	case s.CDS == CDSPublish || (s.asksParent() && s.Leaving.IsZero()):
		v.Announce = s.wanted()
	}
	return v
}

// asksParent: the roll wants the DS changed now.
func (s *Set) asksParent() bool {
	return s.changesDS() && (s.Stage == StageChange || s.Stage == StageRetire || s.Stage == StageWithdraw)
}

// changesDS: the roll replaces a key that the parent's DS names.
func (s *Set) changesDS() bool {
	return s.Kind != KindNone && slices.ContainsFunc(s.newKeys(), func(i int) bool { return s.Keys[i].Role.Trusted() })
}

// wanted are the keys whose DS the parent should have now.
func (s *Set) wanted() []int {
	isNew := s.asksParent()
	var out []int
	for i := range s.Keys {
		if s.Keys[i].Role.Trusted() && (s.Keys[i].New == isNew) {
			out = append(out, i)
		}
	}
	return out
}

// newKeys are those that a roll brings; without a roll, all.
func (s *Set) newKeys() []int { return s.which(true) }

// oldKeys are those that a roll takes away. The keys of a role that is not rolled belong to neither.
func (s *Set) oldKeys() []int { return s.which(false) }

func (s *Set) which(isNew bool) []int {
	role := Role("")
	for i := range s.Keys {
		if s.Keys[i].New {
			role = s.Keys[i].Role
		}
	}
	var out []int
	for i := range s.Keys {
		concerned := s.Kind == KindNone || s.Kind == KindAlgorithm || s.Keys[i].Role == role
		if concerned && (s.Keys[i].New || s.Kind == KindNone) == isNew {
			out = append(out, i)
		}
	}
	return out
}

// DSReady is when the DS may be given to the parent: not before everything that caches hold is signed. Zero: nodes are
// waited for.
func (s *Set) DSReady(w Wanted) time.Time {
	if s.Stage != StageBegin {
		return s.Since
	}
	if s.Acked.IsZero() {
		return time.Time{}
	}
	return s.Acked.Add(max(s.Long.TTL, s.KeyTTL.TTL) + w.Propagation) // that there is no DNSKEY is in caches, too
}

// DSKeys are the keys whose DS the parent should have now, or soon: in a roll that will change it, the new ones as
// soon as they may be trusted.
func (s *Set) DSKeys() []Key {
	var out []Key
	for _, i := range s.wanted() {
		out = append(out, s.Keys[i])
	}
	return out
}

// Mark names in public what nodes do. Two sets with the same mark make nodes do the same.
func (s *Set) Mark() string {
	v := s.View()
	var text []byte
	for _, list := range [][]int{v.Publish, v.KSK, v.ZSK, v.Announce} {
		for _, i := range list {
			text = append(text, byte(s.Keys[i].Role.Flags()), byte(s.Keys[i].Algorithm)) //nolint:gosec // its low half tells roles apart
			text = append(text, s.Keys[i].Public...)
		}
		text = append(text, '|')
	}
	if v.Delete {
		text = append(text, 'd')
	}
	sum := sha256.Sum256(text)
	return strconv.FormatUint(s.Step, 10) + "-" + hex.EncodeToString(sum[:4])
}

// Node is a live node and the mark it has acknowledged for this zone.
type Node struct{ Name, Mark string }

// Waiting are the live nodes that have not acknowledged what the set says, in the order given.
func (s *Set) Waiting(live []Node) []string {
	var out []string
	mark := s.Mark()
	for _, n := range live {
		if n.Mark != mark {
			out = append(out, n.Name)
		}
	}
	return out
}

func (s *Set) tags() []uint16 {
	out := make([]uint16, len(s.Keys))
	for i := range s.Keys {
		out[i] = s.Keys[i].Tag
	}
	return out
}

// AtParent: a server of the parent has a DS of the key, or had it when one answered last.
func (s *Set) AtParent(k *Key) bool {
	return slices.ContainsFunc(s.DS.DS, func(d DS) bool { return k.named(s.Zone, d) })
}

// Mismatch says that the parent's DS name no key that is shown, so that the zone is bogus; "" while it is not.
func (s *Set) Mismatch() string {
	if len(s.DS.DS) == 0 {
		return ""
	}
	for _, i := range s.View().KSK {
		if s.AtParent(&s.Keys[i]) {
			return ""
		}
	}
	return "the parent has a DS, and none of it names a key of this zone: resolvers find it bogus; give the parent what jurymast zone ds " + s.Zone + " prints, or have the DS removed"
}

// WaitsForParent: the next step depends on what the parent's servers show, or may be taken back by it.
func (s *Set) WaitsForParent() bool {
	return !s.Leaving.IsZero() || s.changesDS() && (s.Stage == StageChange || s.Stage == StageRetire)
}
