package api

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"jurymast/internal/health"
)

// journalRoutes tell what happened and what happens.
func (s *Server) journalRoutes(h huma.API) {
	huma.Register(h, operation(http.MethodGet, "/journal", "list-journal", "journal", "What happened, oldest first"), s.journal)
	huma.Register(h, operation(http.MethodGet, "/audit", "list-audit", "journal", "Who ordered or changed what, oldest first"), s.audit)
	s.eventRoute(h)
}

type journalInput struct {
	Limit   int    `query:"limit" default:"100" minimum:"1" maximum:"10000" doc:"newest entries"`
	Profile string `query:"profile"`
	Kind    string `query:"kind" enum:"vote,verdict,decision,act,config,alarm,secret"`
	Since   string `query:"since" doc:"a time (RFC 3339), or a duration back from now, for example 2h"`
}

func (s *Server) journal(ctx context.Context, in *journalInput) (*output[EntryList], error) {
	since, err := sinceTime(in.Since)
	if err != nil {
		return nil, problemOf(ctx, s.log, err)
	}
	return s.entries(in.Limit, func(e *health.Entry) bool {
		return (in.Profile == "" || strings.EqualFold(e.Profile, in.Profile)) && (in.Kind == "" || string(e.Kind) == in.Kind) && !e.At.Before(since)
	}), nil
}

func sinceTime(text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if t, err := time.Parse(time.RFC3339Nano, text); err == nil {
		return t, nil
	}
	if d, err := time.ParseDuration(text); err == nil && d > 0 {
		return now().Add(-d), nil
	}
	return time.Time{}, badInput("query.since", "%q; allowed: a time such as 2006-01-02T15:04:05Z, or a duration above 0 such as 2h", text)
}

type auditInput struct {
	Limit   int    `query:"limit" default:"100" minimum:"1" maximum:"10000" doc:"newest entries"`
	Profile string `query:"profile"`
}

func (s *Server) audit(_ context.Context, in *auditInput) (*output[EntryList], error) {
	return s.entries(in.Limit, func(e *health.Entry) bool {
		return (in.Profile == "" || strings.EqualFold(e.Profile, in.Profile)) && (e.Kind == health.EntryAct || e.Kind == health.EntryConfig)
	}), nil
}

func (s *Server) entries(limit int, match func(*health.Entry) bool) *output[EntryList] {
	list := s.o.Journal.Read(limit, match)
	if list == nil {
		list = []health.Entry{}
	}
	return &output[EntryList]{EntryList{list}}
}
