package app

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"jurymast/internal/api"
	"jurymast/internal/certificates"
	"jurymast/internal/nameserver"
	"jurymast/internal/nameserver/dnstap"
	"jurymast/internal/nameserver/querylog"
	"jurymast/internal/nameserver/traffic"
	"jurymast/internal/profile"
)

// buildNameserver makes the DNS front, with its query log if there is to be one.
func (a *App) buildNameserver(metrics prometheus.Registerer) error {
	n := &a.file.Node
	var err error
	if a.queries, err = a.openQueryLog(&n.Nameserver.QueryLog); err != nil {
		return err
	}
	wire, err := a.openDnstap(&n.Nameserver.Dnstap)
	if err != nil {
		return err
	}
	a.wire = wire
	certs, err := certificates.Load(n.Nameserver.Certificates)
	if err != nil {
		return fmt.Errorf("node.nameserver.certificates: %w", err)
	}
	a.dnsCerts.Use(certs)
	a.dns = nameserver.New(dnsOptions(n, nameserver.Options{
		Hub: a.hub, Logger: a.log, Registerer: metrics, Locator: a.places, Places: n.Geo.Database != "", QueryLog: a.queries, Dnstap: wire,
		Targets: a.targets, Cookies: a.jar, Clock: a.clock, Secure: nameserver.Secure{Certificates: &a.dnsCerts},
		NotifyFailed: a.notifyFailed, Fetched: a.fetched.book,
	}))
	return nil
}

// openQueryLog opens what node.nameserver.query_log.file names: "" is off, "-" standard output.
func (a *App) openQueryLog(l *profile.QueryLog) (*querylog.Log, error) {
	o := querylog.Options{File: l.File, Sample: l.Sample, Errors: l.Errors, Full: l.FullAddress, Logger: a.log}
	switch l.File {
	case "":
		return nil, nil //nolint:nilnil // off
	case "-":
		o.File, o.Out = "", a.o.Out
	}
	log, err := querylog.Open(o)
	if err != nil {
		return nil, fmt.Errorf("node.nameserver.query_log.file: %w", err)
	}
	return log, nil
}

// openDnstap makes what carries messages to a collector, nil where none is named.
func (a *App) openDnstap(d *profile.Dnstap) (*dnstap.Tap, error) {
	if d.Off() {
		return nil, nil //nolint:nilnil // off
	}
	o := dnstap.Options{
		Socket: d.Socket, Address: d.Address, File: d.File, Identity: d.Identity, Version: d.Version, Full: d.FullAddress,
		Queries: slices.Contains(d.Messages, profile.AuthQuery), Responses: slices.Contains(d.Messages, profile.AuthResponse), Logger: a.log,
	}
	if o.Identity == "" {
		o.Identity = a.file.Node.Name
	}
	if o.Version == "" {
		o.Version = "jurymast " + a.o.Version
	}
	tap, err := dnstap.Open(o)
	if err != nil {
		return nil, fmt.Errorf("node.nameserver.dnstap.file: %w", err)
	}
	return tap, nil
}

// streamLimits translates the file's words.
func streamLimits(l *profile.StreamLimits) nameserver.TCP {
	return nameserver.TCP{
		Connections: l.Connections, PerPrefix: l.PerPrefix, InFlight: l.InFlight, First: l.FirstQuestion, Idle: l.Idle, IdleMin: l.IdleMin,
		Handshakes: l.Handshakes, PerPrefixHandshakes: l.PerPrefixHandshakes,
	}
}

// trafficDesk is the API's way to what the nameserver sees.
type trafficDesk App

// Top implements api.Traffic, as do the methods below.
func (d *trafficDesk) Top(by, profile string, span time.Duration, limit int) api.TopList {
	list, _ := traffic.ParseBy(by) // the API takes no other words
	r := d.dns.Traffic().Top(list, profile, span, limit)
	out := api.TopList{Since: r.Since, Until: r.Until, Queries: r.Queries, Sampling: r.Sampling}
	if profile == "" {
		out.Unusual = unusual(d.dns.Traffic().Odd(span))
	}
	for _, l := range r.Lines {
		out.Lines = append(out.Lines, api.TopLine{Value: l.Value, Queries: l.Queries, Error: l.Error})
	}
	return out
}

func unusual(o traffic.Odd) *api.Unusual {
	share := func(n uint64) float64 { return float64(n) / float64(max(o.Queries, 1)) }
	return &api.Unusual{
		UnknownType: share(o.UnknownType), NXDomain: share(o.NXDomain), Refused: share(o.Refused), Malformed: share(o.Malformed), Limited: share(o.Limited),
	}
}

// LogFile is what the node's file names.
func (d *trafficDesk) LogFile() string { return d.file.Node.Nameserver.QueryLog.File }

// Watch is only called when there is a log.
func (d *trafficDesk) Watch(profile string, until time.Time) error {
	err := d.queries.Watch(profile, until)
	if errors.Is(err, querylog.ErrTooMany) {
		return fmt.Errorf("%w: %w", api.ErrTooManyWatched, err)
	}
	return err
}

// Watched is empty without a log.
func (d *trafficDesk) Watched() map[string]time.Time {
	if d.queries == nil {
		return nil
	}
	return d.queries.Watched()
}

// traffic is nil for a node without listeners.
func (a *App) traffic() api.Traffic {
	if len(a.file.Node.Nameserver.Listen) == 0 {
		return nil
	}
	return (*trafficDesk)(a)
}
