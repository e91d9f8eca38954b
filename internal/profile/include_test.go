package profile

import (
	"errors"
	"fmt"
	"os"
	"path"
	"strings"
	"testing"
)

// included decodes a file with one zone and inlines it from files by name, below the folder zones.
func included(t *testing.T, files map[string]string) (*File, error) {
	t.Helper()
	f, err := DecodeFile("etc/j.yaml", []byte("zones:\n  - name: x.example\n    file: zones/x.zone\n    nameservers: [ns1.x.example]\n"))
	if err != nil {
		t.Fatal(err)
	}
	return f, f.InlineZoneFiles(
		func(name string) ([]byte, error) { return []byte(files[path.Base(name)]), nil },
		func(zone, name string) ([]byte, error) {
			if zone != "zones/x.zone" || path.Clean(name) != name || path.IsAbs(name) || strings.HasPrefix(name, "..") {
				t.Errorf("asked for %q of %q", name, zone)
			}
			if text, ok := files[name]; ok {
				return []byte(text), nil
			}
			return nil, os.ErrNotExist
		})
}

func TestInclude(t *testing.T) {
	t.Parallel()
	f, err := included(t, map[string]string{
		"x.zone": "$TTL 300\nwww A 192.0.2.1\n" +
			"$INCLUDE hosts.zone          ; plain\n" +
			"$include \"sub/my file.zone\" sub.here\n" +
			"txt TXT ( \"a\n$INCLUDE no.zone\"\n$INCLUDE no.zone\n )\n" +
			"$ORIGIN deep\n" +
			"$INCLUDE ./hosts.zone abs.x.example.\n" +
			"last A 192.0.2.9",
		"hosts.zone":       "a A 192.0.2.2\n$ORIGIN b\n  ; nothing\n\n@ A 192.0.2.3",
		"sub/my file.zone": "@ A 192.0.2.4\n    AAAA 2001:db8::4\n$INCLUDE hosts.zone\n",
	})
	if err != nil {
		t.Fatal(err)
	}
	hosts := "a A 192.0.2.2\n$ORIGIN b\n  ; nothing\n\n@ A 192.0.2.3\n"
	want := "$TTL 300\nwww A 192.0.2.1\n" + hosts + "$ORIGIN x.example.\n" +
		"$ORIGIN sub.here.x.example.\n@ A 192.0.2.4\n    AAAA 2001:db8::4\n" + hosts + "$ORIGIN sub.here.x.example.\n$ORIGIN x.example.\n" +
		"txt TXT ( \"a\n$INCLUDE no.zone\"\n$INCLUDE no.zone\n )\n" +
		"$ORIGIN deep\n$ORIGIN abs.x.example.\n" + hosts + "$ORIGIN deep.x.example.\nlast A 192.0.2.9\n"
	if got := f.Zones[0].Records; got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if strings.Contains(string(f.Documents[0].Source), ".zone\\n") && !strings.Contains(string(f.Documents[0].Source), "no.zone") {
		t.Errorf("the document names a file: %s", f.Documents[0].Source)
	}
	lines := strings.Split(want, "\n")
	for i, at := range []string{
		"x.zone:1", "x.zone:2", "hosts.zone:1", "hosts.zone:2", "hosts.zone:3", "hosts.zone:4", "hosts.zone:5", "x.zone:3",
		"x.zone:4", "sub/my file.zone:1", "sub/my file.zone:2", "hosts.zone:1", "hosts.zone:2", "hosts.zone:3", "hosts.zone:4", "hosts.zone:5", "sub/my file.zone:3", "x.zone:4",
		"x.zone:5", "x.zone:6", "x.zone:7", "x.zone:8", "x.zone:9", "x.zone:10", "hosts.zone:1",
	} {
		if p := f.RecordProblem(SeverityError, 0, i+1, 3, "m"); fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Column) != "etc/zones/"+at+":3" {
			t.Errorf("line %d (%s) is said to stand in %s:%d:%d, not %s", i+1, lines[i], p.File, p.Line, p.Column, at)
		}
	}
	if p := f.RecordProblem(SeverityError, 0, len(lines)-1, 0, "m"); p.File != "etc/zones/x.zone" || p.Line != 11 || p.Column != 1 {
		t.Errorf("the last line stands in %s:%d:%d", p.File, p.Line, p.Column)
	}
}

