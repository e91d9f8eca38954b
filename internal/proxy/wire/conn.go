package wire

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// stashSize is what Await may read ahead where readiness cannot be seen without reading (TLS): a small request whole,
// and little enough to keep for every idle connection.
const stashSize = 512

// Conn is one connection. The zero value is of no use; see Plain and Wrap.
type Conn struct {
	conn  net.Conn     // what is read, written and closed
	tcp   *net.TCPConn // the socket at the bottom; nil: there is none (net.Pipe)
	plain bool         // conn is tcp and goes by system calls
	tls   bool         // conn is TLS: an interrupted write breaks it for good

	// Of the reader.
	back  []byte // read too far (Unread), or read ahead by Await
	stash []byte // room for reading ahead, allocated by the first Await that needs it
	deep  bool   // the stash was filled to the brim: TLS may hold more
	ended error  // what Await found instead of bytes; the next Read's

	written atomic.Int64

	deadline atomic.Int64 // see clock; 0: never
	armed    atomic.Bool  // the socket's deadline has been moved into the past
	watch    atomic.Pointer[shard]
	look     atomic.Int64 // when the Watch looks next, as clock counts
	slot     int          // in watch, under the shard's lock

	mu     sync.Mutex // below: Wake, Clear, the socket's deadline, and ask
	why    error
	closed atomic.Bool

	raw syscall.RawConn // of tcp, or nil
	sys calls           // what the callbacks of raw work on
}

// Plain makes a Conn of a TCP connection. c must not be used otherwise from now on.
func Plain(c *net.TCPConn) *Conn {
	w := &Conn{conn: c, tcp: c}
	w.bind()
	return w
}

// Wrap makes a Conn of a connection whose handshake is done: TLS or anything else.
func Wrap(c net.Conn) *Conn {
	if tcp, ok := c.(*net.TCPConn); ok {
		return Plain(tcp)
	}
	w := &Conn{conn: c}
	_, w.tls = c.(*tls.Conn)
	for under := c; under != nil; {
		if tcp, ok := under.(*net.TCPConn); ok {
			w.tcp = tcp
			break
		}
		inner, ok := under.(interface{ NetConn() net.Conn })
		if !ok {
			break
		}
		under = inner.NetConn()
	}
	w.bind()
	w.plain = false
	return w
}

// NetConn is the connection below, for its addresses and TLS state.
func (c *Conn) NetConn() net.Conn { return c.conn }

// IsPlain says whether the bytes go over the socket as they are, so that Splice needs no copy.
func (c *Conn) IsPlain() bool { return c.plain }

// Read reads what Unread put back, else what the peer sent: at least one byte or an error, io.EOF at the end.
func (c *Conn) Read(p []byte) (int, error) {
	if c.armed.Load() {
		if err := c.judge(); err != nil {
			return 0, err
		}
	}
	if len(c.back) > 0 {
		n := copy(p, c.back)
		if c.back = c.back[n:]; len(c.back) == 0 {
			c.back = nil
			if c.deep && n < len(p) {
				n += c.held(p[n:])
			}
		}
		return n, nil
	}
	if c.ended != nil {
		return 0, c.ended
	}
	return c.receive(p)
}

// held reads what TLS has taken from the socket already, the rest of a record of which Await has read the beginning,
// and does not wait for more: with a deadline in the past the socket has nothing.
func (c *Conn) held(p []byte) int {
	c.deep = false
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.armed.Load() {
		return 0
	}
	_ = c.conn.SetReadDeadline(past) // a closed connection says so at the next Read
	n, err := c.conn.Read(p)
	c.disarm()
	if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		c.ended = err
	}
	return n
}

// receive reads past what was put back.
func (c *Conn) receive(p []byte) (n int, err error) {
	for {
		if c.plain {
			n, err = c.readSocket(p)
		} else {
			n, err = c.conn.Read(p)
		}
		if n > 0 || err == nil {
			return n, nil
		}
		if err = c.excuse(err); err != nil {
			return 0, err
		}
	}
}

// Unread gives back bytes that were read too far: the next Reads return them. p is referenced until then.
func (c *Conn) Unread(p []byte) {
	if len(p) == 0 {
		return
	}
	if len(c.back) > 0 { // never on the usual way: one Read, one Unread of its rest
		p = append(slices.Clip(p), c.back...)
	}
	c.back = p
}

// Await blocks until Read has something to say, bytes or the end, and holds no buffer meanwhile. Where TLS hides what
// is there it reads ahead at most stashSize bytes.
func (c *Conn) Await() error {
	if c.armed.Load() {
		if err := c.judge(); err != nil {
			return err
		}
	}
	if len(c.back) > 0 || c.ended != nil {
		return nil
	}
	if c.plain {
		for {
			err := c.awaitSocket()
			if err == nil {
				return nil
			}
			if err = c.excuse(err); err != nil {
				return err
			}
		}
	}
	if c.stash == nil {
		c.stash = make([]byte, stashSize)
	}
	n, err := c.receive(c.stash)
	c.back, c.deep = c.stash[:n], n == len(c.stash) && c.tls
	if err != nil && !c.interrupted(err) {
		c.ended, err = err, nil
	}
	return err
}

