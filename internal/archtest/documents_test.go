package archtest

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
)

func TestNoForbiddenWords(t *testing.T) {
	files := tracked(t)
	if len(files) < 10 {
		t.Errorf("only %d files found: nothing has been judged", len(files))
	}
	for _, finding := range Words(os.DirFS(root), files) {
		t.Error(finding)
	}
}

func TestEveryDependencyHasAReason(t *testing.T) {
	gomod := read(t, "go.mod")
	if len(Requires(gomod)) == 0 {
		t.Error("no requirement found in go.mod: nothing has been judged")
	}
	for _, finding := range Dependencies(gomod, read(t, "docs/dependencies.md")) {
		t.Error(finding)
	}
}

func TestWordsReports(t *testing.T) {
	bad := []string{
		"see Issue" + " #12", "in /wo" + "rk/main", "from https://proxy.gol" + "ang.org/x", "by a helper" + " agent", "~ /ro" + "ot/go",
		"https://registry.npm" + "js.org/x", "HELPER" + " AGENT", "at py" + "pi.org",
	}
	good := []string{"golang/go#12", "net/work/shop", "https://go.dev/work/", "an issue of trust"}
	fsys := fstest.MapFS{
		"bad":    {Data: []byte(strings.Join(bad, "\n"))},
		"good":   {Data: []byte(strings.Join(good, "\n"))},
		"binary": {Data: []byte("\x00" + strings.Join(bad, "\n"))},
	}
	got := Words(fsys, []string{"bad", "good", "binary", "deleted"})
	if len(got) != len(bad) {
		t.Errorf("%d findings, want %d:\n%s", len(got), len(bad), strings.Join(got, "\n"))
	}
}

func TestDependenciesReports(t *testing.T) {
	gomod := "require one.example/a v1.0.0\nrequire (\n\ttwo.example/b v1.0.0\n\tthree.example/c v1.0.0 // indirect\n)\n"
	for _, tc := range []struct{ name, reasons, want string }{
		{"complete", "| `one.example/a` | why |\n| `two.example/b` | why |\n", ""},
		{"missing", "| `one.example/a` | why |\n", "two.example/b has no line"},
		{"empty", "| `one.example/a` | why |\n| `two.example/b` | |\n", "two.example/b has no reason"},
		{"stale", "| `one.example/a` | why |\n| `two.example/b` | why |\n| `three.example/c` | why |\n", "three.example/c is not required"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := strings.Join(Dependencies([]byte(gomod), []byte(tc.reasons)), "\n")
			if (got == "") != (tc.want == "") || !strings.Contains(got, tc.want) {
				t.Errorf("findings %q, want %q", got, tc.want)
			}
		})
	}
}

func TestExamplesAreFound(t *testing.T) {
	text := "# A\n```yaml\nprofiles:\n  - name: a\n```\n```yaml\nmonitor: {}\n```\n  ```yaml\nnode:\n```\n```go\nnode:\n```\n"
	fsys := fstest.MapFS{
		"README.md":          {Data: []byte(text)},
		"docs/deep/a.md":     {Data: []byte("```yaml\nzones: []\n```\n")},
		"examples/x/y.yaml":  {Data: []byte("node: {}\n")},
		"other/z.yaml":       {Data: []byte("node: {}\n")},
		"CONTRIBUTING.md":    {Data: []byte(text)},
		"examples/x/note.md": {Data: []byte("no block\n")},
	}
	list, err := Examples(fsys)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range list {
		names = append(names, e.Name)
	}
	want := "README.md:2 README.md:9 docs/deep/a.md:1 examples/x/y.yaml"
	if got := strings.Join(names, " "); got != want {
		t.Errorf("examples %s, want %s", got, want)
	}
	if got := string(list[0].Data); got != "profiles:\n  - name: a\n" {
		t.Errorf("first block is %q", got)
	}
}

func read(t *testing.T, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(name)))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// tracked lists the files of the project: what git tracks, or without git everything that is not built.
func tracked(t *testing.T) []string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "git", "ls-files", "-z")
	cmd.Dir = root
	if out, err := cmd.Output(); err == nil {
		return strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00")
	}
	var files []string
	err := fs.WalkDir(os.DirFS(root), ".", func(p string, d fs.DirEntry, err error) error {
		switch {
		case err != nil && !errors.Is(err, fs.ErrNotExist):
			return err
		case d.IsDir() && (p == ".git" || p == "bin" || p == "data"):
			return fs.SkipDir
		case d.Type().IsRegular():
			files = append(files, p)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}
