package client

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"mime"
	"net/http"
	"strconv"
	"strings"

	"jurymast/internal/api"
)

// UnreachableError: no node answers at the address, or what answers is no node.
type UnreachableError struct {
	Base string
	Err  error
}

func (e *UnreachableError) Error() string {
	var foreign *foreignError
	switch {
	case errors.As(e.Err, &foreign):
		return fmt.Sprintf("no Jurymast API at %s: %v; name the address of a node's API with --api or JURYMAST_API", e.Base, foreign)
	case errors.Is(e.Err, fs.ErrPermission):
		return fmt.Sprintf("cannot use %s: permission denied; only its owner, the user whom the node runs as, and root may use it: "+
			"run this as that user or with sudo, or name another address with --api or JURYMAST_API", e.Base)
	}
	return fmt.Sprintf("cannot reach a node at %s: %v; start one with jurymast serve, or name another address with --api or JURYMAST_API", e.Base, e.Err)
}

func (e *UnreachableError) Unwrap() error { return e.Err }

// CutError: a node took the request and closed the connection before its answer was whole.
type CutError struct{ Base string }

func (e *CutError) Error() string {
	return fmt.Sprintf("the node at %s was reached, and ended the connection before its answer was whole: it stops, or failed inside; its log says which", e.Base)
}

// foreignError: what answers is something else than the API of a node.
type foreignError struct{ status, kind string }

func (e *foreignError) Error() string {
	kind := e.kind
	if kind == "" {
		kind = "no content type"
	}
	return fmt.Sprintf("what answers there is something else (status %s, %s)", e.status, kind)
}

// foreign words an answer that is not of our shape.
func (c *Client) foreign(res *http.Response) error {
	status, _, _ := strings.Cut(res.Status, " ")
	return &UnreachableError{c.shown, &foreignError{status, printable(mediaType(res))}}
}

func mediaType(res *http.Response) string {
	kind, _, _ := mime.ParseMediaType(res.Header.Get("Content-Type"))
	return kind
}

// printable keeps what a stranger sends short and harmless for a terminal.
func printable(text string) string {
	return strings.Trim(strconv.QuoteToASCII(text[:min(len(text), 64)]), `"`)
}

// NotFoundError: there is no such profile, endpoint, document or order.
type NotFoundError struct{ Problem api.Problem }

// ConflictError: the document is not the one that was meant (ETag), or a file owns it.
type ConflictError struct{ Problem api.Problem }

// InvalidError: what was sent is wrong; Problem.Errors lists everything.
type InvalidError struct{ Problem api.Problem }

// RefusedError: a rule of orders says no. Guard: min_usable, min_between or a safety rule, which breakGlass overrules.
type RefusedError struct {
	Problem api.Problem
	Guard   bool
}

// UnauthorizedError: the token is missing or not the right one.
type UnauthorizedError struct{ Problem api.Problem }

// UnavailableError: the node answers, but it or its store cannot do this now.
type UnavailableError struct{ Problem api.Problem }

// FailedError is every other answer that is no success.
type FailedError struct{ Problem api.Problem }

func (e *NotFoundError) Error() string     { return text(&e.Problem) }
func (e *ConflictError) Error() string     { return text(&e.Problem) }
func (e *InvalidError) Error() string      { return text(&e.Problem) }
func (e *RefusedError) Error() string      { return text(&e.Problem) }
func (e *UnauthorizedError) Error() string { return text(&e.Problem) }
func (e *UnavailableError) Error() string  { return text(&e.Problem) }
func (e *FailedError) Error() string       { return text(&e.Problem) }

// text is what an operator reads: the detail, then one line per mistake.
func text(p *api.Problem) string {
	lines := []string{p.Detail}
	if p.Detail == "" {
		lines[0] = fmt.Sprintf("the node answers %d %s", p.Status, p.Title)
	}
	for _, item := range p.Errors {
		lines = append(lines, item.String())
	}
	return strings.Join(lines, "\n")
}

// failure turns an answer that is no success into its error.
func (c *Client) failure(res *http.Response) error {
	body, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	if err != nil {
		return &UnreachableError{c.shown, err}
	}
	var p api.Problem
	if mediaType(res) != "application/problem+json" || json.Unmarshal(body, &p) != nil || p.Code == "" {
		return c.foreign(res)
	}
	return typed(p)
}

func typed(p api.Problem) error {
	switch p.Code {
	case api.CodeNotFound:
		return &NotFoundError{p}
	case api.CodePrecondition, api.CodeManaged:
		return &ConflictError{p}
	case api.CodeInvalid, api.CodeRequest:
		return &InvalidError{p}
	case api.CodeRefused, api.CodeGuard:
		return &RefusedError{Problem: p, Guard: p.Code == api.CodeGuard}
	case api.CodeUnauthorized:
		return &UnauthorizedError{p}
	case api.CodeUnavailable:
		return &UnavailableError{p}
	}
	return &FailedError{p}
}
