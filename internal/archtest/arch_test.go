package archtest

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"
)

// root is the module's root, seen from this package.
var root = filepath.Join("..", "..")

func TestRepositoryKeepsTheRules(t *testing.T) {
	pkgs, err := Load(os.DirFS(root))
	if err != nil {
		t.Fatal(err)
	}
	for name, rule := range map[string]func([]Package) []string{
		"arrows": Arrows, "purity": Purity, "comments": Comments, "limits": Limits,
	} {
		t.Run(name, func(t *testing.T) {
			for _, finding := range rule(pkgs) {
				t.Error(finding)
			}
		})
	}
	if len(pkgs) < 2 {
		t.Errorf("only %d packages below %s: the rules have judged nothing", len(pkgs), root)
	}
}

// TestEveryRoomExistsInThePlan keeps the picture in the package comment and the table of rooms the same.
func TestEveryRoomExistsInThePlan(t *testing.T) {
	pkgs, err := Load(os.DirFS("."))
	if err != nil {
		t.Fatal(err)
	}
	drawn := map[string]bool{"archtest": true} // draws the picture and is not in it
	for _, f := range pkgs[0].Files {
		for line := range strings.Lines(f.AST.Doc.Text()) {
			words := strings.Fields(line)
			if len(words) < 3 || words[0] != "row" {
				continue
			}
			for _, name := range words[2:] {
				drawn[name] = true
				if r, ok := rooms[name]; !ok || words[1] != strconv.Itoa(r.row) {
					t.Errorf("the picture has %s in row %s, the table says %+v (exists: %t)", name, words[1], r, ok)
				}
			}
		}
	}
	for name := range rooms {
		if !drawn[name] {
			t.Errorf("room %s is not in the picture of doc.go", name)
		}
	}
}

