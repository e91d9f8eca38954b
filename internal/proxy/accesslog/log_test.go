package accesslog_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"jurymast/internal/proxy/accesslog"
)

// sheet is a file in memory.
type sheet struct {
	mu   sync.Mutex
	text bytes.Buffer
	hold chan struct{} // not nil: writes wait until it is closed
}

func (s *sheet) Write(b []byte) (int, error) {
	if s.hold != nil {
		<-s.hold
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(b)
}

func (s *sheet) lines() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return split(s.text.String())
}

func split(text string) []string {
	if text == "" {
		return nil
	}
	return strings.Split(strings.TrimSuffix(text, "\n"), "\n")
}

func begin(t testing.TB, o accesslog.Options) *accesslog.Log {
	t.Helper()
	l, err := accesslog.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { end(t, l) })
	return l
}

func end(t testing.TB, l *accesslog.Log) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := l.Close(ctx); err != nil {
		t.Error(err)
	}
}

func TestWants(t *testing.T) {
	count := func(l *accesslog.Log, reason string, status int) (n int) {
		for range 10_000 {
			if l.Wants(reason, status) {
				n++
			}
		}
		return n
	}
	for _, c := range []struct {
		name     string
		o        accesslog.Options
		reason   string
		status   int
		from, to int
	}{
		{"all", accesslog.Options{Sample: 1}, "OK", 200, 10_000, 10_000},
		{"unset is all", accesslog.Options{}, "OK", 200, 10_000, 10_000},
		{"one in a hundred", accesslog.Options{Sample: 100}, "OK", 200, 40, 180},
		{"errors are sampled too", accesslog.Options{Sample: 100}, "UN", 502, 40, 180},
		{"every error", accesslog.Options{Sample: 100, Errors: true}, "UN", 502, 10_000, 10_000},
		{"every 5xx of an origin", accesslog.Options{Sample: 100, Errors: true}, "OK", 500, 10_000, 10_000},
		{"a client that went away", accesslog.Options{Sample: 100, Errors: true}, "CD", 200, 10_000, 10_000},
		{"4xx of an origin is an answer", accesslog.Options{Sample: 100, Errors: true}, "OK", 404, 40, 180},
		{"survived", accesslog.Options{Sample: 100, Errors: true}, "OF", 200, 40, 180},
	} {
		c.o.Out = io.Discard
		if n := count(begin(t, c.o), c.reason, c.status); n < c.from || n > c.to {
			t.Errorf("%s: %d of 10000, want %d to %d", c.name, n, c.from, c.to)
		}
	}
	if n := count(nil, "UN", 502); n != 0 {
		t.Errorf("no log wants %d", n)
	}
}

// A line is on its way after a twentieth of a second, without more coming.
func TestLinesDoNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out sheet
		l := begin(t, accesslog.Options{Out: &out})
		l.Add(0, &accesslog.Record{Time: at})
		time.Sleep(60 * time.Millisecond)
		if n := len(out.lines()); n != 1 || l.Written() != 1 {
			t.Errorf("%d lines, %d counted", n, l.Written())
		}
	})
}

// produce adds n lines from each of eight connections.
func produce(l *accesslog.Log, n int) {
	var wg sync.WaitGroup
	for conn := range 8 {
		wg.Go(func() {
			r := whole()
			r.Conn = uint64(conn) + 1
			for i := range n {
				r.Request = uint64(i) + 1
				l.Add(uint32(conn), r)
			}
		})
	}
	wg.Wait()
}

// check reads lines and returns how many there are; each must be whole, and those of a connection in order.
func check(t *testing.T, lines []string, last map[uint64]uint64) int {
	t.Helper()
	for _, text := range lines {
		var line struct{ Conn, Req uint64 }
		if err := json.Unmarshal([]byte(text), &line); err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		if line.Req <= last[line.Conn] {
			t.Fatalf("connection %d: %d after %d", line.Conn, line.Req, last[line.Conn])
		}
		last[line.Conn] = line.Req
	}
	return len(lines)
}

func TestManyProducers(t *testing.T) {
	var out sheet
	l := begin(t, accesslog.Options{Out: &out})
	produce(l, 1000)
	end(t, l)
	if n := check(t, out.lines(), map[uint64]uint64{}); n+int(l.Dropped()) != 8000 || uint64(n) != l.Written() {
		t.Errorf("%d lines, %d counted, %d dropped", n, l.Written(), l.Dropped())
	}
}

