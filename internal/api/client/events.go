package client

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"jurymast/internal/api"
	"jurymast/internal/health"
)

const (
	silence  = 45 * time.Second // three heartbeats missed: the connection is dead
	maxEvent = 16 << 20
)

// Event is one event of the stream; exactly one of the pointers is set.
type Event struct {
	Status  *api.ProfileStatus
	Removed *api.Removed
	Entry   *health.Entry
	Link    *Link
}

// Link tells that the connection is lost and why, or, with a nil Err, that it is back. It is told once each, however
// often a new connection is tried.
type Link struct{ Err error }

// Events calls each for every journal entry from now on, of one profile or ("") of all, until ctx ends or each
// returns an error. Over a lost connection it reconnects and goes on behind the last entry seen; it gives up when the
// first connection fails or the node refuses. It returns nil when ctx ends.
func (c *Client) Events(ctx context.Context, profile string, each func(health.Entry) error) error {
	return c.Follow(ctx, profile, func(e Event) error {
		if e.Entry == nil {
			return nil
		}
		return each(*e.Entry)
	})
}

// Follow is Events with the states too: first the state of every profile, then changes. After a reconnect the states
// are told again.
func (c *Client) Follow(ctx context.Context, profile string, each func(Event) error) error {
	s := &stream{c: c, profile: profile, each: each}
	wait := time.Duration(0)
	for {
		began := time.Now()
		err := s.run(ctx)
		var lost *UnreachableError
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil && (!s.connected || !errors.As(err, &lost)):
			return err
		case !s.lost:
			s.lost = true
			if err := each(Event{Link: &Link{err}}); err != nil {
				return err
			}
		}
		wait = min(2*wait+200*time.Millisecond, 5*time.Second)
		if time.Since(began) > time.Minute {
			wait = 200 * time.Millisecond
		}
		t := time.NewTimer(wait)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return nil
		}
	}
}

// stream is one follower over all its connections.
type stream struct {
	c         *Client
	profile   string
	each      func(Event) error
	lastID    string
	connected bool // at least once
	lost      bool // and not back yet
}

// run reads one connection to its end. An UnreachableError means that another one may be tried.
func (s *stream) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	watchdog := time.AfterFunc(silence, cancel)
	defer watchdog.Stop()
	k := call{method: http.MethodGet, path: path("events"), query: url.Values{}, header: http.Header{"Accept": {"text/event-stream"}}}
	setUnlessEmpty(k.query, "profile", s.profile)
	if s.lastID != "" {
		k.header.Set("Last-Event-ID", s.lastID)
	}
	req, err := s.c.request(ctx, k)
	if err != nil {
		return err
	}
	res, err := s.c.http.Do(req)
	if err != nil {
		return &UnreachableError{s.c.shown, err}
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		err := s.c.failure(res)
		var later *UnavailableError
		if s.connected && errors.As(err, &later) {
			return &UnreachableError{s.c.shown, err}
		}
		return err
	}
	if mediaType(res) != "text/event-stream" {
		return s.c.foreign(res)
	}
	s.connected = true
	if s.lost {
		s.lost = false
		if err := s.each(Event{Link: &Link{}}); err != nil {
			return err
		}
	}
	return s.read(res.Body, func() { watchdog.Reset(silence) })
}

// read parses the events of one connection (HTML standard, section 9.2.6, as far as our server uses it).
func (s *stream) read(body io.Reader, alive func()) error {
	lines := bufio.NewScanner(body)
	lines.Buffer(make([]byte, 0, 64<<10), maxEvent)
	var name, id, data string
	for lines.Scan() {
		alive()
		field, value, _ := strings.Cut(lines.Text(), ":")
		value = strings.TrimPrefix(value, " ")
		switch field {
		case "event":
			name = value
		case "id":
			id = value
		case "data":
			data += value
		case "":
			if lines.Text() != "" { // a comment
				continue
			}
			if err := s.dispatch(name, id, data); err != nil {
				return err
			}
			name, id, data = "", "", ""
		}
	}
	err := lines.Err()
	if err == nil {
		err = io.EOF
	}
	return &UnreachableError{s.c.shown, err}
}

func (s *stream) dispatch(name, id, data string) error {
	if err := s.tell(name, data); err != nil {
		return err
	}
	if id != "" {
		s.lastID = id
	}
	return nil
}

func (s *stream) tell(name, data string) error {
	var e Event
	var into any
	switch name {
	case "status":
		e.Status = &api.ProfileStatus{}
		into = e.Status
	case "removed":
		e.Removed = &api.Removed{}
		into = e.Removed
	case "entry":
		e.Entry = &health.Entry{}
		into = e.Entry
	default: // where the stream stands, or what only a newer server tells
		return nil
	}
	if err := json.Unmarshal([]byte(data), into); err != nil {
		return fmt.Errorf("event %s of %s cannot be read: %w", name, s.c.shown, err)
	}
	return s.each(e)
}
