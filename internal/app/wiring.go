package app

import (
	"encoding/json"
	"hash/fnv"
	"net"
	"sync"

	"jurymast/internal/app/join"
	"jurymast/internal/cluster"
	"jurymast/internal/engine"
	"jurymast/internal/health"
	"jurymast/internal/profile"
	"jurymast/internal/proxy"
	"jurymast/internal/store/lastgood"
)

// carrier takes the engine's effects to the edges. Nothing in it blocks.
type carrier struct{ a *App }

// Carry implements engine.Carrier.
func (c *carrier) Carry(name string, e engine.Effect) {
	a := c.a
	if n, ok := e.(engine.Note); ok && n.Entry.Kind == health.EntryAlarm {
		a.log.Error("alarm", "profile", name, "reason", n.Entry.Reason, "epoch", n.Entry.Epoch, "to", n.Entry.To)
	}
	switch e := e.(type) {
	case engine.ProbeNow:
		a.sched.Confirm(name, e.Endpoint, e.Runs, e.Span)
		if e.Ask {
			a.cluster.Ask(name, e.Endpoint)
		}
	case engine.SetPace:
		a.probing.pace(name, e.Endpoint, e.Every)
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

// keeper writes what is served into the last-good log, each record only when it changed.
type keeper struct {
	log *lastgood.Log

	mu    sync.Mutex
	known map[string]string
}

// keyGeneration is the last-good record of the documents' generation: serials of zones never go back.
const keyGeneration = "generation"

// lastState is the last-good record of one profile's state.
type lastState struct {
	Ready    bool                      `json:"ready"`
	Decision health.Decision           `json:"decision"`
	Verdicts map[string]health.Verdict `json:"verdicts"`
}

func (k *keeper) keep(views []*health.View) {
	for _, v := range views {
		s := lastState{Ready: v.Ready, Decision: v.Decision, Verdicts: make(map[string]health.Verdict, len(v.Endpoints))}
		for i := range v.Endpoints {
			s.Verdicts[v.Endpoints[i].Config.Name] = v.Endpoints[i].Verdict
		}
		k.put("state/"+v.Profile.Name, s)
	}
}

// documents keeps the documents in force and forgets those that are gone, with their state.
func (k *keeper) documents(generation uint64, records []cluster.Record) {
	named := map[string]bool{keyGeneration: true}
	k.put(keyGeneration, generation)
	for i := range records {
		key := "doc/" + string(records[i].Kind) + "/" + records[i].Name
		named[key] = true
		if records[i].Kind == profile.KindProfile {
			named["state/"+records[i].Name] = true
		}
		k.put(key, records[i])
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	for key := range k.known {
		if !named[key] {
			delete(k.known, key)
			k.log.Put(key, nil)
		}
	}
}

func (k *keeper) put(key string, value any) {
	b, err := json.Marshal(value)
	if err != nil {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.known[key] != string(b) {
		k.known[key] = string(b)
		k.log.Put(key, b)
	}
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
func (a *App) replace(ed *edition) {
	a.loop.Replace(engine.Replacement{Prepared: ed.prepared, Commit: func() { a.probing.replace(ed.checks) }})
	a.good.documents(ed.prepared.Docs.Generation, ed.records)
}
