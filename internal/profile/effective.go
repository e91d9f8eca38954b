package profile

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"
)

// Setting is one value of a profile and where it came from.
type Setting struct {
	Path  string // below the profile: ttl, endpoints[eu].monitor.interval
	Value string // as an operator writes it; of a secret only its name
	From  string // endpoint, profile, defaults, compat azure or built-in
}

// The words of Setting.From.
const (
	FromEndpoint = "endpoint"
	FromProfile  = "profile"
	FromDefaults = "defaults"
	FromAzure    = "compat azure"
	FromBuiltIn  = "built-in"
)

// azureKeys are the keys whose default compat: azure changes: what startingProfile sets.
var azureKeys = []string{"checking", "climb", "monitor.tls.verify", "monitor.host", "monitor.tolerated_failures"}

// Effective lists every setting of the profile with that name, in the order of the reference, and where each came from.
// It is nil when the file has no such profile.
func (f *File) Effective(profileName string) []Setting {
	i := slices.IndexFunc(f.Profiles, func(p Profile) bool { return p.Name == profileName })
	if i < 0 {
		return nil
	}
	e := &explorer{profile: &f.Profiles[i], place: f.place("profiles", i)}
	e.walk(reflect.ValueOf(e.profile).Elem(), spot{levels: []level{{e.place, FromProfile}}})
	return e.out
}

type explorer struct {
	profile *Profile
	place   *at
	out     []Setting
}

// level is one place a value may be written at, and what that level is called.
type level struct {
	*at
	word string
}

// spot is where a value stands: its path as shown, its key without names, and the levels it may come from, the nearest
// first.
type spot struct {
	path, key string
	levels    []level
}

func (s spot) child(key string) spot {
	out := spot{path: strings.TrimPrefix(s.path+"."+key, "."), key: strings.TrimPrefix(s.key+"."+key, ".")}
	for _, l := range s.levels {
		out.levels = append(out.levels, level{l.child(key), l.word})
	}
	return out
}

func (e *explorer) walk(v reflect.Value, s spot) {
	switch x := v.Interface().(type) {
	case []Endpoint:
		for i := range x {
			place := e.place.child("endpoints").element(i)
			e.walk(v.Index(i), spot{path: named("endpoints", x[i].Name), levels: []level{{place, FromEndpoint}}})
		}
	case []Check:
		e.checks(x, v, s)
	case fmt.Stringer, time.Duration, []StatusRange, []string, []SessionKey:
		e.add(v, s)
	default:
		e.open(v, s)
	}
}

func named(list, name string) string { return list + "[" + name + "]" }

// open goes into what has keys of its own.
func (e *explorer) open(v reflect.Value, s spot) {
	switch v.Kind() { // what is left is one value
	case reflect.Struct:
		for i := range v.NumField() {
			switch key := v.Type().Field(i).Tag.Get("yaml"); key {
			case "", "-":
			case inline:
				e.walk(v.Field(i), s)
			default:
				child := s.child(key)
				if key == "monitor" && s.key == "" && s.path != "" { // an endpoint's: below it lies the profile's
					child.levels = append(child.levels, level{e.place.child("monitor"), FromProfile})
				}
				e.walk(v.Field(i), child)
			}
		}
	case reflect.Pointer:
		if !v.IsNil() {
			e.walk(v.Elem(), s)
		}
	case reflect.Map:
		keys := v.MapKeys()
		slices.SortFunc(keys, func(a, b reflect.Value) int { return strings.Compare(a.String(), b.String()) })
		for _, k := range keys {
			e.walk(v.MapIndex(k), s.child(k.String()))
		}
	default:
		e.add(v, s)
	}
}

// checks come from the nearest level that writes any; each starts from the monitor around it.
func (e *explorer) checks(list []Check, v reflect.Value, s spot) {
	around := make([]level, len(s.levels))
	for i, l := range s.levels {
		around[i] = level{l.up, l.word}
	}
	for i := range list {
		own := spot{path: s.path + "[" + list[i].Name + "]", key: strings.TrimSuffix(s.key, ".checks")}
		if j := slices.IndexFunc(s.levels, func(l level) bool { return l.given() }); j >= 0 {
			own.levels = append(own.levels, level{s.levels[j].element(i), s.levels[j].word})
		}
		own.levels = append(own.levels, around...)
		e.walk(v.Index(i), own)
	}
}

func (e *explorer) add(v reflect.Value, s spot) {
	e.out = append(e.out, Setting{Path: s.path, Value: shownSetting(v), From: e.from(s)})
}

func (e *explorer) from(s spot) string {
	for _, l := range s.levels {
		at := l.at
		if s.key == "monitor.host" && !at.given() { // a Host header says the same
			if _, header, ok := hostEntry(at.up.child("headers")); ok {
				at = header
			}
		}
		switch {
		case !at.given():
		case at.n.shared != "":
			return FromDefaults
		default:
			return l.word
		}
	}
	if e.profile.Azure() && slices.Contains(azureKeys, s.key) {
		return FromAzure
	}
	return FromBuiltIn
}

// shownSetting is a value as an operator writes it.
func shownSetting(v reflect.Value) string {
	switch x := v.Interface().(type) {
	case time.Duration:
		return short(x)
	case []string:
		return "[" + strings.Join(x, ", ") + "]"
	case []StatusRange:
		words := make([]string, len(x))
		for i := range x {
			words[i] = x[i].String()
		}
		return "[" + strings.Join(words, ", ") + "]"
	case []SessionKey:
		words := make([]string, len(x))
		for i, k := range x {
			words[i] = k.String()
		}
		return "[" + strings.Join(words, ", ") + "]"
	case Percent:
		return fmt.Sprintf("%d%%", int(x))
	}
	return fmt.Sprint(v.Interface())
}

// String is the key as an operator writes it.
func (k SessionKey) String() string {
	words := map[string]string{"cookie": k.Cookie, "header": k.Header, "soap": k.SOAP, "json": k.JSON, "query": k.Query, "client": k.Client, "insert": k.Insert}
	for _, word := range slices.Sorted(maps.Keys(words)) {
		if words[word] != "" {
			return "{" + word + ": " + words[word] + "}"
		}
	}
	return "{}"
}
