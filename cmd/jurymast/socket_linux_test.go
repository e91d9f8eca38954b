package main

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// nobody is an account that owns nothing.
const nobody = 65534

// TestASocketOfSomebodyElse: who may not use it is told so, and who may. Root has to become somebody else to see it.
func TestASocketOfSomebodyElse(t *testing.T) {
	dir, err := os.MkdirTemp("", "jurymast") //nolint:usetesting // t.TempDir lies in a folder that only its owner enters
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	socket := filepath.Join(dir, "api.sock")
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	mode := os.FileMode(0o000)
	if os.Geteuid() == 0 {
		mode = 0o600
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(socket, mode); err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() == 0 {
		if err := syscall.Setreuid(-1, nobody); err != nil {
			t.Skip("root cannot be left: ", err)
		}
		t.Cleanup(func() {
			if err := syscall.Setreuid(-1, 0); err != nil {
				t.Error(err)
			}
		})
	}
	var said strings.Builder
	c := &cli{in: strings.NewReader(""), out: &said, errOut: &said, getenv: func(string) string { return "" }, now: time.Now}
	code := run(t.Context(), c, []string{"status", "--api", "unix://" + socket})
	for _, want := range []string{"unix://" + socket, "permission denied", "only its owner", "and root may use it"} {
		if code != exitUnreachable || !strings.Contains(said.String(), want) {
			t.Errorf("exit code %d: %q does not say %q", code, said.String(), want)
		}
	}
	if strings.Contains(said.String(), "jurymast serve") {
		t.Errorf("a node runs, and yet: %s", said.String())
	}
}
