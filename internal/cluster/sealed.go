package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"jurymast/internal/cluster/seal"
	"jurymast/internal/health"
	"jurymast/internal/signing"
	"jurymast/internal/store"
)

// Sealed records are the secrets all nodes share. The store says which key seals; every node says in its own record which
// keys it has. A change of the key loses nothing, wherever it is cut off:
//
//	all live nodes have key B --RotateSeal--> seal: {key: B, previous: A} --leader, one by one--> every box is B's --> A may go
//
// A box is written under the condition that the store still names the key it was sealed with, so none can be sealed with
// the old key once the last one is done.

// Errors of sealed records; test them with errors.Is. What they wrap is a text for the operator.
var (
	ErrNoKey    = errors.New("this node has no seal key")
	ErrNoRecord = errors.New("there is no such sealed record")
	ErrRefused  = errors.New("refused")
)

// sealingRecord names the key that seals.
type sealingRecord struct {
	Key      string    `json:"key"`
	Previous string    `json:"previous,omitempty"` // the one before it
	At       time.Time `json:"at"`
	By       string    `json:"by,omitempty"`
}

type sealedRecord struct {
	box seal.Box
	rev int64
	bad bool // it cannot even be read as a box
}

// sealedState is what this node knows of sealed records. Everything in it is still closed.
type sealedState struct {
	sealing sealingRecord
	rev     int64 // of sealing; 0: nothing is stored
	records map[string]sealedRecord
	ask     rollAsk
	askRev  int64
}

func newSealedState() sealedState { return sealedState{records: map[string]sealedRecord{}} }

func (s *sealedState) apply(e *store.Event) {
	switch e.Key {
	case keySeal:
		s.sealing, s.rev = sealingRecord{}, 0
		if !e.Deleted {
			_ = json.Unmarshal(e.Value, &s.sealing) // what cannot be read names no key, and nothing is sealed with none
			s.rev = e.Rev
		}
		return
	case keyRollAsk:
		s.ask, s.askRev = rollAsk{}, 0
		if !e.Deleted {
			_ = json.Unmarshal(e.Value, &s.ask)
			s.askRev = e.Rev
		}
		return
	}
	name, _ := rest(e.Key, inSealed)
	if e.Deleted {
		delete(s.records, name)
		return
	}
	r := sealedRecord{rev: e.Rev}
	r.bad = json.Unmarshal(e.Value, &r.box) != nil
	s.records[name] = r
}

// secretsPart is this node's side: its keys, and what keeps it from using what is sealed.
type secretsPart struct {
	keys    seal.Ring
	wake    chan struct{}
	trouble string // about the cookie secret; "": none

	wakeKeys   chan struct{}
	keyTrouble string                  // about keys of zones
	waits      map[string]signing.Wait // what their changes wait for, while this node leads
}

func (p *secretsPart) init() { p.wake, p.wakeKeys = make(chan struct{}, 1), make(chan struct{}, 1) }

// nudge lets whoever tends secrets look again.
func (p *secretsPart) nudge() {
	for _, wake := range []chan struct{}{p.wake, p.wakeKeys} {
		select {
		case wake <- struct{}{}:
		default:
		}
	}
}

// UseKeys says which seal keys this node has from now on, and tells the others their ids.
func (c *Cluster) UseKeys(keys seal.Ring) {
	c.mu.Lock()
	c.secrets.keys = keys
	c.o.Node.Seals = keys.IDs()
	c.mu.Unlock()
	c.secrets.nudge()
	c.out.put(func(q *pending) { q.node = true })
}

// Sealed opens a record. rev is what a change of it is conditional on: 0 with ErrNoRecord. seal.ErrOtherKey and
// seal.ErrDamaged say that it is there and this node cannot use it.
func (c *Cluster) Sealed(name string) (plain []byte, box seal.Box, rev int64, err error) {
	c.mu.Lock()
	r, ok := c.st.sealed.records[name]
	keys := c.secrets.keys
	c.mu.Unlock()
	switch {
	case !ok:
		return nil, seal.Box{}, 0, fmt.Errorf("sealed/%s: %w", name, ErrNoRecord)
	case r.bad:
		return nil, seal.Box{}, r.rev, fmt.Errorf("record sealed/%s: %w: it is no sealed record at all; give it up with: jurymast seal forget %[1]s", name, seal.ErrDamaged)
	}
	plain, err = keys.Open(name, r.box)
	return plain, r.box, r.rev, err
}

// sealedRev is the revision of a record, 0 when it is not there.
func (c *Cluster) sealedRev(name string) int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.st.sealed.records[name].rev
}

// sealing is what a write of a sealed record needs.
type sealing struct {
	key   seal.Key
	conds []store.Cond // this node leads, and the store names that key
	ops   []store.Op   // the first one says which key seals
}

