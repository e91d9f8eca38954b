package cluster

import "time"

// claim is what this node believes of its lease. It is replaced as a whole, so that whoever sends a request can ask
// without a lock.
//
//	(none) --session begins--> claimed --renewed--> claimed --nine tenths of the lease since the sending--> run out
//	   ^                          |                                                                           |
//	   +------session over--------+---------------------------------------------------------------------------+
type claim struct {
	term uint64
	sent time.Time // of the last renewal that succeeded
}

// claimLease notes that the session's lease was confirmed.
func (c *Cluster) claimLease(s *session) { c.claim.Store(&claim{s.term, s.sent}) }

// believe is how long this node counts on its lease after it has sent a renewal: a tenth less than the store does, so that
// it stops first as long as its clock and the store's differ in rate by less than a tenth.
func (c *Cluster) believe() time.Duration { return c.o.Lease - c.o.Lease/10 }

// Confirmed reports that the session with that number, see Reachable, still lives as far as this node's clock can tell.
// It takes no lock. A node that was stopped for a while and goes on finds its lease run out, whatever it has not heard yet.
func (c *Cluster) Confirmed(term uint64) bool {
	now := c.o.Now()
	is := c.claim.Load()
	return is != nil && is.term == term && within(is.sent, now, c.believe())
}

// within: less than d has gone since then, by the monotonic clock and by the wall clock. The first stands still while a
// machine is suspended, the second can be set back.
func within(since, now time.Time, d time.Duration) bool {
	return now.Sub(since) < d && now.Round(0).Sub(since.Round(0)) < d
}

// quiet waits until nothing is being sent that was allowed before.
func (c *Cluster) quiet() {
	if c.o.Quiet != nil {
		c.o.Quiet()
	}
}
