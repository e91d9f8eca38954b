package app

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// data is this node's own folder. Beside the store it holds who we are (instance), what we last served (last-good)
// and a mark that is there while we run (running): finding it at a start means the earlier life ended without a stop.
type data struct {
	dir      string
	instance string
	unclean  bool
}

func openData(dir string) (*data, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("data directory: %w; set node.data or --data to a directory this user may write", err)
	}
	d := &data{dir: dir}
	id, err := os.ReadFile(d.path("instance"))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		id = []byte(randomHex(16))
		if err := writeFile(d.path("instance"), id); err != nil {
			return nil, fmt.Errorf("data directory %s: %w; set node.data or --data to a directory this user may write", dir, err)
		}
	case err != nil:
		return nil, fmt.Errorf("data directory %s: %w", dir, err)
	}
	d.instance = strings.TrimSpace(string(id))
	return d, nil
}

// begin marks the life as running; call it once the directory is known to be ours alone.
func (d *data) begin() error {
	_, err := os.Stat(d.path("running"))
	d.unclean = err == nil
	if d.unclean {
		return nil
	}
	return writeFile(d.path("running"), []byte("a node runs on this directory, or ended without a stop\n"))
}

// end takes the mark away: the next life need not skip epochs.
func (d *data) end() error { return os.Remove(d.path("running")) }

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
