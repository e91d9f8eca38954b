package nameserver

import (
	"errors"
	"fmt"
	"strings"

	"jurymast/internal/nameserver/zone"
	"jurymast/internal/profile"
	"jurymast/internal/snapshot"
)

// Problems is what the nameserver finds in a configuration file whose zone files are inlined: all records it cannot
// serve and all host names that are in somebody's way as errors, what was hardly meant as warnings, each with its place
// in the file.
func Problems(f *profile.File) profile.Problems {
	docs := &snapshot.Documents{}
	for i := range f.Profiles {
		docs.Profiles = append(docs.Profiles, &f.Profiles[i])
	}
	for i := range f.Zones {
		docs.Zones = append(docs.Zones, &f.Zones[i])
	}
	for i := range f.TSIG {
		docs.TSIG = append(docs.TSIG, &f.TSIG[i])
	}
	c, err := build(docs)
	if refused, ok := errors.AsType[refusals](err); ok {
		var list profile.Problems
		for i := range refused {
			list = append(list, refused[i].problems(f)...)
		}
		return list
	}
	var list profile.Problems
	for _, text := range c.warnings {
		if !strings.HasPrefix(text, "profile ") { // host names outside every zone: profile.Warnings says so too, and where
			list = append(list, f.Problem(profile.SeverityWarning, text, "zones"))
		}
	}
	for _, r := range c.lint(docs) {
		if r.note {
			list = append(list, f.Problem(profile.SeverityInfo, r.fault.Text, "zones", r.zone, "nameservers"))
			continue
		}
		list = append(list, f.RecordProblem(profile.SeverityWarning, r.zone, r.fault.Line, r.fault.Column, r.fault.Text))
	}
	return list
}

func (r *refusal) problems(f *profile.File) (list profile.Problems) {
	if r.zone >= 0 {
		faults, ok := errors.AsType[*zone.Faults](r.err)
		if !ok {
			return profile.Problems{f.Problem(profile.SeverityError, r.err.Error(), "zones", r.zone)}
		}
		for _, one := range faults.List {
			list = append(list, f.RecordProblem(profile.SeverityError, r.zone, one.Line, one.Column, one.Text))
		}
		return list
	}
	where := []any{"profiles", r.profile, "hostnames", r.host}
	switch {
	case r.endpoint >= 0:
		where = []any{"profiles", r.profile, "endpoints", r.endpoint, "target"}
	case r.endpoint == atAllDown:
		where = []any{"profiles", r.profile, "all_down", "target"}
	case r.endpoint == atAnswer:
		where = []any{"profiles", r.profile, "answer"}
	}
	text := r.err.Error()
	if clash, ok := errors.AsType[*zone.Clash](r.err); ok {
		text = clash.Told(recordPlace(f, clash))
	}
	return profile.Problems{f.Problem(profile.SeverityError, text, where...)}
}

// recordPlace is where the record of a clash stands.
func recordPlace(f *profile.File, c *zone.Clash) string {
	for i := range f.Zones {
		if f.Zones[i].Name == c.Zone && c.Line > 0 {
			p := f.RecordProblem(profile.SeverityError, i, c.Line, 0, "")
			return fmt.Sprintf("%s line %d", p.File, p.Line)
		}
	}
	return ""
}
