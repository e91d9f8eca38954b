package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
)

// nodeOptions are the options of a node.
type nodeOptions struct {
	File, Data string
	Log        *slog.Logger
	Out        io.Writer
	Version    string
	Reload     <-chan struct{}
}

var runNode = func(context.Context, nodeOptions) error { return errors.New("not yet: serve") }
