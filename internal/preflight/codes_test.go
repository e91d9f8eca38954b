package preflight

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

var codeRow = regexp.MustCompile("(?m)^\\| `([a-z0-9-]+)` \\| (info|warning|error) \\| (.+) \\|$")

// allCodes reads the codes out of the source, by the name of their constant.
func allCodes(t *testing.T) map[string]string {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), "codes.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	codes := map[string]string{}
	ast.Inspect(f, func(n ast.Node) bool {
		if spec, ok := n.(*ast.ValueSpec); ok {
			value, _ := spec.Values[0].(*ast.BasicLit)
			text, err := strconv.Unquote(value.Value)
			if err != nil {
				t.Fatal(err)
			}
			codes[spec.Names[0].Name] = text
		}
		return true
	})
	return codes
}

// TestDocumentsNameEveryCode keeps the table of docs/preflight.md equal to the code.
func TestDocumentsNameEveryCode(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "preflight.md"))
	if err != nil {
		t.Fatal(err)
	}
	documented := map[string]bool{}
	for _, row := range codeRow.FindAllStringSubmatch(string(text), -1) {
		if documented[row[1]] {
			t.Errorf("%s is documented twice", row[1])
		}
		documented[row[1]] = true
	}
	for name, code := range allCodes(t) {
		if !documented[code] {
			t.Errorf("%s (%s) has no row in docs/preflight.md", code, name)
		}
		delete(documented, code)
	}
	for code := range documented {
		t.Errorf("%s is documented and no code", code)
	}
}

// TestEveryCodeIsTested: a code that no test names is one that nobody has seen.
func TestEveryCodeIsTested(t *testing.T) {
	var tests strings.Builder
	for _, name := range []string{"static_test.go", "live_test.go"} {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		tests.Write(text)
	}
	for name := range allCodes(t) {
		if !regexp.MustCompile(`\b` + name + `\b`).MatchString(tests.String()) {
			t.Errorf("%s is in no test", name)
		}
	}
}
