package seal

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestWhatIsSealedOpensAgain(t *testing.T) {
	k := NewKey()
	for _, plain := range []string{"", "x", strings.Repeat("secret", 1000)} {
		b, err := k.Seal("one", []byte(plain))
		if err != nil {
			t.Fatal(err)
		}
		got, err := NewRing(NewKey(), k).Open("one", b)
		if err != nil || string(got) != plain {
			t.Fatalf("got %d bytes, %v", len(got), err)
		}
		again, err := k.Seal("one", []byte(plain))
		if err != nil || bytes.Equal(again.Data, b.Data) {
			t.Fatal("the same secret is sealed to the same bytes: the nonce is not random")
		}
	}
	if _, err := k.Seal("large", make([]byte, maxPlain+1)); err == nil {
		t.Error("anything is sealed, however large")
	}
}

func TestOpenRefuses(t *testing.T) {
	k, other := NewKey(), NewKey()
	b, err := k.Seal("one", []byte("top secret"))
	if err != nil {
		t.Fatal(err)
	}
	flip := func(at int) Box {
		d := bytes.Clone(b.Data)
		d[at] ^= 1
		return Box{b.Key, d}
	}
	rows := []struct {
		what, name string
		ring       Ring
		box        Box
		want       error
		says       []string
	}{
		{"another key", "one", NewRing(other), b, ErrOtherKey, []string{"sealed/one", k.ID(), other.ID(), "jurymast seal forget one"}},
		{"no key", "one", Ring{}, b, ErrOtherKey, []string{"this node has none"}},
		{"moved to another name", "two", NewRing(k), b, ErrDamaged, []string{"sealed/two"}},
		{"first bit", "one", NewRing(k), flip(0), ErrDamaged, []string{"sealed/one", k.ID()}},
		{"last bit", "one", NewRing(k), flip(len(b.Data) - 1), ErrDamaged, nil},
		{"cut off", "one", NewRing(k), Box{b.Key, b.Data[:5]}, ErrDamaged, nil},
		{"empty", "one", NewRing(k), Box{Key: b.Key}, ErrDamaged, nil},
		{"key id is an escape", "one", NewRing(k), Box{Key: "\x1b[31m\nx", Data: b.Data}, ErrOtherKey, []string{"of an unreadable name"}},
	}
	for _, r := range rows {
		t.Run(r.what, func(t *testing.T) {
			plain, err := r.ring.Open(r.name, r.box)
			if plain != nil || !errors.Is(err, r.want) {
				t.Fatalf("got %q, %v", plain, err)
			}
			for _, s := range r.says {
				if !strings.Contains(err.Error(), s) {
					t.Errorf("%q is missing in: %v", s, err)
				}
			}
			if strings.ContainsAny(err.Error(), "\n\x1b") || strings.Contains(err.Error(), "top secret") {
				t.Errorf("error tells too much: %q", err)
			}
		})
	}
}

func TestKeyIsNeverPrinted(t *testing.T) {
	k := NewKey()
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "key", k, "ring", NewRing(k))
	js, err := json.Marshal(map[string]any{"k": k, "r": NewRing(k)})
	if err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf("%v %+v %#v %s %x %d %q %v %#v", k, k, k, k, k, k, k, NewRing(k), &k) + string(js) + log.String()
	text += fmt.Sprintf("%v %+v %#v", struct{ k Key }{k}, struct{ r Ring }{NewRing(k)}, &struct{ k Key }{k})
	raw := hex.EncodeToString(k.b[:])
	decimal := strings.Trim(fmt.Sprint(*k.b), "[]")
	if strings.Contains(text, raw[:16]) || strings.Contains(text, decimal[:20]) || !strings.Contains(text, k.ID()) {
		t.Fatalf("printed: %s", text)
	}
}

