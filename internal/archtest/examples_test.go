package archtest

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"jurymast/internal/profile"
)

// decode is the check that every shown configuration must pass: the one `jurymast check` starts with.
func decode(e Example) error {
	_, err := profile.DecodeFile(e.Name, e.Data)
	return err
}

func TestEveryExampleLoads(t *testing.T) {
	examples, err := Examples(os.DirFS(root))
	if err != nil {
		t.Fatal(err)
	}
	if len(examples) == 0 && exists(t, "README.md") {
		t.Error("README.md, docs and examples show no configuration: nothing has been judged")
	}
	for _, e := range examples {
		t.Run(e.Name, func(t *testing.T) {
			if err := decode(e); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestABrokenExampleIsSeen(t *testing.T) {
	for _, text := range []string{"profiles:\n  - nam: a\n", "zones: 3\n", "node: {nam: n1}\n"} {
		if err := decode(Example{Name: "broken.yaml", Data: []byte(text)}); err == nil {
			t.Errorf("%q was accepted", text)
		}
	}
}

func exists(t *testing.T, name string) bool {
	t.Helper()
	_, err := os.Stat(filepath.Join(root, name))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return err == nil
}
