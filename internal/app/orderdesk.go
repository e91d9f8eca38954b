package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"jurymast/internal/api"
	"jurymast/internal/cluster"
	"jurymast/internal/health"
)

// orderDesk is the API's way to orders.
type orderDesk App

// Orders implements api.OrderStore, as does Transact.
func (d *orderDesk) Orders(name string) []health.Override { return d.cluster.Orders(name) }

// Transact changes orders as one change.
func (d *orderDesk) Transact(ctx context.Context, judge func(api.OrderBook) (api.OrderChange, error)) error {
	return translate(d.cluster.Transact(ctx, func(b cluster.Book) (cluster.OrderChange, error) {
		change, err := judge(api.OrderBook(b))
		return cluster.OrderChange(change), err
	}))
}

// signalDesk is the API's way to signals from outside.
type signalDesk App

// Token implements api.Signals, as does Put. Only names that this node's own file lists under node.secrets can be read.
func (d *signalDesk) Token(name, endpoint string) (string, error) {
	for _, p := range d.hub.Load().Documents().Profiles {
		if p.Name != name {
			continue
		}
		e, _ := p.Endpoint(endpoint)
		if e == nil || e.Monitor.External == nil {
			break
		}
		token, err := d.means.Load().Secrets(e.Monitor.External.Token)
		if err == nil && token == "" {
			err = errors.New("it is empty; give it a value")
		}
		if err != nil {
			d.log.Warn("the token of an external check cannot be read", "profile", name, "endpoint", endpoint, "error", err)
			return "", forSender(err)
		}
		return token, nil
	}
	return "", errors.New("the endpoint has no external check any more")
}

// forSender leaves out what is nobody's business but this machine's: the path of a file that cannot be read.
func forSender(err error) error {
	if path, ok := errors.AsType[*fs.PathError](err); ok {
		return fmt.Errorf("the file of its secret under node.secrets: %w; the log of the node names it", path.Err)
	}
	if strings.HasSuffix(err.Error(), "is not set") {
		return fmt.Errorf("%w; set it where the node is started, and restart the node", err)
	}
	return err
}

// Put writes a signal unless it only repeats a young one.
func (d *signalDesk) Put(ctx context.Context, s health.Signal) (bool, error) {
	written, err := d.cluster.Signal(ctx, s)
	return written, translate(err)
}

var (
	_ api.OrderStore = (*orderDesk)(nil)
	_ api.Signals    = (*signalDesk)(nil)
)
