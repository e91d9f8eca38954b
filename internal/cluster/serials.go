package cluster

import (
	"context"
	"encoding/json"
	"maps"
	"strings"
	"time"

	"jurymast/internal/store"
)

// ZoneSerial is what all nodes agree on about the serial of one zone: which content has it, and since when.
type ZoneSerial struct {
	Serial uint32    `json:"serial"`
	Digest string    `json:"digest"`
	At     time.Time `json:"at"`
	Epoch  int64     `json:"epoch,omitempty"` // as of which the content is signed, in seconds since 1970; 0: unsigned
}

// SerialOptions of KeepSerials.
type SerialOptions struct {
	// Wake gets a value when Next may say something new.
	Wake <-chan struct{}
	// Next says which serials are to be written, given all that are stored, and when it wants to be asked again; the zero
	// time: not before something changes. Only the leader asks.
	Next func(stored map[string]ZoneSerial, now time.Time) (write map[string]ZoneSerial, again time.Time)
	// Use takes what is stored, at once. It may be called with the same again.
	Use func(map[string]ZoneSerial)
}

// serialState is what is stored below serials/.
type serialState struct {
	known map[string]ZoneSerial
	revs  map[string]int64
	count uint64 // of changes
}

func newSerialState() serialState {
	return serialState{known: map[string]ZoneSerial{}, revs: map[string]int64{}}
}

func (s *serialState) apply(e *store.Event) {
	name, _ := rest(e.Key, inSerials)
	s.count++
	var z ZoneSerial
	if e.Deleted || json.Unmarshal(e.Value, &z) != nil {
		delete(s.known, name)
		delete(s.revs, name)
		if !e.Deleted {
			s.revs[name] = e.Rev // it is written over
		}
		return
	}
	s.known[name], s.revs[name] = z, e.Rev
}

// maxSerialWrites are written in one transaction at most.
const maxSerialWrites = 50

// KeepSerials uses the serials of zones that all nodes share, and writes new ones while this node leads. It returns when
// ctx ends.
func (c *Cluster) KeepSerials(ctx context.Context, o SerialOptions) {
	tick := time.NewTicker(tendEvery)
	defer tick.Stop()
	var used uint64
	for {
		stored, revs, count, live := c.serials()
		if live && (count != used || used == 0) {
			o.Use(stored)
			used = count
		}
		var soon <-chan time.Time
		if _, leads := c.fence(); live && leads {
			now := time.Now().UTC().Round(0)
			write, again := o.Next(stored, now)
			c.writeSerials(ctx, write, revs)
			if !again.IsZero() {
				soon = time.After(max(again.Sub(now), 10*time.Millisecond))
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-o.Wake:
		case <-soon:
		case <-tick.C:
		case <-c.serialWake:
		}
	}
}

// serials are what is stored, if this node is in session.
func (c *Cluster) serials() (stored map[string]ZoneSerial, revs map[string]int64, count uint64, live bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.session == nil {
		return nil, nil, 0, false
	}
	return maps.Clone(c.st.serials.known), maps.Clone(c.st.serials.revs), c.st.serials.count, true
}

// writeSerials writes under the condition that this node leads and nothing was written in between. Whether it was done is
// told by the watch, and what was not is tried again.
func (c *Cluster) writeSerials(ctx context.Context, write map[string]ZoneSerial, revs map[string]int64) {
	var conds []store.Cond
	var ops []store.Op
	flush := func() {
		lead, ok := c.fence()
		if !ok || len(ops) == 0 {
			return
		}
		ctx, cancel := context.WithTimeout(ctx, c.o.WriteTimeout)
		defer cancel()
		if _, ok, err := c.o.Store.Commit(ctx, append(conds, lead), ops); err != nil || !ok {
			c.o.Logger.Debug("serials of zones were not written, trying again", "zones", len(ops), "error", err)
		}
		conds, ops = nil, nil
	}
	for name, z := range write {
		val, err := json.Marshal(z)
		if err != nil {
			continue
		}
		conds = append(conds, store.Cond{Key: inSerials + name, Rev: revs[name]})
		ops = append(ops, store.Put(inSerials+name, val))
		if len(ops) == maxSerialWrites {
			flush()
		}
	}
	flush()
}

// nudgeSerials lets KeepSerials look again.
func (c *Cluster) nudgeSerials() {
	select {
	case c.serialWake <- struct{}{}:
	default:
	}
}

func isSerial(key string) bool { return strings.HasPrefix(key, inSerials) }
