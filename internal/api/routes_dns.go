package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
)

// Traffic tells who asks this node for what, and writes questions down. Names of profiles are those of documents.
type Traffic interface {
	// Top is the list of what was asked most in the last minute or hour: of one profile, "" of all questions.
	Top(by, profile string, span time.Duration, limit int) TopList
	// LogFile is where questions are written, "" for nowhere.
	LogFile() string
	// Watch writes everything of a profile until then, ErrTooManyWatched when enough are watched already.
	Watch(profile string, until time.Time) error
	Watched() map[string]time.Time
}

// ErrTooManyWatched is for Traffic.
var ErrTooManyWatched = errors.New("too many profiles are watched")

// TopList is what was asked most, most questions first.
type TopList struct {
	By       string    `json:"by" doc:"prefix, name, type, rcode or place"`
	Profile  string    `json:"profile,omitempty" doc:"only its questions; absent: all"`
	Since    time.Time `json:"since" doc:"what is counted: from here"`
	Until    time.Time `json:"until" doc:"to here"`
	Queries  uint64    `json:"queries" doc:"all questions of that time"`
	Sampling uint32    `json:"sampling" doc:"one question in so many is looked at now"`
	Unusual  *Unusual  `json:"unusual,omitempty" doc:"shares of what is rare in good times; absent for one profile"`
	Lines    []TopLine `json:"lines"`
}

// Unusual are shares of all questions, 0 to 1.
type Unusual struct {
	UnknownType float64 `json:"unknown_type" doc:"asked for a type without a name"`
	NXDomain    float64 `json:"nxdomain"`
	Refused     float64 `json:"refused"`
	Malformed   float64 `json:"malformed" doc:"answered FORMERR"`
	Limited     float64 `json:"limited" doc:"answers suppressed because their network gets too many"`
}

// TopLine is one line of a TopList.
type TopLine struct {
	Value   string  `json:"value"`
	Queries uint64  `json:"queries" doc:"estimated when questions are sampled"`
	Error   uint64  `json:"error" doc:"in 95 of 100 cases the true number is nearer than this"`
	Share   float64 `json:"share" doc:"of all questions, 0 to 1"`
}

// LogStatus is what of the query log was ordered.
type LogStatus struct {
	File    string         `json:"file" doc:"where lines go; - is standard output"`
	Watched []WatchedQuery `json:"watched" doc:"profiles of which every question is written"`
}

// WatchedQuery is one profile of which every question is written.
type WatchedQuery struct {
	Profile string    `json:"profile"`
	Until   time.Time `json:"until"`
}

// LogRequest asks to write every question for a profile for a while.
type LogRequest struct {
	Profile string `json:"profile" minLength:"1" maxLength:"255"`
	For     string `json:"for" doc:"a duration up to 24h, for example 10m; 0s ends it"`
}

// trafficRoutes are about questions this node has answered, and about this node alone.
func (s *Server) trafficRoutes(h huma.API) {
	huma.Register(h, operation(http.MethodGet, "/dns/top", "top-queries", "tools",
		"Networks, names, types, response codes or places with the most questions to this node", http.StatusNotFound), s.top)
	huma.Register(h, operation(http.MethodGet, "/dns/log", "get-query-log", "tools",
		"Where this node writes questions, and of which profiles all", http.StatusNotFound),
		func(ctx context.Context, _ *struct{}) (*output[LogStatus], error) {
			l, err := s.logStatus()
			return answer(ctx, s, l, err)
		})
	huma.Register(h, operation(http.MethodPost, "/dns/log", "watch-queries", "tools",
		"Write every question for a profile for a while", http.StatusNotFound, http.StatusConflict), s.watch)
}

type topInput struct {
	By      string `query:"by" default:"prefix" enum:"prefix,name,type,rcode,place"`
	Profile string `query:"profile"`
	Span    string `query:"span" default:"minute" enum:"minute,hour"`
	Limit   int    `query:"limit" default:"20" minimum:"1" maximum:"1000"`
}

var errNoDNS = fmt.Errorf("this node answers no DNS: %w", ErrNotFound)

func (s *Server) top(ctx context.Context, in *topInput) (*output[TopList], error) {
	name, err := s.profileNamed(in.Profile)
	if err == nil && s.o.Traffic == nil {
		err = errNoDNS
	}
	if err != nil {
		return nil, problemOf(ctx, s.log, err)
	}
	span := time.Minute
	if in.Span == "hour" {
		span = time.Hour
	}
	l := s.o.Traffic.Top(in.By, name, span, in.Limit)
	l.By, l.Profile = in.By, name
	for i := range l.Lines {
		if l.Queries > 0 {
			l.Lines[i].Share = float64(l.Lines[i].Queries) / float64(l.Queries)
		}
	}
	if l.Lines == nil {
		l.Lines = []TopLine{}
	}
	return &output[TopList]{l}, nil
}

// profileNamed is the name of a profile as its document writes it; "" stays.
func (s *Server) profileNamed(name string) (string, error) {
	if name == "" {
		return "", nil
	}
	snap := s.o.Hub.Load()
	i := indexOf(snap, name)
	if i < 0 {
		return "", noProfile(name)
	}
	return snap.Documents().Profiles[i].Name, nil
}

func (s *Server) logStatus() (LogStatus, error) {
	if s.o.Traffic == nil {
		return LogStatus{}, errNoDNS
	}
	l := LogStatus{File: s.o.Traffic.LogFile(), Watched: []WatchedQuery{}}
	for name, until := range s.o.Traffic.Watched() {
		l.Watched = append(l.Watched, WatchedQuery{name, until.UTC()})
	}
	slices.SortFunc(l.Watched, func(a, b WatchedQuery) int { return strings.Compare(a.Profile, b.Profile) })
	return l, nil
}

const maxWatch = 24 * time.Hour

func (s *Server) watch(ctx context.Context, in *struct{ Body LogRequest }) (*output[LogStatus], error) {
	d, err := time.ParseDuration(in.Body.For)
	if err != nil || d < 0 || d > maxWatch {
		return nil, problemOf(ctx, s.log, badInput("for", "%q; allowed: a duration from 0s (ends it) to 24h, for example 10m", in.Body.For))
	}
	name, err := s.profileNamed(in.Body.Profile)
	switch {
	case err != nil:
	case s.o.Traffic == nil:
		err = errNoDNS
	case s.o.Traffic.LogFile() == "":
		err = refused("this node has no query log; write node.nameserver.query_log: {file: ...} in its file and restart it")
	default:
		if err = s.o.Traffic.Watch(name, now().Add(d)); errors.Is(err, ErrTooManyWatched) {
			err = refused("%v", err)
		}
	}
	if err != nil {
		return nil, problemOf(ctx, s.log, err)
	}
	s.log.Info("query log: every question of a profile is written", "profile", name, "for", d, "by", actorOf(ctx))
	l, err := s.logStatus()
	return answer(ctx, s, l, err)
}
