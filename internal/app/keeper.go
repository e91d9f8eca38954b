package app

import (
	"context"
	"encoding/json"
	"maps"
	"sync"

	"jurymast/internal/health"
	"jurymast/internal/profile"
	"jurymast/internal/store/lastgood"
)

// keeper writes what is served into the last-good log, each record only when it changed. The loop only hands views over;
// turning them into records is done on a goroutine of its own, newest first come, so that no publish waits for it.
type keeper struct {
	log *lastgood.Log

	mu    sync.Mutex
	views map[string]*health.View // to be kept, the newest per profile
	set   *edition                // documents to be kept
	wake  chan struct{}

	known map[string]string // what the log holds; the worker's
	named map[string]bool   // keys of the documents in force; the worker's
}

// keyGeneration is the last-good record of the documents' generation: serials of zones never go back.
const keyGeneration = "generation"

// lastState is the last-good record of one profile's state.
type lastState struct {
	Ready    bool                      `json:"ready"`
	Decision health.Decision           `json:"decision"`
	Floor    uint64                    `json:"floor,omitempty"`
	Orders   []health.Override         `json:"orders,omitempty"`
	Verdicts map[string]health.Verdict `json:"verdicts"`
}

func newKeeper(log *lastgood.Log, last map[string]json.RawMessage) *keeper {
	k := &keeper{log: log, views: map[string]*health.View{}, wake: make(chan struct{}, 1), known: map[string]string{}, named: map[string]bool{}}
	for key, val := range last {
		k.known[key] = string(val)
	}
	return k
}

// keep hands over views that became visible.
func (k *keeper) keep(views []*health.View) {
	k.mu.Lock()
	for _, v := range views {
		k.views[v.Profile.Name] = v
	}
	k.mu.Unlock()
	k.nudge()
}

// documents hands over the documents in force; records of others are forgotten.
func (k *keeper) documents(ed *edition) {
	k.mu.Lock()
	k.set = ed
	k.mu.Unlock()
	k.nudge()
}

func (k *keeper) nudge() {
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

// run turns what was handed over into records until ctx ends, and what is left then as well.
func (k *keeper) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			k.work()
			return
		case <-k.wake:
			k.work()
		}
	}
}

func (k *keeper) work() {
	k.mu.Lock()
	views, set := k.views, k.set
	k.views, k.set = map[string]*health.View{}, nil
	k.mu.Unlock()
	if set != nil {
		k.writeDocuments(set)
	}
	for name, v := range views {
		if !k.named["state/"+name] {
			continue // published before its documents went
		}
		s := lastState{Ready: v.Ready, Decision: v.Decision, Floor: v.Floor, Orders: v.Orders, Verdicts: make(map[string]health.Verdict, len(v.Endpoints))}
		for i := range v.Endpoints {
			s.Verdicts[v.Endpoints[i].Config.Name] = v.Endpoints[i].Verdict
		}
		k.put("state/"+name, s)
	}
}

func (k *keeper) writeDocuments(ed *edition) {
	k.named = map[string]bool{keyGeneration: true}
	k.put(keyGeneration, ed.prepared.Docs.Generation)
	for i := range ed.records {
		key := "doc/" + string(ed.records[i].Kind) + "/" + ed.records[i].Name
		k.named[key] = true
		if ed.records[i].Kind == profile.KindProfile {
			k.named["state/"+ed.records[i].Name] = true
		}
		k.put(key, ed.records[i])
	}
	maps.DeleteFunc(k.known, func(key, _ string) bool {
		if k.named[key] {
			return false
		}
		k.log.Put(key, nil)
		return true
	})
}

func (k *keeper) put(key string, value any) {
	b, err := json.Marshal(value)
	if err == nil && k.known[key] != string(b) {
		k.known[key] = string(b)
		k.log.Put(key, b)
	}
}
