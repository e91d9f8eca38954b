package archtest

import (
	"fmt"
	"go/ast"
	"slices"
	"strings"
)

// core are the rooms of values in, values out: time and dice are arguments there.
var core = []string{"geo", "profile", "health", "steer", "session", "signing", "drill"}

// impure are import paths the core never has; a path that ends in a slash covers everything below it. net/netip
// and net/url are values and stay allowed.
var impure = []string{
	"net", "net/http", "net/http/", "net/rpc", "net/smtp", "net/textproto",
	"os", "os/", "io/ioutil", "syscall", "golang.org/x/sys/",
	"log", "log/", "sync", "sync/",
	"math/rand", "math/rand/", "crypto/rand",
}

// clocks are the names that read or wait for a clock, by import path.
var clocks = map[string][]string{
	"time":    {"Now", "Since", "Until", "After", "AfterFunc", "Sleep", "Tick", "NewTimer", "NewTicker"},
	"context": {"WithTimeout", "WithTimeoutCause", "WithDeadline", "WithDeadlineCause", "AfterFunc"},
}

// Purity reports every import, clock and goroutine in the core that makes the same question give another answer.
func Purity(pkgs []Package) []string {
	var found []string
	for _, p := range pkgs {
		if name, ok := roomOf(p.Dir); !ok || !slices.Contains(core, name) {
			continue
		}
		for _, f := range p.Files {
			if !f.Test {
				found = append(found, impurities(f)...)
			}
		}
	}
	return found
}

func impurities(f File) []string {
	var found []string
	names := map[string]string{} // the file's name of a package with clocks -> its path
	for _, imp := range f.Imports() {
		if isImpure(imp.Path) {
			found = append(found, fmt.Sprintf("%s:%d: the core must not import %q; take the value as an argument", f.Path, imp.Line, imp.Path))
		}
		if clocks[imp.Path] != nil {
			names[imp.Name] = imp.Path
		}
		if clocks[imp.Path] != nil && imp.Name == "." {
			found = append(found, fmt.Sprintf("%s:%d: %q must not be imported with a dot here", f.Path, imp.Line, imp.Path))
		}
	}
	ast.Inspect(f.AST, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt:
			found = append(found, f.finding(n, "the core starts no goroutine; return an effect and let an edge act"))
		case *ast.SelectorExpr:
			x, ok := n.X.(*ast.Ident)
			if ok && slices.Contains(clocks[names[x.Name]], n.Sel.Name) {
				found = append(found, f.finding(n, "the core has no clock (%s.%s); take now as an argument", x.Name, n.Sel.Name))
			}
		}
		return true
	})
	return found
}

func isImpure(importPath string) bool {
	return slices.ContainsFunc(impure, func(rule string) bool {
		return importPath == rule || (strings.HasSuffix(rule, "/") && strings.HasPrefix(importPath, rule))
	})
}