// beginSealing finds the key that seals, as the leader.
func (c *Cluster) beginSealing() (sealing, error) {
	fence, leads := c.fence()
	if !leads {
		return sealing{}, fmt.Errorf("%w: %w", store.ErrUnavailable, errNotLeading)
	}
	return c.sealWith(fence)
}

// sealWith finds the key that seals, for a write under more conditions.
func (c *Cluster) sealWith(more ...store.Cond) (sealing, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	known := &c.st.sealed
	s := sealing{conds: append(more, store.Cond{Key: keySeal, Rev: known.rev})}
	if known.rev != 0 {
		key, ok := c.secrets.keys.Find(known.sealing.Key)
		if !ok {
			return s, fmt.Errorf("%w: the store seals with key %q, this node has %s; add that key to the file of node.store.seal on this node",
				seal.ErrOtherKey, known.sealing.Key, idsOf(c.secrets.keys.IDs()))
		}
		s.key = key
		return s, nil
	}
	first, ok := c.secrets.keys.First()
	if !ok {
		return s, fmt.Errorf("%w: write node.store.seal: {file: ...}", ErrNoKey)
	}
	s.key = first
	val, err := json.Marshal(sealingRecord{Key: first.ID(), At: time.Now().UTC()})
	s.ops = []store.Op{store.Put(keySeal, val)}
	return s, err
}

func idsOf(ids []string) string {
	if len(ids) == 0 {
		return "none"
	}
	return strings.Join(ids, ", ")
}

// writeSealed replaces a record that still has revision rev, together with more writes; only the leader may. It
// reports false when somebody else was faster, in the chair, the key or the record.
func (c *Cluster) writeSealed(ctx context.Context, name string, rev int64, plain []byte, more ...store.Op) (bool, error) {
	s, err := c.beginSealing()
	if err != nil {
		return false, err
	}
	return c.commitSealed(ctx, &s, name, rev, plain, more...)
}

func (c *Cluster) commitSealed(ctx context.Context, s *sealing, name string, rev int64, plain []byte, more ...store.Op) (bool, error) {
	box, err := s.key.Seal(name, plain)
	if err != nil {
		return false, err
	}
	val, err := json.Marshal(box)
	if err != nil {
		return false, err
	}
	ctx, cancel := context.WithTimeout(ctx, c.o.WriteTimeout)
	defer cancel()
	conds := append(slices.Clone(s.conds), store.Cond{Key: keySealed(name), Rev: rev})
	ops := slices.Concat(s.ops, []store.Op{store.Put(keySealed(name), val)}, more)
	_, ok, err := c.o.Store.Commit(ctx, conds, ops)
	return ok, err
}

// removeSealed removes a record that still has revision rev, together with more writes; only the leader may.
func (c *Cluster) removeSealed(ctx context.Context, name string, rev int64, more []store.Op) (bool, error) {
	fence, leads := c.fence()
	if !leads {
		return false, fmt.Errorf("%w: %w", store.ErrUnavailable, errNotLeading)
	}
	ctx, cancel := context.WithTimeout(ctx, c.o.WriteTimeout)
	defer cancel()
	conds := []store.Cond{fence, {Key: keySealed(name), Rev: rev}}
	_, ok, err := c.o.Store.Commit(ctx, conds, append([]store.Op{store.Delete(keySealed(name))}, more...))
	return ok, err
}

// reseal closes with the key in force what is still closed with another one. The leader does it, again and again until
// nothing is left, whoever began.
func (c *Cluster) reseal(ctx context.Context) error {
	names := c.outdated()
	if len(names) == 0 {
		return nil
	}
	s, err := c.beginSealing()
	if err != nil {
		return err
	}
	var left []error
	for _, name := range names {
		plain, box, rev, err := c.Sealed(name)
		if err != nil {
			if !errors.Is(err, ErrNoRecord) {
				left = append(left, err)
			}
			continue
		}
		ok, err := c.commitSealed(ctx, &s, name, rev, plain)
		if err != nil {
			return errors.Join(append(left, err)...)
		}
		if ok {
			c.o.Logger.Info("sealed with another key", "record", name, "old", box.Key, "new", s.key.ID())
		}
	}
	return errors.Join(left...)
}

// outdated are the records that are not closed with the key in force, in name order.
func (c *Cluster) outdated() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []string
	for _, name := range slices.Sorted(maps.Keys(c.st.sealed.records)) {
		if c.st.sealed.rev != 0 && c.st.sealed.records[name].box.Key != c.st.sealed.sealing.Key {
			out = append(out, name)
		}
	}
	return out
}

