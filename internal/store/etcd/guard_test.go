package etcd_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"jurymast/internal/store/etcd"
)

// tree is every file of a directory with mode, size, time of change and content.
func tree(t *testing.T, dir string) string {
	t.Helper()
	var out strings.Builder
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		st, err := e.Info()
		if err != nil {
			return err
		}
		fmt.Fprintf(&out, "%s %v %v", path, st.Mode(), st.ModTime().UnixNano())
		if st.Mode().IsRegular() {
			raw, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			fmt.Fprintf(&out, " %d %x", len(raw), sha256.Sum256(raw))
		}
		out.WriteByte('\n')
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func write(t *testing.T, path string, raw []byte) {
	t.Helper()
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		t.Fatal(err)
	}
}

// filled makes a closed store with some data in it.
func filled(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	s := open(t, etcd.Options{Dir: dir, CreatedBy: "jurymast test"})
	for i := range 200 {
		if err := put(t.Context(), s, fmt.Sprintf("/k/%d/%s", i, strings.Repeat("x", 500))); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return dir
}

func edit(t *testing.T, path string, change func([]byte) []byte) {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	write(t, path, change(raw))
}

func firstLog(t *testing.T, dir string) string {
	t.Helper()
	logs, err := filepath.Glob(filepath.Join(dir, "member", "wal", "*.wal"))
	if err != nil || len(logs) == 0 {
		t.Fatal(err, logs)
	}
	return logs[0]
}

func TestRefusedDirectoriesStayUntouched(t *testing.T) {
	t.Parallel()
	db := func(dir string) string { return filepath.Join(dir, "member", "snap", "db") }
	marker := func(dir string) string { return filepath.Join(dir, "jurymast-store.json") }
	tests := map[string]struct {
		spoil func(t *testing.T, dir string)
		says  string
	}{
		"foreign files": {func(t *testing.T, dir string) {
			must(t, os.RemoveAll(filepath.Join(dir, "member")))
			must(t, os.Rename(marker(dir), filepath.Join(dir, "letters.txt")))
		}, "does not belong to jurymast"},
		"an etcd that is not ours": {func(t *testing.T, dir string) { must(t, os.Remove(marker(dir))) }, "does not belong to jurymast"},
		"newer format": {func(t *testing.T, dir string) {
			write(t, marker(dir), []byte(`{"format":2,"created_by":"jurymast 9","created":"2030-01-01T00:00:00Z"}`))
		}, "format 2"},
		"no format":      {func(t *testing.T, dir string) { write(t, marker(dir), []byte(`{}`)) }, "format 0"},
		"damaged marker": {func(t *testing.T, dir string) { write(t, marker(dir), nil) }, "damaged"},
		"database overwritten": {func(t *testing.T, dir string) {
			edit(t, db(dir), func(raw []byte) []byte { return bytes.Repeat([]byte("junk"), len(raw)/4) })
		}, "damaged"},
		"database cut off": {func(t *testing.T, dir string) {
			edit(t, db(dir), func(raw []byte) []byte { return raw[:20*1024] })
		}, "damaged"},
		"database emptied": {func(t *testing.T, dir string) { write(t, db(dir), nil) }, "damaged"},
		"database with a hole": {func(t *testing.T, dir string) {
			edit(t, db(dir), func(raw []byte) []byte {
				clear(raw[2*4096 : len(raw)/2])
				return raw
			})
		}, "damaged"},
		"database missing": {func(t *testing.T, dir string) { must(t, os.Remove(db(dir))) }, "missing"},
		"log with a flipped bit": {func(t *testing.T, dir string) {
			edit(t, firstLog(t, dir), func(raw []byte) []byte {
				raw[bytes.Index(raw, []byte("/k/100/"))+50] ^= 4
				return raw
			})
		}, "damaged"},
		"log overwritten": {func(t *testing.T, dir string) {
			edit(t, firstLog(t, dir), func(raw []byte) []byte { return bytes.Repeat([]byte("junk"), len(raw)/4) })
		}, "damaged"},
	}
	base := filled(t)
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			must(t, os.CopyFS(dir, os.DirFS(base)))
			test.spoil(t, dir)
			before := tree(t, dir)
			begin := time.Now()
			s, err := tryOpen(t, etcd.Options{Dir: dir})
			if err == nil {
				_ = s.Close()
				t.Fatal("opened")
			}
			t.Log(err)
			if !errors.Is(err, etcd.ErrDir) || !strings.Contains(err.Error(), test.says) || !strings.Contains(err.Error(), dir) {
				t.Errorf("error %q wants to be ErrDir, name the directory and say %q", err, test.says)
			}
			if after := tree(t, dir); after != before {
				t.Errorf("changed from\n%sto\n%s", before, after)
			}
			if d := time.Since(begin); d > 5*time.Second {
				t.Errorf("took %v", d)
			}
		})
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestTornTail: what a power cut leaves of a record that was never acknowledged is no damage.
func TestTornTail(t *testing.T) {
	t.Parallel()
	dir := filled(t)
	edit(t, firstLog(t, dir), func(raw []byte) []byte {
		end := bytes.LastIndex(raw, []byte("/k/199/")) + 100
		clear(raw[end:])
		return raw
	})
	s := open(t, etcd.Options{Dir: dir})
	kvs, _, err := s.List(t.Context(), "/k/")
	must(t, err)
	if len(kvs) < 199 {
		t.Fatalf("%d keys left of 200, one was torn", len(kvs))
	}
}

func TestMarkerAndModes(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	open(t, etcd.Options{Dir: dir, CreatedBy: "jurymast 1.2.3"})
	raw, err := os.ReadFile(filepath.Join(dir, "jurymast-store.json"))
	must(t, err)
	if !bytes.Contains(raw, []byte(`"format": 1`)) || !bytes.Contains(raw, []byte(`"jurymast 1.2.3"`)) {
		t.Fatalf("marker: %s", raw)
	}
	st, err := os.Stat(dir)
	must(t, err)
	if st.Mode().Perm() != 0o700 {
		t.Fatalf("mode %v", st.Mode())
	}
}

// TestSenselessDatabase: what is sound for bbolt but senseless for etcd makes etcd panic; that is an error of Open, and
// when it is mended the same process can open the store.
func TestSenselessDatabase(t *testing.T) {
	t.Parallel()
	dir := filled(t)
	change := func(f func(b *bbolt.Bucket) error) {
		db, err := bbolt.Open(filepath.Join(dir, "member", "snap", "db"), 0o600, &bbolt.Options{Timeout: time.Second})
		must(t, err)
		must(t, db.Update(func(tx *bbolt.Tx) error { return f(tx.Bucket([]byte("key"))) }))
		must(t, db.Close())
	}
	senseless := []byte("\x00\x00\x00\x00\x00\x00\x00\x05?\x00\x00\x00\x00\x00\x00\x00\x00") // a revision with ? for _
	change(func(b *bbolt.Bucket) error { return b.Put(senseless, []byte("x")) })
	if s, err := tryOpen(t, etcd.Options{Dir: dir}); err == nil {
		_ = s.Close()
		t.Fatal("opened")
	} else {
		t.Log(err)
	}
	change(func(b *bbolt.Bucket) error { return b.Delete(senseless) })
	s := open(t, etcd.Options{Dir: dir})
	must(t, put(t.Context(), s, "/works"))
}
