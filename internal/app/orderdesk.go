package app

import (
	"context"

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
func (d *signalDesk) Token(name, endpoint string) (string, bool) {
	for _, p := range d.hub.Load().Documents().Profiles {
		if p.Name != name {
			continue
		}
		e, _ := p.Endpoint(endpoint)
		if e == nil || e.Monitor.External == nil {
			return "", false
		}
		token, err := d.means.Load().Secrets(e.Monitor.External.Token)
		if err != nil {
			d.log.Warn("the token of an external check cannot be read", "profile", name, "endpoint", endpoint, "error", err)
		}
		return token, err == nil && token != ""
	}
	return "", false
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
