package cluster

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"jurymast/internal/health"
	"jurymast/internal/profile"
	"jurymast/internal/store"
)

// Record is one document as stored.
type Record struct {
	Kind    profile.Kind    `json:"kind"`
	Name    string          `json:"name"`
	Managed string          `json:"managed,omitempty"` // file that owns it; such a document is read-only through the API
	Source  json.RawMessage `json:"source"`            // as the operator wrote it, without defaults
}

// ETag identifies the content of a document.
func (r *Record) ETag() string {
	sum := sha256.Sum256(r.Source)
	return `"` + hex.EncodeToString(sum[:8]) + `"`
}

func (r *Record) key() string { return string(r.Kind) + "/" + r.Name }

// DocumentSet is one generation of documents, in kind and name order.
type DocumentSet struct {
	Generation uint64
	Records    []Record
}

// Find returns a document of the set, or nil.
func (s *DocumentSet) Find(kind profile.Kind, name string) *Record {
	for i := range s.Records {
		if s.Records[i].Kind == kind && s.Records[i].Name == name {
			return &s.Records[i]
		}
	}
	return nil
}

// changeTries is how often a change is made anew on top of somebody else's.
const changeTries = 20

// ErrConflict: somebody else changed the documents meanwhile.
var ErrConflict = errors.New("documents changed meanwhile")

func (s *DocumentSet) sort() {
	slices.SortFunc(s.Records, func(a, b Record) int { return strings.Compare(a.key(), b.key()) })
}

// Documents are those in force, a copy.
func (c *Cluster) Documents() DocumentSet {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.st.docs.set()
}

func (d *docState) set() DocumentSet {
	return DocumentSet{Generation: d.inForce.Generation, Records: slices.Clone(d.inForce.Records)}
}

