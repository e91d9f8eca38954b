package cluster

import (
	"context"
	"encoding/json"

	"jurymast/internal/store"
)

// apply takes one batch.
func (c *Cluster) apply(s *session, b store.Batch) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.st.apply(b.Events, c.o.Node.Name, c.emit)
	c.noteTorn()
	c.secrets.nudge()
	c.nudgeSerials()
	// The chair is ours while the key lives by our lease. This also finds a campaign whose reply was lost: without it
	// everybody would take us for the leader except ourselves.
	s.leaderRev = 0
	if c.st.leaderOf == s.lease.ID() {
		s.leaderRev = c.st.leaderRev
	}
	c.report(true, s.leaderRev != 0)
}

// candidate runs for the leader's chair beside the session: a store that does not answer must not hide that the lease
// ends. One try at a time, and one per occasion.
type candidate struct {
	busy, tried bool
	done        chan struct{}
}

func (a *candidate) run(try func()) {
	if a.busy || a.tried {
		return
	}
	a.busy, a.tried = true, true
	go func() {
		try()
		a.done <- struct{}{}
	}()
}

// vacant: the leader's chair is empty, as far as this node knows.
func (c *Cluster) vacant() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.st.leaderRev == 0
}

// campaign takes the leader's chair; the store refuses when somebody sits in it.
func (c *Cluster) campaign(ctx context.Context, s *session) {
	ctx, cancel := context.WithTimeout(ctx, c.o.WriteTimeout)
	defer cancel()
	val, _ := json.Marshal(leaderRecord{Node: c.o.Node.Name}) //nolint:errchkjson // plain struct
	rev, ok, err := c.o.Store.Commit(ctx, []store.Cond{{Key: keyLeader}}, []store.Op{store.PutLeased(keyLeader, val, s.lease.ID())})
	if err != nil || !ok {
		return // the watch tells who it is; an unknown outcome shows there as well
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.session != s || c.st.leaderSeen >= rev {
		return // over meanwhile; or the watch was faster, and may even have told who came after
	}
	s.leaderRev, c.st.leaderRev, c.st.leader, c.st.leaderOf = rev, rev, c.o.Node.Name, s.lease.ID()
	c.report(true, true)
}

type leaderRecord struct {
	Node string `json:"node"`
}

// fence returns the condition that this node still leads, and the lease; ok is false when it does not.
func (c *Cluster) fence() (store.Cond, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.session == nil || c.session.leaderRev == 0 {
		return store.Cond{}, false
	}
	return store.Cond{Key: keyLeader, Rev: c.session.leaderRev}, true
}
