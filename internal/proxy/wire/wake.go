package wire

import (
	"errors"
	"os"
	"time"
)

// ErrTimeout is what reads and writes return after the time Until gave. It is os.ErrDeadlineExceeded, too.
var ErrTimeout error = timeout{}

type timeout struct{}

func (timeout) Error() string   { return "nothing moved in time" }
func (timeout) Timeout() bool   { return true }
func (timeout) Temporary() bool { return true }

func (timeout) Is(target error) bool { return target == os.ErrDeadlineExceeded }

var (
	past = time.Unix(1, 0)
	base = time.Now()
)

// clock is the time since the process began, which no step of the wall clock moves.
func clock() int64 { return int64(time.Since(base)) }

// sinceBase is t as clock counts; 0 is never.
func sinceBase(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	if d := int64(t.Sub(base)); d != 0 {
		return d
	}
	return 1
}

// Until makes reads and writes fail with ErrTimeout after t; zero: never. In a Watch this costs one atomic store and
// comes true at most one tick late; without one the socket's own deadline is set.
func (c *Conn) Until(t time.Time) {
	d := sinceBase(t)
	c.deadline.Store(d)
	if s := c.watch.Load(); s != nil {
		if d != 0 && d < c.look.Load() {
			c.hurry(s, d)
		}
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.armed.Load() {
		c.disarm()
	}
}

// Wake makes the blocked and every following Read, Write and Await fail with why, until Clear. The first reason
// counts. A TLS connection that was writing is good for closing only.
func (c *Conn) Wake(why error) {
	if why == nil {
		why = ErrTimeout
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.why != nil {
		return
	}
	c.why = why
	c.arm()
}

// Clear forgets a Wake. What woke is not repeated: look at its cause again afterwards.
func (c *Conn) Clear() {
	if !c.armed.Load() {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.why = nil
	c.disarm()
}

// late is Watch's: it wakes the connection if its time is over now.
//
// armed is set before the deadline is read again, and the owner stores the deadline before it looks at armed. So
// either this sees the new deadline, or the owner's next operation sees armed and judges for itself; no operation
// that began after Until is interrupted by a deadline before it. TLS needs that: a write once interrupted is broken.
func (c *Conn) late(now int64) {
	if d := c.deadline.Load(); d == 0 || now < d || c.armed.Load() {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.armed.Load() {
		return
	}
	c.armed.Store(true)
	if d := c.deadline.Load(); d == 0 || now < d {
		c.armed.Store(false)
		return
	}
	c.arm()
}

// arm unblocks whoever is in the socket. Under mu.
func (c *Conn) arm() {
	c.armed.Store(true)
	_ = c.conn.SetDeadline(past) // a closed connection needs no waking
}

// disarm gives the socket its ordinary deadline: none in a Watch. Under mu.
func (c *Conn) disarm() {
	c.armed.Store(false)
	var t time.Time
	if d := c.deadline.Load(); d != 0 && c.watch.Load() == nil {
		t = base.Add(time.Duration(d))
	}
	_ = c.conn.SetDeadline(t) // a closed connection says so at the next operation
}

// judge says why the connection was woken: the reason of Wake, ErrTimeout, or nil when there is none any more.
func (c *Conn) judge() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.why != nil {
		return c.why
	}
	if d := c.deadline.Load(); d != 0 && clock() >= d {
		return ErrTimeout
	}
	c.disarm()
	return nil
}

// excuse turns the error of an operation into what the caller is told; nil: it was woken without a reason, go on.
func (c *Conn) excuse(err error) error {
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		return err
	}
	return c.judge()
}

// interrupted says whether err comes from Wake or Until and not from the peer.
func (c *Conn) interrupted(err error) bool {
	if err == ErrTimeout { //nolint:errorlint // ours, never wrapped
		return true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.why != nil && err == c.why //nolint:errorlint // the very value
}
