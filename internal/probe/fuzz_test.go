package probe

import (
	"encoding/json"
	"testing"

	"jurymast/internal/profile"
)

// FuzzJSONRule: no path and no body ends in a panic, and what matches is JSON from its start.
func FuzzJSONRule(f *testing.F) {
	f.Add("checks[0].state", "up", []byte(`{"checks":[{"state":"up"}]}`))
	f.Add("[1][0]", "null", []byte(`[1,[null]] tail`))
	f.Add("a", "1.50", []byte(`{"a":1.50`))
	f.Fuzz(func(t *testing.T, path, equals string, body []byte) {
		rule, err := jsonRuleOf(profile.ExpectJSON{Path: path, Equals: equals})
		if err != nil || rule == nil {
			return
		}
		missing, ok := rule.match(body)
		if ok == (missing != "") {
			t.Errorf("match %t, missing %q", ok, missing)
		}
		if ok && !json.Valid(body[:valueLength(body)]) {
			t.Errorf("%q matched in %q", path, body)
		}
	})
}

// valueLength is the length of the first JSON value, found the slow way.
func valueLength(body []byte) int {
	for n := range len(body) + 1 {
		if json.Valid(body[:n]) {
			return n
		}
	}
	return 0
}

// FuzzUnescaped: what was decoded is never longer than it was written.
func FuzzUnescaped(f *testing.F) {
	f.Add(`PING\r\n`)
	f.Add(`\x00\\x`)
	f.Fuzz(func(t *testing.T, text string) {
		got, err := unescaped("monitor.send", text)
		if err == nil && len(got) > len(text) {
			t.Errorf("%q became %q", text, got)
		}
	})
}
