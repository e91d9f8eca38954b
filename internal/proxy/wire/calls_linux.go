package wire

import (
	"io"
	"net"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// calls is what the callbacks of syscall.RawConn work on. They are bound once per connection: a closure per call
// would be an allocation per call.
type calls struct {
	onRead, onWrite func(fd uintptr) bool
	onAsk           func(fd uintptr)

	in  inward
	out outward
	ask asked // under Conn.mu
}

// inward is the reader's operation.
type inward struct {
	what   operation
	p      []byte
	waited bool // the poller has said once that something is there
	pipe   *pipe
	limit  int
	n      int
	err    error
	peek   [1]byte
}

// outward is the writer's operation: the parts of a write, or a pipe to empty.
type outward struct {
	iov  [2]unix.Iovec
	from int // the first part that is not written
	pipe *pipe
	n    int
	err  error
}

type operation uint8

const (
	opRead operation = iota
	opAwait
	opSplice
)

// asked is a question to the socket that never waits.
type asked struct {
	left  bool // which question: Left, else Alive
	yes   bool
	ended error
	peek  [1]byte
}

func (c *Conn) bind() {
	if c.tcp == nil {
		return
	}
	raw, err := c.tcp.SyscallConn()
	if err != nil {
		return // closed already: every operation says so
	}
	c.raw, c.plain = raw, true
	c.sys.onRead, c.sys.onWrite, c.sys.onAsk = c.readable, c.writable, c.asking
}

func (c *Conn) readSocket(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	in := &c.sys.in
	in.what, in.p, in.n, in.err = opRead, p, 0, nil
	err := c.raw.Read(c.sys.onRead)
	in.p = nil
	if err != nil {
		return 0, err //nolint:wrapcheck // net's own words
	}
	return in.n, in.err
}

func (c *Conn) awaitSocket() error {
	in := &c.sys.in
	in.what, in.waited, in.err = opAwait, false, nil
	runtime.Gosched() // when it is our turn again there is often something: a wait less, which costs two calls and the poller
	err := c.raw.Read(c.sys.onRead)
	if err == nil {
		c.ended = in.err
	}
	return err //nolint:wrapcheck // net's own words
}

// readable tries the reader's operation; false: wait for the poller and try again.
func (c *Conn) readable(fd uintptr) bool {
	switch in := &c.sys.in; in.what {
	case opAwait:
		// What the poller has reported need not be looked at: a Read that finds nothing after all only waits again.
		if in.waited {
			return true
		}
		in.waited = true
		_, errno := receive(fd, in.peek[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
		if errno != 0 && errno != unix.EAGAIN {
			in.err = c.fault("read", errno) // the socket says it once only
		}
		return errno != unix.EAGAIN
	case opSplice:
		return in.fill(fd)
	case opRead:
		n, errno := receive(fd, in.p, 0)
		switch {
		case errno == unix.EAGAIN:
			return false
		case errno != 0:
			in.err = c.fault("read", errno)
		case n == 0:
			in.err = io.EOF
		default:
			in.n = n
		}
	}
	return true
}

// writeSocket writes what follows the first done bytes of a and b, and returns how many are done now.
func (c *Conn) writeSocket(a, b []byte, done int) (int, error) {
	skip := min(done, len(a))
	a, b = a[skip:], b[done-skip:]
	out := &c.sys.out
	out.pipe, out.from, out.n, out.err = nil, 2, 0, nil
	if len(b) > 0 {
		out.from = 1
		out.iov[1].Base = &b[0]
		out.iov[1].SetLen(len(b))
	}
	if len(a) > 0 {
		if len(b) == 0 { // one part: at the end
			out.iov[1].Base = &a[0]
			out.iov[1].SetLen(len(a))
			out.from = 1
		} else {
			out.iov[0].Base = &a[0]
			out.iov[0].SetLen(len(a))
			out.from = 0
		}
	}
	err := c.raw.Write(c.sys.onWrite)
	runtime.KeepAlive(a)
	runtime.KeepAlive(b)
	out.iov[0].Base, out.iov[1].Base = nil, nil
	if err == nil {
		err = out.err
	}
	return done + out.n, err //nolint:wrapcheck // net's own words
}

// writable writes until everything is written, the socket's buffer is full (false), or it fails.
func (c *Conn) writable(fd uintptr) bool {
	out := &c.sys.out
	for out.left() {
		n, errno := out.step(fd)
		switch {
		case errno == unix.EAGAIN:
			return false
		case errno != 0:
			out.err = c.fault("write", errno)
			return true
		}
		out.n += n
		c.written.Add(int64(n))
	}
	return true
}

// fault makes net's error of a system call's.
func (c *Conn) fault(call string, errno unix.Errno) error {
	return &net.OpError{Op: call, Net: "tcp", Source: c.tcp.LocalAddr(), Addr: c.tcp.RemoteAddr(), Err: os.NewSyscallError(call, errno)}
}

func (o *outward) left() bool {
	if o.pipe != nil {
		return o.pipe.held > 0
	}
	return o.from < 2
}

func (o *outward) step(fd uintptr) (int, unix.Errno) {
	if o.pipe != nil {
		return o.pipe.empty(fd)
	}
	n, errno := send(fd, o.iov[o.from:])
	if errno == 0 {
		o.advance(n)
	}
	return n, errno
}

// advance goes on behind n bytes.
func (o *outward) advance(n int) {
	for o.from < 2 {
		v := &o.iov[o.from]
		if length := int(v.Len); n < length { //nolint:gosec // the length of a slice
			v.Base = offset(v.Base, n)
			v.SetLen(length - n)
			return
		}
		n -= int(v.Len) //nolint:gosec // the length of a slice
		o.from++
	}
}

// quiet says whether nothing is there to read, neither bytes nor an end; not sure: there is an end. It is for the
// reader, because a socket says only once why it broke.
func (c *Conn) quiet() (yes, sure bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	ask := &c.sys.ask
	*ask = asked{}
	if c.raw.Control(c.sys.onAsk) != nil {
		return false, false
	}
	if ask.ended != nil && ask.ended != io.EOF { //nolint:errorlint // set below
		c.ended = ask.ended
	}
	return ask.yes, ask.ended == nil
}

// Left says whether the peer has ended its direction or the connection is broken, whether bytes wait to be read or
// not. It never blocks, and everybody may ask. The end of a TLS conversation counts when the socket's end follows.
func (c *Conn) Left() bool {
	if c.raw == nil {
		return c.closed.Load()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	ask := &c.sys.ask
	*ask = asked{left: true}
	return c.raw.Control(c.sys.onAsk) != nil || ask.yes
}

func (c *Conn) asking(fd uintptr) {
	ask := &c.sys.ask
	if ask.left {
		set := [1]unix.PollFd{{Fd: int32(fd), Events: unix.POLLRDHUP}} //nolint:gosec // a descriptor
		n, err := unix.Poll(set[:], 0)
		ask.yes = err == nil && n > 0
		return
	}
	n, errno := receive(fd, ask.peek[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
	switch {
	case errno == unix.EAGAIN:
		ask.yes = true
	case errno != 0:
		ask.ended = c.fault("read", errno)
	case n == 0:
		ask.ended = io.EOF
	}
}
