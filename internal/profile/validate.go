package profile

import (
	"strings"
	"time"
)

// Validation works on decoded values with their defaults and on the places they came from. It assumes nothing about
// what decoding has already reported: a place is reported once.

// between reports a number outside lo..hi.
func (r *report) between(a *at, v, lo, hi int) {
	if v < lo || v > hi {
		r.errorf(a, "%d is out of range; allowed: %d to %d", v, lo, hi)
	}
}

// lasts reports a duration outside lo..hi.
func (r *report) lasts(a *at, v, lo, hi time.Duration) {
	if v < lo || v > hi {
		r.errorf(a, "%s is out of range; allowed: %s to %s", short(v), short(lo), short(hi))
	}
}

// short is a duration without the zero parts Go prints: 1h instead of 1h0m0s.
func short(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// fault reports what a check of a text has found wrong with it.
func (r *report) fault(a *at, text, why string) {
	if why != "" {
		r.errorf(a, "%q %s", text, why)
	}
}

// unique remembers names and reports the second of a kind, letters' case aside.
type unique map[string]*at

func (u unique) add(r *report, a *at, what, name string) {
	if name == "" {
		return
	}
	fold := strings.ToLower(name)
	if first, twice := u[fold]; twice {
		why := "; names are compared without case; choose another"
		if what == "the code" {
			why = "; a code is written once, for one endpoint; take one of them out"
		}
		r.errorf(a, "%s %q is already used in line %d (%s)%s", what, name, first.line, first.path(), why)
		return
	}
	u[fold] = a
}

// name checks a required name.
func (r *report) name(a *at, name string) {
	if !a.given() {
		r.errorf(a, "is missing; write a name")
		return
	}
	r.fault(a, name, nameFault(name))
}

// validateFile checks every part of a file and what the parts say about each other.
func validateFile(r *report, a *at, f *File) {
	if !a.mapping() {
		return
	}
	validateNode(r, a.child("node"), &f.Node)
	zones, profiles, hosts, rules, keys := unique{}, unique{}, unique{}, unique{}, unique{}
	for i := range f.Zones {
		z, place := &f.Zones[i], a.child("zones").element(i)
		if !place.mapping() {
			continue
		}
		validateZone(r, place, z)
		if a.has("node") {
			needsSeal(r, place, &f.Node, z)
		}
		zones.add(r, place.child("name"), "the zone", z.Name)
	}
	for i := range f.Profiles {
		p, place := &f.Profiles[i], a.child("profiles").element(i)
		if !place.mapping() {
			continue
		}
		validateProfile(r, place, p)
		profiles.add(r, place.child("name"), "the profile", p.Name)
		for j, h := range p.Hostnames {
			hosts.add(r, place.child("hostnames").element(j), "the host name", h)
		}
		if a.has("node") { // whoever has no node here is judged by the nodes that get it
			validateSecretNames(r, place, p, f.Node.Secrets)
		}
	}
	togetherIn(r, a.child("profiles"), f.Profiles)
	for i := range f.Safety {
		place := a.child("safety").element(i)
		if !place.mapping() {
			continue
		}
		validateSafety(r, place, &f.Safety[i])
		rules.add(r, place.child("name"), "the safety rule", f.Safety[i].Name)
	}
	for i := range f.TSIG {
		place := a.child("tsig").element(i)
		if !place.mapping() {
			continue
		}
		validateTSIG(r, place, &f.TSIG[i])
		keys.add(r, place.child("name"), "the key", f.TSIG[i].Name)
	}
}