// Change replaces the documents as one change: a reader sees all of it or nothing of it. edit gets the current set
// and returns the wanted one; it may be called again when somebody else was faster. An unchanged set writes nothing.
// It returns the generation that holds afterwards.
func (c *Cluster) Change(ctx context.Context, edit func(DocumentSet) ([]Record, error)) (uint64, error) {
	select { // one at a time on this node; between nodes the compare-and-swap decides
	case c.changing <- struct{}{}:
		defer func() { <-c.changing }()
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	for range changeTries {
		c.mu.Lock()
		set, cur, s := c.st.docs.set(), c.st.docs.current, c.session
		stored := c.st.docs.torn == "" && (cur.rev != 0 || len(set.Records) == 0) // what is in force
		c.mu.Unlock()
		if s == nil {
			return 0, fmt.Errorf("%w: this node has no session with the store; nothing was changed, try again", store.ErrUnavailable)
		}
		want, err := edit(DocumentSet{Generation: set.Generation, Records: slices.Clone(set.Records)})
		if err != nil {
			return 0, err
		}
		if stored && sameRecords(set.Records, want) {
			return set.Generation, nil
		}
		gen, ok, err := c.stage(ctx, cur, max(cur.Generation, set.Generation)+1, want)
		if ok {
			_ = c.awaitNewer(ctx, s, cur.rev) // so that the next change of this node builds on it; it is written anyhow
		}
		if err != nil || ok {
			return gen, err
		}
		if err := c.awaitNewer(ctx, s, cur.rev); err != nil {
			return 0, err
		}
	}
	return 0, ErrConflict
}

// stage writes the contents that cur does not name yet, an index of all and, last, current; ok is false when somebody
// else flipped first. Every step is under the condition that cur still is current. Contents that cur names are there and
// stay there as long as it is current; any other is written even if it seems to be there, for it may be on the point of
// being swept (see sweep).
func (c *Cluster) stage(ctx context.Context, cur currentRecord, gen uint64, want []Record) (uint64, bool, error) {
	c.attempts++
	c.mu.Lock()
	before := c.st.docs.index(cur.Index)
	there := make(map[string]bool, len(before))
	for i := range before {
		there[before[i].key()] = c.st.docs.contents[before[i].key()].sound
	}
	c.mu.Unlock()
	now := make([]indexEntry, 0, len(want))
	var ops []store.Op
	for i := range want {
		r := want[i]
		r.Managed = "" // the index has it
		val, err := json.Marshal(r)
		if err != nil {
			return 0, false, fmt.Errorf("document %s: %w", r.key(), err)
		}
		e := indexEntry{Kind: r.Kind, Name: r.Name, Hash: hashOf(val), Managed: want[i].Managed}
		now = append(now, e)
		if !there[e.key()] {
			ops = append(ops, store.Put(e.key(), val))
		}
	}
	next := currentRecord{Generation: gen, Count: len(want), At: time.Now().UTC(), By: c.o.Node.Name}
	next.Index = keyIndex(gen, c.o.Node.Name+"-"+c.o.Node.Instance, c.attempts)
	ops = append(ops, indexOps(next.Index, now)...)
	val, _ := json.Marshal(next) //nolint:errchkjson // plain struct
	ops = append(ops, store.Put(keyCurrent, val))
	for len(ops) > 0 {
		n := fitting(ops, store.MaxOps, func(o store.Op) store.Op { return o })
		rev, ok, err := c.o.Store.Commit(ctx, []store.Cond{{Key: keyCurrent, Rev: cur.rev}}, ops[:n])
		if err != nil || !ok {
			return 0, false, err
		}
		next.rev, ops = rev, ops[n:]
	}
	c.sweep(ctx, cur, next, before, now)
	return gen, true, nil
}

// indexChunk is about how large one value of an index is, in bytes.
const indexChunk = 128 << 10

func indexOps(folder string, entries []indexEntry) []store.Op {
	var ops []store.Op
	for len(entries) > 0 {
		n, size := 0, 0
		for n < len(entries) && size < indexChunk {
			e := &entries[n]
			size += len(e.Kind) + len(e.Name) + len(e.Hash) + len(e.Managed) + 48 // the names of its fields
			n++
		}
		val, _ := json.Marshal(entries[:n]) //nolint:errchkjson // plain struct
		ops = append(ops, store.Put(keyChunk(folder, len(ops)), val))
		entries = entries[n:]
	}
	return ops
}

// sweep removes what nobody reads any more; the generation before stays, for readers that are behind. Only the one who
// has just flipped sweeps, as long as nobody else has, and only keys at the revision it knows: a content that somebody
// has written anew meanwhile, to use it, makes the commit fail. What it misses the next change finds.
func (c *Cluster) sweep(ctx context.Context, cur, next currentRecord, before, now []indexEntry) {
	c.mu.Lock()
	old := c.st.docs.garbage(now, before, next.Index, cur.Index, cur.rev)
	c.mu.Unlock()
	for some := range slices.Chunk(old, store.MaxOps-1) {
		ops := make([]store.Op, len(some))
		for i := range some {
			ops[i] = store.Delete(some[i].Key)
		}
		conds := append([]store.Cond{{Key: keyCurrent, Rev: next.rev}}, some...)
		if _, _, err := c.o.Store.Commit(ctx, conds, ops); err != nil {
			return
		}
	}
}

// newerWithin bounds how long a change waits to see the one that was faster.
const newerWithin = 5 * time.Second

// awaitNewer waits until the watch has shown another current than that of rev.
func (c *Cluster) awaitNewer(ctx context.Context, s *session, rev int64) error {
	limit := time.After(newerWithin)
	for {
		c.mu.Lock()
		newer, over := c.st.docs.current.rev != rev, c.session != s
		c.mu.Unlock()
		switch {
		case newer:
			return nil
		case over:
			return fmt.Errorf("%w: the session ended while the documents were changed; nothing was changed, try again", store.ErrUnavailable)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-limit:
			return fmt.Errorf("%w: somebody else changed the documents, but for %v the store has not shown how; nothing was changed, try again", store.ErrUnavailable, newerWithin)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// noteTorn tells once that the store holds documents that cannot be used; the caller holds mu.
func (c *Cluster) noteTorn() {
	torn := c.st.docs.torn
	if torn != "" && !c.torn {
		c.o.Logger.Error("documents in the store are incomplete; the earlier ones stay in force until others are written", "cause", torn)
		c.Note(health.Entry{
			At: time.Now().UTC(), Node: c.o.Node.Name, Kind: health.EntryAlarm, Reason: "documents-incomplete", Note: torn,
		})
	}
	c.torn = torn != ""
}

func sameRecords(a, b []Record) bool {
	if len(a) != len(b) {
		return false
	}
	b = slices.Clone(b)
	slices.SortFunc(b, func(x, y Record) int { return strings.Compare(x.key(), y.key()) })
	return slices.EqualFunc(a, b, func(x, y Record) bool {
		return x.key() == y.key() && x.Managed == y.Managed && bytes.Equal(x.Source, y.Source)
	})
}