// SealStatus is how sealing stands; it holds ids and names only.
type SealStatus struct {
	Key      string // id of the key that seals; "": nothing is sealed yet
	Previous string
	Since    time.Time
	By       string
	Records  []SealedRecord
	Nodes    []NodeRecord // with the ids of the keys they have
}

// SealedRecord is one record as the store shows it.
type SealedRecord struct{ Name, Key string }

// SealStatus tells how sealing stands, as this node knows it.
func (c *Cluster) SealStatus() SealStatus {
	c.mu.Lock()
	defer c.mu.Unlock()
	k := &c.st.sealed
	out := SealStatus{Key: k.sealing.Key, Previous: k.sealing.Previous, Since: k.sealing.At, By: k.sealing.By, Nodes: c.st.members()}
	for _, name := range slices.Sorted(maps.Keys(k.records)) {
		out.Records = append(out.Records, SealedRecord{name, k.records[name].box.Key})
	}
	return out
}

// RotateSeal lets the store seal with the key of this id from now on, under the condition that every live node has it.
// The leader then seals every record anew; Resealed tells when that is done. ErrRefused wraps why not.
func (c *Cluster) RotateSeal(ctx context.Context, id, by, note string) error {
	c.mu.Lock()
	known, session, members := c.st.sealed, c.session, c.st.members()
	_, have := c.secrets.keys.Find(id)
	c.mu.Unlock()
	var lack []string
	for i := range members {
		if members[i].Name != c.o.Node.Name && !slices.Contains(members[i].Seals, id) {
			lack = append(lack, members[i].Name)
		}
	}
	switch {
	case session == nil:
		return fmt.Errorf("%w: %s", store.ErrUnavailable, c.Trouble())
	case !have:
		return fmt.Errorf("%w: this node does not have key %s", ErrRefused, id)
	case len(lack) > 0:
		return fmt.Errorf("%w: key %s is not in the file of node.store.seal on %s; add it there as one more line, nothing was changed", ErrRefused, id, strings.Join(lack, ", "))
	case known.rev != 0 && known.sealing.Key == id:
		return nil
	}
	at := time.Now().UTC()
	val, err := json.Marshal(sealingRecord{Key: id, Previous: known.sealing.Key, At: at, By: by})
	if err != nil {
		return err
	}
	entry := health.Entry{At: at, Node: c.o.Node.Name, Kind: health.EntryAct, From: "seal key " + known.sealing.Key, To: "seal key " + id, By: by, Note: note, Reason: "seal rotate"}
	if known.sealing.Key == "" {
		entry.From = ""
	}
	_, ok, err := c.o.Store.Commit(ctx, []store.Cond{{Key: keySeal, Rev: known.rev}}, []store.Op{store.Put(keySeal, val), c.entryOp(entry)})
	if err == nil && !ok {
		return fmt.Errorf("%w: somebody else changed the seal key at the same moment; look with jurymast seal, then try again", ErrRefused)
	}
	return err
}

// Resealed: every record is closed with the key of this id, and the store names it. It asks the store itself.
func (c *Cluster) Resealed(ctx context.Context, id string) (bool, error) {
	kv, ok, err := c.o.Store.Get(ctx, keySeal)
	var in sealingRecord
	if err != nil || !ok || json.Unmarshal(kv.Value, &in) != nil || in.Key != id {
		return false, err
	}
	kvs, _, err := c.o.Store.List(ctx, inSealed)
	if err != nil {
		return false, err
	}
	return !slices.ContainsFunc(kvs, func(kv store.KV) bool {
		var box seal.Box
		return json.Unmarshal(kv.Value, &box) != nil || box.Key != id
	}), nil
}

// ForgetSealed removes one record for ever, as for a key that is lost. What it was for makes a new secret.
func (c *Cluster) ForgetSealed(ctx context.Context, name, by, note string) error {
	c.mu.Lock()
	r, ok := c.st.sealed.records[name]
	session := c.session
	c.mu.Unlock()
	switch {
	case session == nil:
		return fmt.Errorf("%w: %s", store.ErrUnavailable, c.Trouble())
	case !ok:
		return fmt.Errorf("sealed/%s: %w", name, ErrNoRecord)
	}
	entry := health.Entry{At: time.Now().UTC(), Node: c.o.Node.Name, Kind: health.EntryAct, From: "sealed/" + name, To: "forgotten", By: by, Note: note, Reason: "seal forget"}
	_, done, err := c.o.Store.Commit(ctx, []store.Cond{{Key: keySealed(name), Rev: r.rev}}, []store.Op{store.Delete(keySealed(name)), c.entryOp(entry)})
	if err == nil && !done {
		return fmt.Errorf("%w: sealed/%s was changed at the same moment; nothing was removed", ErrRefused, name)
	}
	return err
}
