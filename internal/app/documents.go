package app

import (
	"errors"
	"strings"
	"sync"
	"time"

	"jurymast/internal/cluster"
	"jurymast/internal/engine"
	"jurymast/internal/probe"
	"jurymast/internal/profile"
	"jurymast/internal/snapshot"
)

// library decodes stored documents and prepares everything fallible about them. Documents whose text is unchanged
// keep their decoded value, so a change costs what it changes.
type library struct {
	hub  *snapshot.Hub
	node func() probe.Node

	mu       sync.Mutex
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
				zones[r.Name], docs.Zones = z, append(docs.Zones, z.value)
			}
		case profile.KindSafety:
			rule, err := profile.DecodeSafety(where, r.Source)
			if err != nil {
				problems = append(problems, asProblems(where, err)...)
			} else if rule.Name == r.Name {
				docs.Safety = append(docs.Safety, rule)
			}
		default:
			problems = append(problems, profile.Problem{File: where, Line: 1, Column: 1, Message: "unknown kind of document; allowed: profiles, zones, safety"})
		}
	}
	problems = append(problems, profile.CheckTogether(docs.Profiles)...)
	if len(problems) > 0 {
		return nil, problems
	}
	prepared, err := l.hub.Prepare(docs)
	if err != nil {
		return nil, err
	}
	checks, err := checksOf(docs, node)
	if err != nil {
		return nil, err
	}
	l.profiles, l.zones = profiles, zones
	ed := &edition{prepared: prepared, checks: checks, patient: map[string]bool{}, records: set.Records}
	for _, p := range docs.Profiles {
		if engine.ConfirmSpan(p) >= time.Second {
			ed.patient[p.Name] = true
		}
	}
	return ed, nil
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

// checksOf resolves what this node has to probe.
func checksOf(docs *snapshot.Documents, node probe.Node) ([]probe.Check, error) {
	var out []probe.Check
	var bad []string
	for _, p := range docs.Profiles {
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
	}
	if len(bad) > 0 {
		return nil, errors.New(strings.Join(bad, "\n"))
	}
	return out, nil
}