// A disk that stands still costs lines, which are counted, and no request any time (proxy.md 18, case 30).
func TestStalledDisk(t *testing.T) {
	out := sheet{hold: make(chan struct{})}
	l := begin(t, accesslog.Options{Out: &out})
	const lines = 3 * accesslog.Room / 8 / 1000 // three times what is kept, at 1000 bytes each
	produce(l, lines)                           // comes back although nobody writes
	if l.Dropped() == 0 || l.Written() != 0 {
		t.Errorf("%d dropped, %d written", l.Dropped(), l.Written())
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := l.Close(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("closing: %v", err)
	}
	close(out.hold)
	end(t, l)
	n := check(t, out.lines(), map[uint64]uint64{})
	if uint64(n)+l.Dropped() != 8*lines || uint64(n) != l.Written() || out.text.Len() < accesslog.Room-accesslog.Room/4 {
		t.Errorf("%d lines of %d bytes, %d counted, %d dropped of %d", n, out.text.Len(), l.Written(), l.Dropped(), 8*lines)
	}
}

// Rotation in both ways, with and without telling, while lines come: each is in exactly one file.
func TestRotation(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "access.json")
	l := begin(t, accesslog.Options{File: name})
	done := make(chan struct{})
	go func() { defer close(done); produce(l, 2000) }()
	for i := range 5 {
		if err := os.Rename(name, fmt.Sprint(name, ".", i)); err != nil {
			t.Fatal(err)
		}
		if i != 2 { // this one is noticed
			l.Reopen()
		}
		for until := time.Now().Add(20 * time.Second); ; <-time.After(time.Millisecond) {
			if _, err := os.Stat(name); err == nil {
				break
			} else if time.Now().After(until) {
				t.Fatal("the file is not made anew")
			}
		}
	}
	<-done
	end(t, l)
	total, last := 0, map[uint64]uint64{}
	for _, file := range []string{name + ".0", name + ".1", name + ".2", name + ".3", name + ".4", name} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		total += check(t, split(string(text)), last)
	}
	if total+int(l.Dropped()) != 16_000 || uint64(total) != l.Written() {
		t.Errorf("%d lines, %d counted, %d dropped", total, l.Written(), l.Dropped())
	}
}

// shortDisk takes a part of the second write only.
type shortDisk struct {
	sheet
	writes int
}

func (s *shortDisk) Write(b []byte) (int, error) {
	s.writes++
	if s.writes == 2 {
		n, _ := s.sheet.Write(b[:len(b)-10])
		return n, errors.New("no space left")
	}
	return s.sheet.Write(b)
}

// What follows a line that was cut is a line of its own, and the cut one is counted as lost.
func TestTornLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out shortDisk
		l := begin(t, accesslog.Options{Out: &out})
		for _, n := range []int{1, 2, 3} {
			for range n {
				l.Add(0, &accesslog.Record{Time: at})
			}
			time.Sleep(time.Second)
		}
		good := 0
		for _, line := range out.lines() {
			if json.Valid([]byte(line)) {
				good++
			}
		}
		if good != 5 || len(out.lines()) != 6 || l.Written() != 5 || l.Dropped() != 1 {
			t.Errorf("%d of %d lines are whole, %d counted, %d dropped", good, len(out.lines()), l.Written(), l.Dropped())
		}
	})
}

func TestOpenSaysWhatIsWrong(t *testing.T) {
	if _, err := accesslog.Open(accesslog.Options{File: filepath.Join(t.TempDir(), "no", "such")}); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}

func TestNilLog(t *testing.T) {
	var l *accesslog.Log
	l.Reopen()
	if l.Dropped() != 0 || l.Written() != 0 || l.Close(t.Context()) != nil {
		t.Error("a log that is off does something")
	}
}

func TestAddDoesNotAllocate(t *testing.T) {
	l := begin(t, accesslog.Options{Out: io.Discard, Node: "a"})
	r := whole()
	for range 20_000 { // until there are pages enough
		l.Add(0, r)
	}
	if n := testing.AllocsPerRun(5000, func() { l.Add(0, r) }); n > 0 {
		t.Errorf("%v allocations per line", n)
	}
}
