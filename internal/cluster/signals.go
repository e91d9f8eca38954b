package cluster

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"

	"jurymast/internal/health"
	"jurymast/internal/profile"
	"jurymast/internal/store"
)

// Signal writes what somebody outside says about an endpoint. The caller has checked it. A signal that says what the
// stored one says is only written when half of its life is over. It reports whether it was written.
func (c *Cluster) Signal(ctx context.Context, s health.Signal) (bool, error) {
	c.mu.Lock()
	old, known := c.st.signals[s.Profile][s.Endpoint]
	c.mu.Unlock()
	if known && repeats(&old, &s) {
		return false, nil
	}
	val, err := json.Marshal(s)
	if err != nil {
		return false, err
	}
	_, _, err = c.o.Store.Commit(ctx, nil, []store.Op{store.Put(keySignal(s.Profile, s.Endpoint), val)})
	return err == nil, err
}

// repeats: next says what old says, and old is young enough to stand for it.
func repeats(old, next *health.Signal) bool {
	life := next.Until.Sub(next.At)
	return old.State == next.State && old.Reason == next.Reason && old.Until.Sub(old.At) == life && next.At.Sub(old.At) < life/2
}

// applySignal takes one change below signals/ and returns the profile it is about, "" when nothing changed.
func (s *state) applySignal(e *store.Event) string {
	tail, _ := rest(e.Key, inSignals)
	name, endpoint, ok := strings.Cut(tail, "/")
	if !ok {
		return ""
	}
	var sig health.Signal
	if e.Deleted || json.Unmarshal(e.Value, &sig) != nil || sig.Profile != name || sig.Endpoint != endpoint || sig.State == health.Checking {
		if _, known := s.signals[name][endpoint]; !known {
			return ""
		}
		delete(s.signals[name], endpoint)
		if len(s.signals[name]) == 0 {
			delete(s.signals, name)
		}
		return name
	}
	if s.signals[name] == nil {
		s.signals[name] = map[string]health.Signal{}
	}
	s.signals[name][endpoint] = sig
	return name
}

// orphanedSignals are the keys of signals whose endpoint no document names. Nothing is orphaned while no documents are known.
func (s *state) orphanedSignals() []string {
	if s.docs.since == 0 {
		return nil
	}
	var out []string
	for name, signals := range s.signals {
		named := map[string]bool{}
		if r := s.docs.inForce.Find(profile.KindProfile, name); r != nil {
			var p struct {
				Endpoints []struct {
					Name string `json:"name"`
				} `json:"endpoints"`
			}
			if json.Unmarshal(r.Source, &p) != nil {
				continue
			}
			for _, e := range p.Endpoints {
				named[e.Name] = true
			}
		}
		for endpoint := range signals {
			if !named[endpoint] {
				out = append(out, keySignal(name, endpoint))
			}
		}
	}
	slices.Sort(out)
	return out
}

// tellSignals tells all signals of the profiles; those of a profile without any are told as none.
func (s *state) tellSignals(profiles map[string]bool, emit func(Event)) {
	for name := range profiles {
		emit(Signals{Profile: name, Signals: maps.Clone(s.signals[name])})
	}
}

// trim keeps the store small: the journal to its cap, expired orders and signals of endpoints that are gone. The leader
// does it.
func (c *Cluster) trim(ctx context.Context) {
	if _, leads := c.fence(); !leads {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	kvs, _, err := c.o.Store.List(ctx, inJournal)
	if err != nil {
		return
	}
	var ops []store.Op
	for _, kv := range kvs[:max(0, len(kvs)-journalKept)] {
		ops = append(ops, store.Delete(kv.Key))
	}
	now := time.Now()
	c.mu.Lock()
	for id, in := range c.st.intents {
		if !in.list[0].Live(now) {
			ops = append(ops, store.Delete(keyIntent(id)))
		}
	}
	for _, key := range c.st.orphanedSignals() {
		ops = append(ops, store.Delete(key))
	}
	c.mu.Unlock()
	for chunk := range slices.Chunk(ops, store.MaxOps) {
		if _, _, err := c.o.Store.Commit(ctx, nil, chunk); err != nil {
			return
		}
	}
}
