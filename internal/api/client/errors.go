package client

import (
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"

	"jurymast/internal/api"
)

// UnreachableError: no node answers at the address, or what answers is no node.
type UnreachableError struct {
	Base string
	Err  error
}

func (e *UnreachableError) Error() string {
	return fmt.Sprintf("cannot reach a node at %s: %v; start one with jurymast serve, or name another address with --api or JURYMAST_API", e.Base, e.Err)
}

func (e *UnreachableError) Unwrap() error { return e.Err }

// NotFoundError: there is no such profile, endpoint, document or order.
type NotFoundError struct{ Problem api.Problem }

// ConflictError: the document is not the one that was meant (ETag), or a file owns it.
type ConflictError struct{ Problem api.Problem }

// InvalidError: what was sent is wrong; Problem.Errors lists everything.
type InvalidError struct{ Problem api.Problem }

// RefusedError: a rule of orders says no. Guard: no usable endpoint would be left, breakGlass overrules it.
type RefusedError struct {
	Problem api.Problem
	Guard   bool
}

// UnavailableError: the node answers, but it or its store cannot do this now.
type UnavailableError struct{ Problem api.Problem }

// FailedError is every other answer that is no success.
type FailedError struct{ Problem api.Problem }

func (e *NotFoundError) Error() string    { return text(&e.Problem) }
func (e *ConflictError) Error() string    { return text(&e.Problem) }
func (e *InvalidError) Error() string     { return text(&e.Problem) }
func (e *RefusedError) Error() string     { return text(&e.Problem) }
func (e *UnavailableError) Error() string { return text(&e.Problem) }
func (e *FailedError) Error() string      { return text(&e.Problem) }

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
	kind, _, _ := mime.ParseMediaType(res.Header.Get("Content-Type"))
	if kind != "application/problem+json" || json.Unmarshal(body, &p) != nil {
		return &UnreachableError{c.shown, fmt.Errorf("what answers there (status %d) is not the API of a node", res.StatusCode)}
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
	case api.CodeUnavailable:
		return &UnavailableError{p}
	}
	return &FailedError{p}
}
