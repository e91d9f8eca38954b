package http1_test

import (
	"strings"
	"testing"

	"jurymast/internal/proxy/http1"
)

// TestFaultsSayWhoseRule: a limit of ours is not told as a mistake in HTTP.
func TestFaultsSayWhoseRule(t *testing.T) {
	for rule, begins := range map[http1.Rule]string{
		http1.HostMissing: "not HTTP/1.1", http1.HeadTooLong: "over a limit of this proxy", http1.LineTooLong: "over a limit of this proxy",
		http1.TooMany: "over a limit of this proxy", http1.Expectation: "only 100-continue",
	} {
		text := (&http1.Fault{Rule: rule}).Error()
		if !strings.HasPrefix(text, begins) || !strings.HasSuffix(text, ": "+string(rule)) {
			t.Errorf("%s is told as %q", rule, text)
		}
	}
}
