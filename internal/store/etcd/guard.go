package etcd

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// markerName is the file that makes a directory ours.
const markerName = "jurymast-store.json"

// formatVersion is the only format this program opens.
const formatVersion = 1

type marker struct {
	Format    int       `json:"format"`
	CreatedBy string    `json:"created_by"`
	Created   time.Time `json:"created"`
}

// dirLock is an open data directory, locked against every other process and every other Store of this one.
type dirLock struct {
	path string // absolute, symbolic links resolved
	f    *os.File
}

// openDir locks and checks a data directory, in this order, so that a refused one is left as it was: ours or empty
// (without a lock), lock, ours or empty (again), marker, database and log.
func openDir(path, createdBy string) (*dirLock, error) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, refuse(path, "cannot be made: give a path this user may write to", err)
	}
	full, err := filepath.EvalSymlinks(path)
	if err == nil {
		full, err = filepath.Abs(full)
	}
	if err != nil {
		return nil, refuse(path, "cannot be resolved", err)
	}
	if _, err := readMarker(full); err != nil {
		return nil, err
	}
	d, err := lockDir(full)
	if err != nil {
		return nil, err
	}
	if err := d.prepare(createdBy); err != nil {
		d.unlock()
		return nil, err
	}
	return d, nil
}

func (d *dirLock) prepare(createdBy string) error {
	m, err := readMarker(d.path)
	if err != nil {
		return err
	}
	if m == nil {
		return writeMarker(d.path, marker{Format: formatVersion, CreatedBy: createdBy, Created: time.Now().UTC()})
	}
	return verify(d.path)
}

func (d *dirLock) unlock() { _ = d.f.Close() } // closing releases the flock

// lockDir takes the lock on the directory itself: no file has to be made for it, and it ends with the process.
func lockDir(path string) (*dirLock, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, refuse(path, "cannot be opened: check its permissions", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, refuse(path, "is in use by another jurymast: stop that one, or give each its own data directory", err)
		}
		return nil, refuse(path, "cannot be locked: the file system must know flock (local disks do)", err)
	}
	return &dirLock{path: path, f: f}, nil
}

// readMarker returns nil for an empty directory, and an error for a directory that is not ours.
func readMarker(path string) (*marker, error) {
	file := filepath.Join(path, markerName)
	raw, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, checkEmpty(path)
	}
	if err != nil {
		return nil, refuse(file, "cannot be read: check its permissions", err)
	}
	m := &marker{}
	dec := json.NewDecoder(bytes.NewReader(raw))
	if err := dec.Decode(m); err != nil {
		return nil, refuse(file, "is damaged: restore the data directory from a backup, or move it away to begin with an empty store", err)
	}
	if m.Format != formatVersion {
		return nil, refuse(file, fmt.Sprintf("has format %d (created by %q), this program knows format %d only: use the program version that wrote it",
			m.Format, m.CreatedBy, formatVersion), nil)
	}
	return m, nil
}

func checkEmpty(path string) error {
	entries, err := os.ReadDir(path)
	if err != nil {
		return refuse(path, "cannot be read: check its permissions", err)
	}
	for _, e := range entries {
		if e.Name() == "lost+found" || strings.HasPrefix(e.Name(), markerName+".tmp") {
			continue
		}
		return refuse(path, fmt.Sprintf("is not empty (it holds %q) and has no %s: it does not belong to jurymast; give an empty or new directory",
			e.Name(), markerName), nil)
	}
	return nil
}

// writeMarker makes the marker appear whole or not at all.
func writeMarker(path string, m marker) error {
	raw, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return refuse(path, "marker cannot be encoded", err)
	}
	tmp, err := os.CreateTemp(path, markerName+".tmp")
	if err != nil {
		return refuse(path, "cannot be written to: check its permissions and free space", err)
	}
	_, err = tmp.Write(append(raw, '\n'))
	err = errors.Join(err, tmp.Sync(), tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), filepath.Join(path, markerName))
	}
	if err == nil {
		err = syncDir(path)
	}
	if err != nil {
		_ = os.Remove(tmp.Name())
		return refuse(path, "cannot be written to: check its permissions and free space", err)
	}
	return nil
}

func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// refuse builds the error an operator sees: what, where, the remedy, the cause.
func refuse(where, what string, cause error) error {
	if cause == nil {
		return fmt.Errorf("etcd store: %s %s: %w", where, what, ErrDir)
	}
	return fmt.Errorf("etcd store: %s %s: %w: %w", where, what, ErrDir, cause)
}
