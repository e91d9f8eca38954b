package cluster

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"

	"jurymast/internal/health"
	"jurymast/internal/store"
)

// state is this node's picture of the store: the sum of one List and the batches since.
type state struct {
	nodes      map[string]NodeRecord
	votes      map[string]map[string]bool          // node -> profiles it has voted on
	intents    map[string]intent                   // by id
	intentsOf  map[string]map[string]bool          // profile -> ids that name it
	intentsRev int64                               // of the key that every change of orders writes
	begun      map[string]time.Time                // as that key says
	signals    map[string]map[string]health.Signal // by profile and endpoint
	leader     string
	leaderRev  int64
	leaderOf   store.LeaseID // the lease the leader key lives by
	leaderSeen int64         // revision of the last change of the leader key that came by the watch
	docs       docState
	sealed     sealedState
	serials    serialState
	journal    []health.Entry
	noted      map[string]bool   // ids of journal
	epochs     map[string]uint64 // newest decision ever seen, by profile
	decided    map[string]bool   // profiles whose decision is in the store
}

// journalKept is how many entries this node keeps at hand; the leader keeps as many in the store.
const journalKept = 5000

func newState() state {
	return state{
		nodes: map[string]NodeRecord{}, votes: map[string]map[string]bool{}, intents: map[string]intent{}, intentsOf: map[string]map[string]bool{},
		signals: map[string]map[string]health.Signal{},
		sealed:  newSealedState(),
		serials: newSerialState(),
		docs:    newDocState(), epochs: map[string]uint64{}, decided: map[string]bool{}, noted: map[string]bool{},
	}
}

// reset replaces the picture and tells all of it. Votes, orders and nodes that are gone are told as gone.
func (s *state) reset(kvs []store.KV, self string, emit func(Event)) {
	old := *s
	*s = newState()
	s.docs.inForce = old.docs.inForce // until the store says something else
	s.serials.count = old.serials.count + 1
	s.epochs = old.epochs // they only grow, whatever was done to the store
	evs := make([]store.Event, len(kvs))
	for i, kv := range kvs {
		evs[i] = store.Event{KV: kv}
	}
	quiet := func(e Event) {
		if _, ok := e.(Appended); !ok {
			emit(e) // history is read by whoever asks for it, not told again
		}
	}
	c := changes{orders: map[string]bool{}, signals: map[string]bool{}}
	for name := range old.intentsOf {
		c.orders[name] = true
	}
	for name := range old.signals {
		c.signals[name] = true
	}
	s.applyWith(evs, self, c, quiet)
	for node, profiles := range old.votes {
		for profile := range profiles {
			if !s.votes[node][profile] && node != self {
				emit(Votes{Node: node, Profile: profile})
			}
		}
	}
	for profile := range old.decided {
		if !s.decided[profile] {
			emit(DecisionGone{profile})
		}
	}
	emit(Members{s.members()})
}

// changes are the profiles whose orders or signals are to be told when all events are taken.
type changes struct{ orders, signals map[string]bool }

// apply takes changes of whole revisions in order. What cannot be read is skipped: a writer to the store is not
// trusted more than a caller of the API.
func (s *state) apply(evs []store.Event, self string, emit func(Event)) {
	s.applyWith(evs, self, changes{orders: map[string]bool{}, signals: map[string]bool{}}, emit)
}

func (s *state) applyWith(evs []store.Event, self string, c changes, emit func(Event)) {
	members, docs := false, false
	for i := range evs {
		e := &evs[i]
		switch {
		case e.Key == keyLeader:
			s.applyLeader(e)
		case strings.HasPrefix(e.Key, inDocs):
			docs = s.docs.apply(e) || docs
		case strings.HasPrefix(e.Key, inNodes):
			members = true
			s.applyNode(e)
		case strings.HasPrefix(e.Key, inVotes):
			s.applyVotes(e, self, emit)
		case strings.HasPrefix(e.Key, inIntent):
			s.applyIntent(e, c.orders)
		case e.Key == keyIntents:
			s.applyIntents(e)
		case strings.HasPrefix(e.Key, inSignals):
			if name := s.applySignal(e); name != "" {
				c.signals[name] = true
			}
		case strings.HasPrefix(e.Key, inDecisions):
			s.applyDecision(e, emit)
		case strings.HasPrefix(e.Key, inAcks):
			applyAck(e, emit)
		case strings.HasPrefix(e.Key, inAsks):
			applyAsk(e, self, emit)
		case e.Key == keySeal, e.Key == keyRollAsk, strings.HasPrefix(e.Key, inSealed):
			s.sealed.apply(e)
		case isSerial(e.Key):
			s.serials.apply(e)
		case strings.HasPrefix(e.Key, inJournal):
			s.applyJournal(e, emit)
		}
	}
	if members {
		emit(Members{s.members()})
	}
	s.tellOrders(c.orders, emit)
	s.tellSignals(c.signals, emit)
	if docs && s.docs.flip() {
		emit(Documents{s.docs.set()})
	}
}

