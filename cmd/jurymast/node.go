package main

import (
	"context"
	"errors"

	"jurymast/internal/api"
	"jurymast/internal/api/client"
)

// node is a client for the node that the flags or the environment name. Nothing is connected yet.
func (c *cli) node() (*client.Client, error) {
	n, err := client.New(c.apiURL(), client.Options{
		Token: c.bearer(),
		By:    firstOf(c.getenv("SUDO_USER"), c.getenv("USER")),
		Agent: "jurymast/" + version,
	})
	if err != nil {
		return nil, usagef("--api: %w", err)
	}
	return n, nil
}

// failure gives an error of the client its exit code:
//
//	nobody answers                             3
//	an order, an owner, an ETag, a right       4
//	no such thing, wrong values                2
//	the node or its store cannot do it now     1
func (c *cli) failure(err error) error {
	var away *client.UnreachableError
	var gone *client.NotFoundError
	var invalid *client.InvalidError
	var rule *client.RefusedError
	var conflict *client.ConflictError
	var failed *client.FailedError
	var unknown *client.UnauthorizedError
	code, hint := exitFinding, ""
	switch {
	case errors.Is(err, context.Canceled):
		return &exitError{exitFinding, errors.New("interrupted")}
	case errors.As(err, &away):
		code = exitUnreachable
	case errors.As(err, &gone), errors.As(err, &invalid):
		code = exitUsage
	case errors.As(err, &rule):
		code = exitRefused
		if rule.Guard {
			hint = " (--break-glass)"
		}
	case errors.As(err, &conflict), errors.As(err, &unknown):
		code = exitRefused
	case errors.As(err, &failed):
		if failed.Problem.Code == api.CodeForbidden {
			code = exitRefused
		}
	}
	return &exitError{code, errors.New(clean(err.Error()) + hint)}
}
