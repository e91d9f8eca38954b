//go:build interop && linux

package main

import (
	"context"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// TestInteropPeersReadTheExample: the secondaries' configurations beside the example are ones their programs take.
func TestInteropPeersReadTheExample(t *testing.T) {
	for _, args := range [][]string{
		{"knotc", "-c", "knot.conf", "conf-check"},
		{"nsd-checkconf", "nsd.conf"},
		{"named-checkconf", "named.conf"},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		cmd := exec.CommandContext(ctx, args[0], args[1:]...)
		cmd.Dir = filepath.Join("..", "..", "examples", "primary")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%v: %v\n%s", args, err, out)
		}
		cancel()
	}
}