func (s *state) applyLeader(e *store.Event) {
	if e.Rev < s.leaderRev {
		return // of before our own campaign, whose outcome did not come by the watch
	}
	s.leaderSeen = e.Rev
	s.leader, s.leaderRev, s.leaderOf = "", 0, 0
	var l leaderRecord
	if !e.Deleted && json.Unmarshal(e.Value, &l) == nil {
		s.leader, s.leaderRev, s.leaderOf = l.Node, e.Rev, e.Lease
	}
}

func (s *state) applyNode(e *store.Event) {
	name, _ := rest(e.Key, inNodes)
	var n NodeRecord
	if e.Deleted || json.Unmarshal(e.Value, &n) != nil || n.Name != name {
		delete(s.nodes, name)
		return
	}
	s.nodes[name] = n
}

func (s *state) applyVotes(e *store.Event, self string, emit func(Event)) {
	tail, _ := rest(e.Key, inVotes)
	node, profile, ok := strings.Cut(tail, "/")
	if !ok || node == self {
		return // our own votes are in memory, and newer there
	}
	var votes map[string]health.Vote
	if e.Deleted || json.Unmarshal(e.Value, &votes) != nil {
		delete(s.votes[node], profile)
		emit(Votes{Node: node, Profile: profile})
		return
	}
	if s.votes[node] == nil {
		s.votes[node] = map[string]bool{}
	}
	s.votes[node][profile] = true
	emit(Votes{Node: node, Profile: profile, Votes: votes})
}

// applyIntent takes one change below intent/ and marks the profiles it touches.
func (s *state) applyIntent(e *store.Event, touched map[string]bool) {
	id, _ := rest(e.Key, inIntent)
	for name := range s.intents[id].of {
		touched[name] = true
		if delete(s.intentsOf[name], id); len(s.intentsOf[name]) == 0 {
			delete(s.intentsOf, name)
		}
	}
	delete(s.intents, id)
	if e.Deleted {
		return
	}
	in, ok := readIntent(id, e.Value)
	if !ok {
		return
	}
	s.intents[id] = in
	for name := range in.of {
		touched[name] = true
		if s.intentsOf[name] == nil {
			s.intentsOf[name] = map[string]bool{}
		}
		s.intentsOf[name][id] = true
	}
}

func (s *state) applyIntents(e *store.Event) {
	s.intentsRev, s.begun = 0, nil
	var r intentsRecord
	if !e.Deleted {
		_ = json.Unmarshal(e.Value, &r) // what cannot be read remembers no begin
		s.intentsRev, s.begun = e.Rev, r.Begun
	}
}

// tellOrders tells the orders of all touched profiles as one event. Gates belong to no profile.
func (s *state) tellOrders(touched map[string]bool, emit func(Event)) {
	of := make(map[string][]health.Override, len(touched))
	for name := range touched {
		if name != "" {
			of[name] = s.ordersOf(name)
		}
	}
	if len(of) > 0 {
		emit(Orders{of})
	}
}

func (s *state) applyDecision(e *store.Event, emit func(Event)) {
	profile, _ := rest(e.Key, inDecisions)
	var d health.Decision
	if e.Deleted { // whoever removes one by hand does not turn an epoch back here
		if s.decided[profile] {
			delete(s.decided, profile)
			emit(DecisionGone{profile})
		}
		return
	}
	if json.Unmarshal(e.Value, &d) != nil {
		return
	}
	s.decided[profile] = true
	s.epochs[profile] = max(s.epochs[profile], d.Epoch)
	emit(Decision{Profile: profile, Decision: d, Rev: e.Rev})
}

type askRecord struct {
	Node string `json:"node"`
}

func applyAsk(e *store.Event, self string, emit func(Event)) {
	tail, _ := rest(e.Key, inAsks)
	profile, endpoint, ok := strings.Cut(tail, "/")
	var a askRecord
	if ok && !e.Deleted && json.Unmarshal(e.Value, &a) == nil && a.Node != self {
		emit(Asked{profile, endpoint})
	}
}

func (s *state) applyJournal(e *store.Event, emit func(Event)) {
	id, _ := rest(e.Key, inJournal)
	if e.Deleted || s.noted[id] { // written again by a node that had not heard that it was written
		return
	}
	var entry health.Entry
	if json.Unmarshal(e.Value, &entry) != nil {
		return
	}
	entry.ID = id
	s.journal = append(s.journal, entry)
	s.noted[id] = true
	if len(s.journal) > journalKept+500 {
		cut := len(s.journal) - journalKept
		for _, old := range s.journal[:cut] {
			delete(s.noted, old.ID)
		}
		s.journal = slices.Clone(s.journal[cut:])
	}
	emit(Appended{entry})
}

func (s *state) members() []NodeRecord {
	out := make([]NodeRecord, 0, len(s.nodes))
	for _, n := range s.nodes {
		out = append(out, n)
	}
	slices.SortFunc(out, func(a, b NodeRecord) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// ordersOf are the overrides that name a profile, or all with "", in id order.
func (s *state) ordersOf(profile string) []health.Override {
	var out []health.Override
	if profile == "" {
		for _, id := range slices.Sorted(maps.Keys(s.intents)) {
			out = append(out, s.intents[id].list...)
		}
		return out
	}
	for _, id := range slices.Sorted(maps.Keys(s.intentsOf[profile])) {
		out = append(out, s.intents[id].of[profile]...)
	}
	return out
}
