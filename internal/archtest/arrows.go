package archtest

import (
	"fmt"
	"slices"
	"strings"
)

// room is one named part of the house; its sub-folders belong to it.
type room struct {
	row      int
	testOnly bool // imported by tests alone
}

// ground is below all rows: facts about the world that every room may know.
const ground = -1

// rooms is the house plan. docs/architecture.md says what each room is for.
var rooms = map[string]room{
	"geo": {row: ground},

	"profile": {row: 0},
	"session": {row: 0},
	"signing": {row: 0},
	"store":   {row: 0},

	"health": {row: 1},

	"steer": {row: 2},
	"drill": {row: 2},

	"snapshot":     {row: 3},
	"certificates": {row: 3},
	"question":     {row: 3},

	"engine":     {row: 4},
	"probe":      {row: 4},
	"places":     {row: 4},
	"cluster":    {row: 4},
	"nameserver": {row: 4},
	"proxy":      {row: 4},
	"domain":     {row: 4},
	"witness":    {row: 4},
	"preflight":  {row: 4},
	"report":     {row: 4},
	"notify":     {row: 4},
	"api":        {row: 4},
	"console":    {row: 4},

	"app":      {row: 5},
	"lab":      {row: 5},
	"sim":      {row: 5, testOnly: true},
	"testbed":  {row: 5, testOnly: true},
	"archtest": {row: 5, testOnly: true},

	"cmd":   {row: 6},
	"bench": {row: 6},
}

// labBelow is the highest row lab may import: it stands in for other people's systems and knows none of our edges.
const labBelow = 3

// testOnlyPackages are sub-folders of ordinary rooms that only tests import.
var testOnlyPackages = []string{"internal/store/storetest"}

// Arrows reports every package that has no room and every import that does not point down. Arrows between the
// packages of one room are free. Tests may use any room, because they prefer real parts to pretended ones.
func Arrows(pkgs []Package) []string {
	var found []string
	for _, p := range pkgs {
		from, ok := roomOf(p.Dir)
		if !ok {
			found = append(found, fmt.Sprintf("%s: no room of the house plan; put the code into the room it belongs to, "+
				"or add the room to internal/archtest/arrows.go and docs/architecture.md", p.Dir))
			continue
		}
		for _, f := range p.Files {
			for _, imp := range f.Imports() {
				dir, ours := strings.CutPrefix(imp.Path, Module+"/")
				if !ours || dir == p.Dir || f.Test {
					continue
				}
				if why := arrow(from, dir); why != "" {
					found = append(found, fmt.Sprintf("%s:%d: %s must not import %s: %s", f.Path, imp.Line, p.Dir, dir, why))
				}
			}
		}
	}
	return found
}

// arrow says why the non-test code of room fromRoom must not import package to; "" allows it.
func arrow(fromRoom, to string) string {
	toRoom, ok := roomOf(to)
	if !ok {
		return "it has no room in the house plan"
	}
	a, b := rooms[fromRoom], rooms[toRoom]
	switch {
	case (b.testOnly && !a.testOnly) || slices.Contains(testOnlyPackages, to):
		return "only tests import it"
	case fromRoom == toRoom:
		return ""
	case a.row < b.row:
		return fmt.Sprintf("row %d is above row %d; declare a small interface here and let app join the two", b.row, a.row)
	case a.row == b.row:
		return fmt.Sprintf("both are in row %d; declare a small interface here and let app join the two", a.row)
	case fromRoom == "lab" && b.row > labBelow:
		return "lab stands in for other people's systems and knows none of our edges"
	}
	return ""
}

// roomOf names the room of a package folder: cmd/jurymast is in cmd, internal/proxy/h1 in proxy.
func roomOf(dir string) (string, bool) {
	first, rest, _ := strings.Cut(dir, "/")
	name := first
	if first == "internal" {
		name, _, _ = strings.Cut(rest, "/")
	} else if first != "cmd" && first != "bench" {
		return "", false
	}
	_, ok := rooms[name]
	return name, ok
}