// Write writes all of p or returns an error; the count is what was accepted all the same.
func (c *Conn) Write(p []byte) (int, error) { return c.Write2(p, nil) }

// Write2 is Write of a followed by b: one system call where the socket takes both, one record with TLS.
//
// The count is exact where failing over hangs on it. Plain: bytes the kernel took. TLS: bytes in records that it took
// whole; the peer cannot open the rest. A TLS connection whose write was interrupted is good for closing only.
func (c *Conn) Write2(a, b []byte) (n int, err error) {
	if c.armed.Load() {
		if err := c.judge(); err != nil {
			return 0, err
		}
	}
	if len(a)+len(b) == 0 {
		return 0, nil
	}
	if c.plain {
		for {
			if n, err = c.writeSocket(a, b, n); err == nil {
				return n, nil
			}
			if err = c.excuse(err); err != nil {
				return n, err
			}
		}
	}
	if len(a) > 0 && len(b) > 0 {
		return c.writeJoined(a, b)
	}
	if len(a) == 0 {
		a = b
	}
	return c.send(a)
}

// writeJoined puts both parts into as few TLS records as one call can.
func (c *Conn) writeJoined(a, b []byte) (int, error) {
	buf := Get(min(len(a)+len(b), largest))
	defer Put(buf)
	k := copy(*buf, a)
	m := 0
	if k == len(a) {
		m = copy((*buf)[k:], b)
	}
	n, err := c.send((*buf)[:k+m])
	for _, rest := range [2][]byte{a[k:], b[m:]} {
		if err != nil || len(rest) == 0 {
			continue
		}
		var more int
		more, err = c.send(rest)
		n += more
	}
	return n, err
}

// send writes through net.Conn.
func (c *Conn) send(p []byte) (n int, err error) {
	for {
		m, err := c.conn.Write(p[n:])
		n += m
		c.written.Add(int64(m))
		if err == nil {
			return n, nil
		}
		excused := c.excuse(err)
		if excused != nil {
			return n, excused
		}
		if c.tls { // woken for a phase that is over, but the record is torn
			return n, ErrTimeout
		}
	}
}

// Written is the number of bytes accepted since the beginning, as Write2 counts them.
func (c *Conn) Written() int64 { return c.written.Load() }

// Alive says whether an idle connection may be used again: nothing to read and no end. It is for the reader.
//
// TLS records that carry no data, such as session tickets that arrive late, are read and do no harm; looking for
// them takes up to a millisecond, and only when something has arrived.
func (c *Conn) Alive() bool {
	if c.closed.Load() || len(c.back) > 0 || c.ended != nil {
		return false
	}
	if c.raw != nil {
		switch quiet, sure := c.quiet(); {
		case !sure:
			return false
		case quiet:
			return true
		case c.plain:
			return false
		}
	}
	return c.swallow()
}

// swallow reads records that carry no data, and says whether nothing but such records was there.
func (c *Conn) swallow() bool {
	c.mu.Lock()
	if c.armed.Load() {
		c.mu.Unlock()
		return false
	}
	_ = c.conn.SetReadDeadline(time.Now().Add(time.Millisecond)) // a closed connection says so below
	c.mu.Unlock()
	if c.stash == nil {
		c.stash = make([]byte, stashSize)
	}
	n, err := c.conn.Read(c.stash)
	c.back = c.stash[:n]
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.armed.Load() {
		c.disarm()
	}
	if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		c.ended = err
	}
	return n == 0 && c.ended == nil
}

// CloseWrite ends this direction: the peer reads an end and may still send.
func (c *Conn) CloseWrite() error {
	half, ok := c.conn.(interface{ CloseWrite() error })
	if !ok {
		return errors.ErrUnsupported
	}
	if err := half.CloseWrite(); err != nil {
		return fmt.Errorf("close the sending direction: %w", err)
	}
	return nil
}

// Close closes the connection; whatever is blocked on it fails with net.ErrClosed. TLS says goodbye first, which
// takes up to 5 s when the peer does not read. Closing twice is fine.
func (c *Conn) Close() error {
	if c.closed.Swap(true) {
		return nil
	}
	c.leave()
	return c.conn.Close() //nolint:wrapcheck // its own words are the best
}

// Reset closes the connection so that the peer gets a reset (RST) and no goodbye, and what waits to be sent is
// dropped.
func (c *Conn) Reset() error {
	if c.closed.Swap(true) {
		return nil
	}
	c.leave()
	if c.tcp == nil {
		return c.conn.Close() //nolint:wrapcheck // its own words are the best
	}
	_ = c.tcp.SetLinger(0) // it fails on closed sockets only
	return c.tcp.Close()   //nolint:wrapcheck // its own words are the best
}

var _ io.ReadWriteCloser = (*Conn)(nil)
