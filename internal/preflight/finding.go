package preflight

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Severity of a finding. The worst one decides how `check --live` ends: infos 0, warnings 1, errors 2.
type Severity uint8

// The severities, the worst last.
const (
	Info    Severity = iota // worth knowing; nothing to do
	Warning                 // works, until the day it must not fail
	Error                   // a failover would not work, or does not work now
)

func (s Severity) String() string {
	switch s {
	case Info:
		return "info"
	case Warning:
		return "warning"
	case Error:
		return "error"
	}
	return fmt.Sprintf("Severity(%d)", uint8(s))
}

// MarshalText writes the word.
func (s Severity) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Finding is one thing an operator should know before relying on a profile. All texts are safe to print: secrets are
// never part of them.
type Finding struct {
	Severity Severity `json:"severity"`
	Code     Code     `json:"code"`
	Profile  string   `json:"profile,omitempty"`
	Endpoint string   `json:"endpoint,omitempty"`
	Zone     string   `json:"zone,omitempty"`
	What     string   `json:"what"`             // what was found
	Why      string   `json:"why"`              // why it matters
	Remedy   string   `json:"remedy,omitempty"` // what to do; empty where nothing needs to be done
	Evidence []string `json:"evidence,omitempty"`
}

// Worst is the worst severity among findings, Info without any.
func Worst(list []Finding) Severity {
	worst := Info
	for i := range list {
		worst = max(worst, list[i].Severity)
	}
	return worst
}

// Sort puts the worst first; within a severity the order is profile, endpoint, zone, code.
func Sort(list []Finding) {
	slices.SortStableFunc(list, func(a, b Finding) int {
		return cmp.Or(
			-cmp.Compare(a.Severity, b.Severity),
			strings.Compare(a.Profile, b.Profile),
			strings.Compare(a.Endpoint, b.Endpoint),
			strings.Compare(a.Zone, b.Zone),
			strings.Compare(string(a.Code), string(b.Code)),
		)
	})
}

// findings collects.
type findings []Finding

// at is a finding's place.
type at struct{ profile, endpoint, zone string }

// add puts a finding on the list and returns it, so that evidence can be added.
func (l *findings) add(s Severity, c Code, place at, what, why, remedy string) *Finding {
	*l = append(*l, Finding{
		Severity: s, Code: c, Profile: place.profile, Endpoint: place.endpoint, Zone: place.zone,
		What: what, Why: why, Remedy: remedy,
	})
	return &(*l)[len(*l)-1]
}

// and adds evidence.
func (f *Finding) and(format string, args ...any) *Finding {
	f.Evidence = append(f.Evidence, fmt.Sprintf(format, args...))
	return f
}
