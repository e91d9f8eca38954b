package main

import (
	"os"
	"path/filepath"
	"testing"
)

// TestCheckOfEveryBadFile: what can be said beside mistakes is said of files in which nothing is sure.
func TestCheckOfEveryBadFile(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("..", "..", "internal", "profile", "testdata", "bad", "*.yaml"))
	if err != nil || len(files) < 40 {
		t.Fatalf("%d bad files, want at least 40: %v", len(files), err)
	}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		j := judge(name, text)
		if j.OK || j.count("error") == 0 {
			t.Errorf("%s is accepted", name)
		}
		said := map[string]bool{}
		for _, f := range j.Findings {
			if said[f.line] {
				t.Errorf("told twice: %s", f.line)
			}
			said[f.line] = true
		}
	}
}
