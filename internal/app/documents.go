package app

import (
	"errors"
	"maps"
	"strings"
	"sync"
	"time"

	"jurymast/internal/cluster"
	"jurymast/internal/engine"
	"jurymast/internal/probe"
	"jurymast/internal/profile"
	"jurymast/internal/signing"
	"jurymast/internal/snapshot"
)

// library decodes stored documents and prepares everything fallible about them. Documents whose text is unchanged
// keep their decoded value, so a change costs what it changes.
type library struct {
	hub    *snapshot.Hub
	node   func() probe.Node
	sealed bool                   // this node has a seal key
	keeps  func(zone string) bool // it is signed whatever its document says

	mu       sync.Mutex
	checks   map[*profile.Profile][]probe.Check // of documents that name no secret: they cost more to make than to keep
	profiles map[string]decoded[*profile.Profile]
	zones    map[string]decoded[*profile.Zone]
}

type decoded[T any] struct {
	source string
	value  T
}

// edition is a set of documents every part has accepted: from here nothing can fail.
type edition struct {
	prepared *snapshot.Prepared
	checks   []probe.Check
	patient  map[string]bool // profiles that take nobody else's confirm run for evidence
	records  []cluster.Record
	wanted   map[string]signing.Wanted // how zones are to be signed
}

// know takes over what reading a file has found out already: its documents say the same.
func (l *library) know(f *profile.File, checks map[*profile.Profile][]probe.Check) {
	l.mu.Lock()
	l.checks = checks
	defer l.mu.Unlock()
	byName := make(map[string]*profile.Profile, len(f.Profiles))
	for i := range f.Profiles {
		byName[f.Profiles[i].Name] = &f.Profiles[i]
	}
	known := make(map[string]decoded[*profile.Profile], len(f.Profiles))
	maps.Copy(known, l.profiles)
	for i := range f.Documents {
		d := &f.Documents[i]
		if p := byName[d.Name]; d.Kind == profile.KindProfile && p != nil && known[d.Name].source != string(d.Source) {
			known[d.Name] = decoded[*profile.Profile]{string(d.Source), p}
		}
	}
	l.profiles = known
}

// renew forgets what was resolved with what this node had before.
func (l *library) renew() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.checks = nil
}

// prepare decodes, checks and builds a set of documents. Nothing of it is visible yet; the error lists every mistake.
func (l *library) prepare(set cluster.DocumentSet) (*edition, error) {
	return l.prepareWith(set, l.node())
}

// prepareWith is prepare with secrets and programs of this node that are not in force yet.
func (l *library) prepareWith(set cluster.DocumentSet, node probe.Node) (*edition, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	docs := &snapshot.Documents{Generation: set.Generation}
	var problems profile.Problems
	profiles, zones := map[string]decoded[*profile.Profile]{}, map[string]decoded[*profile.Zone]{}
	for i := range set.Records {
		r := &set.Records[i]
		where := string(r.Kind) + "/" + r.Name
		switch r.Kind {
		case profile.KindProfile:
			p, bad := fresh(l.profiles, r, where, profile.DecodeProfile, profile.NotYetProfile)
			problems = append(problems, bad...)
			if p.value != nil && p.value.Name == r.Name {
				profiles[r.Name], docs.Profiles = p, append(docs.Profiles, p.value)
			}
		case profile.KindZone:
			z, bad := fresh(l.zones, r, where, profile.DecodeZone, profile.NotYetZone)
			problems = append(problems, bad...)
			if z.value != nil {
				zones[r.Name], docs.Zones = z, append(docs.Zones, l.signed(z.value))
			}
			if z.value != nil && z.value.KeysInStore() && !l.sealed {
				problems = append(problems, profile.Problem{File: where, Line: 1, Column: 1, Message: profile.NeedsSeal})
			}
		case profile.KindSafety:
			rule, err := profile.DecodeSafety(where, r.Source)
			if err != nil {
				problems = append(problems, asProblems(where, err)...)
			} else if rule.Name == r.Name {
				docs.Safety = append(docs.Safety, rule)
			}
		case profile.KindTSIG:
			key, err := profile.DecodeTSIG(where, r.Source)
			if err != nil {
				problems = append(problems, asProblems(where, err)...)
			} else if key.Name == r.Name {
				docs.TSIG = append(docs.TSIG, key)
			}
		default:
			problems = append(problems, profile.Problem{File: where, Line: 1, Column: 1, Message: "unknown kind of document; allowed: profiles, zones, safety, tsig"})
		}
	}
	problems = append(problems, profile.CheckTogether(docs.Profiles)...)
	problems = append(problems, profile.CheckTSIG(docs.Zones, docs.TSIG)...)
	if len(problems) > 0 {
		return nil, problems
	}
	prepared, err := l.hub.Prepare(docs)
	if err != nil {
		return nil, err
	}
	checks, kept, err := checksOf(docs.Profiles, node, l.checks)
	if err != nil {
		return nil, err
	}
	l.profiles, l.zones, l.checks = profiles, zones, kept
	ed := &edition{prepared: prepared, checks: checks, patient: map[string]bool{}, records: set.Records, wanted: map[string]signing.Wanted{}}
	for name := range zones {
		ed.wanted[zones[name].value.Name] = wantedOf(zones[name].value)
	}
	for _, p := range docs.Profiles {
		if engine.ConfirmSpan(p) >= time.Second {
			ed.patient[p.Name] = true
		}
	}
	return ed, nil
}

