package http1_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"slices"
	"strconv"
	"testing"

	"jurymast/internal/proxy/http1"
)

// TestRulesAreAll: whoever counts by rule counts all that fault.go declares, each once.
func TestRulesAreAll(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "fault.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var declared []http1.Rule
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if kind, ok := spec.Type.(*ast.Ident); ok && kind.Name == "Rule" {
			text, err := strconv.Unquote(types.ExprString(spec.Values[0]))
			if err != nil {
				t.Fatal(err)
			}
			declared = append(declared, http1.Rule(text))
		}
		return true
	})
	if got := http1.Rules(); len(declared) < 30 || !slices.Equal(got, declared) {
		t.Errorf("Rules() is\n%v\ndeclared are\n%v", got, declared)
	}
	if got := slices.Compact(slices.Sorted(slices.Values(declared))); len(got) != len(declared) {
		t.Error("two rules have the same name")
	}
}
