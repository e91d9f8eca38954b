package app

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"jurymast/internal/api"
	"jurymast/internal/probe"
	"jurymast/internal/profile"
)

// probeNow runs every check of an endpoint once, with the log; nothing of it counts towards the vote.
func (a *App) probeNow(ctx context.Context, name, endpoint string) (api.ProbeResult, error) {
	checks := a.probing.find(name, endpoint)
	if len(checks) == 0 {
		return api.ProbeResult{}, fmt.Errorf("%w: no endpoint %q that this node probes in profile %q", api.ErrNotFound, endpoint, name)
	}
	results := make([]probe.Result, len(checks))
	var all sync.WaitGroup
	for i := range checks {
		all.Go(func() { results[i] = a.prober.Run(ctx, checks[i].Spec) })
	}
	all.Wait()
	if len(checks) == 1 && checks[0].Name == "" {
		return probeResult(name, endpoint, "", &results[0]), nil
	}
	return a.combined(name, endpoint, checks, results), nil
}

func probeResult(name, endpoint, check string, r *probe.Result) api.ProbeResult {
	out := api.ProbeResult{
		Profile: name, Endpoint: endpoint, OK: r.Obs.OK, Reason: r.Obs.Reason, Class: string(r.Class), Address: r.Obs.Addr,
		Total: r.Obs.Latency.Round(time.Microsecond).String(),
	}
	for _, p := range r.Log {
		phase := p.Name
		if check != "" {
			phase = check + ": " + p.Name
		}
		out.Phases = append(out.Phases, api.ProbePhase{Name: phase, Duration: p.Duration.Round(time.Microsecond).String(), Detail: p.Detail})
	}
	return out
}

// combined merges the results of several checks as the votes are merged.
func (a *App) combined(name, endpoint string, checks []probe.Check, results []probe.Result) api.ProbeResult {
	out := api.ProbeResult{Profile: name, Endpoint: endpoint}
	up, rule := 0, profile.Combine{}
	if v := a.hub.Load().View(name); v != nil && v.Endpoint(endpoint) != nil {
		rule = v.Endpoint(endpoint).Config.Monitor.Combine
	}
	var reasons []string
	slowest := time.Duration(0)
	for i := range results {
		one := probeResult(name, endpoint, checks[i].Name, &results[i])
		reasons = append(reasons, checks[i].Name+": "+one.Reason)
		out.Phases, out.Address = append(out.Phases, one.Phases...), one.Address
		slowest = max(slowest, results[i].Obs.Latency)
		if one.OK {
			up++
		} else if out.Class == "" {
			out.Class = one.Class
		}
	}
	out.OK, out.Total = up >= rule.Needed(len(checks)), slowest.Round(time.Microsecond).String()
	if out.OK {
		out.Class = ""
	}
	out.Reason = fmt.Sprintf("%d of %d checks pass, %d needed; %s", up, len(checks), rule.Needed(len(checks)), strings.Join(reasons, "; "))
	return out
}