// signed is the zone as it is served: signing that is switched off goes on until no DS is at the parent any more.
func (l *library) signed(z *profile.Zone) *profile.Zone {
	if z.DNSSEC.Enabled || !l.keeps(z.Name) {
		return z
	}
	on := *z
	on.DNSSEC.Enabled = true
	return &on
}

// fresh decodes a record, or takes the value it was decoded to before.
func fresh[T any](known map[string]decoded[*T], r *cluster.Record, where string, decode func(string, []byte) (*T, error), notYet func(string, *T) profile.Problems) (decoded[*T], profile.Problems) {
	if d, ok := known[r.Name]; ok && d.source == string(r.Source) {
		return d, nil
	}
	v, err := decode(where, r.Source)
	if err != nil {
		return decoded[*T]{}, asProblems(where, err)
	}
	return decoded[*T]{string(r.Source), v}, notYet(where, v)
}

func asProblems(where string, err error) profile.Problems {
	if ps, ok := errors.AsType[profile.Problems](err); ok {
		return ps
	}
	return profile.Problems{{File: where, Line: 1, Column: 1, Message: err.Error()}}
}

// checksOf resolves what this node has to probe. What is known of a profile that asks this node for nothing is taken as it
// is; kept is all that can be taken so the next time.
func checksOf(profiles []*profile.Profile, node probe.Node, known map[*profile.Profile][]probe.Check) (all []probe.Check, kept map[*profile.Profile][]probe.Check, err error) {
	asked := false
	secret, program := node.Secrets, node.Programs
	node.Secrets = func(v profile.Value) (string, error) { asked = true; return secret(v) }
	node.Programs = func(name string) ([]string, bool) { asked = true; return program(name) }
	kept = make(map[*profile.Profile][]probe.Check, len(profiles))
	var bad []string
	for _, p := range profiles {
		checks, there := known[p]
		if !there {
			asked = false
			checks, bad = checksOfProfile(p, node, bad)
			there = !asked
		}
		if there {
			kept[p] = checks
		}
		all = append(all, checks...)
	}
	if len(bad) > 0 {
		return nil, nil, errors.New(strings.Join(bad, "\n"))
	}
	return all, kept, nil
}

func checksOfProfile(p *profile.Profile, node probe.Node, bad []string) ([]probe.Check, []string) {
	var out []probe.Check
	for i := range p.Endpoints {
		e := &p.Endpoints[i]
		if !e.Enabled {
			continue
		}
		checks, err := probe.ChecksOf(p, e, node)
		if err != nil {
			bad = append(bad, "profiles/"+p.Name+": "+err.Error())
			continue
		}
		out = append(out, checks...)
	}
	return out, bad
}
