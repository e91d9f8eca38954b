package api

import (
	"bufio"
	"context"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"jurymast/internal/health"
)

// tail is one open event stream; next returns its next event as "name id data".
type tail struct {
	t     *testing.T
	lines *bufio.Scanner
	end   context.CancelFunc
}

func (r *rig) follow(path string, headers ...string) *tail {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), 10*time.Second)
	r.t.Cleanup(cancel)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.url+path, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		req.Header.Set(name, value)
	}
	res, err := r.web.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { res.Body.Close() })
	if res.StatusCode != 200 || res.Header.Get("Content-Type") != "text/event-stream" {
		r.t.Fatalf("%d %v", res.StatusCode, res.Header)
	}
	return &tail{r.t, bufio.NewScanner(res.Body), cancel}
}

// next is "" at the end of the stream.
func (f *tail) next() string {
	f.t.Helper()
	var name, id, data string
	for f.lines.Scan() {
		field, value, _ := strings.Cut(f.lines.Text(), ": ")
		switch field {
		case "event":
			name = value
		case "id":
			id = value
		case "data":
			data = value
		case "":
			if name != "" {
				return name + " " + id + " " + data
			}
		}
	}
	return ""
}

func (f *tail) want(begin string, contains ...string) {
	f.t.Helper()
	got := f.next()
	if !strings.HasPrefix(got, begin) {
		f.t.Fatalf("event %q, want %q", got, begin)
	}
	for _, c := range contains {
		if !strings.Contains(got, c) {
			f.t.Fatalf("event %q does not contain %q", got, c)
		}
	}
}

func TestEventsTellStateFirstThenChanges(t *testing.T) {
	r := newRig(t)
	p := decoded(t, integration)
	r.publish(viewOf(p, activeAt("eu20", 3), nil, up, up))
	f := r.follow("/api/v1/events")
	f.want("status", `"active":"eu20"`)

	counted := viewOf(p, activeAt("eu20", 3), nil, up, up)
	counted.Endpoints[0].Votes[0].Successes++ // not worth telling
	r.hub.Publish(nil, counted)
	r.journal.add(health.Entry{ID: "1", Kind: health.EntryVerdict, Profile: "integration", To: "down"})
	f.want("entry 1", `"to":"down"`)
	r.hub.Publish(nil, viewOf(p, activeAt("us21", 4), nil, down, up))
	f.want("status", `"active":"us21"`, `"real":"down"`)

	other := decoded(t, strings.NewReplacer("integration", "other").Replace(integration))
	r.publish(viewOf(other, activeAt("eu20", 1), nil, up, up))
	f.want("status", `"name":"other"`)
	f.want("removed", `"integration"`)
}

func TestEventsOfOneProfile(t *testing.T) {
	r := newRig(t)
	other := decoded(t, strings.NewReplacer("integration", "other").Replace(integration))
	r.publish(viewOf(decoded(t, integration), activeAt("eu20", 3), nil, up, up), viewOf(other, activeAt("eu20", 1), nil, up, up))
	f := r.follow("/api/v1/events?profile=other")
	f.want("status", `"name":"other"`)
	r.journal.add(health.Entry{ID: "1", Profile: "integration"})
	r.journal.add(health.Entry{ID: "2", Profile: "other"})
	f.want("entry 2")
}

func TestEventsGoOnWhereTheReaderWas(t *testing.T) {
	r := newRig(t)
	for _, id := range []string{"1", "2", "3"} {
		r.journal.add(health.Entry{ID: id, Kind: health.EntryVote})
	}
	f := r.follow("/api/v1/events", "Last-Event-ID: 1")
	f.want("entry 2")
	f.want("entry 3")
	r.journal.add(health.Entry{ID: "4"})
	f.want("entry 4")
}

// TestSlowReaderIsDropped: nobody reads this connection, so the journal's small buffer overflows and the stream ends,
// while another reader goes on.
func TestSlowReaderIsDropped(t *testing.T) {
	r := newRig(t)
	r.publish(viewOf(decoded(t, integration), activeAt("eu20", 3), nil, up, up))
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "unix", r.socket)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	eventually(t, "subscribed", func() bool { return r.journal.count() == 1 })
	note := strings.Repeat("x", 64<<10)
	eventually(t, "dropped", func() bool {
		r.journal.add(health.Entry{ID: "1", Note: note})
		return r.journal.count() == 0
	})
	f := r.follow("/api/v1/events")
	f.want("status")
}

func TestStreamsAreCountedAndEndWithTheServer(t *testing.T) {
	r := newRig(t)
	var last *tail
	for range maxStreams {
		last = r.follow("/api/v1/events")
	}
	got := r.do(r.web, "GET", "/api/v1/events", "")
	r.problem(got, 503, CodeUnavailable)
	if got.header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if err := r.server.Close(ctx); err != nil {
		t.Fatal(err)
	}
	if got := last.next(); got != "" {
		t.Errorf("event %q after the end", got)
	}
}

// eventually polls; what it waits for happens on real sockets, outside any bubble.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(10 * time.Second)
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("not %s within 10s", what)
		}
	}
}
