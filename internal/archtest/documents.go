package archtest

import (
	"bytes"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"strings"
)

// Forbidden finds words that speak of where and how the project is made instead of the project. The patterns are
// written in pieces, so that this file does not find itself.
var Forbidden = []struct {
	hint    string // in every match, in lower case: a text without it is not searched, which is slow
	pattern *regexp.Regexp
}{
	{"issue" + " #", regexp.MustCompile(`(?i)\bissue` + ` #`)},
	{"/wo" + "rk/", regexp.MustCompile(`(^|[^\w./-])/wo` + `rk/`)},
	{"/ro" + "ot/", regexp.MustCompile(`(^|[^\w./-])/ro` + `ot/`)},
	{"helper" + " agent", regexp.MustCompile(`(?i)helper` + ` agent`)},
	{"gol" + "ang.org", regexp.MustCompile(`\b(proxy|sum)\.gol` + `ang\.org\b`)},
	{"npm" + "js.org", regexp.MustCompile(`\bregistry\.npm` + `js\.org\b`)},
	{"pi" + ".org", regexp.MustCompile(`\bpy` + `pi\.org\b`)},
}

// Words reports forbidden words in the named files; files that are not text are left alone.
func Words(fsys fs.FS, files []string) []string {
	var found []string
	for _, p := range files {
		text, err := fs.ReadFile(fsys, p)
		if err != nil || bytes.IndexByte(text[:min(len(text), 8000)], 0) >= 0 {
			continue // a deleted file, a link or no text
		}
		lower := bytes.ToLower(text)
		for _, f := range Forbidden {
			if !bytes.Contains(lower, []byte(f.hint)) {
				continue
			}
			for i, line := range bytes.Split(text, []byte("\n")) {
				if word := f.pattern.Find(line); word != nil {
					found = append(found, fmt.Sprintf("%s:%d: %q; the text speaks of the project alone", p, i+1, word))
				}
			}
		}
	}
	return found
}

// Example is one configuration shown to users: a YAML file of examples, or one block of a document.
type Example struct {
	Name string // path, and for a block the line it starts in
	Data []byte
}

// configKey opens a configuration: a top-level key of the file as users write it.
var configKey = regexp.MustCompile(`(?m)^(node|zones|profiles):`)

// Blocks lists the blocks of a Markdown text fenced with ```yaml that are configurations. Blocks that show a part
// of something else, such as a single monitor, are not.
func Blocks(name string, markdown []byte) []Example {
	var blocks []Example
	var block []byte
	start := 0
	for i, line := range bytes.SplitAfter(markdown, []byte("\n")) {
		fence := strings.TrimSpace(string(line))
		switch {
		case start == 0 && (fence == "```yaml" || fence == "```yml"):
			start, block = i+1, nil
		case start > 0 && fence == "```":
			if configKey.Match(block) {
				blocks = append(blocks, Example{Name: fmt.Sprintf("%s:%d", name, start), Data: block})
			}
			start = 0
		case start > 0:
			block = append(block, line...)
		}
	}
	return blocks
}

// Examples lists every configuration of README.md, of docs and of examples.
func Examples(fsys fs.FS) ([]Example, error) {
	var list []Example
	err := fs.WalkDir(fsys, ".", func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		top, _, _ := strings.Cut(p, "/")
		if d.IsDir() {
			if p != "." && top != "docs" && top != "examples" {
				return fs.SkipDir
			}
			return nil
		}
		markdown := path.Ext(p) == ".md" && (p == "README.md" || top == "docs" || top == "examples")
		config := (path.Ext(p) == ".yaml" || path.Ext(p) == ".yml") && top == "examples"
		if !markdown && !config {
			return nil
		}
		data, err := fs.ReadFile(fsys, p)
		if err != nil {
			return err
		}
		if markdown {
			list = append(list, Blocks(p, data)...)
		} else {
			list = append(list, Example{Name: p, Data: data})
		}
		return nil
	})
	return list, err
}

// Requires lists the modules that go.mod requires directly.
func Requires(gomod []byte) []string {
	var list []string
	inBlock := false
	for line := range strings.Lines(string(gomod)) {
		line = strings.TrimSpace(line)
		switch {
		case line == "require (":
			inBlock = true
		case line == ")":
			inBlock = false
		case strings.HasSuffix(line, "// indirect"):
		case inBlock || strings.HasPrefix(line, "require "):
			if words := strings.Fields(strings.TrimPrefix(line, "require ")); len(words) >= 2 {
				list = append(list, words[0])
			}
		}
	}
	return list
}

// reasonLine is a row of the table in docs/dependencies.md: | `module` | reason |.
var reasonLine = regexp.MustCompile("(?m)^\\| `([^`]+)` \\| *([^|]*?) *\\|$")

// Dependencies reports direct requirements without a reason and reasons without a requirement.
func Dependencies(gomod, reasons []byte) []string {
	var found []string
	unused := map[string]bool{}
	for _, m := range reasonLine.FindAllSubmatch(reasons, -1) {
		if len(m[2]) == 0 {
			found = append(found, fmt.Sprintf("docs/dependencies.md: %s has no reason", m[1]))
		}
		unused[string(m[1])] = true
	}
	for _, module := range Requires(gomod) {
		if !unused[module] {
			found = append(found, fmt.Sprintf("go.mod: %s has no line in docs/dependencies.md; say there why we need it", module))
		}
		delete(unused, module)
	}
	for module := range unused {
		found = append(found, fmt.Sprintf("docs/dependencies.md: %s is not required directly by go.mod; remove the line", module))
	}
	return found
}
