package app_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"jurymast/internal/app"
	"jurymast/internal/nameserver"
	"jurymast/internal/profile"
)

// tree writes files below a new folder.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func inlined(t *testing.T, dir string) (*profile.File, error) {
	t.Helper()
	config := filepath.Join(dir, "j.yaml")
	f, err := profile.DecodeFile(config, []byte("zones: [{name: x.example, file: zones/x.zone, nameservers: [ns1.x.example]}]\n"))
	if err != nil {
		t.Fatal(err)
	}
	return f, app.InlineZoneFiles(f, config)
}

func TestIncludedFiles(t *testing.T) {
	dir := tree(t, map[string]string{"zones/x.zone": "$INCLUDE sub/hosts\n$INCLUDE link b\n", "zones/sub/hosts": "a A 192.0.2.1\nc A 1.2.3\n"})
	if err := os.Symlink(filepath.Join("sub", "hosts"), filepath.Join(dir, "zones", "link")); err != nil {
		t.Skip("no links here: ", err)
	}
	f, err := inlined(t, dir)
	if err != nil {
		t.Fatal(err)
	}
	if want := "a A 192.0.2.1\nc A 1.2.3\n$ORIGIN x.example.\n$ORIGIN b.x.example.\na A 192.0.2.1\nc A 1.2.3\n$ORIGIN x.example.\n"; f.Zones[0].Records != want {
		t.Errorf("records are %q", f.Zones[0].Records)
	}
	problems := nameserver.Problems(f)
	if len(problems) != 2 || problems[0].File != filepath.Join(dir, "zones/sub/hosts") || problems[0].Line != 2 || problems[0].Column != 5 || problems[1].File != filepath.Join(dir, "zones/link") {
		t.Errorf("found\n%v", problems)
	}
}

// Nothing outside the folder of the zone's file is read, however it is named, and nothing that is no file.
func TestIncludeStaysInside(t *testing.T) {
	for name, made := range map[string]func(dir string) error{
		"link to a file": func(dir string) error {
			return os.Symlink(filepath.Join(dir, "secret"), filepath.Join(dir, "zones", "bad"))
		},
		"relative link":       func(dir string) error { return os.Symlink("../secret", filepath.Join(dir, "zones", "bad")) },
		"link over two steps": func(dir string) error { return two(filepath.Join(dir, "zones")) },
		"folder":              func(dir string) error { return os.Mkdir(filepath.Join(dir, "zones", "bad"), 0o750) },
	} {
		dir := tree(t, map[string]string{"zones/x.zone": "$INCLUDE bad\n", "secret": "a TXT secret\n"})
		if err := made(dir); err != nil {
			t.Skip("no links here: ", err)
		}
		f, err := inlined(t, dir)
		if err == nil || strings.Contains(err.Error(), "TXT") || strings.Contains(err.Error(), "statat") || !strings.Contains(err.Error(), `zones/x.zone:1:10: zones[0].file: cannot include "bad"`) || f.Zones[0].Records != "" {
			t.Errorf("%s: %v, records %q", name, err, f.Zones[0].Records)
		}
	}
}

func two(zones string) error {
	if err := os.Symlink("..", filepath.Join(zones, "up")); err != nil {
		return err
	}
	return os.Symlink("up/secret", filepath.Join(zones, "bad"))
}
