package archtest

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
)

// Module is the path of this module, the prefix of every import of our own.
const Module = "jurymast"

// Package is one folder with Go files; Dir is relative to the module's root, with slashes.
type Package struct {
	Dir   string
	Files []File
}

// File is one parsed Go file, of whatever platform and build tag.
type File struct {
	Path      string
	Lines     int
	Test      bool // *_test.go
	Generated bool
	AST       *ast.File
	fset      *token.FileSet
}

// Import is one import of a file: its path and the name the file uses for it.
type Import struct {
	Path string
	Name string
	Line int
}

// Load parses every Go file below the root of fsys, except in testdata and in folders that start with a dot or
// an underscore or are not ours (bin, data). Build constraints are ignored: a rule holds on every platform.
func Load(fsys fs.FS) ([]Package, error) {
	byDir := map[string]*Package{}
	err := fs.WalkDir(fsys, ".", func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if skipDir(p) {
				return fs.SkipDir
			}
			return nil
		}
		if path.Ext(p) != ".go" {
			return nil
		}
		f, err := parse(fsys, p)
		if err != nil {
			return err
		}
		dir := path.Dir(p)
		if byDir[dir] == nil {
			byDir[dir] = &Package{Dir: dir}
		}
		byDir[dir].Files = append(byDir[dir].Files, f)
		return nil
	})
	if err != nil {
		return nil, err
	}
	pkgs := make([]Package, 0, len(byDir))
	for _, p := range byDir {
		pkgs = append(pkgs, *p)
	}
	slices.SortFunc(pkgs, func(a, b Package) int { return strings.Compare(a.Dir, b.Dir) })
	return pkgs, nil
}

func skipDir(p string) bool {
	base := path.Base(p)
	return p != "." && (p == "bin" || p == "data" || base == "testdata" || base[0] == '.' || base[0] == '_')
}

func parse(fsys fs.FS, p string) (File, error) {
	src, err := fs.ReadFile(fsys, p)
	if err != nil {
		return File{}, err
	}
	fset := token.NewFileSet()
	tree, err := parser.ParseFile(fset, p, src, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return File{}, fmt.Errorf("parse %s: %w", p, err)
	}
	return File{
		Path:      p,
		Lines:     bytes.Count(src, []byte("\n")),
		Test:      strings.HasSuffix(p, "_test.go"),
		Generated: ast.IsGenerated(tree),
		AST:       tree,
		fset:      fset,
	}, nil
}

// Imports lists the file's imports. The name of an import without one is guessed from its path.
func (f File) Imports() []Import {
	list := make([]Import, 0, len(f.AST.Imports))
	for _, spec := range f.AST.Imports {
		p, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			continue // the parser has accepted it, so this cannot be
		}
		name := path.Base(p)
		if spec.Name != nil {
			name = spec.Name.Name
		}
		list = append(list, Import{Path: p, Name: name, Line: f.line(spec)})
	}
	return list
}

func (f File) line(n ast.Node) int { return f.fset.Position(n.Pos()).Line }

func (f File) finding(n ast.Node, format string, args ...any) string {
	return fmt.Sprintf("%s:%d: %s", f.Path, f.line(n), fmt.Sprintf(format, args...))
}
