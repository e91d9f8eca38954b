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
	return inlineZoneFiles(f, config, sources{})
}

// inlineZoneFiles is InlineZoneFiles, and notes what was read.
func inlineZoneFiles(f *profile.File, config string, read sources) error {
	beside := func(name string) string {
		if filepath.IsAbs(name) {
			return name
		}
		return filepath.Join(filepath.Dir(config), name)
	}
	return f.InlineZoneFiles(
		func(name string) ([]byte, error) {
			text, err := os.ReadFile(beside(name))
			read[beside(name)] = digest(text, err)
			return text, whereLooked(err, filepath.Dir(beside(name)))
		},
		func(zone, name string) ([]byte, error) {
			folder := filepath.Dir(beside(zone))
			text, err := readBelow(folder, name)
			read[filepath.Join(folder, filepath.FromSlash(name))] = digest(text, err)
			return text, whereLooked(err, folder)
		},
	)
}

// whereLooked adds to the error of a file that could not be read the folder that it was looked for in.
func whereLooked(err error, folder string) error {
	full, unknown := filepath.Abs(folder)
	if err == nil || unknown != nil {
		return err
	}
	return fmt.Errorf("%w (looked for in %s)", err, full)
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
