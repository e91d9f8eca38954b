package main

import (
	"time"

	"jurymast/internal/api"
	"jurymast/internal/health"
	"jurymast/internal/steer"
)

// fakeMethod is a profile in the state its name says: one per routing method, and one of failback new-sessions.
func fakeMethod(name string) (api.ProfileStatus, bool) {
	s := fakeProfile()
	s.Name, s.Hostnames, s.Routing, s.Serving, s.Decision = name, []string{name + ".dr.example"}, name, "partial", nil
	eu, us := &s.Endpoints[0], &s.Endpoints[1]
	eu.ConfigWeight, us.ConfigWeight = 3, 1
	us.Override, us.MonitorStatus, us.Reason = nil, "Online", "status 200"
	switch name {
	case "weighted":
		us.Weight = 0.25
		eu.Signal = &api.SignalStatus{State: "up", By: "ci", Reason: "deployed\x1b[2J", At: since, Until: time.Now().Add(time.Hour + 30*time.Second)}
		us.Signal = &api.SignalStatus{State: "down", At: since, Until: since}
	case "geographic":
		eu.Geo, us.Geo, us.Subnets = []string{"GEO-EU", "GEO-AF", "GEO-ME", "GEO-AS"}, []string{"WORLD"}, []string{"192.0.2.0/24", "198.51.100.0/24"}
		us.MonitorStatus, us.Real, us.Held, us.Reason = "Degraded", "down", true, "held down until 2026-01-02T03:04:05Z, probes pass: 2 of 2 voters say up"
	case "performance":
		eu.Location, us.Location = "West Europe", "37.8, -122.4"
		us.MonitorStatus, us.Probing = "Disabled", true
	case "subnet":
		eu.Subnets, us.Paused = []string{"192.0.2.0/24", "198.51.100.7", "203.0.113.0/28", "2001:db8::/32"}, true
	case "nested":
		s.Routing, s.Stale = "weighted", true
		eu.Nested = &api.NestedStatus{Profile: "emea", Status: "Degraded", Online: 2, Size: 3, Needed: 1}
		us.Nested = &api.NestedStatus{Profile: "amer"}
		eu.Votes, us.Votes = []health.Ballot{}, []health.Ballot{}
	case "kept":
		s.Routing, s.Serving = "priority", "preferred"
		s.Decision = &api.DecisionStatus{Active: "eu20", Epoch: 5, Since: since, Reason: "failback-auto", Keeps: "us21"}
	default:
		return s, false
	}
	return s, true
}

// fakeGeographic is what explain says about a nested geographic profile to a resolver that tells a client subnet.
func fakeGeographic(e *api.Explanation) {
	e.Profile, e.Path, e.Endpoint, e.Reason, e.Serving, e.Epoch = "www", []string{"www", "emea"}, "eu20", "geo-climb", "fallback", 0
	e.Subnet, e.Errors = "192.0.2.0/24/24", []string{"3 Stale Answer: last good state"}
	e.Proxy = "sent to emea/eu20, chosen for each request"
	e.Trail = []steer.Step{
		{Step: "client", Rule: "client subnet", Input: "192.0.2.0/24", Result: "DE, 50.1 8.7"},
		{Step: "endpoint", Rule: "status\n200", Input: "eu20, Online", Result: "candidate"},
		{Step: "choice", Rule: "the most specific mapped endpoint that is a candidate", Input: "DE > GEO-EU", Result: "emea"},
	}
}
