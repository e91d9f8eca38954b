package signing

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"
)

const (
	large    = 64 << 10 // bytes of a stored set, at most
	maxKeys  = 8        // in one set: an algorithm roll of two keys has four
	storedAs = 1        // version of the form
)

// stored is a Set as it stands inside its sealed record. It is the one place beside Export where private keys are written.
type stored struct {
	Version int         `json:"version"`
	Zone    string      `json:"zone"`
	Step    uint64      `json:"step"`
	Keys    []storedKey `json:"keys"`
	Stage   Stage       `json:"stage"`
	Since   time.Time   `json:"since"`
	Kind    Kind        `json:"kind,omitempty"`
	Why     string      `json:"why,omitempty"`
	CDS     CDSMode     `json:"cds"`
	Acked   time.Time   `json:"acked,omitzero"`
	Signed  time.Time   `json:"signed,omitzero"`
	DSSeen  time.Time   `json:"ds_seen,omitzero"`
	DSWord  bool        `json:"ds_word,omitempty"`
	Long    Longest     `json:"longest"`
	KeyTTL  Longest     `json:"key_ttl"`
	DSTTL   Longest     `json:"ds_ttl"`
	DS      Parent      `json:"ds"`
	Leaving time.Time   `json:"leaving,omitzero"`
	Gone    time.Time   `json:"gone,omitzero"`
}

type storedKey struct {
	Algorithm Algorithm `json:"algorithm"`
	Role      Role      `json:"role"`
	State     State     `json:"state"`
	Since     time.Time `json:"since"`
	Born      time.Time `json:"born"`
	New       bool      `json:"new,omitempty"`
	Private   string    `json:"private"`
}

// Encode is what is sealed; it holds the private keys.
func (s *Set) Encode() ([]byte, error) {
	out := stored{
		Version: storedAs, Zone: s.Zone, Step: s.Step, Stage: s.Stage, Since: s.Since, Kind: s.Kind, Why: s.Why, CDS: s.CDS, Acked: s.Acked, Signed: s.Signed,
		DSSeen: s.DSSeen, DSWord: s.DSWord, Long: s.Long, KeyTTL: s.KeyTTL, DSTTL: s.DSTTL, DS: s.DS, Leaving: s.Leaving, Gone: s.Gone,
	}
	for i := range s.Keys {
		k := &s.Keys[i]
		raw := k.Private.Bytes()
		out.Keys = append(out.Keys, storedKey{k.Algorithm, k.Role, k.State, k.Since, k.Born, k.New, hex.EncodeToString(raw[:])})
	}
	return json.Marshal(out)
}

// ErrSet: what was sealed is no set of keys. A writer to the store is not trusted more than a caller of the API.
var ErrSet = errors.New("not keys of a zone that this version knows")

// Decode reads what Encode wrote and checks it. Errors never repeat what was read.
func Decode(zone string, text []byte) (Set, error) {
	var in stored
	if len(text) > large || json.Unmarshal(text, &in) != nil {
		return Set{}, fmt.Errorf("%w: it cannot be read", ErrSet)
	}
	s := Set{
		Zone: in.Zone, Step: in.Step, Stage: in.Stage, Since: in.Since, Kind: in.Kind, Why: in.Why, CDS: in.CDS, Acked: in.Acked, Signed: in.Signed,
		DSSeen: in.DSSeen, DSWord: in.DSWord, Long: in.Long, KeyTTL: in.KeyTTL, DSTTL: in.DSTTL, DS: in.DS, Leaving: in.Leaving, Gone: in.Gone,
	}
	if in.Version != storedAs || in.Zone != zone || len(in.Keys) == 0 || len(in.Keys) > maxKeys {
		return Set{}, fmt.Errorf("%w: another version, another zone, or an impossible number of keys", ErrSet)
	}
	for _, one := range in.Keys {
		raw, err := hex.DecodeString(one.Private)
		if err != nil || len(raw) != 32 {
			return Set{}, fmt.Errorf("%w: a private key is not 64 hex digits", ErrSet)
		}
		k, err := MakeKey(one.Algorithm, one.Role, NewPrivate([32]byte(raw)))
		if err != nil {
			return Set{}, fmt.Errorf("%w: %w", ErrSet, err)
		}
		k.State, k.Since, k.Born, k.New = one.State, one.Since, one.Born, one.New
		s.Keys = append(s.Keys, k)
	}
	if why := s.fault(); why != "" {
		return Set{}, fmt.Errorf("%w: %s", ErrSet, why)
	}
	return s, nil
}

// fault says why a set cannot be one, "" when it can.
func (s *Set) fault() string {
	states := map[Stage][]State{
		StageBegin: {Active}, StageSteady: {Active}, StageAhead: {Active, Ahead}, StagePublish: {Active, Published},
		StageChange: {Active, Retired}, StageRetire: {Active, Retired}, StageWithdraw: {Active, Withdrawn},
	}
	allowed, known := states[s.Stage]
	rolls := s.Stage != StageBegin && s.Stage != StageSteady
	news, tags := 0, map[uint16]bool{}
	for i := range s.Keys {
		k := &s.Keys[i]
		if k.New {
			news++
		}
		if !slices.Contains(allowed, k.State) || !slices.Contains([]Role{CSK, KSK, ZSK}, k.Role) || tags[k.Tag] {
			return "a key has a state or role that its stage does not have, or two have the same tag"
		}
		tags[k.Tag] = true
	}
	v := s.View()
	switch {
	case !known || !slices.Contains([]CDSMode{CDSAuto, CDSPublish, CDSDelete, CDSOff}, s.CDS) || s.Step == 0 || s.Since.IsZero():
		return "unknown stage or mode, or no step or time"
	case rolls != slices.Contains([]Kind{KindPlain, KindEmergency, KindAlgorithm}, s.Kind) || rolls != (news > 0) || news == len(s.Keys):
		return "it does not have the keys of its stage"
	case len(v.KSK) == 0 || len(v.ZSK) == 0:
		return "it cannot sign"
	}
	return ""
}
