package http1_test

import (
	"testing"

	"jurymast/internal/proxy/http1"
	"jurymast/internal/proxy/rawcases"
)

// feed parses a message that arrives in steps of so many bytes, its body included. n is its length, 0 when it is not all there.
type feed func(text string, step int, l http1.Limits) (n int, inBody bool, f *http1.Fault)

func feedRequest(text string, step int, l http1.Limits) (n int, inBody bool, f *http1.Fault) {
	var r http1.Request
	r.Reset(l)
	for end := step; ; end += step {
		end = min(end, len(text))
		if n, f = r.Parse([]byte(text[:end])); f != nil || n == 0 && end == len(text) {
			return 0, false, f
		}
		if n > 0 {
			m, f := feedBody(text[n:], step, r.Body, r.Length)
			if m < 0 {
				return 0, true, f
			}
			return n + m, true, f
		}
	}
}

func feedResponse(toHEAD bool) feed {
	return func(text string, step int, l http1.Limits) (n int, inBody bool, f *http1.Fault) {
		var r http1.Response
		r.Reset(l)
		for end := step; ; end += step {
			end = min(end, len(text))
			if n, f = r.Parse([]byte(text[:end]), toHEAD); f != nil || n == 0 && end == len(text) {
				return 0, false, f
			}
			if n > 0 {
				m, f := feedBody(text[n:], step, r.Body, r.Length)
				if m < 0 {
					return 0, true, f
				}
				return n + m, true, f
			}
		}
	}
}

// feedBody is the length of a body, -1 when it does not end.
func feedBody(text string, step int, kind http1.Body, length int64) (int, *http1.Fault) {
	switch kind {
	case http1.BodyChunked:
		_, _, n, f := unchunk(text, step)
		return n, f
	case http1.BodyLength:
		if int64(len(text)) < length {
			return -1, nil
		}
		return int(length), nil
	case http1.BodyClose:
		return len(text), nil
	case http1.BodyNone:
	}
	return 0, nil
}

// TestCases is the table of what is refused and what is taken, in both directions, however the bytes arrive.
func TestCases(t *testing.T) {
	t.Parallel()
	refused, accepted := 0, 0
	try := func(c rawcases.Case, f feed) {
		if c.Rule == "" {
			accepted++
		} else {
			refused++
		}
		for _, step := range []int{len(c.Text), 1, 7} {
			if len(c.Text) > 8<<10 && step < len(c.Text) {
				step = 1000
			}
			n, inBody, fault := f(c.Text, step, http1.Limits{})
			switch {
			case c.Rule == "" && (fault != nil || n != len(c.Text)):
				t.Errorf("%s, %d at a time: %d of %d, %v, want it accepted", c.Name(), step, n, len(c.Text), fault)
			case c.Rule != "" && (fault == nil || fault.Rule != c.Rule || inBody != c.Body):
				t.Errorf("%s, %d at a time: %v (body %t), want %s (body %t)", c.Name(), step, fault, inBody, c.Rule, c.Body)
			}
		}
	}
	for _, c := range append(rawcases.Requests(), rawcases.Accepted()...) {
		try(c, feedRequest)
	}
	for _, c := range rawcases.Responses() {
		try(c, feedResponse(c.HEAD))
	}
	t.Logf("%d cases refused, %d accepted", refused, accepted)
	if refused < 400 || accepted < 130 {
		t.Errorf("%d cases refused, %d accepted: the table has lost cases", refused, accepted)
	}
}

// TestEveryRuleHasACase: a rule nothing breaks is no rule.
func TestEveryRuleHasACase(t *testing.T) {
	t.Parallel()
	seen := map[http1.Rule]bool{}
	for _, c := range append(rawcases.Requests(), rawcases.Responses()...) {
		seen[c.Rule] = true
	}
	for _, r := range http1.Rules() {
		if !seen[r] {
			t.Errorf("no case for %s", r)
		}
	}
}
