package testbed

import (
	"os"
	"os/exec"
	"testing"
)

// Tool finds a program that a test needs. Without it the test is skipped, and fails where JURYMAST_INTEROP=strict says that
// everything in scripts/packages.txt is installed.
func Tool(t *testing.T, name string) (path string) {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		if os.Getenv("JURYMAST_INTEROP") == "strict" {
			t.Fatalf("%s is not installed", name)
		}
		t.Skipf("%s is not installed; scripts/packages.txt names its package", name)
	}
	return path
}
