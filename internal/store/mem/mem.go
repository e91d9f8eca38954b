// Package mem is the store in memory: for tests, the simulation and nothing else. It keeps no data on disk and
// opens no socket, so it runs inside a testing/synctest bubble; leases end by timers of the bubble's clock.
//
// Several nodes share one Store, each through its own Client, and every Client can be made to misbehave alone
// (partition, stalled or refused writes, delays, lost replies): see faults.go.
package mem

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"jurymast/internal/store"
)

// Options tune a Store; the zero value is usable.
type Options struct {
	// History is how many revisions a watch can go back (default 10,000).
	History int
	// CallTimeout is when a call over a partition gives up if its context does not end earlier (default 5 s).
	CallTimeout time.Duration
	// WatchTimeout is when a watch over a partition ends with an error (default 10 s).
	WatchTimeout time.Duration
}

// Store is the state all clients share. Make it with New, inside the bubble if there is one.
type Store struct {
	opts Options

	mu        sync.Mutex
	rev       int64
	kvs       map[string]store.KV
	leases    map[store.LeaseID]*lease
	lastLease store.LeaseID
	history   []change
	compacted int64         // changes up to this revision are no longer kept
	changed   chan struct{} // closed and replaced by every change: wakes the watches
	closed    chan struct{}
	clients   map[string]*Client
}

// change is everything one revision did.
type change struct {
	rev    int64
	events []store.Event
}

type lease struct {
	id    store.LeaseID
	ttl   time.Duration
	until time.Time
	timer *time.Timer
}

// New returns an empty store at revision 1.
func New(opts Options) *Store {
	if opts.History <= 0 {
		opts.History = 10_000
	}
	if opts.CallTimeout <= 0 {
		opts.CallTimeout = 5 * time.Second
	}
	if opts.WatchTimeout <= 0 {
		opts.WatchTimeout = 10 * time.Second
	}
	return &Store{
		opts: opts, rev: 1,
		kvs: map[string]store.KV{}, leases: map[store.LeaseID]*lease{}, clients: map[string]*Client{},
		changed: make(chan struct{}), closed: make(chan struct{}),
	}
}

// Node returns the client of that name; the same name gives the same client.
func (s *Store) Node(name string) *Client {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.clients[name]
	if c == nil {
		c = &Client{s: s, name: name, turned: make(chan struct{})}
		s.clients[name] = c
	}
	return c
}

// Rev is the current revision.
func (s *Store) Rev() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.rev
}

// Compact forgets the history: a watch from before now ends with ErrCompacted.
func (s *Store) Compact() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.compacted, s.history = s.rev, nil
	s.wake()
}

// Close ends all leases' timers, watches and calls with ErrClosed. It may be called twice.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-s.closed:
		return nil
	default:
	}
	close(s.closed)
	for _, l := range s.leases {
		l.timer.Stop()
	}
	return nil
}

func (s *Store) isClosed() bool {
	select {
	case <-s.closed:
		return true
	default:
		return false
	}
}

func (s *Store) wake() {
	close(s.changed)
	s.changed = make(chan struct{})
}

func (s *Store) get(key string) (store.KV, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	kv, ok := s.kvs[key]
	kv.Value = bytes.Clone(kv.Value)
	return kv, ok
}

func (s *Store) list(prefix string) ([]store.KV, int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []store.KV
	for k, kv := range s.kvs {
		if strings.HasPrefix(k, prefix) {
			kv.Value = bytes.Clone(kv.Value)
			out = append(out, kv)
		}
	}
	slices.SortFunc(out, func(a, b store.KV) int { return strings.Compare(a.Key, b.Key) })
	return out, s.rev
}

func (s *Store) commit(conds []store.Cond, ops []store.Op) (int64, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range conds {
		if s.kvs[c.Key].Rev != c.Rev {
			return s.rev, false, nil
		}
	}
	for _, o := range ops {
		if o.Lease != 0 && o.Value != nil && s.leases[o.Lease] == nil {
			return s.rev, false, fmt.Errorf("mem store: put %q with lease %d: %w", o.Key, o.Lease, store.ErrLeaseLost)
		}
	}
	var events []store.Event
	for _, o := range ops {
		events = append(events, s.apply(o)...)
	}
	s.record(events)
	return s.rev, true, nil
}

