package signing

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// ErrRefused wraps why an order cannot be followed now; its text is for the operator.
var ErrRefused = errors.New("refused")

func refused(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrRefused, fmt.Sprintf(format, args...))
}

// Roll is an order for new keys.
type Roll struct {
	Role      Role      // "": the csk, or the ksk
	Algorithm Algorithm // 0: as it is; another one replaces all keys
	Roles     []Role    // csk, or ksk and zsk, when the kind of keys changes; nil: as it is
	Emergency bool      // double signatures; gives up a roll whose new keys nobody relies on yet
}

// Order begins a roll. f needs Wanted, Live and Random.
func (s Set) Order(r Roll, f *Facts, now time.Time) (Set, error) {
	if s.Zero() {
		return s, refused("zone %s has no keys yet", s.Zone)
	}
	next := s.Clone()
	if waits := s.Waiting(f.Live); len(waits) > 0 && !r.Emergency {
		return s, refused("%s must acknowledge the keys as they are first; look with: jurymast zone keys %s", strings.Join(waits, ", "), s.Zone)
	}
	before := next.Mark()
	if err := next.startRoll(r, f, now); err != nil {
		return s, err
	}
	if next.Mark() != before {
		next.Step++
		next.Acked = time.Time{}
	}
	return next, nil
}

// startRoll brings the new keys in.
func (s *Set) startRoll(r Roll, f *Facts, now time.Time) error {
	if err := s.mayRoll(r); err != nil {
		return err
	}
	roles := s.roles()
	if r.Role == "" {
		r.Role = roles[0]
	}
	if !slices.Contains(roles, r.Role) {
		return refused("zone %s has no %s: its keys are %s", s.Zone, r.Role, join(roles))
	}
	s.giveUp(now)
	a := s.Keys[0].Algorithm
	s.Stage, s.Since, s.Signed, s.DSSeen, s.DSWord = StagePublish, now, time.Time{}, time.Time{}, false
	s.Acked = time.Time{}
	switch {
	case r.Algorithm != 0 && r.Algorithm != a || r.Roles != nil && !slices.Equal(r.Roles, roles):
		if r.Algorithm != 0 {
			a = r.Algorithm
		}
		if r.Roles != nil {
			roles = r.Roles
		}
		s.Kind, s.Stage = KindAlgorithm, StageAhead
		s.bring(f, roles, a, Ahead, now)
	case r.Emergency:
		s.Kind = KindEmergency
		s.bring(f, []Role{r.Role}, a, Active, now)
	default:
		s.Kind = KindPlain
		s.bring(f, []Role{r.Role}, a, Published, now)
	}
	s.Why = "ordered"
	return nil
}

// mayRoll: one roll at a time, and not while the zone is on its way into or out of signing.
func (s *Set) mayRoll(r Roll) error {
	switch {
	case !s.Leaving.IsZero():
		return refused("signing of zone %s is switched off; it ends when the DS is gone from the parent", s.Zone)
	case s.Stage == StageBegin:
		return refused("zone %s is being signed for the first time; wait until jurymast zone keys %[1]s shows steady", s.Zone)
	case s.CDS == CDSDelete:
		return refused("zone %s asks its parent to remove the DS; end that first with: jurymast zone cds %[1]s auto", s.Zone)
	case s.Stage == StageSteady:
		return nil
	case r.Emergency && (s.Stage == StageAhead || s.Stage == StagePublish && s.Kind != KindAlgorithm):
		return nil
	}
	return refused("a roll is under way (%s since %s); wait until jurymast zone keys %s shows steady", s.Stage, s.Since.UTC().Format(time.RFC3339), s.Zone)
}

// giveUp drops the new keys of a roll that nobody relies on: their DS is nowhere, and in publish with signatures of
// their own the old ones stand beside them.
func (s *Set) giveUp(now time.Time) {
	if s.Kind == KindNone {
		return
	}
	s.Keys = slices.DeleteFunc(s.Keys, func(k Key) bool { return k.New })
	for i := range s.Keys {
		if s.Keys[i].State != Active {
			s.Keys[i].State, s.Keys[i].Since = Active, now
		}
	}
	s.Kind = KindNone
}

// roles of the keys in force, the trusted one first.
func (s *Set) roles() []Role {
	for i := range s.Keys {
		if s.Keys[i].Role == CSK && !s.Keys[i].New {
			return []Role{CSK}
		}
	}
	return []Role{KSK, ZSK}
}

// Roles of the keys in force, the one that the parent names first.
func (s *Set) Roles() []Role { return s.roles() }

func join(roles []Role) string {
	out := make([]string, len(roles))
	for i, r := range roles {
		out[i] = string(r)
	}
	return strings.Join(out, " and ")
}

// UseCDS changes when the zone asks its parent for a DS.
func (s Set) UseCDS(mode CDSMode) (Set, error) {
	next := s.Clone()
	switch {
	case s.Zero():
		return s, refused("zone %s has no keys", s.Zone)
	case mode == CDSDelete && s.Kind != KindNone && s.Leaving.IsZero():
		return s, refused("a roll is under way, and it needs the DS; wait until jurymast zone keys %s shows steady", s.Zone)
	case mode == CDSPublish && s.Stage == StageBegin:
		return s, refused("caches may hold unsigned records of zone %s; wait until jurymast zone keys %[1]s shows steady", s.Zone)
	}
	before := next.Mark()
	next.CDS = mode
	if next.Mark() != before {
		next.Step++
		next.Acked = time.Time{}
	}
	return next, nil
}

// Import takes keys made elsewhere. While the zone is signed for the first time they replace what is there; later they
// come in as all new keys do in a change of algorithm.
func (s Set) Import(keys []Key, now time.Time) (Set, error) {
	if why := importFault(keys); why != "" {
		return s, refused("%s", why)
	}
	next := s.Clone()
	for i := range keys {
		if collides(keys[i].Tag, s.tags()) {
			return s, refused("zone %s has a key with tag %d already", s.Zone, keys[i].Tag)
		}
		keys[i].Since, keys[i].Born = now, now
	}
	switch {
	case s.Zero() || s.Stage == StageBegin:
		for i := range keys {
			keys[i].State, keys[i].New = Active, false
		}
		next.Keys, next.Stage, next.Kind = keys, StageBegin, KindNone
		if s.Zero() {
			next.CDS = CDSAuto
		}
	default:
		if err := s.mayRoll(Roll{}); err != nil {
			return s, err
		}
		for i := range keys {
			keys[i].State, keys[i].New = Ahead, true
		}
		next.Keys = append(next.Keys, keys...)
		next.Stage, next.Kind, next.Why = StageAhead, KindAlgorithm, "imported keys"
		next.Signed, next.DSSeen, next.DSWord = time.Time{}, time.Time{}, false
	}
	next.Step, next.Since, next.Acked = s.Step+1, now, time.Time{}
	return next, nil
}

// importFault says why keys cannot sign a zone together.
func importFault(keys []Key) string {
	roles := map[Role]int{}
	for i := range keys {
		roles[keys[i].Role]++
		if keys[i].Algorithm != keys[0].Algorithm {
			return "the keys have different algorithms; import those of one"
		}
		if i > 0 && keys[i].Tag == keys[0].Tag {
			return "two keys have the same tag"
		}
	}
	if len(keys) == 1 && roles[CSK] == 1 || len(keys) == 2 && roles[KSK] == 1 && roles[ZSK] == 1 {
		return ""
	}
	return "a zone needs one csk, or one ksk and one zsk; give the files of those and no more"
}
