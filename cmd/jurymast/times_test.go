package main

import (
	"testing"
	"time"
)

// TestTimesHaveOneForm: local, with the zone, and with the date when it is another day there.
func TestTimesHaveOneForm(t *testing.T) {
	p := &printer{now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), zone: time.FixedZone("CET", 3600)}
	for in, want := range map[string]string{
		"held down until 2026-03-01T12:30:00Z, probes pass": "held down until 13:30:00 CET, probes pass",
		"until 2026-03-01T23:30:00Z":                        "until 2026-03-02 00:30:00 CET",
		"two 2026-03-01T13:00:00.5+01:00\nlines":            "two 13:00:00 CET lines",
		"none 2026-13-01T13:00:00Z":                         "none 2026-13-01T13:00:00Z",
	} {
		if got := p.line(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}
