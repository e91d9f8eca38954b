package profile

import (
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// decoder writes a tree onto values that already hold their defaults. It never stops at the first mistake.
type decoder struct{ *report }

// elementer gives the value, with defaults, onto which the new element of the list or pointer under key that stands at
// a is decoded. It is asked while decoding, in the order of the struct's fields: an endpoint starts from the monitor its
// profile has by then.
type elementer interface{ newElement(key string, a *at) any }

// fresh makes the element that stands at a place; nil makes zero values.
type fresh func(a *at) any

// chooser is an enumeration: a word out of a list.
type chooser interface{ Allowed() []string }

// refuser is an enumeration that knows words of others which it does not take, and says why.
type refuser interface{ Refused(word string) string }

// into decodes a onto v, which is addressable. newElement makes new elements with their defaults.
func (d *decoder) into(a *at, v reflect.Value, newElement fresh) {
	if a.n.kind == kindBad {
		return
	}
	if a.n.kind == kindNull {
		d.errorf(a, "has no value; write one or leave the key out")
		return
	}
	if d.known(a, v.Addr().Interface()) {
		return
	}
	if c, ok := reflect.TypeAssert[chooser](v); ok {
		d.choice(a, v, c)
		return
	}
	switch v.Kind() { // the kinds our types use; the golden tests decode every key
	case reflect.Struct:
		d.structure(a, v)
	case reflect.Pointer:
		d.pointer(a, v, newElement)
	case reflect.Slice:
		d.list(a, v, newElement)
	case reflect.Map:
		d.mapping(a, v)
	case reflect.String:
		if text, ok := d.text(a); ok {
			v.SetString(text)
		}
	case reflect.Bool:
		if a.n.kind != kindBool {
			d.errorf(a, "%s is not a switch; allowed: true, false (without quotes)", a.n.shown())
			return
		}
		v.SetBool(a.n.text == "true")
	case reflect.Int:
		if i, ok := d.whole(a); ok {
			v.SetInt(int64(i))
		}
	case reflect.Float64:
		if f, err := strconv.ParseFloat(a.n.text, 64); err == nil && (a.n.kind == kindInt || a.n.kind == kindFloat) {
			v.SetFloat(f)
			return
		}
		d.errorf(a, "%s is not a number; write one like 50.1", a.n.shown())
	default:
		d.errorf(a, "cannot be configured")
	}
}

// known decodes the types that have a notation of their own.
func (d *decoder) known(a *at, p any) bool {
	switch p := p.(type) {
	case *time.Duration:
		d.duration(a, p)
	case *Size:
		d.bytes(a, p)
	case *Percent:
		d.percent(a, p)
	case *Value:
		d.value(a, p)
	case *Target:
		d.target(a, p)
	case *Quorum:
		d.quorum(a, p)
	case *StatusRange:
		d.status(a, p)
	case *AllDown:
		d.allDown(a, p)
	case *Combine:
		d.combine(a, p)
	case *ECSPolicy:
		d.ecs(a, p)
	case *XDPPolicy:
		d.xdp(a, p)
	case *Defaults:
		d.defaults(a)
	default:
		return false
	}
	return true
}

// structure decodes a mapping onto a struct: every key must be known.
func (d *decoder) structure(a *at, v reflect.Value) {
	keys := keysOf(v.Type())
	if a.n.kind != kindMap {
		shown := a.n.shown()
		if v.Type() == reflect.TypeFor[SecretSource]() && a.n.kind != kindList {
			shown = "the secret itself" // it is shown nowhere
		}
		d.errorf(a, "%s stands where a mapping is needed; write it with the keys it has: %s", shown, strings.Join(keys, ", "))
		return
	}
	for _, e := range a.n.entries {
		switch {
		case slices.Contains(keys, e.key):
		case v.Type() == reflect.TypeFor[Check]() && slices.Contains(wholeEndpoint, e.key):
			d.errorf(a.keyOf(e), "belongs to the endpoint and not to one of its checks; write it in the endpoint's monitor, beside checks")
		default:
			d.errorf(a.keyOf(e), "unknown key; %s", suggest(e.key, keys))
		}
	}
	d.fields(a, v, keys)
}

// fields decodes the keys that are written onto their fields.
func (d *decoder) fields(a *at, v reflect.Value, keys []string) {
	owner, _ := reflect.TypeAssert[elementer](v.Addr())
	for i := range v.NumField() {
		key := v.Type().Field(i).Tag.Get("yaml")
		if key == inline {
			d.fields(a, v.Field(i), keys)
			continue
		}
		if !a.has(key) || !slices.Contains(keys, key) {
			continue
		}
		var newElement fresh
		if owner != nil {
			newElement = func(a *at) any { return owner.newElement(key, a) }
		}
		d.into(a.child(key), v.Field(i), newElement)
	}
}

// inline marks a struct whose keys stand among those of the struct around it.
const inline = ",inline"

// wholeEndpoint are the keys of a monitor that say something about the endpoint and so have no place in a check.
var wholeEndpoint = []string{"checks", "combine", "calculated", "external", "assume", "vantage", "hold_down", "message_quota"}

// keysOf lists the keys of a struct in the order of its fields, which is the order of the documentation.
func keysOf(t reflect.Type) []string {
	var keys []string
	for f := range t.Fields() {
		switch key := f.Tag.Get("yaml"); key {
		case "", "-":
		case inline:
			for _, key := range keysOf(f.Type) {
				if !slices.Contains(wholeEndpoint, key) {
					keys = append(keys, key)
				}
			}
		default:
			keys = append(keys, key)
		}
	}
	return keys
}

// newValue is a settable element of type t for a place, with its defaults when newElement knows any.
func newValue(t reflect.Type, newElement fresh, a *at) reflect.Value {
	if newElement != nil {
		if p := reflect.ValueOf(newElement(a)); p.IsValid() && p.Type() == reflect.PointerTo(t) {
			return p.Elem()
		}
	}
	return reflect.New(t).Elem()
}

func (d *decoder) pointer(a *at, v reflect.Value, newElement fresh) {
	elem := newValue(v.Type().Elem(), newElement, a)
	d.into(a, elem, nil)
	v.Set(elem.Addr())
}

// list replaces what was there: a list is never merged.
func (d *decoder) list(a *at, v reflect.Value, newElement fresh) {
	if a.n.kind != kindList {
		d.errorf(a, "%s stands where a list is needed; write [a, b], or one entry per line with a dash", a.n.shown())
		return
	}
	if len(a.n.items) == 0 {
		v.SetZero()
		return
	}
	out := reflect.MakeSlice(v.Type(), 0, len(a.n.items))
	for i := range a.n.items {
		place := a.element(i)
		elem := newValue(v.Type().Elem(), newElement, place)
		d.into(place, elem, nil)
		out = reflect.Append(out, elem)
	}
	v.Set(out)
}

// mapping adds to what was there. Header names (the maps of Value) are one name in any case of letters.
func (d *decoder) mapping(a *at, v reflect.Value) {
	if a.n.kind != kindMap {
		d.errorf(a, "%s stands where a mapping of names to values is needed; write {NAME: value}", a.n.shown())
		return
	}
	if v.IsNil() {
		v.Set(reflect.MakeMap(v.Type()))
	}
	headers := v.Type().Elem() == reflect.TypeFor[Value]()
	written := map[string]entry{}
	for _, e := range a.n.entries {
		if headers {
			fold := strings.ToLower(e.key)
			if first, twice := written[fold]; twice {
				d.errorf(a.keyOf(e), "duplicate header; %q in line %d is the same name; keep one of them", first.key, first.line)
				continue
			}
			written[fold] = e
			deleteFold(v, e.key)
		}
		elem := reflect.New(v.Type().Elem()).Elem()
		d.into(a.child(e.key), elem, nil)
		v.SetMapIndex(reflect.ValueOf(e.key), elem)
	}
}

func deleteFold(m reflect.Value, name string) {
	for _, k := range m.MapKeys() {
		if strings.EqualFold(k.String(), name) {
			m.SetMapIndex(k, reflect.Value{})
		}
	}
}

func (d *decoder) choice(a *at, v reflect.Value, c chooser) {
	word, allowed := a.n.text, c.Allowed()
	if f, ok := c.(refuser); ok && f.Refused(word) != "" {
		d.errorf(a, "%s %s", a.n.shown(), f.Refused(word))
		return
	}
	switch {
	case a.n.kind == kindMap || a.n.kind == kindList:
		d.errorf(a, "%s stands where one word is needed; %s", a.n.kind, suggestChoice("", allowed, laterWords(c)))
	case slices.Contains(allowed, word):
		v.SetString(word)
	default:
		d.errorf(a, "%s is not allowed; %s", a.n.shown(), suggestChoice(word, allowed, laterWords(c)))
	}
}

// text is a string; what YAML reads as a number or a switch must be quoted, so that nothing is guessed.
func (d *decoder) text(a *at) (string, bool) {
	switch a.n.kind {
	case kindText:
		return a.n.text, true
	case kindInt, kindFloat, kindBool:
		d.errorf(a, "%s is %s where text is needed; write \"%s\" in quotes", a.n.text, a.n.kind, a.n.text)
	case kindNull, kindList, kindMap:
		d.errorf(a, "%s stands where text is needed; write one value", a.n.kind)
	case kindBad:
	}
	return "", false
}

// whole is an integer that fits 32 bits, which every number of ours does.
func (d *decoder) whole(a *at) (int, bool) {
	if a.n.kind != kindInt {
		d.errorf(a, "%s is not a whole number; write one without quotes or unit", a.n.shown())
		return 0, false
	}
	i, err := strconv.ParseInt(a.n.text, 10, 32)
	if err != nil {
		d.errorf(a, "%s is too large; allowed: at most 2147483647", a.n.text)
		return 0, false
	}
	return int(i), true
}
