package seal

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Make is the command that makes a key file, for messages. With a second key it is the same with >> in place of >.
const Make = "(umask 077; openssl rand -hex 32 > %s)"

// maxFile bounds what is read: a few keys with comments.
const maxFile = 64 << 10

// Read reads a key file: one key a line as 64 hex digits; empty lines and lines that begin with # do not count. The file
// must belong to nobody but its user (mode 0600 or 0400). Errors tell the line, never what is in it.
func Read(path string) (Ring, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return Ring{}, fmt.Errorf("seal key file %s: %w; all nodes need the same one: copy it from another node, or, for the first one, make it with: "+Make, path, fs.ErrNotExist, path)
	}
	if err != nil {
		return Ring{}, fmt.Errorf("seal key file: %w; it must be readable by the user of the node", err)
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	switch {
	case err != nil:
		return Ring{}, fmt.Errorf("seal key file %s: %w", path, err)
	case !info.Mode().IsRegular():
		return Ring{}, fmt.Errorf("seal key file %s is no regular file; name a file with the key in it", path)
	case info.Mode().Perm()&0o077 != 0:
		return Ring{}, fmt.Errorf("seal key file %s has mode %04o, so others on this machine may use it; allowed: 0600 or 0400; do: chmod 600 %[1]s", path, info.Mode().Perm())
	}
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return Ring{}, fmt.Errorf("seal key file: %w", err)
	}
	return parse(path, text)
}

func parse(path string, text []byte) (Ring, error) {
	if len(text) > maxFile {
		return Ring{}, fmt.Errorf("seal key file %s is larger than %d bytes; one key a line is expected", path, maxFile)
	}
	var keys []Key
	lines := bufio.NewScanner(bytes.NewReader(text))
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		raw, err := hex.DecodeString(line)
		if err != nil || len(raw) != KeySize {
			return Ring{}, fmt.Errorf("seal key file %s, line %d: not a key; a key is %d hex digits (%d bytes), one a line; make one with: openssl rand -hex 32", path, n, 2*KeySize, KeySize)
		}
		b := [KeySize]byte(raw)
		if b == ([KeySize]byte{}) {
			return Ring{}, fmt.Errorf("seal key file %s, line %d: a key of nothing but zeros protects nothing; make one with: openssl rand -hex 32", path, n)
		}
		keys = append(keys, Key{&b})
	}
	if err := lines.Err(); err != nil {
		return Ring{}, fmt.Errorf("seal key file %s: a line is too long; a key is %d hex digits, one a line", path, 2*KeySize)
	}
	if len(keys) == 0 {
		return Ring{}, fmt.Errorf("seal key file %s holds no key; make one with: "+Make, path, path)
	}
	return NewRing(keys...), nil
}

// ReadOrCreate reads the file, or makes it with a new key when it is not there; made says which. It is for a node alone:
// several must share one file.
func ReadOrCreate(path string) (r Ring, made bool, err error) {
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		r, err = Read(path)
		return r, false, err
	}
	r = NewRing(NewKey())
	if err := Write(path, r); err != nil {
		return Ring{}, false, fmt.Errorf("seal key file: %w; node.store.seal.file must be in a directory this user may write, or make the file with: "+Make, err, path)
	}
	return r, true, nil
}

// Write replaces the file by one with these keys, mode 0600. Whatever happens, the path names the whole old file or the
// whole new one.
func Write(path string, r Ring) error {
	var text bytes.Buffer
	text.WriteString("# Keys that seal the secrets in the store of Jurymast, one a line, 64 hex digits each. Keep a copy in a safe place.\n")
	for _, k := range r.keys {
		text.WriteString(hex.EncodeToString(k.b[:]) + "\n")
	}
	target := path
	if full, err := filepath.EvalSymlinks(path); err == nil {
		target = full // a link stays a link
	}
	dir := filepath.Dir(target)
	_ = os.Remove(target + ".new") // of a write that was cut short
	f, err := os.OpenFile(target+".new", os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(text.Bytes())
	if err == nil {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(f.Name(), target)
	}
	if err != nil {
		_ = os.Remove(f.Name())
		return err
	}
	return syncDir(dir)
}

// syncDir makes the new name survive a power cut.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
