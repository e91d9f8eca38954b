package testbed

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// Tool finds a program that a test needs, also where Debian puts servers, which is not on everybody's PATH.
func Tool(t *testing.T, name string) (path string) {
	t.Helper()
	for _, dir := range []string{"", "/usr/sbin", "/sbin"} {
		if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return path
		}
	}
	Absent(t, name)
	return ""
}

// Absent skips a test that needs what is not installed, and fails it where JURYMAST_INTEROP=strict says that everything in
// scripts/packages.txt is.
func Absent(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("JURYMAST_INTEROP") == "strict" {
		t.Fatalf("%s is not installed: scripts/packages.sh install", what)
	}
	t.Skipf("%s is not installed; scripts/packages.txt names its package", what)
}
