package cluster

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"jurymast/internal/profile"
	"jurymast/internal/store"
)

// currentRecord is what the one flipping write says.
type currentRecord struct {
	Generation uint64    `json:"generation"`
	Index      string    `json:"index"` // folder of its index
	Count      int       `json:"count"` // documents in the index, so that a lost part of it is noticed
	At         time.Time `json:"at"`
	By         string    `json:"by"`
	rev        int64     // 0: nothing is stored
}

// indexEntry names one document of a generation. Who manages it is no part of its content.
type indexEntry struct {
	Kind    profile.Kind `json:"kind"`
	Name    string       `json:"name"`
	Hash    string       `json:"hash"`
	Managed string       `json:"managed,omitempty"`
}

func (e *indexEntry) key() string { return keyDocument(e.Kind, e.Name, e.Hash) }

// docState is what the store holds below docs/, and the documents in force. The two differ while the store holds a
// generation that cannot be used, or none at all.
//
//	docs/current                   -> index folder of the generation in force
//	docs/GEN-NODE-ATTEMPT/NNNN     -> chunks of an index: kind, name, hash
//	docs/by-hash/KIND/NAME/HASH    -> one content of one document
type docState struct {
	current  currentRecord
	contents map[string]content // by key
	chunks   map[string]chunk   // by key, of all indexes; what else lies about is an empty chunk
	inForce  DocumentSet
	since    int64  // revision of the current that inForce was read from; 0: none in this session
	torn     string // why current cannot be used, "" when it can
}

type content struct {
	rev    int64
	sound  bool // the value is what its hash says
	record Record
}

type chunk struct {
	rev     int64
	entries []indexEntry
}

func newDocState() docState {
	return docState{contents: map[string]content{}, chunks: map[string]chunk{}}
}

// hashOf is 128 bits of SHA-256 in hex: short, because an index of ten thousand is written with every change.
func hashOf(value []byte) string {
	sum := sha256.Sum256(value)
	return hex.EncodeToString(sum[:16])
}

// apply takes one change below docs/. It reports whether the documents in force have to be looked at again.
func (d *docState) apply(e *store.Event) bool {
	switch {
	case e.Key == keyCurrent:
		c := currentRecord{}
		if !e.Deleted {
			_ = json.Unmarshal(e.Value, &c) // what cannot be read names no index, and says so in assemble
			c.rev = e.Rev
		}
		d.current = c
		return true
	case e.Deleted:
		delete(d.contents, e.Key)
		delete(d.chunks, e.Key)
		return true
	}
	if tail, ok := rest(e.Key, inByHash); ok {
		c := content{rev: e.Rev}
		err := json.Unmarshal(e.Value, &c.record)
		c.sound = err == nil && tail == c.record.key()+"/"+hashOf(e.Value)
		d.contents[e.Key] = c
		return d.torn != "" || !c.sound
	}
	c := chunk{rev: e.Rev}
	_ = json.Unmarshal(e.Value, &c.entries) // without entries its index is not complete
	d.chunks[e.Key] = c
	return d.torn != ""
}

// index is what the folder lists.
func (d *docState) index(folder string) []indexEntry {
	var out []indexEntry
	for key := range d.chunks {
		if folder != "" && strings.HasPrefix(key, folder) {
			out = append(out, d.chunks[key].entries...)
		}
	}
	return out
}

// assemble reads the generation that current names: all of it or nothing.
func (d *docState) assemble() (DocumentSet, error) {
	index := d.index(d.current.Index)
	if d.current.Index == "" || len(index) != d.current.Count {
		return DocumentSet{}, fmt.Errorf("the index %q names %d documents, not %d", d.current.Index, len(index), d.current.Count)
	}
	set := DocumentSet{Generation: d.current.Generation, Records: make([]Record, 0, len(index))}
	for i := range index {
		c := d.contents[index[i].key()]
		if !c.sound {
			return DocumentSet{}, fmt.Errorf("document %s/%s is missing or is not what its hash says", index[i].Kind, index[i].Name)
		}
		r := c.record
		r.Managed = index[i].Managed
		set.Records = append(set.Records, r)
	}
	set.sort()
	twice := func(a, b Record) bool { return a.key() == b.key() }
	if len(slices.CompactFunc(slices.Clone(set.Records), twice)) != len(index) {
		return DocumentSet{}, fmt.Errorf("the index %q names a document twice", d.current.Index)
	}
	return set, nil
}

// flip puts what current names in force, when it can be used; it reports whether something is newly in force. Else
// everything stays as it was, and torn says why: half a set must never be served. The same goes for a store whose
// documents were wiped: its nodes go on with those they have until others are written.
func (d *docState) flip() bool {
	if d.current.rev == 0 {
		d.torn = ""
		return false
	}
	set, err := d.assemble()
	if err != nil {
		d.torn = fmt.Sprintf("generation %d in the store cannot be used: %v", d.current.Generation, err)
		return false
	}
	d.torn = ""
	if d.since == d.current.rev {
		return false
	}
	d.inForce, d.since = set, d.current.rev
	return true
}

// garbage are the keys below docs/, with their revisions, that neither of two generations names and that are older than
// the flip to the earlier one. Younger ones may be what somebody has just staged on top of either.
func (d *docState) garbage(now, before []indexEntry, nowIndex, beforeIndex string, flip int64) []store.Cond {
	named := make(map[string]bool, len(now)+len(before))
	for _, entries := range [][]indexEntry{now, before} {
		for i := range entries {
			named[entries[i].key()] = true
		}
	}
	var out []store.Cond
	for key, c := range d.contents {
		if !named[key] && c.rev < flip {
			out = append(out, store.Cond{Key: key, Rev: c.rev})
		}
	}
	for key, c := range d.chunks {
		ours := strings.HasPrefix(key, nowIndex) || beforeIndex != "" && strings.HasPrefix(key, beforeIndex)
		if !ours && c.rev < flip {
			out = append(out, store.Cond{Key: key, Rev: c.rev})
		}
	}
	return out
}
