package steer_test

import (
	"strings"
	"testing"

	"jurymast/internal/health"
	"jurymast/internal/profile"
	"jurymast/internal/steer"
)

// TestTrailNamesTheDocumentFirst: an order cannot bring in what its document disables, so it is not the reason.
func TestTrailNamesTheDocumentFirst(t *testing.T) {
	v := build(profile.Priority, states("ux"), active("a"), func(v *health.View) {
		off := *v.Endpoints[1].Config
		off.Enabled = false
		v.Endpoints[1].Config, v.Endpoints[1].Layer.Shown = &off, &health.Override{Act: health.ForceUp, By: "local"}
	})
	var trail steer.Trail
	steer.Decide(v, steer.Client{}, nil, &trail)
	if got := text(&trail); !strings.Contains(got, "excluded: disabled by its document (enabled: false)") || strings.Contains(got, "local") {
		t.Errorf("the trail says\n%s", got)
	}
}
