package geo_test

import (
	"encoding/json"
	"errors"
	"io/fs"
	"math"
	"os"
	"strings"
	"testing"

	"jurymast/internal/geo"
)

func TestHierarchyIsThePublishedOne(t *testing.T) {
	ours, err := os.ReadFile("hierarchy.json")
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := os.ReadFile("../../../shared/data/geo/geographic-hierarchy.json")
	if errors.Is(err, fs.ErrNotExist) {
		t.Skip("the published copy is not beside this repository")
	}
	if err != nil {
		t.Fatal(err)
	}
	if string(ours) != string(theirs) {
		t.Error("hierarchy.json differs from the published copy")
	}
}

// TestHierarchyHolds333Codes compares the tree of Code with a second, plain reading of the file.
func TestHierarchyHolds333Codes(t *testing.T) {
	text, err := os.ReadFile("hierarchy.json")
	if err != nil {
		t.Fatal(err)
	}
	type node struct {
		Code, Name string
		Regions    []node
	}
	var file struct {
		Properties struct{ GeographicHierarchy node }
	}
	if err := json.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	count := 0
	var walk func(n node, parent string, depth geo.Level)
	walk = func(n node, parent string, depth geo.Level) {
		count++
		c, ok := geo.ParseCode(n.Code)
		if !ok || c.String() != n.Code || c.Name() != n.Name || c.Level() != depth {
			t.Errorf("%s: got %v %s %q %v", n.Code, ok, c, c.Name(), c.Level())
		}
		up, has := c.Parent()
		if has != (parent != "") || (has && up.String() != parent) {
			t.Errorf("%s: parent %s %v, want %q", n.Code, up, has, parent)
		}
		if got := c.Children(); len(got) != len(n.Regions) {
			t.Errorf("%s: %d children, want %d", n.Code, len(got), len(n.Regions))
		}
		for _, k := range n.Regions {
			walk(k, n.Code, depth+1)
		}
	}
	walk(file.Properties.GeographicHierarchy, "", geo.LevelWorld)
	if count != geo.NumCodes || len(geo.Codes()) != geo.NumCodes {
		t.Errorf("%d codes in the file, %d in Codes, want %d", count, len(geo.Codes()), geo.NumCodes)
	}
}

func TestGroupsHaveTheirSizes(t *testing.T) {
	for code, want := range map[string]int{
		"WORLD": 8, "GEO-EU": 54, "GEO-ME": 15, "GEO-NA": 44, "GEO-AS": 38, "GEO-AF": 58, "GEO-AN": 1, "GEO-SA": 15, "GEO-AP": 26,
		"US": 51, "CA": 13, "AU": 8, "UA": 1, "DE": 0,
	} {
		if c, _ := geo.ParseCode(code); len(c.Children()) != want {
			t.Errorf("%s has %d children, want %d", code, len(c.Children()), want)
		}
	}
}

func TestParseCodeClimbs(t *testing.T) {
	for _, c := range []struct{ in, chain string }{
		{"world", "WORLD"},
		{"Geo-eu", "GEO-EU WORLD"},
		{"de", "DE GEO-EU WORLD"},
		{"US-ca", "US-CA US GEO-NA WORLD"},
		{"CA-QC", "CA-QC CA GEO-NA WORLD"},
		{"AU-NSW", "AU-NSW AU GEO-AP WORLD"},
		{"UA-CR", "UA-CR UA GEO-EU WORLD"},
		{"XE", "XE GEO-NA WORLD"},
	} {
		code, ok := geo.ParseCode(c.in)
		chain := []string{code.String()}
		for up, more := code.Parent(); more; up, more = up.Parent() {
			chain = append(chain, up.String())
			if !up.Contains(code) || code.Contains(up) {
				t.Errorf("%s and %s: one contains the other, not this way", up, code)
			}
		}
		if got := strings.Join(chain, " "); !ok || got != c.chain {
			t.Errorf("%s: %v %s, want %s", c.in, ok, got, c.chain)
		}
	}
	for _, in := range []string{"", "ZZ", "DE-BY", "GEO-XX", "US_CA", " DE"} {
		if c, ok := geo.ParseCode(in); ok {
			t.Errorf("%q was read as %s", in, c)
		}
	}
	if _, ok := geo.Code(geo.NumCodes).Parent(); ok || geo.Code(9999).String() != "Code(9999)" || geo.Code(9999).Children() != nil {
		t.Error("a number that is no code has a place in the tree")
	}
}

