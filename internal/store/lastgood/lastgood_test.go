package lastgood

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func open(t *testing.T, path string) (*Log, map[string]json.RawMessage) {
	t.Helper()
	l, got, err := Open(path, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close(time.Second) })
	return l, got
}

func reopen(t *testing.T, l *Log) map[string]json.RawMessage {
	t.Helper()
	if err := l.Close(5 * time.Second); err != nil {
		t.Fatal(err)
	}
	_, got := open(t, l.path)
	return got
}

func TestNewestRecordPerKeyComesBack(t *testing.T) {
	l, got := open(t, filepath.Join(t.TempDir(), "log"))
	if len(got) != 0 {
		t.Fatalf("a new log holds %v", got)
	}
	l.Put("a", json.RawMessage(`1`))
	l.Put("a", json.RawMessage(`2`))
	l.Put("b", json.RawMessage(`{"x":1}`))
	l.Put("c", json.RawMessage(`3`))
	l.Put("c", nil)
	got = reopen(t, l)
	if len(got) != 2 || string(got["a"]) != "2" || string(got["b"]) != `{"x":1}` {
		t.Fatalf("got %s", got)
	}
}

// Every cut and every flipped byte of the file: what comes back is a prefix of what was written, never something else.
func TestDamageIsCutNotBelieved(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	l, _ := open(t, path)
	for i := range 5 {
		l.mu.Lock()
		l.pending[fmt.Sprint(i)] = json.RawMessage(fmt.Sprint(i))
		l.mu.Unlock()
	}
	if err := l.Close(5 * time.Second); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := range whole {
		for _, bad := range [][]byte{whole[:i], flipped(whole, i)} {
			if err := os.WriteFile(path, bad, 0o600); err != nil {
				t.Fatal(err)
			}
			live, good, _ := read(path)
			if good > int64(len(bad)) {
				t.Fatalf("byte %d: %d good bytes of %d", i, good, len(bad))
			}
			for n := range len(live) {
				if string(live[fmt.Sprint(n)]) != fmt.Sprint(n) {
					t.Fatalf("byte %d: got %s, which was never written", i, live)
				}
			}
		}
	}
}

func flipped(b []byte, i int) []byte {
	c := append([]byte(nil), b...)
	c[i] ^= 0x10
	return c
}

func TestCompactionKeepsTheFileSmall(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	l := &Log{path: path, logger: slog.New(slog.DiscardHandler), pending: map[string]json.RawMessage{}, live: map[string]json.RawMessage{}}
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	l.file = f
	if err := l.cutTail(0); err != nil {
		t.Fatal(err)
	}
	big := make([]byte, 3000)
	for i := range 500 {
		big[i] = 1
		l.pending["p"], _ = json.Marshal(big)
		l.pending["n"] = json.RawMessage(fmt.Sprint(i))
		l.flush()
	}
	if st, _ := os.Stat(path); st.Size() > 3*slack {
		t.Fatalf("the log grew to %d bytes", st.Size())
	}
	_ = l.file.Close()
	live, _, err := read(path)
	if err != nil || string(live["n"]) != "499" {
		t.Fatalf("after compaction: %v %s", err, live["n"])
	}
}

// One flap of one profile at full size writes less than 64 KiB: only its own record is appended.
func TestOneFlapAmongManyIsSmall(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	l, _ := open(t, path)
	for i := range 10_000 {
		l.Put(fmt.Sprintf("state/p%d", i), json.RawMessage(`{"decision":{"active":"eu","epoch":1}}`))
	}
	if err := l.Close(10 * time.Second); err != nil {
		t.Fatal(err)
	}
	before, _ := os.Stat(path)
	l, _ = open(t, path)
	l.Put("state/p7", json.RawMessage(`{"decision":{"active":"us","epoch":2}}`))
	if err := l.Close(10 * time.Second); err != nil {
		t.Fatal(err)
	}
	after, _ := os.Stat(path)
	if grew := after.Size() - before.Size(); grew <= 0 || grew > 64<<10 {
		t.Fatalf("one flap wrote %d bytes", grew)
	}
}

func TestPutAfterCloseIsNoPanic(t *testing.T) {
	l, _ := open(t, filepath.Join(t.TempDir(), "log"))
	l.Put("a", json.RawMessage(`1`))
	if err := l.Close(5 * time.Second); err != nil {
		t.Fatal(err)
	}
	l.Put("a", json.RawMessage(`2`))
	_, got := open(t, l.path)
	if string(got["a"]) != "1" {
		t.Fatalf("got %s", got)
	}
}