// The same text with and without its parts in other files gives the same records; nothing else than the place of a
// record may depend on where it stands.
func TestIncludeNothing(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"$INCLUDE empty\na A 192.0.2.1\n":   "$ORIGIN x.example.\na A 192.0.2.1\n",
		"; $INCLUDE empty\n":                "; $INCLUDE empty\n",
		"a TXT \"x\" ; $INCLUDE empty\n":    "a TXT \"x\" ; $INCLUDE empty\n",
		"$INCLUDE empty . ; all names\n":    "$ORIGIN .\n$ORIGIN x.example.\n",
		"$INCLUDE empty @\n":                "$ORIGIN x.example.\n",
		"$ORIGIN .\n$INCLUDE empty b.c\n":   "$ORIGIN .\n$ORIGIN b.c.\n$ORIGIN .\n",
		"$INCLUDE empty a\\.\n":             "$ORIGIN a\\..x.example.\n$ORIGIN x.example.\n",
		"$INCLUDE empty;x\n":                "$ORIGIN x.example.\n",
		"$INCLUDED empty\n":                 "$INCLUDED empty\n",
		"a TXT \"\\\"\" (\n$INCLUDE b\n)\n": "a TXT \"\\\"\" (\n$INCLUDE b\n)\n",
	} {
		f, err := included(t, map[string]string{"x.zone": text, "empty": ""})
		if err != nil || f.Zones[0].Records != want {
			t.Errorf("%q: %q, %v; want %q", text, f.Zones[0].Records, err, want)
		}
	}
}