func TestKeyFile(t *testing.T) {
	a, b := hex.EncodeToString(bytes.Repeat([]byte{0xA1}, 32)), strings.Repeat("b2", 32)
	rows := []struct {
		what, text string
		mode       os.FileMode
		keys       int
		says       string
	}{
		{"one", a + "\n", 0o600, 1, ""},
		{"two with comments, read-only", "# first\n\n " + a + " \n#\n" + strings.ToUpper(b), 0o400, 2, ""},
		{"twice the same", a + "\n" + a, 0o600, 1, ""},
		{"group may read", a, 0o640, 0, "mode 0640"},
		{"others may read", a, 0o604, 0, "chmod 600"},
		{"short", a[:62], 0o600, 0, "line 1: not a key"},
		{"raw bytes", strings.Repeat("\xff", 32), 0o600, 0, "line 1: not a key"},
		{"second is wrong", a + "\nhello " + b, 0o600, 0, "line 2: not a key"},
		{"zeros", strings.Repeat("0", 64), 0o600, 0, "nothing but zeros"},
		{"empty", "# nothing\n", 0o600, 0, "holds no key"},
		{"a long line", strings.Repeat("a", 1<<16), 0o600, 0, "too long"},
		{"large", strings.Repeat("\n", 1<<16+1), 0o600, 0, "larger than"},
	}
	for _, r := range rows {
		t.Run(r.what, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "seal.key")
			if err := os.WriteFile(path, []byte(r.text), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(path, r.mode); err != nil {
				t.Fatal(err)
			}
			ring, err := Read(path)
			if len(ring.keys) != r.keys || (err == nil) != (r.says == "") {
				t.Fatalf("%d keys, %v", len(ring.keys), err)
			}
			if err == nil {
				return
			}
			if !strings.Contains(err.Error(), r.says) || !strings.Contains(err.Error(), path) {
				t.Errorf("got %v, want %q and the file's name", err, r.says)
			}
			for _, secret := range []string{a[:20], b[:20], "hello"} {
				if strings.Contains(err.Error(), secret) {
					t.Errorf("the error repeats the file: %v", err)
				}
			}
		})
	}
	if _, err := Read(t.TempDir()); err == nil || !strings.Contains(err.Error(), "no regular file") {
		t.Errorf("a directory: %v", err)
	}
	_, err := Read(filepath.Join(t.TempDir(), "none"))
	if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "openssl rand -hex 32 >") {
		t.Errorf("a missing file: %v", err)
	}
}

func TestReadOrCreate(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "seal.key")
	first, made, err := ReadOrCreate(path)
	if err != nil || !made || len(first.keys) != 1 {
		t.Fatalf("%v, made %v", err, made)
	}
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o600 {
		t.Fatalf("%v, %v", info, err)
	}
	again, made, err := ReadOrCreate(path)
	if err != nil || made || again.keys[0].ID() != first.keys[0].ID() {
		t.Fatalf("read again: %v, made %v", err, made)
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := ReadOrCreate(path); err == nil {
		t.Error("an empty file was replaced: it may be somebody's mistake, not nobody's key")
	}
	if _, _, err := ReadOrCreate(filepath.Join(dir, "none", "seal.key")); err == nil || !strings.Contains(err.Error(), "directory this user may write") {
		t.Errorf("a missing directory: %v", err)
	}
}

func TestWriteReplacesTheWholeFile(t *testing.T) {
	dir := t.TempDir()
	path, link := filepath.Join(dir, "real.key"), filepath.Join(dir, "link.key")
	old, next := NewKey(), NewKey()
	if err := Write(path, NewRing(old)); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("real.key", link); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path+".new", []byte("of a crash"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := Write(link, NewRing(old).With(next)); err != nil {
		t.Fatal(err)
	}
	ring, err := Read(path)
	if err != nil || len(ring.keys) != 2 || ring.keys[1].ID() != next.ID() {
		t.Fatalf("%v %v", ring, err)
	}
	if info, err := os.Lstat(link); err != nil || info.Mode()&os.ModeSymlink == 0 {
		t.Error("the link was replaced by a file")
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*.new")); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	if only := ring.Only(next.ID()); len(only.keys) != 1 || only.keys[0].ID() != next.ID() {
		t.Errorf("only: %v", only)
	}
}
