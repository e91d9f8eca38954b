package cluster

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

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

// currentRecord is what the one flipping write says.
type currentRecord struct {
	Generation uint64    `json:"generation"`
	Stage      string    `json:"stage"` // folder of its documents
	Count      int       `json:"count"`
	At         time.Time `json:"at"`
	By         string    `json:"by"`
	rev        int64
}

// changeTries is how often a change is made anew on top of somebody else's.
const changeTries = 20

// ErrConflict: somebody else changed the documents meanwhile.
var ErrConflict = errors.New("documents changed meanwhile")

func (s *state) applyCurrent(e *store.Event) bool {
	var c currentRecord
	if e.Deleted || json.Unmarshal(e.Value, &c) != nil {
		return false
	}
	c.rev = e.Rev
	s.current = c
	return true
}

// applyDocument collects staged documents; they count once current names their generation.
func (s *state) applyDocument(e *store.Event) {
	var r Record
	if e.Deleted || json.Unmarshal(e.Value, &r) != nil {
		delete(s.staged, e.Key)
		return
	}
	s.staged[e.Key] = r
}

// flip makes the staged documents that current names the documents.
func (s *state) flip() {
	docs := make(map[string]Record, s.current.Count)
	for key, r := range s.staged {
		if tail, ok := rest(key, s.current.Stage); ok && tail == r.key() {
			docs[tail] = r
		}
	}
	s.docs = docs
}

// leftovers are the stage folders of this and earlier generations that neither current nor keep names.
func (s *state) leftovers(keep string) []string {
	found := map[string]bool{}
	for key := range s.staged {
		tail, _ := rest(key, inDocs)
		folder, _, ok := strings.Cut(tail, "/")
		stage := inDocs + folder + "/"
		if ok && stage != s.current.Stage && stage != keep && stage < s.current.Stage {
			found[stage] = true
		}
	}
	return slices.Sorted(maps.Keys(found))
}

func (s *state) set() DocumentSet {
	set := DocumentSet{Generation: s.current.Generation, Records: make([]Record, 0, len(s.docs))}
	for _, r := range s.docs {
		set.Records = append(set.Records, r)
	}
	slices.SortFunc(set.Records, func(a, b Record) int { return strings.Compare(a.key(), b.key()) })
	return set
}

// Documents is the current generation.
func (c *Cluster) Documents() DocumentSet {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.st.set()
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
		set, cur, in := c.st.set(), c.st.current, c.session != nil
		c.mu.Unlock()
		if !in {
			return 0, fmt.Errorf("%w: this node has no session with the store; nothing was changed, try again", store.ErrUnavailable)
		}
		want, err := edit(DocumentSet{Generation: set.Generation, Records: slices.Clone(set.Records)})
		if err != nil {
			return 0, err
		}
		if sameRecords(set.Records, want) {
			return set.Generation, nil
		}
		gen, ok, err := c.stage(ctx, cur, want)
		if err != nil || ok {
			return gen, err
		}
		if err := c.awaitNewer(ctx, cur.rev); err != nil {
			return 0, err
		}
	}
	return 0, ErrConflict
}

// stage writes the documents into a folder of their own, then flips. ok is false when somebody else flipped first.
func (c *Cluster) stage(ctx context.Context, cur currentRecord, want []Record) (uint64, bool, error) {
	c.attempts++
	next := currentRecord{Generation: cur.Generation + 1, Count: len(want), At: time.Now().UTC(), By: c.o.Node.Name}
	next.Stage = keyStage(next.Generation, c.o.Node.Name+"-"+c.o.Node.Instance, c.attempts)
	unflipped := store.Cond{Key: keyCurrent, Rev: cur.rev}
	ops, size := []store.Op(nil), 0
	for i := range want {
		val, err := json.Marshal(want[i])
		if err != nil {
			return 0, false, fmt.Errorf("document %s: %w", want[i].key(), err)
		}
		if len(ops) > 0 && (len(ops) >= store.MaxOps || size+len(val) > store.MaxBytes-64<<10) {
			if _, ok, err := c.o.Store.Commit(ctx, []store.Cond{unflipped}, ops); err != nil || !ok {
				return 0, false, err
			}
			ops, size = nil, 0
		}
		ops, size = append(ops, store.Put(next.Stage+want[i].key(), val)), size+len(val)
	}
	if len(ops) > 0 {
		if _, ok, err := c.o.Store.Commit(ctx, []store.Cond{unflipped}, ops); err != nil || !ok {
			return 0, false, err
		}
	}
	val, _ := json.Marshal(next) //nolint:errchkjson // plain struct
	_, ok, err := c.o.Store.Commit(ctx, []store.Cond{unflipped}, []store.Op{store.Put(keyCurrent, val)})
	if err != nil || !ok {
		return 0, false, err
	}
	c.sweep(ctx, cur.Stage)
	return next.Generation, true, nil
}

// sweep removes folders nobody reads any more; the one of the generation before stays, for readers that are behind.
// What it misses the next change finds.
func (c *Cluster) sweep(ctx context.Context, before string) {
	c.mu.Lock()
	old := c.st.leftovers(before)
	c.mu.Unlock()
	for _, stage := range old {
		if _, _, err := c.o.Store.Commit(ctx, nil, []store.Op{store.DeletePrefix(stage)}); err != nil {
			return
		}
	}
}

// awaitNewer waits until the watch has shown a current newer than rev.
func (c *Cluster) awaitNewer(ctx context.Context, rev int64) error {
	for {
		c.mu.Lock()
		newer := c.st.current.rev != rev
		c.mu.Unlock()
		if newer {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
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
