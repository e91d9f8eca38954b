package profile

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"sort"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// TestGood decodes every file of testdata/good and compares the whole value, the documents and the findings.
func TestGood(t *testing.T) {
	t.Parallel()
	for _, file := range inputs(t, "good") {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			f, err := DecodeFile(filepath.Base(file), contents(t, file))
			if err != nil {
				t.Fatalf("refused:\n%v", err)
			}
			golden(t, file, describe(f))
			again(t, f)
		})
	}
}

// again decodes every document of a file by itself: what comes back from the store must be what the file said.
func again(t *testing.T, f *File) {
	t.Helper()
	for i, d := range f.Documents {
		if d.Kind == KindZone {
			if f.Zones[i].File != "" {
				continue
			}
			z, err := DecodeZone(d.String(), d.Source)
			if err != nil {
				t.Fatalf("%s from the store: %v", d, err)
			}
			if !reflect.DeepEqual(*z, f.Zones[i]) {
				t.Errorf("%s differs from the file:\n%+v\n%+v", d, *z, f.Zones[i])
			}
			continue
		}
		if d.Kind == KindSafety {
			s, err := DecodeSafety(d.String(), d.Source)
			if err != nil {
				t.Fatalf("%s from the store: %v", d, err)
			}
			if want := f.Safety[i-len(f.Zones)-len(f.Profiles)]; !reflect.DeepEqual(*s, want) {
				t.Errorf("%s differs from the file:\n%+v\n%+v", d, *s, want)
			}
			continue
		}
		if d.Kind == KindTSIG {
			k, err := DecodeTSIG(d.String(), d.Source)
			if err != nil {
				t.Fatalf("%s from the store: %v", d, err)
			}
			if want := f.TSIG[i-len(f.Zones)-len(f.Profiles)-len(f.Safety)]; !reflect.DeepEqual(*k, want) {
				t.Errorf("%s differs from the file:\n%+v\n%+v", d, *k, want)
			}
			continue
		}
		p, err := DecodeProfile(d.String(), d.Source)
		if err != nil {
			t.Fatalf("%s from the store: %v", d, err)
		}
		if want := f.Profiles[i-len(f.Zones)]; !reflect.DeepEqual(*p, want) {
			t.Errorf("%s differs from the file:\n%+v\n%+v", d, *p, want)
		}
	}
}

// TestBad compares the full error text of every file in testdata/bad.
func TestBad(t *testing.T) {
	t.Parallel()
	for _, file := range inputs(t, "bad") {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			f, err := DecodeFile(filepath.Base(file), contents(t, file))
			if err == nil {
				t.Fatalf("accepted:\n%s", describe(f))
			}
			if _, ok := errors.AsType[Problems](err); !ok {
				t.Fatalf("error is %T, want Problems", err)
			}
			golden(t, file, err.Error()+"\n")
		})
	}
}

func inputs(t *testing.T, dir string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("testdata", dir, "*.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no inputs in testdata/%s: %v", dir, err)
	}
	return files
}

func contents(t *testing.T, file string) []byte {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func golden(t *testing.T, input, got string) {
	t.Helper()
	file := strings.TrimSuffix(input, ".yaml") + ".golden"
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	if want := string(contents(t, file)); got != want {
		t.Errorf("%s differs (run with -update and review the diff)\n%s", file, difference(want, got))
	}
}

// difference lists the lines that only one side has.
func difference(want, got string) string {
	w, g := strings.Split(want, "\n"), strings.Split(got, "\n")
	var b strings.Builder
	for _, line := range w {
		if !slices.Contains(g, line) {
			fmt.Fprintf(&b, "- %s\n", line)
		}
	}
	for _, line := range g {
		if !slices.Contains(w, line) {
			fmt.Fprintf(&b, "+ %s\n", line)
		}
	}
	return b.String()
}

// describe writes every value of a file as one `path = value` line, then the documents and the findings.
func describe(f *File) string {
	var b strings.Builder
	dump(&b, "", reflect.ValueOf(*f))
	for i := range f.Profiles {
		for _, s := range f.Profiles[i].Ranges {
			fmt.Fprintf(&b, "profiles[%d] range %s to %s = endpoint %d\n", i, s.From, s.To, s.Endpoint)
		}
	}
	for _, d := range f.Documents {
		fmt.Fprintf(&b, "\ndocument %s\n%s\n", d, d.Source)
	}
	for _, p := range append(NotYet(f), Warnings(f)...) {
		fmt.Fprintf(&b, "\n%s", p)
	}
	return strings.TrimRight(b.String(), "\n") + "\n"
}

func dump(b *strings.Builder, path string, v reflect.Value) {
	switch x := v.Interface().(type) {
	case time.Duration, Value, Quorum, StatusRange, AllDown, Combine, ECSPolicy, XDPPolicy:
		fmt.Fprintf(b, "%s = %v\n", path, x)
		return
	case Target:
		fmt.Fprintf(b, "%s = %+v\n", path, x)
		return
	}
	switch v.Kind() { // everything else prints itself
	case reflect.Struct:
		for i := range v.NumField() {
			key := v.Type().Field(i).Tag.Get("yaml")
			if key == inline {
				dump(b, path, v.Field(i))
			} else if key != "" && key != "-" {
				dump(b, strings.TrimPrefix(path+"."+key, "."), v.Field(i))
			}
		}
	case reflect.Pointer:
		if v.IsNil() {
			fmt.Fprintf(b, "%s = none\n", path)
			return
		}
		dump(b, path, v.Elem())
	case reflect.Slice:
		if v.Len() == 0 {
			fmt.Fprintf(b, "%s = []\n", path)
		}
		for i := range v.Len() {
			dump(b, fmt.Sprintf("%s[%d]", path, i), v.Index(i))
		}
	case reflect.Map:
		if v.Len() == 0 {
			fmt.Fprintf(b, "%s = {}\n", path)
		}
		keys := v.MapKeys()
		sort.Slice(keys, func(i, j int) bool { return keys[i].String() < keys[j].String() })
		for _, k := range keys {
			dump(b, fmt.Sprintf("%s[%s]", path, k), v.MapIndex(k))
		}
	case reflect.String:
		fmt.Fprintf(b, "%s = %q\n", path, v.String())
	default:
		fmt.Fprintf(b, "%s = %v\n", path, v.Interface())
	}
}
