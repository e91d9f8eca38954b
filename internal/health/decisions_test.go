package health_test

import (
	"strings"
	"testing"

	"jurymast/internal/health"
	"jurymast/internal/profile"
)

// With exactly half of the voters down an endpoint is up, whatever it was before; one more takes it down.
func TestD4TieIsUp(t *testing.T) {
	for half := 1; half <= 5; half++ {
		for _, was := range []health.Status{health.Online, health.Degraded, health.CheckingEndpoint} {
			up, down := strings.Repeat("u", half), strings.Repeat("d", half)
			for word, want := range map[string]health.Status{
				up + down: health.Online, down + up: health.Online, down + up + "d": health.Degraded, up + "u" + down: health.Online,
				up + down + "D": health.Online, // a blind one breaks no tie
			} {
				if got := health.Quorum(profile.Quorum{}, ballots(word), health.Verdict{Status: was, Since: t0}, t0); got.Status != want {
					t.Errorf("%s from %v: %v, want %v", word, was, got.Status, want)
				}
			}
		}
	}
}
