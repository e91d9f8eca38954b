package engine

import (
	"maps"
	"time"

	"jurymast/internal/health"
	"jurymast/internal/profile"
)

// Profile is the machine of one profile on one node. Only Step changes it.
//
//	         first events          every verdict that could change the answer is in
//	(new) ----------------> silent ------------------------------------------------> ready <--+
//	   |  Recovered                                                                    |      | store confirms,
//	   +------------------> stale (last good state) -----------------------------------+      | all looked at
//	                                          store out of reach (several nodes): stale ------+
//
// A node alone with its embedded store (Solo) never becomes stale by losing the store: nobody else can decide, so it
// decides, from a block of epochs it may use unwritten, and writes when it can.
type Profile struct {
	self  Member
	solo  bool
	stops bool // on_isolation: stop

	doc      *profile.Profile
	local    map[string]*track
	votes    map[string]map[string]health.Vote // node -> endpoint
	members  []Member
	orders   []health.Override
	links    map[string]*health.View
	signals  map[string]health.Signal
	verdicts map[string]health.Verdict

	decision   health.Decision
	told       health.Decision // as the store has it, even when this node knows of a newer one
	agreed     bool            // decision is what the store has
	stored     uint64          // epoch of the decision the store has
	storedRev  int64
	writing    bool      // a WriteDecision is under way
	ahead      bool      // decision is newer than the store's: taken unwritten by a node alone
	unwritable bool      // the store of a node alone did not take the last write
	retryAt    time.Time // earliest next WriteDecision after a failure
	skip       uint64    // how many epochs above a stored one earlier lives may have used unwritten
	floor      uint64    // every new epoch is above it
	tried      uint64    // highest epoch of a write whose outcome may be unknown

	acks  map[string]uint64 // node -> epoch, as the store has them; this node's own as well
	acked uint64            // epoch this node has acknowledged in this session
	term  uint64            // number of the session with the store

	leader    bool
	reachable bool
	connected bool // the store has been reachable once in this life
	failed    bool // the store could not be used at least once in this life
	kept      bool // orders are those of an earlier life, the store has not told any yet
	ready     bool
	stale     bool
	view      *health.View
}

// OfflineEpochs is the block of epochs per profile that a node alone may use in one life above what is stored. A life
// after one that did not end in order keeps clear of the block, so that no epoch is ever used twice:
//
//	floor = max(floor of the last good state, stored epoch + lives x OfflineEpochs)
//	new epoch > floor; unwritten ones at most OfflineEpochs above floor and stored epoch
const OfflineEpochs = 100

// Start says what a machine begins with.
type Start struct {
	Self  Member
	Solo  bool // this node is the only one that can ever write: embedded store, one member
	Lives int  // how many earlier lives in a row did not end in order
	Stops bool // on_isolation: stop: nothing is answered while the store is out of reach. A node alone is never isolated
}

// NewProfile makes a machine; its first event must be Configured.
func NewProfile(s Start) *Profile {
	p := &Profile{
		self: s.Self, solo: s.Solo, stops: s.Stops, members: []Member{s.Self},
		local: map[string]*track{}, votes: map[string]map[string]health.Vote{}, verdicts: map[string]health.Verdict{},
		links: map[string]*health.View{}, acks: map[string]uint64{},
	}
	if s.Solo && s.Lives > 0 {
		p.skip = uint64(s.Lives) * OfflineEpochs
	}
	return p
}

// Unwritten reports a decision that the store does not have yet.
func (p *Profile) Unwritten() bool { return p.ahead }

// View is what was published last; nil before the first.
func (p *Profile) View() *health.View { return p.view }

// Clone copies the machine for replay tests; views and documents are immutable and shared.
func (p *Profile) Clone() *Profile {
	c := *p
	c.local = make(map[string]*track, len(p.local))
	for k, t := range p.local {
		c.local[k] = t.clone()
	}
	c.links, c.acks = maps.Clone(p.links), maps.Clone(p.acks)
	c.votes = maps.Clone(p.votes) // the votes of a node are replaced as a whole, never changed
	c.verdicts = maps.Clone(p.verdicts)
	return &c
}

// backoff spaces confirm runs of one endpoint: at least min apart, doubling while they find nothing.
type backoff struct {
	next time.Time
	gap  time.Duration
}

const minConfirmGap = time.Second

// allow reports whether a run may start now, and notes that it did.
func (b *backoff) allow(now time.Time, most time.Duration) bool {
	if now.Before(b.next) {
		return false
	}
	b.gap = min(max(minConfirmGap, 2*b.gap), max(minConfirmGap, most))
	b.next = now.Add(b.gap)
	return true
}

// reset forgets the doubling: the endpoint really was down.
func (b *backoff) reset() { b.gap = 0 }