func TestByName(t *testing.T) {
	for name, want := range map[string]string{
		"World": "WORLD", "Europe": "GEO-EU", "Germany": "DE", "united kingdom": "GB", "Georgia": "GE", "Antarctica": "GEO-AN",
		"Korea": "KR", "Congo (DRC)": "CD", "Palestinian Authority": "PS", "Québec": "CA-QC", "Region of Crimea": "UA-CR",
	} {
		if c, ok := geo.ByName(name); !ok || c.String() != want {
			t.Errorf("%s: %s %v, want %s", name, c, ok, want)
		}
	}
	if _, ok := geo.ByName("Atlantis"); ok {
		t.Error("Atlantis was found")
	}
	for _, c := range geo.Codes() {
		got, ok := geo.ByName(c.Name())
		if !ok || (got != c && got.Level() >= c.Level()) {
			t.Errorf("%s %q is found as %s", c, c.Name(), got)
		}
	}
}

func TestFromISO(t *testing.T) {
	for _, c := range []struct{ country, sub, want string }{
		{"DE", "", "DE"},
		{"de", "by", "DE"},
		{"US", "CA", "US-CA"},
		{"US", "ZZ", "US"},
		{"US", "", "US"},
		{"CA", "QC", "CA-QC"},
		{"AU", "NSW", "AU-NSW"},
		{"UA", "43", "UA-CR"},
		{"UA", "30", "UA"},
		{"BQ", "", "BQ"},
		{"BQ", "BO", "BQ"},
		{"BQ", "SE", "XE"},
		{"BQ", "SA", "XS"},
		{"SJ", "", "SJ"},
		{"SJ", "22", "XJ"},
		{"NO", "22", "XJ"},
		{"NO", "21", "SJ"},
		{"NO", "03", "NO"},
		{"XK", "", "XK"},
		{"PR", "", "PR"},
		{"GEO", "EU", ""},
		{"WORLD", "", ""},
		{"US-CA", "", ""},
		{"ZZ", "CA", ""},
		{"EU", "", ""},
		{"", "", ""},
	} {
		got, ok := geo.FromISO(c.country, c.sub)
		if ok != (c.want != "") || (ok && got.String() != c.want) || (!ok && got != geo.World) {
			t.Errorf("%s %s: %s %v, want %q", c.country, c.sub, got, ok, c.want)
		}
	}
}

func TestCodeIsText(t *testing.T) {
	de, _ := geo.ParseCode("DE")
	text, err := json.Marshal(map[string]geo.Code{"code": de})
	if err != nil || string(text) != `{"code":"DE"}` {
		t.Errorf("%s %v", text, err)
	}
	var back map[string]geo.Code
	if err := json.Unmarshal(text, &back); err != nil || back["code"] != de {
		t.Errorf("%v %v", back, err)
	}
	if err := json.Unmarshal([]byte(`{"code":"ZZ"}`), &back); err == nil || !strings.Contains(err.Error(), "GEO-EU") {
		t.Errorf("ZZ: %v", err)
	}
	if _, err := json.Marshal(geo.Code(4000)); err == nil {
		t.Error("4000 was written")
	}
}

