package geo

import (
	_ "embed" // the hierarchy is part of the program
	"encoding/json"
	"fmt"
	"strings"
)

// Code is a node of the geographic hierarchy: the world, a regional group, a country, or a state or province. Codes are
// numbered in the order of the hierarchy, a parent before its children; the numbers are not for storing, String is.
type Code uint16

// World is the root of the hierarchy: it contains every client, also those whose location is not known.
const World Code = 0

// NumCodes is the number of codes: valid ones are 0 to NumCodes-1.
const NumCodes = 333

// Level says how specific a code is.
type Level uint8

// The levels, from the least specific one.
const (
	LevelWorld   Level = iota
	LevelGroup         // GEO-EU
	LevelCountry       // DE
	LevelState         // US-CA
)

// String is the word for a level as trails and messages write it.
func (l Level) String() string {
	switch l {
	case LevelWorld:
		return "world"
	case LevelGroup:
		return "group"
	case LevelCountry:
		return "country"
	case LevelState:
		return "state"
	}
	return fmt.Sprintf("Level(%d)", uint8(l))
}

// hierarchyJSON has the shape of the answer trafficManagerGeographicHierarchies/default.
//
//go:embed hierarchy.json
var hierarchyJSON []byte

type node struct {
	code, name string
	parent     Code
	level      Level
	children   []Code
}

type hierarchy struct {
	nodes  []node
	byCode map[string]Code // upper case
	byName map[string]Code // lower case
}

// codes is read-only after it was built.
var codes = buildHierarchy(hierarchyJSON)

// region is a node as the embedded file writes it.
type region struct {
	Code    string   `json:"code"`
	Name    string   `json:"name"`
	Regions []region `json:"regions"`
}

// buildHierarchy numbers the tree. A tree that cannot be read is the world alone; a test proves that ours can.
func buildHierarchy(text []byte) *hierarchy {
	var file struct {
		Properties struct {
			Hierarchy region `json:"geographicHierarchy"`
		} `json:"properties"`
	}
	root := region{Code: "WORLD", Name: "World"}
	if json.Unmarshal(text, &file) == nil && file.Properties.Hierarchy.Code == root.Code {
		root = file.Properties.Hierarchy
	}
	h := &hierarchy{byCode: map[string]Code{}, byName: map[string]Code{}}
	h.add(&root, World, LevelWorld)
	return h
}

func (h *hierarchy) add(r *region, parent Code, l Level) Code {
	c := Code(len(h.nodes)) //nolint:gosec // G115: a test counts the nodes
	h.nodes = append(h.nodes, node{code: r.Code, name: r.Name, parent: parent, level: l})
	h.byCode[r.Code] = c
	// Georgia is a country and a state, Antarctica a group and a country: a name means the less specific one.
	name := strings.ToLower(r.Name)
	if other, taken := h.byName[name]; !taken || h.nodes[other].level > l {
		h.byName[name] = c
	}
	for i := range r.Regions {
		child := h.add(&r.Regions[i], c, l+1)
		h.nodes[c].children = append(h.nodes[c].children, child)
	}
	return c
}

// node is nil for a number that is no code.
func (c Code) node() *node {
	if int(c) >= len(codes.nodes) {
		return nil
	}
	return &codes.nodes[c]
}

// ParseCode reads a code as configurations and APIs write it: WORLD, GEO-EU, DE, US-CA, CA-QC, AU-NSW, UA-CR.
// The case of the letters does not matter.
func ParseCode(s string) (Code, bool) {
	c, ok := codes.byCode[s]
	if !ok {
		c, ok = codes.byCode[strings.ToUpper(s)]
	}
	return c, ok
}

// ByName finds a code by its display name, whatever the case: Europe is GEO-EU, Germany is DE. Where two codes share a
// name, it is the less specific one: Georgia is the country GE, Antarctica the group GEO-AN.
func ByName(display string) (Code, bool) {
	c, ok := codes.byName[strings.ToLower(display)]
	return c, ok
}

// Codes lists all codes, a parent before its children, in the order of the hierarchy.
func Codes() []Code {
	out := make([]Code, len(codes.nodes))
	for i := range out {
		out[i] = Code(i)
	}
	return out
}

// String is the code as it is written everywhere, in upper case.
func (c Code) String() string {
	if n := c.node(); n != nil {
		return n.code
	}
	return fmt.Sprintf("Code(%d)", uint16(c))
}

// Name is the display name: Germany, Korea, Congo (DRC).
func (c Code) Name() string {
	if n := c.node(); n != nil {
		return n.name
	}
	return c.String()
}

// Level says whether c is the world, a group, a country or a state.
func (c Code) Level() Level {
	if n := c.node(); n != nil {
		return n.level
	}
	return LevelWorld
}

// Parent is the next less specific code: US-CA, US, GEO-NA, WORLD. The world has none.
func (c Code) Parent() (Code, bool) {
	n := c.node()
	if n == nil || c == World {
		return World, false
	}
	return n.parent, true
}

// Children lists the next more specific codes in the order of the hierarchy. The slice is the caller's.
func (c Code) Children() []Code {
	if n := c.node(); n != nil {
		return append([]Code(nil), n.children...)
	}
	return nil
}

// Contains tells whether d is c or lies in it.
func (c Code) Contains(d Code) bool {
	for {
		if c == d {
			return true
		}
		up, ok := d.Parent()
		if !ok {
			return false
		}
		d = up
	}
}

// MarshalText writes the code as String does.
func (c Code) MarshalText() ([]byte, error) {
	if c.node() == nil {
		return nil, fmt.Errorf("geo: %d is no code of the geographic hierarchy; allowed are 0 to %d", uint16(c), NumCodes-1)
	}
	return []byte(c.String()), nil
}

// UnmarshalText reads a code as ParseCode does.
func (c *Code) UnmarshalText(text []byte) error {
	got, ok := ParseCode(string(text))
	if !ok {
		return fmt.Errorf("geo: %.40q is no code of the geographic hierarchy; allowed are WORLD, groups such as GEO-EU, "+
			"countries such as DE, and states such as US-CA", text)
	}
	*c = got
	return nil
}

// renamed are the places for which ISO 3166-2, as location databases use it, has another code than the hierarchy.
var renamed = map[string]string{
	"UA-43": "UA-CR", // Autonomous Republic of Crimea
	"SJ-21": "SJ",    // Svalbard
	"SJ-22": "XJ",    // Jan Mayen
	"NO-21": "SJ",    // the same two as subdivisions of Norway
	"NO-22": "XJ",
	"SJ-SJ": "SJ",
	"SJ-XJ": "XJ",
	"BQ-BO": "BQ", // Bonaire
	"BQ-SA": "XS", // Saba
	"BQ-SE": "XE", // Sint Eustatius
}

// FromISO is the most specific code for what a location database says: an ISO 3166-1 alpha-2 country and the second
// half of the ISO 3166-2 code of its first subdivision ("CA" of US-CA; "" when there is none). A subdivision that the
// hierarchy does not know gives the country; a country it does not know gives World and false.
func FromISO(country, subdivision string) (Code, bool) {
	country, subdivision = strings.ToUpper(country), strings.ToUpper(subdivision)
	if subdivision != "" {
		full := country + "-" + subdivision
		if to, ok := renamed[full]; ok {
			full = to
		}
		// Only a country has subdivisions: GEO and EU are no country and subdivision.
		if c, ok := codes.byCode[full]; ok && c.Level() >= LevelCountry {
			return c, true
		}
	}
	c, ok := codes.byCode[country]
	if !ok || c.Level() != LevelCountry {
		return World, false
	}
	return c, true
}