func TestIncludeRefused(t *testing.T) {
	t.Parallel()
	deep := map[string]string{"x.zone": "$INCLUDE 0\n"}
	for i := range 20 {
		deep[fmt.Sprint(i)] = fmt.Sprintf("\n$INCLUDE %d\n", i+1)
	}
	for name, c := range map[string]struct {
		files map[string]string
		want  string
	}{
		"missing":   {map[string]string{"x.zone": "a A 192.0.2.1\n$INCLUDE no\n"}, `etc/zones/x.zone:2:10: zones[0].file: cannot include "no": file does not exist; name a readable file in the folder of the zone's file or below it; no link may lead out of there`},
		"absolute":  {map[string]string{"x.zone": "$INCLUDE /etc/passwd\n"}, `etc/zones/x.zone:1:10: zones[0].file: "/etc/passwd" lies outside the folder of the zone's file; write a name relative to that folder, without ..`},
		"above":     {map[string]string{"x.zone": "$INCLUDE a/../../b\n"}, `etc/zones/x.zone:1:10: zones[0].file: "a/../../b" lies outside the folder of the zone's file; write a name relative to that folder, without ..`},
		"no name":   {map[string]string{"x.zone": "$INCLUDE\n"}, `etc/zones/x.zone:1:9: zones[0].file: $INCLUDE names no file; write $INCLUDE FILE, or $INCLUDE FILE ORIGIN`},
		"comment":   {map[string]string{"x.zone": "$INCLUDE ; a\n"}, `etc/zones/x.zone:1:10: zones[0].file: $INCLUDE names no file; write $INCLUDE FILE, or $INCLUDE FILE ORIGIN`},
		"too much":  {map[string]string{"x.zone": "$INCLUDE a b c\n"}, `etc/zones/x.zone:1:10: zones[0].file: $INCLUDE has more than a file and an origin; write $INCLUDE FILE ORIGIN, and a name with blanks in quotes`},
		"itself":    {map[string]string{"x.zone": "$INCLUDE x.zone\n"}, `etc/zones/x.zone:1:10: zones[0].file: x.zone includes itself; remove one of the directives`},
		"loop":      {map[string]string{"x.zone": "$INCLUDE a\n", "a": "b A 192.0.2.1\n$INCLUDE ./b\n", "b": "\n$INCLUDE a\n"}, `etc/zones/b:2:10: zones[0].file: a includes itself; remove one of the directives`},
		"too deep":  {deep, `etc/zones/7:2:10: zones[0].file: files include files more than 8 deep; allowed: 8`},
		"no text":   {map[string]string{"x.zone": "$INCLUDE a\n", "a": "x\n\x01"}, `etc/zones/a:2:1: zones[0].file: is not text; allowed: UTF-8 without control characters`},
		"no owner":  {map[string]string{"x.zone": "www A 192.0.2.1\n$INCLUDE a\n", "a": "; x\n  A 192.0.2.1\n"}, `etc/zones/a:2:3: zones[0].file: this record has no name, and the one above it stands in another file; write the name, or @`},
		"no owner2": {map[string]string{"x.zone": "www A 192.0.2.1\n$INCLUDE a\n  A 192.0.2.2\n", "a": ""}, `etc/zones/x.zone:3:3: zones[0].file: this record has no name, and the one above it stands in another file; write the name, or @`},
		"open":      {map[string]string{"x.zone": "$INCLUDE a\n", "a": "x TXT ( \"a\"\n"}, `etc/zones/a:1:1: zones[0].file: a quote or bracket is still open at the end of this file; write the closing one`},
		"huge":      {map[string]string{"x.zone": strings.Repeat("$INCLUDE a\n", 20), "a": strings.Repeat("; "+strings.Repeat("x", 97)+"\n", 1000)}, `etc/j.yaml:3:11: zones[0].file: zones/x.zone has more than 1048576 bytes with what it includes, which is all one zone may have; split the zone`},
		"many":      {map[string]string{"x.zone": strings.Repeat("$INCLUDE a\n", 1002), "a": ""}, `etc/zones/x.zone:1001:10: zones[0].file: more than 1000 files are included; allowed: 1000`},
		"several": {map[string]string{"x.zone": "$INCLUDE a\n$INCLUDE no\n", "a": "$INCLUDE ../b\n"}, `etc/zones/a:1:10: zones[0].file: "../b" lies outside the folder of the zone's file; write a name relative to that folder, without ..
etc/zones/x.zone:2:10: zones[0].file: cannot include "no": file does not exist; name a readable file in the folder of the zone's file or below it; no link may lead out of there`},
	} {
		f, err := included(t, c.files)
		if err == nil || err.Error() != c.want {
			t.Errorf("%s:\ngot  %v\nwant %s", name, err, c.want)
		}
		if _, ok := errors.AsType[Problems](err); !ok || f.Zones[0].Records != "" {
			t.Errorf("%s: %T, records %q", name, err, f.Zones[0].Records)
		}
	}
}

// What includes files may not grow without end while it is read.
func TestIncludeIsBounded(t *testing.T) {
	t.Parallel()
	files, reads := map[string]string{"x.zone": strings.Repeat("$INCLUDE 0\n", 10)}, 0
	for i := range 8 {
		files[fmt.Sprint(i)] = strings.Repeat(fmt.Sprintf("$INCLUDE %d\n", i+1), 10)
	}
	f, err := DecodeFile("j.yaml", []byte("zones: [{name: x.example, file: x.zone, nameservers: [ns1.x.example]}]\n"))
	if err != nil {
		t.Fatal(err)
	}
	err = f.InlineZoneFiles(func(string) ([]byte, error) { return []byte(files["x.zone"]), nil }, func(_, name string) ([]byte, error) {
		reads++
		return []byte(files[name]), nil
	})
	if err == nil || reads > maxIncludes {
		t.Errorf("%d files read, %v", reads, err)
	}
}