// apply changes the map at revision s.rev+1 and says what it did.
func (s *Store) apply(o store.Op) []store.Event {
	if o.Value != nil {
		kv := store.KV{Key: o.Key, Value: append([]byte{}, o.Value...), Rev: s.rev + 1, Lease: o.Lease}
		s.kvs[o.Key] = kv
		return []store.Event{{KV: kv}}
	}
	var gone []string
	if !o.Prefix {
		if _, ok := s.kvs[o.Key]; ok {
			gone = []string{o.Key}
		}
	} else {
		for k := range s.kvs {
			if strings.HasPrefix(k, o.Key) {
				gone = append(gone, k)
			}
		}
	}
	return s.remove(gone)
}

func (s *Store) remove(keys []string) []store.Event {
	slices.Sort(keys)
	events := make([]store.Event, 0, len(keys))
	for _, k := range keys {
		delete(s.kvs, k)
		events = append(events, store.Event{KV: store.KV{Key: k, Rev: s.rev + 1}, Deleted: true})
	}
	return events
}

// record makes the events the next revision; no events, no revision.
func (s *Store) record(events []store.Event) {
	if len(events) == 0 {
		return
	}
	s.rev++
	s.history = append(s.history, change{rev: s.rev, events: events})
	if over := len(s.history) - s.opts.History; over > 0 {
		s.compacted = s.history[over-1].rev
		clear(s.history[:over])
		s.history = s.history[over:]
	}
	s.wake()
}

// since returns what happened below prefix after a revision, up to which revision it looked, and the channel that is
// closed by the next change.
func (s *Store) since(prefix string, after int64) (events []store.Event, rev int64, next <-chan struct{}, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if after < s.compacted {
		return nil, after, nil, fmt.Errorf("mem store: watch %q after revision %d, kept from %d: %w",
			prefix, after, s.compacted, store.ErrCompacted)
	}
	at, _ := slices.BinarySearchFunc(s.history, after+1, func(c change, rev int64) int {
		return cmp.Compare(c.rev, rev)
	})
	for _, c := range s.history[at:] {
		for _, e := range c.events {
			if strings.HasPrefix(e.Key, prefix) {
				e.Value = bytes.Clone(e.Value)
				events = append(events, e)
			}
		}
	}
	return events, max(after, s.rev), s.changed, nil
}

func (s *Store) grant(ttl time.Duration) *lease {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lastLease++
	l := &lease{id: s.lastLease, ttl: ttl, until: time.Now().Add(ttl)}
	s.leases[l.id] = l
	l.timer = time.AfterFunc(ttl, func() { s.expire(l) })
	return l
}

func (s *Store) expire(l *lease) {
	s.mu.Lock()
	defer s.mu.Unlock()
	// A renewal may have won the lock against this timer.
	if s.leases[l.id] != l || s.isClosed() || time.Now().Before(l.until) {
		return
	}
	s.end(l)
}

func (s *Store) renew(id store.LeaseID) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.leases[id]
	if l == nil {
		return fmt.Errorf("mem store: renew lease %d: %w", id, store.ErrLeaseLost)
	}
	l.until = time.Now().Add(l.ttl)
	l.timer.Reset(l.ttl)
	return nil
}

func (s *Store) revoke(id store.LeaseID) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.leases[id]
	if l == nil {
		return fmt.Errorf("mem store: revoke lease %d: %w", id, store.ErrLeaseLost)
	}
	l.timer.Stop()
	s.end(l)
	return nil
}

// end deletes the lease and its keys as one revision.
func (s *Store) end(l *lease) {
	delete(s.leases, l.id)
	var keys []string
	for k, kv := range s.kvs {
		if kv.Lease == l.id {
			keys = append(keys, k)
		}
	}
	s.record(s.remove(keys))
}
