package origins

import (
	"io"
	"net/netip"
	"sync/atomic"
	"time"

	"jurymast/internal/proxy/wire"
)

// Conn is one connection to an origin. It has one owner at a time: who took or dialled it, until Put or Close.
type Conn struct {
	*wire.Conn
	Reused  bool          // it has carried a request before
	Shook   time.Duration // how long the TLS handshake took; 0 without TLS
	KeepFor time.Duration // how long the origin keeps it idle: its Keep-Alive: timeout= less 1 s. 0: not said; below 0: not at all

	pool        *Pool
	remote      netip.Addr
	gen         uint64 // of the pool when the dial began
	retire      int64  // Pools.now when it is too old
	since       int64  // Pools.now when it was last used
	requests    int
	maxRequests int
	private     bool
	closed      atomic.Bool
}

// Pool is where the connection belongs.
func (c *Conn) Pool() *Pool { return c.pool }

// Remote is the address of the origin that the connection goes to.
func (c *Conn) Remote() netip.AddrPort { return netip.AddrPortFrom(c.remote, c.pool.portOf()) }

// Requests is how many exchanges have ended cleanly on it.
func (c *Conn) Requests() int { return c.requests }

// Private binds the connection to one client for good, because the origin knows that client by the connection (NTLM,
// Negotiate, PROXY protocol). Put will close it: the owner keeps it with its client connection, and closes it with that.
func (c *Conn) Private() {
	if !c.private {
		c.private = true
		c.pool.tally.private.Add(1)
	}
}

// IsPrivate says whether the connection belongs to one client.
func (c *Conn) IsPrivate() bool { return c.private }

// Usable says whether a connection that the owner kept for himself (Private) may carry another request: as Take does it
// for pooled ones, with the same limits of age, number of requests and idleness. When false the owner closes it.
func (c *Conn) Usable(unusedFor time.Duration) bool {
	now := c.pool.set.now()
	if !c.pool.fit(c, now) || c.KeepFor < 0 || now-c.since > int64(unusedFor) {
		return false
	}
	if !c.Alive() {
		c.pool.tally.stale.Add(1)
		return false
	}
	return true
}

// Rest notes that an exchange ended cleanly on a connection that the owner keeps for himself; Usable counts from it.
func (c *Conn) Rest() {
	c.requests++
	c.since = c.pool.set.now()
	c.Reused = true
}

// Close ends the connection; more than once is harmless.
func (c *Conn) Close() error {
	if !c.leave() {
		return nil
	}
	return c.Conn.Close() //nolint:wrapcheck // nothing to add
}

// Reset ends the connection with a RST, so that the origin stops sending; harmless after Close.
func (c *Conn) Reset() error {
	if !c.leave() {
		return nil
	}
	return c.Conn.Reset() //nolint:wrapcheck // nothing to add
}

// leave takes the connection out of the figures, once.
func (c *Conn) leave() bool {
	if c.closed.Swap(true) {
		return false
	}
	c.pool.tally.open.Add(-1)
	if c.private {
		c.pool.tally.private.Add(-1)
	}
	return true
}

// discard closes what is given up; how that ends is of no interest.
func discard(c io.Closer) { c.Close() }
