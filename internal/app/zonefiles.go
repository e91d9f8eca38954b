package app

import (
	"fmt"
	"io"
	"os"
	"path/filepath"

	"jurymast/internal/profile"
)

// maxZoneFile bounds what is read of one file, in bytes: more than a zone may have, so that it is refused by its size.
const maxZoneFile = 2 << 20

// InlineZoneFiles reads the zone files that a configuration file names, relative to it, and what they include.
func InlineZoneFiles(f *profile.File, config string) error {
	beside := func(name string) string {
		if filepath.IsAbs(name) {
			return name
		}
		return filepath.Join(filepath.Dir(config), name)
	}
	return f.InlineZoneFiles(
		func(name string) ([]byte, error) { return os.ReadFile(beside(name)) },
		func(zone, name string) ([]byte, error) { return readBelow(filepath.Dir(beside(zone)), name) },
	)
}

// readBelow reads a file of a folder. A name or link that leads out of the folder is refused by the operating system's
// own walk, and so is everything but a file: a pipe would be waited for.
func readBelow(folder, name string) ([]byte, error) {
	root, err := os.OpenRoot(folder)
	if err != nil {
		return nil, err
	}
	defer func() { _ = root.Close() }() // nothing was written
	name = filepath.FromSlash(name)
	info, err := root.Stat(name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is no file", name)
	}
	file, err := root.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }() // nothing was written
	return io.ReadAll(io.LimitReader(file, maxZoneFile))
}
