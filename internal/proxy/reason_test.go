package proxy_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// reasonsInCode reads reason.go: the constants of type Reason by name, and those with an answer of our own.
func reasonsInCode(t *testing.T) (codes map[string]string, own map[string]bool) {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), "reason.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	codes, own = map[string]string{}, map[string]bool{}
	ast.Inspect(f, func(n ast.Node) bool {
		v, ok := n.(*ast.ValueSpec)
		if !ok || len(v.Values) != 1 {
			return true
		}
		if typ, ok := v.Type.(*ast.Ident); ok && typ.Name == "Reason" {
			if text, ok := v.Values[0].(*ast.BasicLit); ok {
				codes[v.Names[0].Name] = strings.Trim(text.Value, `"`)
			}
		}
		if list, ok := v.Values[0].(*ast.CompositeLit); ok && v.Names[0].Name == "ownAnswers" {
			for _, e := range list.Elts {
				if name, fields := pairOf(e); fields != nil && slices.ContainsFunc(fields.Elts, isStatus) {
					own[name] = true
				}
			}
		}
		return true
	})
	return codes, own
}

// pairOf reads NAME: {FIELDS}.
func pairOf(e ast.Expr) (name string, fields *ast.CompositeLit) {
	pair, _ := e.(*ast.KeyValueExpr)
	if pair == nil {
		return "", nil
	}
	if key, ok := pair.Key.(*ast.Ident); ok {
		name = key.Name
	}
	fields, _ = pair.Value.(*ast.CompositeLit)
	return name, fields
}

func isStatus(e ast.Expr) bool {
	pair, _ := e.(*ast.KeyValueExpr)
	if pair == nil {
		return false
	}
	key, ok := pair.Key.(*ast.Ident)
	return ok && key.Name == "status"
}

var docRow = regexp.MustCompile(`(?m)^\| ([A-Z]{2}(?:, [A-Z]{2})*) \| .* \| (.*) \|$`)

// TestReasonsAreDocumented: docs/proxy.md has every code once and no others, and every code that is an answer of our own
// has a status, in the code and there.
func TestReasonsAreDocumented(t *testing.T) {
	codes, own := reasonsInCode(t)
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "proxy.md"))
	if err != nil {
		t.Fatal(err)
	}
	documented := map[string]string{}
	for _, row := range docRow.FindAllStringSubmatch(string(text), -1) {
		for code := range strings.SplitSeq(row[1], ", ") {
			if documented[code] != "" {
				t.Errorf("%s is documented twice", code)
			}
			documented[code] = row[2]
		}
	}
	// The client has, or can get, no answer of ours: it is gone, or has the beginning of another one.
	passed := []string{"CA", "CD", "UD", "DX"}
	for name, code := range codes {
		status := documented[code]
		answers := code[0] != 'O' && !slices.Contains(passed, code)
		switch {
		case status == "":
			t.Errorf("%s (%s) is not in docs/proxy.md", code, name)
		case answers != own[name]:
			t.Errorf("%s (%s): has a status of its own: %t", code, name, own[name])
		case answers && !regexp.MustCompile(`^[45]\d\d`).MatchString(status):
			t.Errorf("%s (%s): docs/proxy.md gives the status %q", code, name, status)
		}
	}
	known := slices.Collect(maps.Values(codes))
	for code := range documented {
		if !slices.Contains(known, code) {
			t.Errorf("docs/proxy.md has %s, the code has not", code)
		}
	}
	if len(known) < 25 || len(slices.Compact(slices.Sorted(slices.Values(known)))) != len(known) {
		t.Errorf("%q: too few, or not each once", known)
	}
}
