package profile

import (
	"os"
	"path/filepath"
	"testing"
)

// Every example is a configuration without errors, and each thing the README points to is among them.
func TestExamples(t *testing.T) {
	t.Parallel()
	files, _ := filepath.Glob("../../examples/*/*.yaml")
	seen := map[string]*File{}
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		file, err := Inspect(f, data)
		if err != nil {
			t.Errorf("%s: %v", f, err)
			continue
		}
		seen[filepath.Base(filepath.Dir(f))] = file
	}
	if f := seen["signed"]; f == nil || len(f.Zones) != 1 || !f.Zones[0].DNSSEC.Enabled || len(f.Profiles) == 0 {
		t.Error("examples/signed has no signed zone with a profile")
	}
}
