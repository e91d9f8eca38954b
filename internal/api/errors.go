package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"jurymast/internal/profile"
)

// What the functions behind the API answer with; wrap them with a text an operator may read. Anything else is an
// internal error: it is logged here and never shown.
var (
	ErrNotFound    = errors.New("not found")                                  // 404
	ErrConflict    = errors.New("the document is not the one that was meant") // 412: If-Match or If-None-Match failed
	ErrManaged     = errors.New("managed by a file")                          // 409: read-only through the API
	ErrUnavailable = errors.New("the store cannot be written now")            // 503: nothing was changed
)

// Codes of problem details: what a program looks at instead of the text.
const (
	CodeNotFound     = "not-found"
	CodePrecondition = "precondition-failed"
	CodeManaged      = "managed"
	CodeUnavailable  = "unavailable"
	CodeInvalid      = "invalid"
	CodeRefused      = "refused" // a rule of orders
	CodeGuard        = "guard"   // min_usable, min_between or a safety rule; breakGlass overrules it
	CodeUnauthorized = "unauthorized"
	CodeTooMany      = "too-many"
	CodeForbidden    = "forbidden"
	CodeInternal     = "internal"
	CodeRequest      = "bad-request"
)

// InvalidError is everything that is wrong with what was sent: 422.
type InvalidError struct{ Problems profile.Problems }

func (e *InvalidError) Error() string { return e.Problems.Error() }

// Invalid makes an InvalidError of any error; profile.Problems keep their places.
func Invalid(err error) *InvalidError {
	var ps profile.Problems
	if !errors.As(err, &ps) {
		ps = profile.Problems{{Message: err.Error()}}
	}
	return &InvalidError{ps}
}

// RefusedError is a rule that says no: 409. Code is CodeRefused or CodeGuard.
type RefusedError struct{ Code, Reason string }

func (e *RefusedError) Error() string { return e.Reason }

func refused(format string, args ...any) error {
	return &RefusedError{CodeRefused, fmt.Sprintf(format, args...)}
}

// Problem is an error as the API answers it: problem details [RFC 9457], application/problem+json.
type Problem struct { //nolint:errname // the name RFC 9457 gives it; it is a value of the API first
	Title  string        `json:"title"`
	Status int           `json:"status"`
	Code   string        `json:"code" doc:"not-found, precondition-failed, managed, unavailable, invalid, refused, guard, unauthorized, too-many, forbidden, internal or bad-request"`
	Detail string        `json:"detail,omitempty"`
	Errors []ProblemItem `json:"errors,omitempty" doc:"everything that is wrong at once"`

	retryAfter   string
	authenticate string // WWW-Authenticate
}

// ProblemItem is one mistake and its place.
type ProblemItem struct {
	Message  string `json:"message"`
	Location string `json:"location,omitempty" doc:"field, as profiles[0].monitor.interval or query.limit"`
	File     string `json:"file,omitempty"`
	Line     int    `json:"line,omitempty"`
	Column   int    `json:"column,omitempty"`
}

// String is one line for an operator.
func (i ProblemItem) String() string {
	var b strings.Builder
	if i.File != "" {
		fmt.Fprintf(&b, "%s:%d:%d: ", i.File, i.Line, i.Column)
	}
	if i.Location != "" {
		b.WriteString(i.Location + ": ")
	}
	return b.String() + i.Message
}

func newProblem(status int, code, detail string) *Problem {
	return &Problem{Title: http.StatusText(status), Status: status, Code: code, Detail: detail}
}

func (p *Problem) Error() string { return p.Detail }

// GetStatus implements huma.StatusError.
func (p *Problem) GetStatus() int { return p.Status }

// ContentType implements huma.ContentTypeFilter.
func (p *Problem) ContentType(string) string { return "application/problem+json" }

// GetHeaders implements huma.HeadersError.
func (p *Problem) GetHeaders() http.Header {
	h := http.Header{}
	if p.retryAfter != "" {
		h.Set("Retry-After", p.retryAfter)
	}
	if p.authenticate != "" {
		h.Set("WWW-Authenticate", p.authenticate)
	}
	return h
}

func (p *Problem) write(w http.ResponseWriter) {
	h := w.Header()
	h.Set("Content-Type", "application/problem+json")
	if p.retryAfter != "" {
		h.Set("Retry-After", p.retryAfter)
	}
	w.WriteHeader(p.Status)
	_ = json.NewEncoder(w).Encode(p) // the client is gone: nobody is left to tell
}

// problemOf is the one mapping of errors to answers.
func problemOf(ctx context.Context, log *slog.Logger, err error) *Problem {
	var known *Problem
	var invalid *InvalidError
	var rule *RefusedError
	switch {
	case errors.As(err, &known):
		return known
	case errors.As(err, &invalid):
		text := "what was asked is refused"
		if changes(ctx) {
			text = "what was sent is refused; nothing was changed"
		}
		p := newProblem(http.StatusUnprocessableEntity, CodeInvalid, text)
		for _, one := range invalid.Problems {
			p.Errors = append(p.Errors, ProblemItem{one.Message, one.Path, one.File, one.Line, one.Column})
		}
		return p
	case errors.As(err, &rule):
		return newProblem(http.StatusConflict, rule.Code, rule.Reason)
	case errors.Is(err, ErrNotFound):
		return newProblem(http.StatusNotFound, CodeNotFound, err.Error())
	case errors.Is(err, ErrConflict):
		return newProblem(http.StatusPreconditionFailed, CodePrecondition, err.Error()+"; read it again and repeat")
	case errors.Is(err, ErrManaged):
		return newProblem(http.StatusConflict, CodeManaged, err.Error())
	case errors.Is(err, ErrUnavailable), errors.Is(err, context.DeadlineExceeded):
		log.WarnContext(ctx, "store unavailable for a request", "error", err)
		p := newProblem(http.StatusServiceUnavailable, CodeUnavailable, "the store cannot be reached or has no majority; try again")
		p.retryAfter = "2"
		return p
	case ctx.Err() != nil: // the client went away: nobody's failure, nobody reads this
		return newProblem(http.StatusServiceUnavailable, CodeUnavailable, "the request was given up")
	}
	log.ErrorContext(ctx, "request failed", "error", err)
	return newProblem(http.StatusInternalServerError, CodeInternal, "an internal error; the node's log says what happened")
}

// ownWords turns the framework's errors into ours: the same shape for every refusal, and no value echoed back.
func ownWords(_ huma.Context, _ string, v any) (any, error) {
	m, ok := v.(*huma.ErrorModel)
	if !ok {
		return v, nil
	}
	code := CodeRequest
	switch {
	case m.Status == http.StatusUnprocessableEntity:
		code = CodeInvalid
	case m.Status >= http.StatusInternalServerError:
		return newProblem(m.Status, CodeInternal, "an internal error; the node's log says what happened"), nil
	}
	p := newProblem(m.Status, code, m.Detail)
	for _, e := range m.Errors {
		p.Errors = append(p.Errors, ProblemItem{Message: e.Message, Location: e.Location})
	}
	return p, nil
}
