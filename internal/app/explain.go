package app

import (
	"context"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"time"

	"jurymast/internal/api"
	"jurymast/internal/nameserver"
	"jurymast/internal/profile"
	"jurymast/internal/steer"
)

// explain answers as the nameserver would, and says what the proxy would do. ecs is the subnet a resolver tells; the
// proxy hears of none, its client is whom the subnet stands for.
func (a *App) explain(_ context.Context, name, qtype string, client netip.Addr, ecs netip.Prefix) (api.Explanation, error) {
	snap := a.hub.Load()
	e, err := a.dns.ExplainSubnet(snap, name, qtype, client, ecs)
	if err != nil {
		return api.Explanation{}, api.Invalid(err)
	}
	out := api.Explanation{
		Name: e.Name, Type: e.Type, Zone: e.Zone, Profile: e.Profile, Kind: e.Match, Rcode: e.Rcode, Answer: e.Answer, Trail: e.Trail,
		TTL: (time.Duration(e.TTL) * time.Second).String(), Path: e.Path, Endpoint: e.Endpoint, Reason: string(e.Reason),
		Serving: string(e.Serving), Stale: e.Stale, Subnet: e.Subnet, Errors: e.Errors,
	}
	asker := client
	if client.IsValid() {
		out.Client = client.String()
	}
	if ecs.IsValid() {
		out.ECS = ecs.String()
		asker = ecs.Addr()
	}
	if out.Profile == "" { // the host may be served by the proxy alone, its DNS elsewhere
		out.Profile = profileOf(snap.Documents().Profiles, name)
	}
	if v := snap.View(out.Profile); v != nil {
		out.Epoch, out.Proxy = v.Decision.Epoch, a.web.Would(snap, out.Profile, name, asker)
		if out.Serving == "" {
			var trail steer.Trail
			d := steer.Decide(v, a.clientAt(asker), rand.Uint64, &trail)
			out.Serving, out.Stale, out.Trail = string(d.Serving), d.Stale, trail.Steps
		}
	}
	out.Trail = append(dnsSteps(e), out.Trail...)
	return out, nil
}

// clientAt is what is known of whoever has this address.
func (a *App) clientAt(addr netip.Addr) steer.Client {
	if !addr.IsValid() {
		return steer.Client{}
	}
	return steer.Client{Addr: addr, Bits: addr.BitLen(), Place: a.places.Place(addr), Row: a.places.Row(addr)}
}

// dnsSteps says how the name was found, before any profile was asked, and why there is no answer when there is none.
func dnsSteps(e nameserver.Explanation) []steer.Step {
	if e.Zone == "" {
		return []steer.Step{{Step: "zone", Rule: "we answer for configured zones only", Input: e.Name, Result: "no zone encloses the name: " + e.Rcode}}
	}
	steps := []steer.Step{{Step: "zone", Rule: "longest zone that encloses the name", Input: e.Name, Result: e.Zone}}
	if e.Match == "" {
		result := strings.Join(append([]string{e.Rcode}, e.Errors...), ", ")
		return append(steps, steer.Step{Step: "type", Rule: "such a question is not looked up", Input: e.Type, Result: result})
	}
	steps = append(steps, steer.Step{Step: "name", Input: e.Name, Result: matched(e)})
	steps = append(steps, aliases(e)...)
	switch {
	case len(e.Answer) > 0 || e.Rcode != "NOERROR":
	case e.Match == "delegation" && !e.AA:
		steps = append(steps, steer.Step{
			Step: "type", Rule: "a delegated name is answered by the servers it is delegated to", Input: e.Type,
			Result: "referral to " + strings.Join(servers(e.Authority), ", "),
		})
	case len(e.Authority) > 0:
		steps = append(steps, steer.Step{Step: "type", Rule: "the name exists, this type does not", Input: e.Type, Result: "NODATA: " + e.Authority[0]})
	default:
		steps = append(steps, steer.Step{Step: "type", Input: e.Type, Result: "no record"})
	}
	return steps
}

// matched is what of the zone has the name.
func matched(e nameserver.Explanation) string {
	switch e.Match {
	case "missing":
		return "nothing has this name: " + e.Rcode
	case "exact":
		return e.Match
	}
	return e.Match + " " + e.Owner
}

// aliases are the steps an answer went on with inside our zones: each leads to a name that was looked up as well.
func aliases(e nameserver.Explanation) (steps []steer.Step) {
	if e.Type == "CNAME" || e.Type == "DNAME" || e.Type == "ANY" {
		return nil
	}
	for i, record := range e.Answer {
		f := strings.Fields(record) // owner, TTL, class, type, data
		if len(f) < 5 || f[3] != "CNAME" && f[3] != "DNAME" {
			continue
		}
		onward := i+1 < len(e.Answer) || len(e.Authority) > 0 || f[3] == "DNAME"
		if onward {
			steps = append(steps, steer.Step{Step: "alias", Rule: f[3], Input: f[0], Result: f[4]})
		}
	}
	return steps
}

// servers are the targets of NS records in text.
func servers(records []string) (list []string) {
	for _, record := range records {
		if f := strings.Fields(record); len(f) == 5 && f[3] == "NS" {
			list = append(list, f[4])
		}
	}
	return list
}

func profileOf(profiles []*profile.Profile, host string) string {
	host = profile.CanonicalName(host)
	for _, p := range profiles {
		if slices.Contains(p.Hostnames, host) {
			return p.Name
		}
	}
	return ""
}
