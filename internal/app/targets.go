package app

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"jurymast/internal/api"
	"jurymast/internal/nameserver/flatten"
	"jurymast/internal/profile"
)

const (
	maxTargets = 1000            // that are listed, those with trouble first
	settleTime = 1 * time.Second // that new documents wait for the first addresses of their targets
)

// buildTargets makes the book of targets whose addresses DNS answers in place of a CNAME.
func (a *App) buildTargets(metrics prometheus.Registerer) error {
	n := &a.file.Node.Nameserver
	resolvers := flatten.System(a.ownDNS, a.log)
	if len(n.Resolvers) > 0 {
		var list []netip.AddrPort
		for _, text := range n.Resolvers {
			if server, ok := profile.ParseResolver(text); ok { // validated
				list = append(list, server)
			}
		}
		resolvers = flatten.Fixed(list)
	}
	a.openParents(resolvers)
	var err error
	a.targets, err = flatten.New(flatten.Options{
		Looker: flatten.NewClient(resolvers), MaxStale: n.FlattenMaxStale, Logger: a.log, Registerer: metrics,
	})
	return err
}

// ownDNS are the addresses DNS is answered on, by each address of the machine where it is all of them.
func (a *App) ownDNS() []netip.AddrPort {
	var out []netip.AddrPort
	for _, bound := range a.dns.Addrs() {
		out = append(out, bound)
		if !bound.Addr().IsUnspecified() {
			continue
		}
		for _, text := range ownAddresses() {
			if addr, err := netip.ParseAddr(text); err == nil {
				out = append(out, netip.AddrPortFrom(addr, bound.Port()))
			}
		}
	}
	return out
}

// settleTargets gives new documents time to learn the addresses of their targets, so that a changed target is no gap:
// the earlier documents are in force meanwhile, and at a start what is asked waits in the sockets.
func (a *App) settleTargets(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, settleTime)
	defer cancel()
	a.targets.Settle(ctx)
}

// untriedTargets are reasons for not being ready.
func (a *App) untriedTargets() (why []string) {
	names := a.dns.Targets().Untried()
	for i, name := range names {
		if i == maxWaiting {
			return append(why, fmt.Sprintf("and %d more targets", len(names)-i))
		}
		why = append(why, fmt.Sprintf("target %s: its addresses are being looked up for the first time", name))
	}
	return why
}

// targetStatus lists the targets, and says in one alarm which of them are not fresh.
func (a *App) targetStatus(now time.Time) (list []api.FlatTarget, faults []string) {
	all := a.dns.Targets().Status(now)
	rank := map[flatten.State]int{flatten.Missing: 0, flatten.Empty: 1, flatten.Stale: 2, flatten.Fresh: 3}
	slices.SortStableFunc(all, func(x, y flatten.Status) int { return cmp.Compare(rank[x.State], rank[y.State]) })
	bad := slices.IndexFunc(all, func(s flatten.Status) bool { return s.State == flatten.Fresh })
	if bad < 0 {
		bad = len(all)
	}
	if bad > 0 {
		s := &all[0]
		text := fmt.Sprintf("the addresses of target %s, which DNS answers, are %s", s.Target, s.State)
		if s.Trouble != "" {
			text += ": " + s.Trouble
		}
		if bad > 1 {
			text += fmt.Sprintf("; %d more targets have trouble", bad-1)
		}
		faults = append(faults, text)
	}
	for i := range all[:min(len(all), maxTargets)] {
		s := &all[i]
		list = append(list, api.FlatTarget{
			Target: s.Target, State: string(s.State), Addresses: s.Addresses, TTL: s.TTL, Resolver: s.Resolver,
			Learned: s.Learned, Next: s.Next, Forgotten: s.Forgotten, Failures: s.Failures, Trouble: s.Trouble,
		})
	}
	return list, faults
}