func TestDistance(t *testing.T) {
	at := func(name string) geo.Position {
		r, ok := geo.FindRegion(name)
		if !ok {
			t.Fatalf("%s is missing", name)
		}
		return r.Position
	}
	for _, c := range []struct {
		a, b string
		km   float64
	}{
		{"eu-central-1", "eu-west-3", 478},      // Frankfurt - Paris
		{"eu-central-1", "us-west", 9155},       // Frankfurt - San Francisco
		{"ap-northeast-1", "us-west", 8275},     // Tokyo - San Francisco, over the date line
		{"ap-southeast-2", "af-south-1", 11010}, // Sydney - Cape Town
		{"eu-central", "germanywestcentral", 0},
	} {
		got := geo.Distance(at(c.a), at(c.b))
		if math.Abs(got-c.km) > c.km*0.01+1 || got != geo.Distance(at(c.b), at(c.a)) {
			t.Errorf("%s - %s: %.0f km, want %.0f", c.a, c.b, got, c.km)
		}
	}
	if got := geo.Distance(geo.Position{Lat: 90}, geo.Position{Lat: -90, Lon: 77}); math.Abs(got-20015) > 1 {
		t.Errorf("pole to pole: %f", got)
	}
}

func TestFindRegion(t *testing.T) {
	for in, want := range map[string]string{
		"North Europe": "northeurope", "northeurope": "northeurope", "NORTH-EUROPE": "northeurope",
		"West US 2": "westus2", "west-us-2": "westus2",
		"eu-central-1": "eu-central-1", "EU Central 1": "eu-central-1", "Europe (Frankfurt)": "eu-central-1",
		"europe-west3": "europe-west3", "Europe West3": "europe-west3",
		"eu-central": "eu-central", "EU Central": "eu-central", " eucentral ": "eu-central", "eu_central": "eu-central",
		"us-east-1": "us-east-1", "us-east1": "us-east1", "us-west-2": "us-west-2", "us-west2": "us-west2", // two clouds
		"me-central-1": "me-central-1", "me-central1": "me-central1",
		"eu-west": "eu-west", "eu-north": "eu-north", "eu-south": "eu-south", "us-east": "us-east", "us-west": "us-west",
		"us-central": "us-central", "ap-southeast": "ap-southeast", "ap-northeast": "ap-northeast", "ap-south": "ap-south",
		"sa-east": "sa-east", "af-south": "af-south", "me-central": "me-central", "au-east": "au-east",
	} {
		r, ok := geo.FindRegion(in)
		if !ok || r.ID != want {
			t.Errorf("%q: %q %v, want %q", in, r.ID, ok, want)
		}
	}
	for _, in := range []string{"", "global", "Global", "basement", "-", "eu"} {
		if r, ok := geo.FindRegion(in); ok {
			t.Errorf("%q was found as %s", in, r.ID)
		}
	}
}

func TestRegionsAreWellFormed(t *testing.T) {
	text, err := os.ReadFile("regions.csv")
	if err != nil {
		t.Fatal(err)
	}
	lines := 0
	for line := range strings.Lines(string(text)) {
		if !strings.HasPrefix(line, "#") {
			lines++
		}
	}
	all := geo.AllRegions()
	if len(all) != lines {
		t.Errorf("%d regions of %d lines were read", len(all), lines)
	}
	for _, r := range all {
		got, ok := geo.FindRegion(r.ID)
		if !ok || geo.Distance(got.Position, r.Position) > 100 {
			t.Errorf("%s is found as %+v", r.ID, got)
		}
		if !r.Position.Valid() || r.Position == (geo.Position{}) || r.Name == "" {
			t.Errorf("%s: %+v", r.ID, r)
		}
		if c := geo.Canonical(r.ID); geo.Canonical(c) != c {
			t.Errorf("%s: canonical form %s is not stable", r.ID, c)
		}
	}
}

func TestCanonical(t *testing.T) {
	for a, b := range map[string]string{"North Europe": "northeurope", "DC-1": "dc 1", "rack_7": "Rack-7", "eu-central": "EU Central", "us east 1": "us-east1"} {
		if geo.Canonical(a) != geo.Canonical(b) {
			t.Errorf("%s is %s, %s is %s", a, geo.Canonical(a), b, geo.Canonical(b))
		}
	}
	if geo.Canonical("us-east-1") == geo.Canonical("us-east1") || geo.Canonical("dc-1") == geo.Canonical("dc-2") {
		t.Error("two regions are one")
	}
}
