package snapshot

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"jurymast/internal/health"
	"jurymast/internal/profile"
)

// Documents is what all nodes share, decoded: one generation of profiles and zones.
type Documents struct {
	Generation uint64
	Profiles   []*profile.Profile
	Zones      []*profile.Zone
	Safety     []*profile.Safety
	TSIG       []*profile.TSIG
}

// Compiler is how a front turns documents and views into what it needs on its hot path. Config runs in preparation
// and may refuse the documents; Part runs in publishing and must not fail or block. A part follows from its view alone,
// so that it is carried over to new documents that do not change the profile. Published runs when a snapshot has become
// the current one, before Publish returns and in the order of snapshots: for who keeps a copy outside that must not
// outlive what it was made from. Each may be nil.
type Compiler struct {
	Name      string
	Config    func(*Documents) (any, error)
	Part      func(v *health.View) any
	Published func()
}

// Slot is a front's place in every snapshot.
type Slot int

// Snapshot is one immutable picture. Readers take it once per question and drop it.
type Snapshot struct {
	docs   *Documents
	config []any // by slot
	index  map[string]int
	parts  vector[*Part]
	next   chan struct{}
	at     time.Time
}

// Part is one profile in a snapshot.
type Part struct {
	View     *health.View
	compiled [maxSlots]any
}

// maxSlots is how many fronts there can be.
const maxSlots = 4

// Compiled is what the front behind slot made of this view.
func (p *Part) Compiled(slot Slot) any { return p.compiled[slot] }

// Documents the snapshot was built from; never nil.
func (s *Snapshot) Documents() *Documents { return s.docs }

// Config is what the front behind slot made of the documents, nil before the first ones.
func (s *Snapshot) Config(slot Slot) any {
	if int(slot) >= len(s.config) {
		return nil
	}
	return s.config[slot]
}

// Index is the number of a profile in Documents().Profiles, or -1.
func (s *Snapshot) Index(name string) int {
	if i, ok := s.index[name]; ok {
		return i
	}
	return -1
}

// Part of the profile with that number; nil until its first view is published.
func (s *Snapshot) Part(i int) *Part {
	if i < 0 || i >= s.parts.size {
		return nil
	}
	return s.parts.at(i)
}

// View of a profile by name, or nil.
func (s *Snapshot) View(name string) *health.View {
	if p := s.Part(s.Index(name)); p != nil {
		return p.View
	}
	return nil
}

// Published is when this picture became the current one.
func (s *Snapshot) Published() time.Time { return s.at }

// Replaced is closed when a newer snapshot is published: who waits for a change waits here and loads again.
func (s *Snapshot) Replaced() <-chan struct{} { return s.next }

// Prepared is a set of documents every front has accepted; Publish cannot fail on it.
type Prepared struct {
	Docs   *Documents
	config []any
}

// Hub holds the current snapshot. Register first, then one goroutine publishes and any number load.
type Hub struct {
	current   atomic.Pointer[Snapshot]
	mu        sync.Mutex // guards publishing against a second publisher; readers never take it
	compilers []Compiler
}

// NewHub returns a hub with an empty snapshot.
func NewHub() *Hub {
	h := &Hub{}
	h.current.Store(&Snapshot{docs: &Documents{}, index: map[string]int{}, next: make(chan struct{}), at: time.Now()})
	return h
}

// Register gives a front its slot. It must be called before the first Prepare.
func (h *Hub) Register(c Compiler) Slot {
	if len(h.compilers) == maxSlots {
		panic("snapshot: more fronts than maxSlots") // before anything is served: a mistake in the program
	}
	h.compilers = append(h.compilers, c)
	return Slot(len(h.compilers) - 1)
}

// Load returns the current snapshot, never nil.
func (h *Hub) Load() *Snapshot { return h.current.Load() }

// Prepare runs every front's Config on the documents. The first refusal is returned with the front's name and
// nothing changes.
func (h *Hub) Prepare(docs *Documents) (*Prepared, error) {
	p := &Prepared{Docs: docs, config: make([]any, len(h.compilers))}
	for i, c := range h.compilers {
		if c.Config == nil {
			continue
		}
		built, err := c.Config(docs)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", c.Name, err)
		}
		p.config[i] = built
	}
	return p, nil
}

// Publish makes one change visible: new documents if p is not nil, and the views that changed. Views of profiles that
// the documents do not name are ignored. Parts of profiles whose document stays the same are carried over; a new or
// changed one needs its view among views, else it answers "not ready".
func (h *Hub) Publish(p *Prepared, views ...*health.View) {
	h.mu.Lock()
	defer h.mu.Unlock()
	old := h.current.Load()
	s := &Snapshot{docs: old.docs, config: old.config, index: old.index, parts: old.parts, next: make(chan struct{}), at: time.Now()}
	if p != nil {
		s.docs, s.config = p.Docs, p.config
		s.index = make(map[string]int, len(p.Docs.Profiles))
		for i, doc := range p.Docs.Profiles {
			s.index[doc.Name] = i
		}
		s.parts = carried(old, p.Docs)
	}
	parts := edit[*Part]{vector: s.parts}
	for _, v := range views {
		i, ok := s.index[v.Profile.Name]
		if !ok {
			continue
		}
		if was := parts.at(i); was == nil || was.View != v {
			parts.set(i, h.part(v))
		}
	}
	s.parts = parts.vector
	h.current.Store(s)
	close(old.next)
	for _, c := range h.compilers {
		if c.Published != nil {
			c.Published()
		}
	}
}

// carried takes over the parts of profiles whose document is the same one.
func carried(old *Snapshot, docs *Documents) vector[*Part] {
	parts := make([]*Part, len(docs.Profiles))
	for i, doc := range docs.Profiles {
		if was := old.Part(old.Index(doc.Name)); was != nil && was.View.Profile == doc {
			parts[i] = was
		}
	}
	return vectorOf(parts)
}

func (h *Hub) part(v *health.View) *Part {
	p := &Part{View: v}
	for i, c := range h.compilers {
		if c.Part != nil {
			p.compiled[i] = c.Part(v)
		}
	}
	return p
}

// Reconfigure replaces what one front has made of the documents in force by what it makes of them now, at once and for all
// readers; views stay as they are. It reports false, and nothing has changed, when docs are not in force any more.
func (h *Hub) Reconfigure(docs *Documents, slot Slot, config any) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	old := h.current.Load()
	if old.docs != docs || int(slot) >= len(old.config) {
		return false
	}
	s := &Snapshot{docs: docs, config: slices.Clone(old.config), index: old.index, parts: old.parts, next: make(chan struct{}), at: time.Now()}
	s.config[slot] = config
	h.current.Store(s)
	close(old.next)
	for _, c := range h.compilers {
		if c.Published != nil {
			c.Published()
		}
	}
	return true
}
