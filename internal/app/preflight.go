package app

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"jurymast/internal/geo"
	"jurymast/internal/places"
	"jurymast/internal/preflight"
	"jurymast/internal/probe"
	"jurymast/internal/profile"
)

// PreflightOptions say what a preflight knows beside the file.
type PreflightOptions struct {
	File     *profile.File
	Name     string // of the file: relative names in it are beside it
	Version  string
	Nodes    int               // how many nodes there are; 0: not stated
	Rate     float64           // requests per second and profile; 0: preflight.DefaultRate
	Cluster  preflight.Cluster // a running node; nil: nobody is asked
	Progress func(done, total int)
}

// Preflight tries the configuration from this machine, with the probes, secrets and files a node would use. It starts no
// node and changes nothing.
func Preflight(ctx context.Context, o PreflightOptions) preflight.Report {
	n := &o.File.Node
	in := preflight.Input{File: o.File, Voters: o.Nodes, Rate: o.Rate}
	in.GeoError = databaseFault(besideFile(o.Name, n.Geo.Database))
	in.Latency, in.LatencyError = latencyTable(besideFile(o.Name, n.Geo.Latency))
	return preflight.Run(ctx, in, preflight.Tools{
		Prober: &preflightProber{
			prober: probe.Prober{UserAgent: "jurymast-probe/" + o.Version},
			node: probe.Node{
				Location: n.Location,
				Secrets:  secrets(n.Secrets).value,
				Programs: func(name string) ([]string, bool) {
					argv, ok := n.Exec[name]
					return argv, ok
				},
			},
		},
		Cluster:  o.Cluster,
		Secret:   secrets(n.Secrets).value,
		Progress: o.Progress,
	})
}

// databaseFault says why a location database cannot be used, "" when it can or there is none.
func databaseFault(name string) string {
	if name == "" {
		return ""
	}
	p, err := places.Open(places.Options{Database: name})
	if err != nil {
		return fault(err)
	}
	p.Close()
	return ""
}

func latencyTable(name string) (*geo.Table, string) {
	if name == "" {
		return nil, ""
	}
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, fault(err)
	}
	t, err := geo.ParseTable(bytes.NewReader(text))
	if err != nil {
		return nil, fault(err)
	}
	return t, ""
}

// fault is an error without the name of the file, which stands before it.
func fault(err error) string {
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		return p.Err.Error()
	}
	return err.Error()
}

// preflightProber lets a preflight run the probes of a monitor.
type preflightProber struct {
	prober probe.Prober
	node   probe.Node
}

// Probe runs every check of the endpoint once, whatever location it is meant for.
func (p *preflightProber) Probe(ctx context.Context, of *profile.Profile, e *profile.Endpoint) ([]preflight.ProbeResult, error) {
	names := []string{""}
	if len(e.Monitor.Checks) > 0 {
		names = names[:0]
		for i := range e.Monitor.Checks {
			names = append(names, e.Monitor.Checks[i].Name)
		}
	}
	var checks []probe.Check
	for _, name := range names {
		c, err := probe.CheckOf(of, e, name, p.node)
		if err != nil {
			return nil, err
		}
		checks = append(checks, c)
	}
	var out []preflight.ProbeResult
	for i := range checks {
		r := p.prober.Run(ctx, checks[i].Spec)
		one := preflight.ProbeResult{Check: checks[i].Name, OK: r.Obs.OK, Reason: r.Obs.Reason, Latency: r.Obs.Latency}
		for _, step := range r.Log {
			one.Log = append(one.Log, fmt.Sprintf("%-10s %6s  %s", step.Name, step.Duration.Round(10*time.Microsecond), step.Detail))
		}
		out = append(out, one)
	}
	return out, nil
}