// TestRulesReport feeds each rule forged trees: want is a part of the only finding, "" means none.
func TestRulesReport(t *testing.T) {
	long := strings.Repeat("\t_ = 0\n", MaxFuncLines)
	for _, tc := range []struct {
		name string
		rule func([]Package) []string
		tree map[string]string
		want string
	}{
		{"down is allowed", Arrows, imports("internal/steer", "internal/health"), ""},
		{"two rows down is allowed", Arrows, imports("internal/proxy", "internal/session"), ""},
		{"same room is allowed", Arrows, imports("internal/proxy", "internal/proxy/h1"), ""},
		{"sub-folder to its room is allowed", Arrows, imports("internal/store/etcd", "internal/store"), ""},
		{"app joins the edges", Arrows, imports("internal/app", "internal/proxy"), ""},
		{"cmd is on top", Arrows, imports("cmd/jurymast", "internal/app"), ""},
		{"upward", Arrows, imports("internal/health", "internal/steer"), "row 2 is above row 1"},
		{"upward from a sub-folder", Arrows, imports("internal/nameserver/wire", "internal/app"), "row 5 is above row 4"},
		{"edge to edge", Arrows, imports("internal/proxy", "internal/probe"), "both are in row 4"},
		{"edge to a sub-folder of an edge", Arrows, imports("internal/proxy", "internal/api/client"), "both are in row 4"},
		{"core to core in a row", Arrows, imports("internal/steer", "internal/drill"), "both are in row 2"},
		{"inside row 0", Arrows, imports("internal/session", "internal/profile"), "both are in row 0"},
		{"lab and the edges", Arrows, imports("internal/lab", "internal/proxy"), "knows none of our edges"},
		{"lab and the core", Arrows, imports("internal/lab", "internal/profile"), ""},
		{"cmd is imported by nobody", Arrows, imports("internal/app", "cmd/jurymast"), "row 6 is above row 5"},
		{"testbed outside tests", Arrows, imports("cmd/jurymast", "internal/testbed"), "only tests import it"},
		{"storetest outside tests", Arrows, imports("internal/store/mem", "internal/store/storetest"), "only tests import it"},
		{"unknown package", Arrows, map[string]string{"internal/util/a.go": "package util"}, "no room of the house plan"},
		{"unknown folder", Arrows, map[string]string{"pkg/proxy/a.go": "package proxy"}, "no room of the house plan"},
		{
			"tests use any room", Arrows,
			map[string]string{"internal/health/a_test.go": "package health\nimport _ \"jurymast/internal/testbed\""},
			"",
		},

		{"values of net", Purity, body("internal/steer", "net/netip", ""), ""},
		{"net", Purity, body("internal/steer", "net", ""), `must not import "net"`},
		{"os/exec", Purity, body("internal/steer", "os/exec", ""), `must not import "os/exec"`},
		{"dice", Purity, body("internal/session", "math/rand/v2", ""), `must not import "math/rand/v2"`},
		{"slog in a sub-folder", Purity, body("internal/profile/yaml", "log/slog", ""), `must not import "log/slog"`},
		{"a duration", Purity, body("internal/health", "time", "_ = time.Second"), ""},
		{"a clock", Purity, body("internal/health", "time", "_ = time.Now()"), "the core has no clock (time.Now)"},
		{"a clock as a value", Purity, body("internal/health", "time", "_ = time.Since"), "the core has no clock (time.Since)"},
		{"a clock in a context", Purity, body("internal/drill", "context", "_ = context.WithTimeout"), "the core has no clock"},
		{
			"a renamed clock", Purity,
			map[string]string{"internal/health/a.go": "package health\nimport tm \"time\"\nvar _ = tm.Now()"},
			"the core has no clock (tm.Now)",
		},
		{
			"a dotted clock", Purity,
			map[string]string{"internal/health/a.go": "package health\nimport . \"time\""},
			"with a dot",
		},
		{"a goroutine", Purity, body("internal/drill", "strings", "go func() {}()"), "starts no goroutine"},
		{"an edge is free", Purity, body("internal/probe", "net", "go func() {}()"), ""},

		{"one comment", Comments, map[string]string{"a/a.go": "// Package a is.\npackage a", "a/b.go": "package a"}, ""},
		{"a command", Comments, map[string]string{"cmd/jurymast/a.go": "// Command jurymast is.\npackage main"}, ""},
		{"external tests only", Comments, map[string]string{"a/a_test.go": "package a_test"}, ""},
		{"no comment", Comments, map[string]string{"a/a.go": "package a"}, "no package comment"},
		{"two comments", Comments, map[string]string{"a/a.go": "// Package a is.\npackage a", "a/b.go": "// Package a too.\npackage a"}, "a/a.go and a/b.go"},
		{"another name", Comments, map[string]string{"a/a.go": "// Package b is.\npackage a"}, `must start with "Package a "`},

		{"long function", Limits, map[string]string{"a/a.go": "package a\nfunc f() {\n" + long + "}\n"}, "f has 92 lines"},
		{"long test", Limits, map[string]string{"a/a_test.go": "package a\nfunc f() {\n" + long + "}\n"}, ""},
		{"long file", Limits, map[string]string{"a/a.go": "package a\n" + strings.Repeat("\n", MaxFileLines)}, "601 lines"},
		{"generated file", Limits, map[string]string{"a/a.go": "// Code generated by x. DO NOT EDIT.\npackage a\n" + strings.Repeat("\n", MaxFileLines)}, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			fsys := fstest.MapFS{}
			for p, text := range tc.tree {
				fsys[p] = &fstest.MapFile{Data: []byte(text)}
			}
			pkgs, err := Load(fsys)
			if err != nil {
				t.Fatal(err)
			}
			got := tc.rule(pkgs)
			if tc.want == "" && len(got) == 0 {
				return
			}
			if tc.want == "" || len(got) != 1 || !strings.Contains(got[0], tc.want) {
				t.Errorf("findings %q, want one with %q", got, tc.want)
			}
		})
	}
}

// imports forges two packages, the first importing the second.
func imports(from, to string) map[string]string {
	return map[string]string{
		from + "/a.go": "package a\nimport _ \"" + Module + "/" + to + "\"\n",
		to + "/a.go":   "package a\n",
	}
}

// body forges one package with one import and one statement.
func body(dir, imp, stmt string) map[string]string {
	return map[string]string{dir + "/a.go": "package a\nimport \"" + imp + "\"\nfunc f() {\n" + stmt + "\n}\n"}
}
