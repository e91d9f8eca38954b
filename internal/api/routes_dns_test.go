package api

import (
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"jurymast/internal/health"
)

// questions is a Traffic of fixed figures.
type questions struct {
	file    string
	watched map[string]time.Time
}

func (q *questions) Top(by, profile string, span time.Duration, limit int) TopList {
	l := TopList{Queries: 200, Sampling: 4, Since: time.Unix(0, 0).UTC(), Until: time.Unix(60, 0).UTC()}
	if by == "place" {
		return l
	}
	l.Lines = append(l.Lines, TopLine{Value: fmt.Sprintf("%s of %q, %v, %d", by, profile, span, limit), Queries: 50, Error: 7})
	return l
}

func (q *questions) LogFile() string               { return q.file }
func (q *questions) Watched() map[string]time.Time { return maps.Clone(q.watched) }

func (q *questions) Watch(profile string, until time.Time) error {
	if len(q.watched) == 1 && q.watched[profile].IsZero() {
		return fmt.Errorf("%w: 1", ErrTooManyWatched)
	}
	q.watched[profile] = until
	return nil
}

func TestTopQueries(t *testing.T) {
	r := newRig(t)
	r.publish(viewOf(decoded(t, integration), activeAt("eu20", 3), nil, health.Online, health.Online))
	r.server.o.Traffic = &questions{}
	l := into[TopList](t, r.do(r.unix, "GET", "/api/v1/dns/top?by=name&profile=INTEGRATION&span=hour&limit=3", ""))
	if l.By != "name" || l.Profile != "integration" || len(l.Lines) != 1 || l.Lines[0].Value != `name of "integration", 1h0m0s, 3` || l.Lines[0].Share != 0.25 {
		t.Errorf("%+v", l)
	}
	l = into[TopList](t, r.do(r.unix, "GET", "/api/v1/dns/top", ""))
	if l.By != "prefix" || l.Lines[0].Value != `prefix of "", 1m0s, 20` || l.Sampling != 4 {
		t.Errorf("%+v", l)
	}
	for path, want := range map[string]int{
		"?by=place": 200, "?by=colour": 422, "?profile=nobody": 404, "?span=day": 422, "?limit=0": 422, "?limit=1001": 422,
	} {
		if res := r.do(r.unix, "GET", "/api/v1/dns/top"+path, ""); res.status != want {
			t.Errorf("%s: %d", path, res.status)
		}
	}
	r.server.o.Traffic = nil
	if res := r.do(r.unix, "GET", "/api/v1/dns/top", ""); res.status != 404 {
		t.Errorf("without DNS: %d", res.status)
	}
}

func TestWatchQueries(t *testing.T) {
	r := newRig(t)
	r.publish(viewOf(decoded(t, integration), activeAt("eu20", 3), nil, health.Online, health.Online))
	q := &questions{file: "-", watched: map[string]time.Time{}}
	r.server.o.Traffic = q
	const path = "/api/v1/dns/log"
	l := into[LogStatus](t, r.do(r.unix, "POST", path, `{"profile":"Integration","for":"10m"}`))
	if len(l.Watched) != 1 || l.Watched[0].Profile != "integration" || time.Until(l.Watched[0].Until) > 10*time.Minute || time.Until(l.Watched[0].Until) < 9*time.Minute {
		t.Errorf("%+v", l)
	}
	if l = into[LogStatus](t, r.do(r.unix, "GET", path, "")); len(l.Watched) != 1 || l.File != "-" {
		t.Errorf("%+v", l)
	}
	for body, want := range map[string]int{
		`{"profile":"nobody","for":"10m"}`: 404, `{"profile":"integration","for":"ever"}`: 422, `{"profile":"integration","for":"25h"}`: 422,
		`{"profile":"integration","for":"-1s"}`: 422, `{"for":"1m"}`: 422, `{"profile":"integration","for":"0s"}`: 200,
	} {
		if res := r.do(r.unix, "POST", path, body); res.status != want {
			t.Errorf("%s: %d %s", body, res.status, res.body)
		}
	}
	q.watched = map[string]time.Time{"another": time.Now().Add(time.Hour)}
	if res := r.do(r.unix, "POST", path, `{"profile":"integration","for":"1m"}`); res.status != 409 {
		t.Errorf("too many: %d", res.status)
	}
	q.file = ""
	if res := r.do(r.unix, "POST", path, `{"profile":"integration","for":"1m"}`); res.status != 409 || !strings.Contains(res.body, "query_log") {
		t.Errorf("without a log: %d %s", res.status, res.body)
	}
	r.server.o.Traffic = nil
	for _, method := range []string{"GET", "POST"} {
		if res := r.do(r.unix, method, path, `{"profile":"integration","for":"1m"}`); res.status != 404 {
			t.Errorf("%s without DNS: %d", method, res.status)
		}
	}
}
