package main

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"

	"jurymast/internal/api"
)

// unknownKey words the error about a key that a transaction does not have: its place, what is near and what is allowed
// there. It is "" for any other error.
func unknownKey(file string, text []byte, err error) string {
	unknown, ok := errors.AsType[*yaml.UnknownFieldError](err)
	if !ok || unknown.Token == nil {
		return ""
	}
	var tree any
	if yaml.Unmarshal(text, &tree) != nil {
		return ""
	}
	key := unknown.Token.Value
	path, allowed := strangerIn(reflect.TypeFor[api.TransactionRequest](), tree, "", key)
	if path == "" {
		return ""
	}
	hint := ""
	if near := nearest(key, allowed); len(near) > 0 {
		hint = "did you mean " + strings.Join(near, " or ") + "? "
	}
	if key == "note" || key == "breakGlass" {
		hint = "it is of the whole change; write it beside steps; "
	}
	at := unknown.Token.Position
	return fmt.Sprintf("%s:%d:%d: %s: unknown key; %sallowed: %s", file, at.Line, at.Column, path, hint, strings.Join(allowed, ", "))
}

// strangerIn finds the key where its type does not have it; the path is "" when there is no such place.
func strangerIn(of reflect.Type, node any, path, key string) (place string, allowed []string) {
	switch v := node.(type) {
	case []any:
		for i, one := range v {
			if of.Kind() != reflect.Slice {
				break
			}
			if place, allowed = strangerIn(of.Elem(), one, fmt.Sprintf("%s[%d]", path, i), key); place != "" {
				return place, allowed
			}
		}
	case map[string]any:
		if of.Kind() != reflect.Struct {
			break
		}
		fields := keysOf(of)
		for _, name := range slices.Sorted(maps.Keys(v)) {
			below := strings.TrimPrefix(path+"."+name, ".")
			field, known := fields[name]
			if !known && name == key {
				return below, keyNames(of)
			}
			if known {
				if place, allowed = strangerIn(field, v[name], below, key); place != "" {
					return place, allowed
				}
			}
		}
	}
	return "", nil
}

// keysOf are the keys of a type with what each holds.
func keysOf(of reflect.Type) map[string]reflect.Type {
	out := map[string]reflect.Type{}
	for i, name := range keyNames(of) {
		out[name] = of.Field(i).Type
	}
	return out
}

// keyNames are the keys of a type in its order; every field of ours has one.
func keyNames(of reflect.Type) []string {
	out := make([]string, of.NumField())
	for i := range out {
		out[i], _, _ = strings.Cut(of.Field(i).Tag.Get("json"), ",")
	}
	return out
}
