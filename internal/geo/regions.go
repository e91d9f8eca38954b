package geo

import (
	_ "embed" // the regions are part of the program
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// Region is a place where endpoints stand.
type Region struct {
	ID, Name string
	Position Position
}

// regionsCSV lists the regions. Names are from the public region lists of Microsoft Azure, Amazon Web Services and Google
// Cloud; the plain ones are ours. Positions are those of the city or area each list names, rounded, and good to some
// fifty km: they order regions by distance, they locate no building.
//
//go:embed regions.csv
var regionsCSV string

type regionTable struct {
	list  []Region
	exact map[string]int    // regionKey of id and name -> index in list
	loose map[string]string // the same without the hyphens before digits -> regionKey
}

// regions is read-only after it was built.
var regions = buildRegions(regionsCSV)

func buildRegions(text string) *regionTable {
	t := &regionTable{exact: map[string]int{}, loose: map[string]string{}}
	for line := range strings.Lines(text) {
		f := strings.Split(strings.TrimSpace(line), ",")
		if strings.HasPrefix(line, "#") || len(f) != 4 {
			continue
		}
		lat, err1 := strconv.ParseFloat(f[2], 64)
		lon, err2 := strconv.ParseFloat(f[3], 64)
		if err1 != nil || err2 != nil {
			continue // a test counts the lines
		}
		t.list = append(t.list, Region{ID: f[0], Name: f[1], Position: Position{Lat: lat, Lon: lon}})
		for _, name := range f[:2] {
			key := regionKey(name)
			if _, taken := t.exact[key]; !taken {
				t.exact[key] = len(t.list) - 1
			}
		}
	}
	for _, r := range t.list {
		for _, name := range []string{r.ID, r.Name} {
			if key := regionKey(name); t.loose[withoutHyphens(key)] == "" {
				t.loose[withoutHyphens(key)] = key
			}
		}
	}
	return t
}

// regionKey drops case, blanks and hyphens, save for a hyphen before a digit: us-east-1 of one cloud is in Virginia,
// us-east1 of another in South Carolina.
func regionKey(name string) string {
	var b strings.Builder
	name = strings.ToLower(name)
	for i, r := range name {
		switch {
		case r == '-' && i+1 < len(name) && name[i+1] >= '0' && name[i+1] <= '9':
			b.WriteByte('-')
		case r == '-' || r == '_' || unicode.IsSpace(r):
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

func withoutHyphens(key string) string { return strings.ReplaceAll(key, "-", "") }

// Canonical is the one form in which names of regions are compared: the same for "North Europe" and "northeurope", and
// for "eu-central" and "EU Central". It may be called on its own result. It allocates: call it when something is built.
func Canonical(name string) string {
	key := regionKey(name)
	if _, ok := regions.exact[key]; ok {
		return key
	}
	bare := withoutHyphens(key)
	if known := regions.loose[bare]; known != "" {
		return known
	}
	return bare
}

// FindRegion finds a region of the built-in table by its id or display name; case, blanks and hyphens do not matter.
// "global" is no region.
func FindRegion(name string) (Region, bool) {
	i, ok := regions.exact[Canonical(name)]
	if !ok {
		return Region{}, false
	}
	return regions.list[i], true
}

// AllRegions lists the built-in table. The slice is the caller's.
func AllRegions() []Region { return slices.Clone(regions.list) }
