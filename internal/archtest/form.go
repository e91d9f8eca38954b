package archtest

import (
	"fmt"
	"go/ast"
	"strings"
)

// Limits of files and functions without tests and generated code. Most stay far below: 350 and 40.
const (
	MaxFileLines = 600
	MaxFuncLines = 90
)

// Comments reports packages without exactly one package comment, or with one that does not start with its name.
func Comments(pkgs []Package) []string {
	var found []string
	for _, p := range pkgs {
		var with []string
		for _, f := range p.Files {
			if f.AST.Doc == nil || strings.HasSuffix(f.AST.Name.Name, "_test") {
				continue
			}
			with = append(with, f.Path)
			// A main package is documented as the command it is.
			name, text := f.AST.Name.Name, f.AST.Doc.Text()
			command := name == "main" && strings.HasPrefix(text, "Command ")
			if !command && !strings.HasPrefix(text, "Package "+name+" ") {
				found = append(found, f.finding(f.AST, "the package comment must start with %q", "Package "+name+" "))
			}
		}
		switch {
		case len(with) == 0 && !onlyExternalTests(p):
			found = append(found, fmt.Sprintf("%s: no package comment; say what the package is for and what it never does", p.Dir))
		case len(with) > 1:
			found = append(found, fmt.Sprintf("%s: package comments in %s; keep one", p.Dir, strings.Join(with, " and ")))
		}
	}
	return found
}

// onlyExternalTests tells whether every file belongs to a package that ends in _test, which needs no comment.
func onlyExternalTests(p Package) bool {
	for _, f := range p.Files {
		if !strings.HasSuffix(f.AST.Name.Name, "_test") {
			return false
		}
	}
	return true
}

// Limits reports files and functions that have grown too long.
func Limits(pkgs []Package) []string {
	var found []string
	for _, p := range pkgs {
		for _, f := range p.Files {
			if f.Test || f.Generated {
				continue
			}
			if f.Lines > MaxFileLines {
				found = append(found, fmt.Sprintf("%s: %d lines, at most %d; split it by content", f.Path, f.Lines, MaxFileLines))
			}
			for _, d := range f.AST.Decls {
				fn, ok := d.(*ast.FuncDecl)
				if !ok {
					continue
				}
				if n := f.fset.Position(fn.End()).Line - f.line(fn) + 1; n > MaxFuncLines {
					found = append(found, f.finding(fn, "%s has %d lines, at most %d; name its parts", fn.Name.Name, n, MaxFuncLines))
				}
			}
		}
	}
	return found
}
