package bare

import (
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"sync"
	"syscall"
	"unsafe"
)

// conn is a connection without what net.Conn adds to each call: recv and send instead of read and write, without telling the
// scheduler of Go, which is safe because the socket never blocks. Each direction has its function once, so that no call makes one.
type conn struct {
	file io.Closer
	raw  syscall.RawConn
	in   []byte // where to read
	lazy *[]byte
	out  []byte // what to write
	n    int
	e    syscall.Errno
	recv func(fd uintptr) bool
	send func(fd uintptr) bool
}

// buffers are borrowed while there is something in them.
var buffers = sync.Pool{New: func() any { b := make([]byte, 16<<10); return &b }}

func wrap(file io.Closer, c syscall.Conn) (*conn, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return nil, err
	}
	w := &conn{file: file, raw: raw}
	w.recv, w.send = w.tryRecv, w.trySend
	return w, nil
}

func (c *conn) tryRecv(fd uintptr) bool {
	p := c.in
	if p == nil {
		c.lazy, _ = buffers.Get().(*[]byte)
		p = *c.lazy
	}
	n, _, e := syscall.RawSyscall6(syscall.SYS_RECVFROM, fd, uintptr(unsafe.Pointer(&p[0])), uintptr(len(p)), 0, 0, 0) //nolint:gosec // recv(2)
	c.n, c.e = int(n), e
	if c.in == nil && e != 0 {
		buffers.Put(c.lazy)
		c.lazy = nil
	}
	return e != syscall.EAGAIN
}

func (c *conn) trySend(fd uintptr) bool {
	n, _, e := syscall.RawSyscall6(syscall.SYS_SENDTO, fd, uintptr(unsafe.Pointer(&c.out[0])), uintptr(len(c.out)), syscall.MSG_NOSIGNAL, 0, 0) //nolint:gosec // send(2)
	c.n, c.e = int(n), e
	return e != syscall.EAGAIN
}

// read lets others run first: when it is our turn again there is often something to read, and no wait that costs two calls.
func (c *conn) read(p []byte) (int, error) {
	runtime.Gosched()
	c.in = p
	if err := c.raw.Read(c.recv); err != nil {
		return 0, err
	}
	switch {
	case c.e != 0:
		return 0, c.e
	case c.n == 0:
		return 0, io.EOF
	}
	return c.n, nil
}

// await reads into a buffer that is borrowed only when there is something to read: an idle connection has none.
func (c *conn) await() (b *[]byte, n int, err error) {
	n, err = c.read(nil)
	b, c.lazy = c.lazy, nil
	if err != nil && b != nil {
		buffers.Put(b)
		b = nil
	}
	return b, n, err
}

func (c *conn) write(p []byte) error {
	for len(p) > 0 {
		c.out = p
		if err := c.raw.Write(c.send); err != nil {
			return err
		}
		if c.e != 0 {
			return c.e
		}
		p = p[c.n:]
	}
	return nil
}

// listener accepts without asking for names and without setting options: sockets inherit those of their listener.
type listener struct {
	file *os.File
	raw  syscall.RawConn
}

func listen(address string) (*listener, error) {
	l, err := net.Listen("tcp", address) //nolint:noctx // the descriptor is all we want
	if err != nil {
		return nil, err
	}
	defer l.Close()
	tcp, ok := l.(*net.TCPListener)
	if !ok {
		return nil, errors.New("no TCP listener")
	}
	file, err := tcp.File() // a listener's own RawConn cannot wait
	if err != nil {
		return nil, err
	}
	raw, err := file.SyscallConn()
	if err != nil {
		return nil, err
	}
	return &listener{file, raw}, raw.Control(func(fd uintptr) {
		err = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_NODELAY, 1)
	})
}

func (l *listener) accept() (*conn, error) {
	for {
		var fd uintptr
		var e syscall.Errno
		if err := l.raw.Read(func(at uintptr) bool {
			fd, _, e = syscall.RawSyscall6(syscall.SYS_ACCEPT4, at, 0, 0, syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC, 0, 0)
			return e != syscall.EAGAIN
		}); err != nil {
			return nil, err
		}
		switch {
		case e == 0:
			file := os.NewFile(fd, "client")
			return wrap(file, file)
		case e != syscall.ECONNABORTED && e != syscall.EINTR:
			return nil, e
		}
	}
}
