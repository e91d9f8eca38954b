package profile

import (
	"bytes"
	"reflect"
	"slices"
	"strings"
)

// Defaults are the keys of profiles that a file writes once, under `defaults`. They lie below what a profile writes
// itself and above the built-in defaults. Decoding has put them into every profile and its document: nothing is left
// to be done with them, so there is nothing to read here.
type Defaults struct{}

// maxInherited bounds what `defaults` adds to the documents of a file, in bytes: a small text must not become a large
// one.
const maxInherited = 256 << 20

// notDefaults are the keys of a profile that belong to one profile alone.
var notDefaults = []string{"name", "enabled", "hostnames", "endpoints"}

// defaults checks the block by itself, so that its mistakes are told where they stand and also in a file without
// profiles. What the profiles inherited carries the same paths and so is not told again.
func (d *decoder) defaults(a *at) {
	p := startingProfile(a)
	for _, e := range a.n.entries {
		if slices.Contains(notDefaults, e.key) {
			d.errorf(a.keyOf(e), "belongs to one profile; allowed here: every other key of a profile; write it there")
		}
	}
	d.into(a, reflect.ValueOf(p).Elem(), nil)
}

// underDefaults is the file's tree with its `defaults` below every profile. The profiles' own values come first and
// keep their places.
func (r *report) underDefaults(root *node) *node {
	e, ok := root.get("defaults")
	list, has := root.get("profiles")
	if !ok || !has || e.value.kind != kindMap || list.value.kind != kindList {
		return root
	}
	var text bytes.Buffer
	e.value.writeJSON(&text)
	if n := len(list.value.items); n*text.Len() > maxInherited {
		r.errorf(rootAt(root).child("defaults"), "has %d bytes for each of %d profiles, %d in all; allowed: at most %d; shorten it", text.Len(), n, n*text.Len(), maxInherited)
		return root
	}
	below := shareable(e.value, "defaults")
	below.entries = slices.DeleteFunc(below.entries, func(e entry) bool { return slices.Contains(notDefaults, e.key) })
	profiles := *list.value
	profiles.items = make([]*node, len(list.value.items))
	for i, p := range list.value.items {
		profiles.items[i] = overlay(p, below, "")
	}
	out := *root
	out.entries = slices.Clone(root.entries)
	for i := range out.entries {
		if out.entries[i].key == "profiles" {
			out.entries[i].value = &profiles
		}
	}
	return &out
}

// shareable is a copy of a tree in which every value knows its path.
func shareable(n *node, path string) *node {
	out := *n
	out.shared = path
	out.entries = make([]entry, len(n.entries))
	for i, e := range n.entries {
		e.value = shareable(e.value, joined(path, e.key))
		out.entries[i] = e
	}
	out.items = make([]*node, len(n.items))
	for i, item := range n.items {
		out.items[i] = shareable(item, (&at{up: rooted(path), item: true, index: i}).path())
	}
	return &out
}

func joined(path, key string) string { return (&at{up: rooted(path), key: key}).path() }

// rooted is a place with that path.
func rooted(path string) *at { return &at{up: &at{}, n: &node{shared: path}} }

// overlay lays own over below: mappings merge deeply, everything else replaces. path is where below stands in a
// profile.
func overlay(own, below *node, path string) *node {
	if own.kind != kindMap || below.kind != kindMap || slices.Contains(oneValue, path) {
		return own
	}
	if path == "monitor" {
		below = withoutHost(own, below)
	}
	out := *own
	out.entries = slices.Clone(own.entries)
	for _, e := range below.entries {
		key := strings.TrimPrefix(path+"."+e.key, ".")
		i := slices.IndexFunc(own.entries, func(o entry) bool {
			return o.key == e.key || slices.Contains(headerMaps, path) && strings.EqualFold(o.key, e.key)
		})
		switch {
		case i >= 0 && !slices.Contains(headerMaps, path):
			out.entries[i].value = overlay(own.entries[i].value, e.value, key)
		case i >= 0 || displaced(own, path, e.key):
		default:
			out.entries = append(out.entries, e)
		}
	}
	out.size, out.height = 1, 1
	for _, e := range out.entries {
		out.adopt(e.value)
	}
	return &out
}

// headerMaps are the mappings whose keys are header names, and oneValue those that are one value in the notation of a
// mapping: a nearer one replaces it as a whole.
var (
	headerMaps = []string{"monitor.headers", "monitor.expect.header"}
	oneValue   = []string{"quorum", "all_down", "monitor.combine", "monitor.external.token", "monitor.tls.ca", "monitor.tls.client_cert"}
)

// displaced reports that a key of the defaults says the same thing as another key of the profile, which wins: on one
// level the two would contradict each other.
func displaced(own *node, path, key string) bool {
	has := func(k string) bool { _, ok := own.get(k); return ok }
	switch path {
	case "failback":
		mode, written := own.get("mode")
		return key == "after" && written && mode.value.text != string(FailbackDelayed)
	case "monitor":
		headers, _ := own.get("headers")
		_, _, hostHeader := hostEntry(&at{n: headers.value})
		return slices.Contains(verdictKeys, key) && slices.ContainsFunc(verdictKeys, has) ||
			key == "window" && has("tolerated_failures") || key == "tolerated_failures" && has("window") ||
			key == "host" && hostHeader
	}
	return false
}

// withoutHost is the defaults' monitor without its Host header when the profile says the host in another way.
func withoutHost(own, below *node) *node {
	e, ok := below.get("headers")
	if _, written := own.get("host"); !ok || !written {
		return below
	}
	headers, out := *e.value, *below
	headers.entries = slices.DeleteFunc(slices.Clone(headers.entries), func(e entry) bool { return strings.EqualFold(e.key, "Host") })
	out.entries = slices.Clone(below.entries)
	for i := range out.entries {
		if out.entries[i].key == "headers" {
			out.entries[i].value = &headers
		}
	}
	return &out
}
