package main

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// lines ends a context when enough lines have been written.
type lines struct {
	mu     sync.Mutex
	text   bytes.Buffer
	want   int
	enough context.CancelFunc
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text.Write(b)
	if bytes.Count(l.text.Bytes(), []byte("\n")) >= l.want {
		l.enough()
	}
	return len(b), nil
}

// TestFollowTellsEachEntryOnce: the journal, what happened while the stream was opened, and what comes, each once.
func TestFollowTellsEachEntryOnce(t *testing.T) {
	server := httptest.NewServer(newFakeNode())
	defer server.Close()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	out, said := &lines{want: 4, enough: cancel}, &strings.Builder{}
	c := &cli{in: strings.NewReader(""), out: out, errOut: said, getenv: func(string) string { return "" }, now: time.Now}
	if code := run(ctx, c, []string{"events", "--follow", "--api", server.URL, "-o", "json"}); code != exitDone || said.Len() > 0 {
		t.Errorf("exit code %d: %s", code, said)
	}
	var ids []string
	for line := range strings.Lines(out.text.String()) {
		_, rest, _ := strings.Cut(line, `{"id":"`)
		id, _, _ := strings.Cut(rest, `"`)
		ids = append(ids, id)
	}
	if got := strings.Join(ids, " "); got != "1 2 3 4" {
		t.Errorf("told %q of\n%s", got, out.text.String())
	}
}

// TestFollowTellsOfTheConnection: lost is said once, however often it is tried, and so is back.
func TestFollowTellsOfTheConnection(t *testing.T) {
	var broken atomic.Int32
	node := newFakeNode()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if broken.Add(-1) >= 0 {
			panic(http.ErrAbortHandler)
		}
		node.ServeHTTP(w, r)
	}))
	defer server.Close()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var once sync.Once
	out := &lines{want: 4, enough: func() {
		once.Do(func() {
			broken.Store(2)
			go server.CloseClientConnections()
		})
	}}
	said := &lines{want: 2, enough: cancel}
	c := &cli{in: strings.NewReader(""), out: out, errOut: said, getenv: func(string) string { return "" }, now: time.Now}
	if code := run(ctx, c, []string{"events", "--follow", "--api", server.URL}); code != exitDone {
		t.Errorf("exit code %d", code)
	}
	want := "connection to " + server.URL + " lost, trying again\nconnection to " + server.URL + " is back\n"
	if got := said.text.String(); got != want {
		t.Errorf("said %q, want %q", got, want)
	}
}

// TestFollowNeedsANode: when the first connection fails it says so, and does not wait for ever.
func TestFollowNeedsANode(t *testing.T) {
	server := httptest.NewServer(newFakeNode())
	server.Close()
	said := &strings.Builder{}
	c := &cli{in: strings.NewReader(""), out: &bytes.Buffer{}, errOut: said, getenv: func(string) string { return "" }, now: time.Now}
	if code := run(t.Context(), c, []string{"events", "--follow", "--api", server.URL}); code != exitUnreachable {
		t.Errorf("exit code %d: %s", code, said)
	}
}
