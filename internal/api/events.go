package api

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"jurymast/internal/health"
	"jurymast/internal/snapshot"
)

// Bounds of event streams.
const (
	maxStreams    = 64
	heartbeat     = 15 * time.Second
	eventPatience = 10 * time.Second      // one write; a reader that takes longer is dropped
	coalesce      = 50 * time.Millisecond // a burst of snapshots is told once
)

// eventRoute is GET /api/v1/events, server-sent events:
//
//	status   one per profile at the start, then one whenever a profile changes materially
//	removed  a profile is gone
//	entry    a journal entry; its id is the event's id, so Last-Event-ID goes on where the reader was
func (s *Server) eventRoute(h huma.API) {
	op := operation(http.MethodGet, "/events", "events", "journal",
		"State first, then changes, as server-sent events (status, removed, entry)", http.StatusServiceUnavailable)
	reg := h.OpenAPI().Components.Schemas
	op.Responses = map[string]*huma.Response{"200": {
		Description: "event: status (data: ProfileStatus), removed (Removed), entry (Entry)",
		Content:     map[string]*huma.MediaType{"text/event-stream": {Schema: &huma.Schema{Type: huma.TypeString}}},
	}}
	for _, shape := range []reflect.Type{reflect.TypeFor[ProfileStatus](), reflect.TypeFor[Removed](), reflect.TypeFor[health.Entry]()} {
		reg.Schema(shape, true, "")
	}
	huma.Register(h, op, func(ctx context.Context, in *eventsInput) (*huma.StreamResponse, error) {
		select {
		case s.streams <- struct{}{}:
		default:
			p := newProblem(http.StatusServiceUnavailable, CodeUnavailable, fmt.Sprintf("%d event streams are open already; close one", maxStreams))
			p.retryAfter = "10"
			return nil, p
		}
		return &huma.StreamResponse{Body: func(hc huma.Context) {
			defer func() { <-s.streams }()
			_, w := humago.Unwrap(hc)
			s.stream(ctx, w, in)
		}}, nil
	})
}

type eventsInput struct {
	Profile     string `query:"profile" doc:"only this profile"`
	LastEventID string `header:"Last-Event-ID" doc:"journal entries after this one are told first"`
}

// stream writes until the reader is gone, too slow, or the server closes.
func (s *Server) stream(ctx context.Context, w http.ResponseWriter, in *eventsInput) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	f := &follower{w: w, rc: http.NewResponseController(w), profile: s.canonical(in.Profile), told: map[string]toldStatus{}, missed: map[string]bool{}}
	if err := f.rc.SetReadDeadline(time.Time{}); err != nil { // the server's read timeout would end the stream
		s.log.WarnContext(ctx, "event stream without a read deadline", "error", err)
	}
	news := s.o.Journal.Subscribe(ctx)
	w.Header().Set("Content-Type", "text/event-stream")
	if err := f.start(s, in.LastEventID); err != nil {
		return
	}
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	snap := f.last
	for {
		var err error
		select {
		case <-ctx.Done():
			return
		case e, ok := <-news:
			if !ok { // too slow
				return
			}
			err = f.entry(&e)
		case <-snap.Replaced():
			if !pause(ctx, coalesce) {
				return
			}
			snap = s.o.Hub.Load()
			err = f.changes(snap)
		case <-beat.C:
			err = f.write([]byte(": alive\n\n"))
		}
		if err != nil {
			return
		}
	}
}

func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// follower is one reader: what it was told already.
type follower struct {
	w       http.ResponseWriter
	rc      *http.ResponseController
	profile string
	told    map[string]toldStatus
	last    *snapshot.Snapshot
	missed  map[string]bool // entries told from the history: the subscription may hold them too
}

type toldStatus struct {
	view     *health.View
	material []byte
}

// start tells the state, then the entries the reader has missed. A reader that has seen none is told where it stands,
// so that it can come back even if nothing happens until then.
func (f *follower) start(s *Server, lastID string) error {
	head := "retry: 2000\n"
	if newest := s.o.Journal.Read(1, nil); lastID == "" && len(newest) > 0 {
		head += "id: " + newest[0].ID + "\n"
	}
	if err := f.write([]byte(head + "\n")); err != nil {
		return err
	}
	if err := f.changes(s.o.Hub.Load()); err != nil || lastID == "" {
		return err
	}
	for _, e := range s.o.Journal.Read(0, func(e *health.Entry) bool { return e.ID > lastID }) {
		if err := f.entry(&e); err != nil {
			return err
		}
		f.missed[e.ID] = true
	}
	return nil
}

// changes tells every profile that differs materially from what was told.
func (f *follower) changes(snap *snapshot.Snapshot) error {
	f.last = snap
	for i, p := range snap.Documents().Profiles {
		if f.profile != "" && p.Name != f.profile {
			continue
		}
		v := viewAt(snap, i)
		before, known := f.told[p.Name]
		if known && before.view == v {
			continue
		}
		status := StatusOf(v)
		now := toldStatus{v, material(status)}
		f.told[p.Name] = now
		if known && bytes.Equal(before.material, now.material) {
			continue
		}
		if err := f.event("status", "", status); err != nil {
			return err
		}
	}
	return f.removals(snap)
}

func (f *follower) removals(snap *snapshot.Snapshot) error {
	for name := range f.told {
		if snap.Index(name) >= 0 {
			continue
		}
		delete(f.told, name)
		if err := f.event("removed", "", Removed{name}); err != nil {
			return err
		}
	}
	return nil
}

// material is a status without what changes with every probe: counters, the words of a single vote, the TTLs that
// follow from them.
func material(s ProfileStatus) []byte {
	s.TTL = ""
	s.Endpoints = slices.Clone(s.Endpoints)
	for i := range s.Endpoints {
		e := &s.Endpoints[i]
		e.TTL, e.Reason, e.Votes = "", "", slices.Clone(e.Votes)
		for j := range e.Votes {
			b := &e.Votes[j]
			b.Failures, b.Successes, b.Reason, b.Suspect = 0, 0, "", false
		}
	}
	text, _ := json.Marshal(s) //nolint:errchkjson // strings, numbers and times of our own
	return text
}

// entry tells a journal entry, each once.
func (f *follower) entry(e *health.Entry) error {
	if f.profile != "" && e.Profile != f.profile || f.missed[e.ID] {
		return nil
	}
	return f.event("entry", e.ID, e)
}

func (f *follower) event(name, id string, data any) error {
	text, err := json.Marshal(data)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	if id != "" {
		fmt.Fprintf(&b, "id: %s\n", id)
	}
	fmt.Fprintf(&b, "event: %s\ndata: %s\n\n", name, text)
	return f.write(b.Bytes())
}

func (f *follower) write(b []byte) error {
	if err := f.rc.SetWriteDeadline(time.Now().Add(eventPatience)); err != nil {
		return err
	}
	if _, err := f.w.Write(b); err != nil {
		return err
	}
	return f.rc.Flush()
}
