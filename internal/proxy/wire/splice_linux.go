package wire

import (
	"errors"
	"io"
	"os"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// pipeSize is asked for; the kernel may give less, see pipe(7) about pipe-user-pages-soft. 64 KiB cost a third
	// more CPU per byte, 1 MiB saved no more.
	pipeSize  = 256 << 10
	idlePipes = 64 // kept for the next splice; each is two descriptors
)

// pipe is where bytes are between two sockets. In the kernel they are pages with a name, nothing is copied.
type pipe struct {
	r, w uintptr
	size int
	held int // bytes in it
}

var pipes struct {
	mu   sync.Mutex
	idle []*pipe
}

func takePipe() (*pipe, error) {
	pipes.mu.Lock()
	if last := len(pipes.idle) - 1; last >= 0 {
		p := pipes.idle[last]
		pipes.idle = pipes.idle[:last]
		pipes.mu.Unlock()
		return p, nil
	}
	pipes.mu.Unlock()
	var fd [2]int
	if err := unix.Pipe2(fd[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		return nil, err //nolint:wrapcheck // splice goes on without a pipe
	}
	p := &pipe{r: uintptr(fd[0]), w: uintptr(fd[1])}
	size, err := unix.FcntlInt(p.w, unix.F_SETPIPE_SZ, pipeSize)
	if err != nil {
		if size, err = unix.FcntlInt(p.w, unix.F_GETPIPE_SZ, 0); err != nil {
			size = 4 << 10
		}
	}
	p.size = size
	return p, nil
}

// putPipe keeps an empty pipe and closes one that is not.
func putPipe(p *pipe) {
	if p == nil {
		return
	}
	pipes.mu.Lock()
	if p.held == 0 && len(pipes.idle) < idlePipes {
		pipes.idle = append(pipes.idle, p)
		p = nil
	}
	pipes.mu.Unlock()
	if p != nil {
		_ = unix.Close(int(p.r)) // nobody reads on
		_ = unix.Close(int(p.w))
	}
}

// empty moves what the pipe holds to the socket. It never says SPLICE_F_MORE: at the end of a message the kernel
// would hold back the last segment for up to 200 ms.
func (p *pipe) empty(socket uintptr) (int, unix.Errno) {
	n, errno := move(p.r, socket, p.held)
	if errno != 0 {
		return 0, errno
	}
	p.held -= n
	return n, 0
}

var (
	errNoPipe   = errors.New("no pipe")
	errNoSplice = errors.New("this socket cannot be spliced")
)

// fill moves what the socket has into the pipe. While it has nothing there is no pipe either: a thousand idle tunnels
// need none.
func (in *inward) fill(socket uintptr) bool {
	if in.pipe == nil {
		p, err := takePipe()
		if err != nil {
			in.err = errNoPipe
			return true
		}
		in.pipe = p
	}
	n, errno := move(socket, in.pipe.w, min(in.limit, in.pipe.size))
	switch errno { //nolint:exhaustive // the kernel's
	case 0:
		in.n, in.pipe.held = n, n
		if n == 0 {
			in.err = io.EOF
		}
	case unix.EAGAIN:
		putPipe(in.pipe)
		in.pipe = nil
		return false
	case unix.EINVAL, unix.EOPNOTSUPP, unix.ENOSYS:
		in.err = errNoSplice
	default:
		in.err = os.NewSyscallError("splice", errno)
	}
	return true
}

// splice moves bytes in the kernel. handled is false when it cannot go on that way; nothing is lost then.
func splice(dst, src *Conn, n int64, renew func()) (moved int64, handled bool, err error) {
	for n < 0 || moved < n {
		p, err := src.fill(less(n, moved))
		switch {
		case errors.Is(err, errNoPipe), errors.Is(err, errNoSplice):
			return moved, false, nil
		case errors.Is(err, io.EOF):
			return moved, true, early(n)
		case err != nil:
			return moved, true, &SideError{Source, err}
		}
		m, err := dst.drain(p)
		moved += m
		if err != nil {
			return moved, true, &SideError{Sink, err}
		}
		renew()
	}
	return moved, true, nil
}

// fill waits for bytes and returns them in a pipe, which the caller has to put back.
func (c *Conn) fill(limit int64) (*pipe, error) {
	in := &c.sys.in
	for {
		if c.armed.Load() {
			if err := c.judge(); err != nil {
				return nil, err
			}
		}
		in.what, in.pipe, in.limit, in.n, in.err = opSplice, nil, pipeMost, 0, nil
		if limit >= 0 {
			in.limit = int(min(limit, pipeMost))
		}
		err := c.raw.Read(c.sys.onRead)
		p := in.pipe
		in.pipe = nil
		if err == nil && in.err == nil {
			return p, nil
		}
		putPipe(p)
		if err == nil {
			return nil, in.err
		}
		if err = c.excuse(err); err != nil {
			return nil, err
		}
	}
}

// pipeMost is more than any pipe holds.
const pipeMost = 1 << 20

// drain empties the pipe into the socket and puts it back.
func (c *Conn) drain(p *pipe) (moved int64, err error) {
	defer putPipe(p)
	out := &c.sys.out
	for {
		if c.armed.Load() {
			if err := c.judge(); err != nil {
				return moved, err
			}
		}
		out.pipe, out.n, out.err = p, 0, nil
		err := c.raw.Write(c.sys.onWrite)
		out.pipe = nil
		moved += int64(out.n)
		if err == nil {
			err = out.err
		}
		if err == nil {
			return moved, nil
		}
		if errors.Is(err, unix.EINVAL) {
			m, err := c.pour(p)
			return moved + m, err
		}
		if err = c.excuse(err); err != nil {
			return moved, err
		}
	}
}

// pour writes what the pipe holds where the sink cannot be spliced into.
func (c *Conn) pour(p *pipe) (moved int64, err error) {
	buf := Get(largest)
	defer Put(buf)
	for p.held > 0 {
		r, err := unix.Read(int(p.r), *buf)
		if err != nil || r == 0 {
			return moved, os.NewSyscallError("read", number(err))
		}
		p.held -= r
		m, err := c.Write((*buf)[:r])
		moved += int64(m)
		if err != nil {
			return moved, err
		}
	}
	return moved, nil
}

// offset is the byte n behind b.
func offset(b *byte, n int) *byte { return (*byte)(unsafe.Add(unsafe.Pointer(b), n)) } //nolint:gosec // within the part it points into

func number(err error) (errno unix.Errno) {
	if err != nil && !errors.As(err, &errno) {
		errno = unix.EIO
	}
	return errno
}
