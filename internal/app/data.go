package app

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// data is this node's own folder. Beside the store it holds who we are (instance), what we last served (last-good) and
// how the lives before ended. That is the name of one small file, because a rename needs no space: a full disk neither
// keeps a node from starting nor makes it forget.
//
//	(new) --> running --orderly stop, everything written--> ended --start--> running
//	running --start (the life did not end)--> running-1 --start--> running-2 ...   --orderly stop--> ended
type data struct {
	dir      string
	lock     *os.File
	instance string
	lives    int // in a row that did not end in order
}

// openData locks the folder and makes it ours. A folder with something in it that no node has used is refused untouched.
func openData(dir string) (*data, error) {
	const remedy = "set node.data or --data to a directory this user may write"
	if err := os.MkdirAll(dir, 0o700); err != nil { //nolint:gosec // the operator's own file names it
		return nil, fmt.Errorf("data directory: %w; %s", err, remedy)
	}
	f, err := os.Open(dir) //nolint:gosec // the operator's own file names it
	if err != nil {
		return nil, fmt.Errorf("data directory: %w; %s", err, remedy)
	}
	d := &data{dir: dir, lock: f}
	if err := d.claim(); err != nil {
		d.unlock()
		return nil, fmt.Errorf("data directory %s: %w", dir, err)
	}
	return d, nil
}

func (d *data) claim() error {
	if err := unix.Flock(int(d.lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		if errors.Is(err, unix.EWOULDBLOCK) {
			return errors.New("is in use by another jurymast; stop that one, or give each its own node.data")
		}
		return fmt.Errorf("cannot be locked: %w; use a local disk", err)
	}
	id, err := os.ReadFile(d.path("instance"))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if err := d.mustBeEmpty(); err != nil {
			return err
		}
		id = []byte(randomHex(16))
		if err := writeFile(d.path("instance"), id); err != nil {
			return fmt.Errorf("%w; set node.data or --data to a directory this user may write", err)
		}
	case err != nil:
		return err
	}
	d.instance = strings.TrimSpace(string(id))
	return nil
}

func (d *data) mustBeEmpty() error {
	entries, err := os.ReadDir(d.dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.Name() != "lost+found" && e.Name() != "instance.new" {
			return fmt.Errorf("is not empty (it holds %q) and no node has used it; nothing was changed: give an empty or new directory", e.Name())
		}
	}
	return nil
}

// begin marks the life as running; call it once the store's folder is known to be sound.
func (d *data) begin() error {
	err := os.Rename(d.path("ended"), d.mark(0))
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	left, err := filepath.Glob(d.path("running*"))
	if err != nil {
		return err
	}
	if len(left) == 0 {
		return writeFile(d.mark(0), []byte("a node runs on this directory; the number in the name is how many lives in a row did not end in order\n"))
	}
	for _, name := range left { // one; more only by hand, then the largest counts
		n, err := strconv.Atoi(strings.TrimPrefix(filepath.Base(name), "running-"))
		if err != nil {
			n = 0
		}
		d.lives = max(d.lives, n+1)
	}
	return os.Rename(left[0], d.mark(d.lives))
}

func (d *data) mark(lives int) string {
	if lives == 0 {
		return d.path("running")
	}
	return d.path("running-" + strconv.Itoa(lives))
}

// end says that the life ended in order: the next one need not skip epochs.
func (d *data) end() error { return os.Rename(d.mark(d.lives), d.path("ended")) }

// unlock gives the folder to whoever is next.
func (d *data) unlock() { _ = d.lock.Close() }

func (d *data) path(name string) string { return filepath.Join(d.dir, name) }

// writeFile replaces a small file as a whole and makes it durable.
func writeFile(path string, content []byte) error {
	tmp := path + ".new"
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		_ = os.Remove(tmp)
		return err
	}
	return os.Rename(tmp, path)
}

func randomHex(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails
	return hex.EncodeToString(b)
}
