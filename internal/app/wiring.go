package app

import (
	"hash/fnv"
	"net"

	"jurymast/internal/app/join"
	"jurymast/internal/cluster"
	"jurymast/internal/engine"
	"jurymast/internal/health"
	"jurymast/internal/proxy"
)

// carrier takes the engine's effects to the edges. Nothing in it blocks.
type carrier struct{ a *App }

// Carry implements engine.Carrier.
func (c *carrier) Carry(name string, e engine.Effect) {
	a := c.a
	n, note := e.(engine.Note)
	if note {
		a.vitals.count(&n.Entry)
	}
	if note && n.Entry.Kind == health.EntryAlarm {
		a.log.Error("alarm", "profile", name, "reason", n.Entry.Reason, "epoch", n.Entry.Epoch, "to", n.Entry.To)
	}
	switch e := e.(type) {
	case engine.ProbeNow:
		a.sched.Confirm(name, e.Endpoint, "", e.Runs, e.Span)
		if e.Ask {
			a.cluster.Ask(name, e.Endpoint)
		}
	case engine.SetPace:
		a.probing.pace(name, e.Endpoint, e.Check, e.Every)
	default:
		if !join.Write(a.cluster, name, e) {
			a.log.Error("an effect nobody carries; this is a bug", "profile", name, "effect", e)
		}
	}
}

// Blind implements engine.Carrier.
func (c *carrier) Blind(blind bool) { c.a.cluster.SetBlind(blind) }

// Published implements engine.Carrier.
func (c *carrier) Published(views []*health.View, material bool) {
	if material {
		c.a.good.keep(views)
	}
}

// heard takes the cluster's events to the engine. The cluster holds a lock meanwhile: nothing here may block or call
// it back.
func (a *App) heard(ev cluster.Event) {
	switch e := ev.(type) {
	case cluster.Documents:
		a.newSet(e.Set)
		return
	case cluster.Appended:
		a.journal.append(e.Entry)
		return
	case cluster.Role:
		a.log.Info("role", "leads", e.Leader)
	case cluster.Reachable:
		a.log.Info("store", "reachable", e.Reachable)
	default:
	}
	join.Tell(a.loop, a.self(), ev)
	if r, ok := ev.(cluster.Reachable); ok && r.Reachable {
		select {
		case a.begun <- struct{}{}:
		default:
		}
	}
}

func (a *App) self() engine.Member {
	return engine.Member{Name: a.file.Node.Name, Location: a.file.Node.Location}
}

// signal takes a passive failure from the proxy to the engine.
func (a *App) signal(s proxy.Signal) {
	a.loop.Post(s.Profile, engine.Suspected{Endpoint: s.Endpoint, Kind: string(s.Kind)})
}

func seedOf(name string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(name))
	return h.Sum64()
}

// ownAddresses are where probes may come from: people open firewalls for them.
func ownAddresses() []string {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return nil
	}
	var out []string
	for _, a := range addrs {
		if ip, ok := a.(*net.IPNet); ok && !ip.IP.IsLinkLocalUnicast() && !ip.IP.IsLoopback() {
			out = append(out, ip.IP.String())
		}
	}
	return out
}

// replace makes an edition visible, in the loop, at once.
func (a *App) replace(ed *edition, recovered map[string]engine.Recovered) {
	a.loop.Replace(engine.Replacement{Prepared: ed.prepared, Recovered: recovered, Commit: func() {
		a.probing.replace(ed)
		a.zoneKeys.wanted.Store(&ed.wanted)
		a.vitals.keep(ed.prepared.Docs)
		a.good.documents(ed)
	}})
}
