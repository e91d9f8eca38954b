package api

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"jurymast/internal/profile"
	"jurymast/internal/snapshot"
)

// String is the target as people name it.
func (t OrderTarget) String() string {
	if t.Endpoint == "" {
		return t.Profile
	}
	return t.Profile + "/" + t.Endpoint
}

// targets are what a step names or selects, each once, all of them there.
func (a *asked) targets(i int, rule actRule) ([]OrderTarget, error) {
	s := &a.steps[i]
	switch {
	case s.Select != "" && len(s.Targets) > 0:
		return nil, badInput(a.field(i, "select"), "stands beside targets; write one of them")
	case s.Select != "":
		return a.selected(i, rule)
	case len(s.Targets) == 0:
		return nil, badInput(a.field(i, "targets"), "%s names nothing; write targets, or select", s.Act)
	}
	seen := map[OrderTarget]bool{}
	var out []OrderTarget
	for _, t := range s.Targets {
		t, err := a.known(i, rule, t)
		if err != nil {
			return nil, err
		}
		if !seen[t] {
			seen[t] = true
			out = append(out, t)
		}
	}
	return out, nil
}

// known is a target in the words of its documents; it refuses what is not there, or not of the kind the act is for.
func (a *asked) known(i int, rule actRule, t OrderTarget) (OrderTarget, error) {
	v := a.view(t.Profile)
	if v == nil {
		return t, a.nowhere(i, noProfile(t.Profile), "profiles", a.profileNames())
	}
	t.Profile = v.Profile.Name
	switch {
	case t.Endpoint == "" && rule.onProfile == 0:
		return t, badInput(a.field(i, "endpoint"), "%s is for one endpoint; name it", a.steps[i].Act)
	case t.Endpoint != "" && rule.onEndpoint == 0:
		return t, badInput(a.field(i, "endpoint"), "%s is for the whole profile; leave the endpoint out", a.steps[i].Act)
	case t.Endpoint == "":
		return t, nil
	}
	e := endpointIn(v, t.Endpoint)
	if e == nil {
		names := make([]string, len(v.Endpoints))
		for j := range names {
			names[j] = v.Endpoints[j].Config.Name
		}
		return t, a.nowhere(i, noEndpoint(t.Profile, t.Endpoint), "endpoints of "+t.Profile, names)
	}
	t.Endpoint = e.Config.Name
	return t, nil
}

// nowhere says in which step a name is that is not there, and which there are.
func (a *asked) nowhere(i int, err error, what string, names []string) error {
	if a.lists {
		err = fmt.Errorf("%w; %s", err, someOf(what, names))
	}
	if !a.one {
		err = fmt.Errorf("step %d: %w", i+1, err)
	}
	return err
}

func (a *asked) profileNames() []string {
	names := make([]string, len(a.docs.Profiles))
	for i, p := range a.docs.Profiles {
		names[i] = p.Name
	}
	slices.Sort(names)
	return names
}

// selected are the endpoints a selector matches; for an act on whole profiles, the profiles whose own name and labels it
// matches: a label of one endpoint must not switch off its profile.
func (a *asked) selected(i int, rule actRule) ([]OrderTarget, error) {
	s := &a.steps[i]
	sel, err := profile.ParseSelector(s.Select)
	if err != nil {
		return nil, badInput(a.field(i, "select"), "%v", err)
	}
	var out []OrderTarget
	for _, p := range a.docs.Profiles {
		if rule.onEndpoint == 0 {
			if sel.Match(p, &profile.Endpoint{}) {
				out = append(out, OrderTarget{Profile: p.Name})
			}
			continue
		}
		for j := range p.Endpoints {
			if sel.Match(p, &p.Endpoints[j]) {
				out = append(out, OrderTarget{p.Name, p.Endpoints[j].Name})
			}
		}
	}
	if len(out) == 0 {
		return nil, badInput(a.field(i, "select"), "%q matches nothing; %s", s.Select, existing(a.docs, rule.onEndpoint == 0))
	}
	return out, nil
}

// existing lists what a selector could name.
func existing(docs *snapshot.Documents, profilesOnly bool) string {
	names := map[string]map[string]bool{"profiles": {}, "endpoints": {}, "labels": {}, "locations": {}}
	for _, p := range docs.Profiles {
		names["profiles"][p.Name] = true
		for k, v := range p.Labels {
			names["labels"][k+"="+v] = true
		}
		for i := range p.Endpoints {
			if profilesOnly {
				break
			}
			e := &p.Endpoints[i]
			names["endpoints"][e.Name] = true
			if e.Location.Region != "" {
				names["locations"][e.Location.Region] = true
			}
			for k, v := range e.Labels {
				names["labels"][k+"="+v] = true
			}
		}
	}
	what := []string{"profiles", "endpoints", "labels", "locations"}
	if profilesOnly {
		what = []string{"profiles", "labels"}
	}
	var out []string
	for _, w := range what {
		out = append(out, someOf(w, slices.Sorted(maps.Keys(names[w]))))
	}
	return strings.Join(out, "; ")
}

// someOf lists names for an error, not too many of them.
func someOf(what string, names []string) string {
	const most = 12
	switch {
	case len(names) == 0:
		return "there are no " + what
	case len(names) > most:
		return fmt.Sprintf("%s: %s and %d more", what, strings.Join(names[:most], ", "), len(names)-most)
	}
	return what + ": " + strings.Join(names, ", ")
}

// gateNames are the gates that safety rules ask for, in order.
func gateNames(docs *snapshot.Documents) []string {
	names := map[string]bool{}
	for _, s := range docs.Safety {
		if s.Gate != "" {
			names[s.Gate] = true
		}
	}
	return slices.Sorted(maps.Keys(names))
}
