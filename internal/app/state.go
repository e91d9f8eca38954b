package app

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"

	"jurymast/internal/api"
	"jurymast/internal/health"
	"jurymast/internal/nameserver/tap"
	"jurymast/internal/profile"
)

// alarms are what an operator must look at, by subject; an empty text ends one.
type alarms struct {
	mu   sync.Mutex
	list map[string]string
}

func (a *alarms) set(subject, text string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.list == nil {
		a.list = map[string]string{}
	}
	if text == "" {
		delete(a.list, subject)
	} else {
		a.list[subject] = text
	}
}

func (a *alarms) all() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	var out []string
	for _, k := range slices.Sorted(maps.Keys(a.list)) {
		out = append(out, a.list[k])
	}
	return out
}

// feed passes journal entries on to whoever follows them. A reader that is slow is dropped, never waited for.
type feed struct {
	mu      sync.Mutex
	readers map[chan health.Entry]struct{}
}

// feedBuffer is how many entries a reader may lag.
const feedBuffer = 256

func newFeed() *feed { return &feed{readers: map[chan health.Entry]struct{}{}} }

func (f *feed) append(e health.Entry) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for c := range f.readers {
		select {
		case c <- e:
		default:
			delete(f.readers, c)
			close(c)
		}
	}
}

// subscribe returns the entries from now on; the channel is closed when the reader is too slow or ctx ends.
func (f *feed) subscribe(ctx context.Context) <-chan health.Entry {
	c := make(chan health.Entry, feedBuffer)
	f.mu.Lock()
	f.readers[c] = struct{}{}
	f.mu.Unlock()
	context.AfterFunc(ctx, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		if _, ok := f.readers[c]; ok {
			delete(f.readers, c)
			close(c)
		}
	})
	return c
}

// maxWaiting is how many reasons are named: a node may have 10,000 profiles.
const maxWaiting = 20

// ready: every profile answers from fresh state, and the node is not leaving. The reasons say what is awaited.
func (a *App) ready() (bool, []string) {
	var why []string
	if a.draining.Load() {
		why = append(why, "the node is stopping")
	}
	if s := a.loop.Status(); !s.Reachable && !a.solo {
		why = append(why, "the store is out of reach: "+a.storeTrouble())
	}
	if a.config.Load().Applied.IsZero() && a.config.Load().Error == "" {
		why = append(why, "the configuration file is not applied yet")
	}
	snap := a.hub.Load()
	if docs := snap.Documents(); a.config.Load().Error != "" && len(docs.Profiles)+len(docs.Zones) == 0 {
		why = append(why, "the configuration file is refused, and nothing else is stored that could be served")
	}
	if gen := a.applied.Load(); snap.Documents().Generation < gen {
		why = append(why, fmt.Sprintf("generation %d of the documents is not in use yet", gen))
	}
	for i, p := range snap.Documents().Profiles {
		if len(why) >= maxWaiting {
			why = append(why, "and more")
			break
		}
		var v *health.View
		if part := snap.Part(i); part != nil {
			v = part.View
		}
		switch {
		case v != nil && (v.Halt == health.HaltIsolated || v.Halt == health.HaltUnconfirmed):
			why = append(why, fmt.Sprintf("profile %s: nothing is answered, because its decision is %s", p.Name, haltText[v.Halt]))
		case v == nil || !v.Ready:
			why = append(why, fmt.Sprintf("profile %s: verdicts that could change its answer are missing", p.Name))
		case v.Stale:
			why = append(why, fmt.Sprintf("profile %s: its state is the last good one, not confirmed yet", p.Name))
		case v.Profile.Routing == profile.Priority && v.Decision.Epoch == 0 && hasUsable(v):
			why = append(why, fmt.Sprintf("profile %s: its first decision is not written yet", p.Name))
		}
	}
	why = append(why, a.untriedTargets()...)
	why = append(why, a.untriedZones()...)
	if lost := a.seal.missed(); lost != "" {
		why = append(why, lost)
	}
	why = append(why, a.unsignedZones()...)
	return len(why) == 0, why
}

var haltText = map[health.Halt]string{
	health.HaltIsolated: "out of this node's reach", health.HaltUnconfirmed: "not confirmed by the store yet",
}

// storeTrouble says in one line why the store cannot be used, "" when it can.
func (a *App) storeTrouble() string {
	if why := a.store.detail(); why != "" {
		return why
	}
	return a.cluster.Trouble()
}

// listeners are all sockets, for the operator.
func (a *App) listeners() []api.Listener {
	var out []api.Listener
	for _, addr := range a.dns.Addrs() {
		out = append(out, api.Listener{Front: "dns", Network: "udp+tcp", Address: addr.String()})
	}
	for _, via := range []tap.Transport{tap.DoT, tap.DoH, tap.DoQ} {
		network := "tcp"
		if via == tap.DoQ {
			network = "udp"
		}
		for _, addr := range a.dns.SecureAddrs(via) {
			out = append(out, api.Listener{Front: via.String(), Network: network, Address: addr.String()})
		}
	}
	plain, secure := a.web.Addrs()
	for _, addr := range plain {
		out = append(out, api.Listener{Front: "http", Network: "tcp", Address: addr.String()})
	}
	for _, addr := range secure {
		out = append(out, api.Listener{Front: "https", Network: "tcp", Address: addr.String()})
	}
	for _, addr := range a.api.Addrs() {
		out = append(out, api.Listener{Front: "api", Network: addr.Network(), Address: addr.String()})
	}
	return out
}

func hasUsable(v *health.View) bool {
	return slices.ContainsFunc(v.Endpoints, func(e health.EndpointView) bool { return e.Tier == health.TierUsable })
}
