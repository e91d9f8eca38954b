package api

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"html/template"
	"net/http"
	"strings"
	"time"

	"jurymast/internal/health"
)

//go:embed status.html.tmpl
var pageText string

// pageTemplate escapes every value for the place it stands in.
var pageTemplate = template.Must(template.New("status").Funcs(template.FuncMap{
	"tone": tone,
	"utc":  func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05") },
	"iso":  func(t time.Time) string { return t.UTC().Format(time.RFC3339) },
	"join": strings.Join,

	"heading": MatchHeading,
}).Parse(pageText))

// tone is the colour class of a word.
func tone(word string) string {
	switch word {
	case health.Online.String(), "up", "preferred", "ready", "reachable":
		return "good"
	case health.Degraded.String(), "down", "all-down", "none", "halted", "not reachable", "blind":
		return "bad"
	case health.CheckingEndpoint.String(), "CheckingEndpoints", "checking", "not-ready", "not ready", "fallback", "partial", "stale", "draining":
		return "wait"
	}
	return "off"
}

type pageData struct {
	Overview
	At      time.Time
	Gates   []OrderStatus
	Remarks map[string]pageRemark
}

// page is GET /status: one page a person can read, or JSON for whom asks for it.
func (s *Server) page(w http.ResponseWriter, r *http.Request) {
	data := pageData{Overview: Overview{s.node(), statuses(s.o.Hub.Load())}, At: now()}
	if wantsJSON(r.Header.Get("Accept")) {
		w.Header().Set("Content-Type", mediaJSON)
		_ = json.NewEncoder(w).Encode(data.Overview) // the client is gone: nobody is left to tell
		return
	}
	data.Gates, data.Remarks = s.openGates(), s.remarks(r.Context(), data.Profiles)
	text, err := renderPage(data)
	if err != nil {
		problemOf(r.Context(), s.log, err).write(w)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = w.Write(text)
}

func renderPage(data pageData) ([]byte, error) {
	var b bytes.Buffer
	if err := pageTemplate.Execute(&b, data); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// wantsJSON: JSON is named and HTML is not. Browsers name HTML; curl names nothing and gets the page.
func wantsJSON(accept string) bool {
	return strings.Contains(accept, "json") && !strings.Contains(accept, "html")
}
