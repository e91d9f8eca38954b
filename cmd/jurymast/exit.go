package main

import (
	"errors"
	"fmt"
	"io/fs"
	"net"

	"jurymast/internal/profile"
)

// The exit codes, as scripts rely on them.
const (
	exitDone        = 0
	exitFinding     = 1
	exitUsage       = 2
	exitUnreachable = 3
	exitRefused     = 4
)

// exitError carries the exit code a verb has chosen. An empty text prints nothing: the verb has said it all.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return ""
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

// silently ends with a code and no further word.
func silently(code int) error { return &exitError{code: code} }

// usagef is a mistake of the caller: wrong words, a file that is not there, a value out of range.
func usagef(format string, args ...any) error {
	return &exitError{exitUsage, fmt.Errorf(format, args...)}
}

// exitCode says how the process ends for err. Whatever no verb has classified is a failure of the work itself,
// unless it is plainly the configuration: a file, or an address that cannot be bound.
func exitCode(err error) int {
	var exit *exitError
	var problems profile.Problems
	var path *fs.PathError
	var op *net.OpError
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &exit):
		return exit.code
	case errors.As(err, &problems), errors.As(err, &path) && path.Op != "write":
		return exitUsage
	case errors.As(err, &op) && op.Op == "listen":
		return exitUsage
	}
	return exitFinding
}
